//! A closure for another thread's context borrows nothing of this one.

use libwebsockets::ContextHandle;

fn run(handle: &ContextHandle) {
    let mut count = 0;
    let _ = handle.run(|_| count += 1);
}

fn main() {}
