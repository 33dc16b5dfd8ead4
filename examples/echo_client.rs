//! Sends messages to an echo server and prints the echoes. `--help` lists the options.

mod common;

use common::{Args, Fail};
use libwebsockets::{
    Client, CloseCode, Closed, ConnectError, Connection, Context, Handler, Message, SendError,
    WebSocketConfig,
};
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

const HELP: &str = "\
echo_client URL: sends messages, and prints what comes back: texts as they are,
of binary messages the size; the exit status is 0 if all came back unaltered

  --message TEXT       a message to send; may be repeated (default: \"hello\")
  --size BYTES         send a binary message of this size instead, up to 1 GiB
  --count N            send the messages N times over, at least once (default 1)
  --subprotocol NAME   offer this subprotocol; may be repeated
  --deflate            offer permessage-deflate
";

const HELP_TLS: &str = "  --ca PEM             trust these CA certificates instead of the system's
  --insecure           accept any certificate
";

/// The most that `--size` takes.
const MAX_SIZE: usize = 1 << 30;

/// How the session ended.
#[derive(Default)]
struct Outcome {
    error: Option<String>,
    done: bool,
}

struct EchoSession {
    /// The messages, sent in turn until the total is reached.
    messages: Vec<Message>,
    total: u64,
    sent: u64,
    received: u64,
    outcome: Rc<RefCell<Outcome>>,
}

impl EchoSession {
    fn message(&self, number: u64) -> &Message {
        &self.messages[(number % self.messages.len() as u64) as usize]
    }

    /// Sends until the send queue is full.
    fn send_more(&mut self, conn: &mut Connection<'_>) {
        while self.sent < self.total {
            match conn.send(self.message(self.sent).clone()) {
                Ok(()) => self.sent += 1,
                // `on_writable` goes on; `on_close` reports a connection that is closing.
                Err(SendError::Full(_) | SendError::Closed(_)) => return,
                Err(error) => {
                    self.fail(error.to_string());
                    return conn.close(CloseCode::TOO_BIG);
                }
            }
        }
    }

    fn receive(&mut self, message: &Message) -> Result<(), Fail> {
        let mut stdout = std::io::stdout();
        match message.as_text() {
            Some(text) => writeln!(stdout, "{text}")?,
            None => writeln!(stdout, "({} bytes)", message.len())?,
        }
        if self.received == self.sent || message != self.message(self.received) {
            return Err("what came back is not what was sent".into());
        }
        self.received += 1;
        Ok(())
    }

    fn fail(&self, error: String) {
        self.outcome.borrow_mut().error.get_or_insert(error);
    }
}

impl Handler for EchoSession {
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
        if let Err(error) = self.receive(&message) {
            self.fail(error.to_string());
            conn.close(CloseCode::POLICY_VIOLATION);
        } else if self.received == self.total {
            conn.close(CloseCode::NORMAL);
        }
    }

    fn on_close(&mut self, closed: Closed) {
        if self.received < self.total {
            let why = match closed.frame {
                Some(frame) => format!("was closed with {frame}"),
                None => "broke off".into(),
            };
            let (received, total) = (self.received, self.total);
            self.fail(format!(
                "the connection {why} after {received} of {total} echoes"
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
    common::show_log();
    let mut args = Args::new(&common::help(HELP, HELP_TLS))?;
    let messages = messages(args.values("--message")?, args.value("--size")?)?;
    let count: u64 = args.value("--count")?.unwrap_or(1);
    if count == 0 {
        return Err("--count is at least 1".into());
    }
    let subprotocols = args.values("--subprotocol")?;
    let longest = messages.iter().map(Message::len).max().unwrap_or(0);
    let limit = longest.max(64 << 20);
    let config = WebSocketConfig::new()
        .max_message_size(limit)
        .max_frame_size(limit)
        .deflate(args.flag("--deflate")?);
    #[cfg(feature = "_tls")]
    let tls = tls(&mut args)?;
    let builder = Context::builder();
    #[cfg(feature = "keylog")]
    let builder = common::keylog(&mut args, builder)?;
    let Some(url) = args.positional("the URL")? else {
        return Err("the URL is missing; --help tells what there is".into());
    };
    args.finish()?;

    let mut client = Client::new(&url)?.config(config);
    for name in &subprotocols {
        client = client.subprotocol(name)?;
    }
    #[cfg(feature = "_tls")]
    {
        client = client.tls(tls);
    }
    let outcome = Rc::new(RefCell::new(Outcome::default()));
    let session = EchoSession {
        total: count.saturating_mul(messages.len() as u64),
        messages,
        sent: 0,
        received: 0,
        outcome: Rc::clone(&outcome),
    };
    let mut context = builder.build()?;
    // The handler is told the outcome itself.
    drop(context.connect(client, session)?);
    while !outcome.borrow().done {
        context.service(None)?;
    }
    let error = outcome.borrow_mut().error.take();
    error.map_or(Ok(()), |error| Err(error.into()))
}

/// The messages to send: texts, or a binary one of this size.
fn messages(mut texts: Vec<String>, size: Option<usize>) -> Result<Vec<Message>, Fail> {
    match size {
        Some(_) if !texts.is_empty() => Err("--message and --size exclude each other".into()),
        Some(size) if size > MAX_SIZE => Err(format!("--size is at most {MAX_SIZE}").into()),
        Some(size) => Ok(vec![Message::binary(vec![b'x'; size])]),
        None => {
            if texts.is_empty() {
                texts.push("hello".into());
            }
            Ok(texts.into_iter().map(Message::from).collect())
        }
    }
}

/// TLS as the options say.
#[cfg(feature = "_tls")]
fn tls(args: &mut Args) -> Result<libwebsockets::tls::ClientTls, Fail> {
    use libwebsockets::tls::{ClientTls, Pem};
    match (args.path("--ca")?, args.flag("--insecure")?) {
        (Some(_), true) => Err("--ca and --insecure contradict each other".into()),
        (Some(ca), false) => Ok(ClientTls::new().ca(Pem::file(ca))),
        (None, true) => Ok(ClientTls::new().danger_accept_anything()),
        (None, false) => Ok(ClientTls::new()),
    }
}
