//! A connection is borrowed for the call, and can't be kept.

use libwebsockets::{Connection, Handler};

struct Keeps<'a>(Option<&'a mut Connection<'a>>);

impl Handler for Keeps<'static> {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        self.0 = Some(conn);
    }
}

fn main() {}
