//! Sends messages to an echo server and prints what comes back. `--help` tells
//! the options.

mod common;

use common::{Args, Fail};
use libwebsockets::{
    Client, CloseCode, Closed, ConnectError, Connection, Context, Handler, Message, WebSocketConfig,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

const HELP: &str = "\
echo_client URL: sends messages and prints the text that comes back

  --message TEXT      a message to send; may be repeated (default: \"hello\")
  --count N           send the messages N times over (default 1)
  --size BYTES        send binary messages of this size instead
  --subprotocol NAME  offer this subprotocol; may be repeated
  --deflate           offer permessage-deflate
";

const HELP_TLS: &str = "\
  --ca PEM            trust these CA certificates instead of the system's
  --insecure          accept any certificate
";

/// What became of the conversation.
#[derive(Default)]
struct Outcome {
    error: Option<String>,
    done: bool,
}

struct Conversation {
    /// Messages that are still to be sent.
    unsent: VecDeque<Message>,
    /// Messages that are still to come back.
    expected: VecDeque<Message>,
    outcome: Rc<RefCell<Outcome>>,
}

impl Conversation {
    /// Sends as much as the queue takes.
    fn send_more(&mut self, conn: &mut Connection<'_>) {
        while let Some(message) = self.unsent.pop_front() {
            let copy = message.clone();
            match conn.send(message) {
                Ok(()) => self.expected.push_back(copy),
                Err(refused) => {
                    self.unsent.push_front(refused.into_message());
                    return;
                }
            }
        }
    }

    fn fail(&self, error: String) {
        self.outcome.borrow_mut().error.get_or_insert(error);
    }
}

impl Handler for Conversation {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        if let Some(name) = conn.subprotocol() {
            eprintln!("subprotocol: {name}");
        }
        self.send_more(conn);
    }

    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        self.send_more(conn);
    }

    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        match message.as_text() {
            Some(text) => println!("{text}"),
            None => println!("({} bytes)", message.len()),
        }
        if self.expected.pop_front().as_ref() != Some(&message) {
            self.fail("what came back is not what was sent".into());
            conn.close(CloseCode::POLICY_VIOLATION);
        } else if self.expected.is_empty() && self.unsent.is_empty() {
            conn.close(CloseCode::NORMAL);
        }
    }

    fn on_close(&mut self, closed: Closed) {
        let missing = self.expected.len() + self.unsent.len();
        if missing > 0 {
            self.fail(format!(
                "closed with {missing} messages missing: {closed:?}"
            ));
        }
        self.outcome.borrow_mut().done = true;
    }

    fn on_connect_error(&mut self, error: &ConnectError) {
        self.fail(error.to_string());
        self.outcome.borrow_mut().done = true;
    }
}

fn main() -> std::process::ExitCode {
    common::exit(run())
}

fn run() -> Result<(), Fail> {
    let mut args = Args::new(&common::help(HELP, HELP_TLS));
    let mut texts = args.values("--message")?;
    let count: usize = args.value("--count")?.unwrap_or(1);
    let size: Option<usize> = args.value("--size")?;
    let subprotocols = args.values("--subprotocol")?;
    let deflate = args.flag("--deflate");
    #[cfg(feature = "tls")]
    let tls = tls(&mut args)?;
    let builder = Context::builder();
    #[cfg(feature = "keylog")]
    let builder = common::keylog(&mut args, builder)?;
    let Some(url) = args.positional() else {
        return Err("the URL is missing; --help tells what there is".into());
    };
    args.finish()?;

    let mut client = Client::new(&url)?.config(WebSocketConfig::new().deflate(deflate));
    for name in &subprotocols {
        client = client.subprotocol(name)?;
    }
    #[cfg(feature = "tls")]
    {
        client = client.tls(tls);
    }
    if texts.is_empty() {
        texts.push("hello".into());
    }
    let round: Vec<Message> = match size {
        Some(size) => vec![Message::binary(vec![b'x'; size])],
        None => texts.into_iter().map(Message::from).collect(),
    };
    let unsent = (0..count).flat_map(|_| round.iter().cloned()).collect();

    let outcome = Rc::new(RefCell::new(Outcome::default()));
    let conversation = Conversation {
        unsent,
        expected: VecDeque::new(),
        outcome: Rc::clone(&outcome),
    };
    let mut context = builder.build()?;
    // The conversation hears of the outcome itself.
    drop(context.connect(client, conversation)?);
    while !outcome.borrow().done {
        context.service(None)?;
    }
    let error = outcome.borrow_mut().error.take();
    error.map_or(Ok(()), |error| Err(error.into()))
}

/// Whom to trust, as the options say.
#[cfg(feature = "tls")]
fn tls(args: &mut Args) -> Result<libwebsockets::tls::ClientTls, Fail> {
    use libwebsockets::tls::{ClientTls, Pem};
    let ca: Option<std::path::PathBuf> = args.value("--ca")?;
    let insecure = args.flag("--insecure");
    let mut tls = ClientTls::new();
    if let Some(ca) = ca {
        tls = tls.ca(Pem::file(ca));
    }
    if insecure {
        tls = tls.danger_accept_anything();
    }
    Ok(tls)
}
