//! A request is valid in the factory only.

use libwebsockets::{Handler, Request, Vhost};

struct Keeps(&'static Request<'static>);

impl Handler for Keeps {}

fn main() {
    let _ = Vhost::listen(([127, 0, 0, 1], 0)).accept(|request| Ok(Keeps(request)));
}
