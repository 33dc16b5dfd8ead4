//! RFC 6455 in tables: what a peer may not send, and what it hears for it. A row is one
//! case; both roles are tried where the rule holds for both.

#[path = "../common/mod.rs"]
mod common;

mod deadlines;
mod frames;
mod offers;
mod requests;
mod responses;
