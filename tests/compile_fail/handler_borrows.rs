//! A handler lives as long as its connection, and borrows nothing.

use libwebsockets::{Client, Connection, Context, Handler, Message};

struct Counts<'a>(&'a mut u32);

impl Handler for Counts<'_> {
    fn on_message(&mut self, _: &mut Connection<'_>, _: Message) {
        *self.0 += 1;
    }
}

fn main() {
    let mut count = 0;
    let mut context = Context::builder().build().unwrap();
    let client = Client::new("ws://localhost/").unwrap();
    let _ = context.connect(client, Counts(&mut count));
}
