//! A handler that is given to another thread's context must be `Send`.

use libwebsockets::{Client, ContextHandle, Handler};
use std::rc::Rc;

struct Local(#[allow(dead_code)] Rc<u32>);

impl Handler for Local {}

fn connect(handle: &ContextHandle) {
    let client = Client::new("ws://localhost/").unwrap();
    let _ = handle.connect(client, Local(Rc::new(1)));
}

fn main() {}
