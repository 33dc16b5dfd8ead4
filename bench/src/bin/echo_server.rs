//! Our echo server, as the README has it. It prints the port that it listens on.
//! `--cert PEM --key PEM` make it speak TLS.

use bench::args::Args;
use bench::Fail;
use libwebsockets::tls::{Pem, ServerTls};
use libwebsockets::{Connection, Context, Handler, Message, Vhost};

struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        if conn.send(message).is_err() {
            conn.abort();
        }
    }
}

fn main() -> Result<(), Fail> {
    let mut args = Args::from_env();
    let tls = (
        args.value::<String>("--cert")?,
        args.value::<String>("--key")?,
    );
    args.finish()?;
    let mut vhost = Vhost::listen(([127, 0, 0, 1], 0)).accept(|_| Ok(Echo));
    if let (Some(cert), Some(key)) = tls {
        vhost = vhost.tls(ServerTls::new(Pem::file(cert), Pem::file(key)));
    }
    let mut context = Context::builder().vhost(vhost).build()?;
    println!("{}", context.local_addr(0).ok_or("no address")?.port());
    context.run()?;
    Ok(())
}
