//! The bytes of a fragment are the C library's, and can't be kept.

use libwebsockets::{Connection, Fragment, Handler};

struct Keeps(Option<&'static [u8]>);

impl Handler for Keeps {
    fn on_fragment(&mut self, _: &mut Connection<'_>, fragment: Fragment<'_>) {
        self.0 = Some(fragment.data);
    }
}

fn main() {}
