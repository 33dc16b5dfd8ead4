//! The client that a fuzzing server of the Autobahn|Testsuite examines: it asks how
//! many cases there are, and echoes what each of them sends.
//!
//! `conformance client URL AGENT` does that; a wss URL may have any certificate.
//! `conformance certificate DIR` makes one for the server, `cert.pem` and `key.pem`.

use libwebsockets::tls::ClientTls;
use libwebsockets::{
    Client, CloseCode, Closed, ConnectError, Connection, Context, Handler, Message, SendError,
    WebSocketConfig,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

/// Any error: it is printed, and the status is 1.
type Fail = Box<dyn Error>;

const USAGE: &str = "usage: conformance client URL AGENT | conformance certificate DIR";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["client", url, agent] => client(url, agent),
        ["certificate", dir] => certificate(Path::new(dir)),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes a certificate for the loopback interface that nobody has signed.
fn certificate(dir: &Path) -> Result<(), Fail> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    std::fs::write(dir.join("cert.pem"), made.cert.pem())?;
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem())?;
    Ok(())
}

/// Goes through all cases of the fuzzing server, one after the other: some of them
/// look at how soon an answer comes.
fn client(url: &str, agent: &str) -> Result<(), Fail> {
    let url = url.trim_end_matches('/');
    let mut context = Context::builder().build()?;
    let answer = converse(&mut context, &format!("{url}/getCaseCount"))?;
    let count: u32 = answer
        .and_then(|answer| answer.trim().parse().ok())
        .ok_or("the fuzzing server doesn't say how many cases there are")?;
    for case in 1..=count {
        converse(
            &mut context,
            &format!("{url}/runCase?case={case}&agent={agent}"),
        )?;
    }
    converse(&mut context, &format!("{url}/updateReports?agent={agent}"))?;
    println!("{count} cases");
    Ok(())
}

/// Opens a WebSocket, and echoes until it is closed; the last text that came, if it
/// was short.
fn converse(context: &mut Context, url: &str) -> Result<Option<String>, Fail> {
    let outcome = Rc::new(RefCell::new(Outcome::default()));
    let client = Client::new(url)?
        .config(WebSocketConfig::new().deflate(true))
        .tls(ClientTls::new().danger_accept_anything());
    let echo = Echo {
        waiting: VecDeque::new(),
        // The answers of these two are no messages to send back.
        mute: !url.contains("/runCase"),
        outcome: Rc::clone(&outcome),
    };
    drop(context.connect(client, echo)?);
    while !outcome.borrow().over {
        context.service(None)?;
    }
    let outcome = outcome.take();
    match outcome.error {
        Some(error) => Err(format!("{url}: {error}").into()),
        None => Ok(outcome.text),
    }
}

/// What became of a connection.
#[derive(Default)]
struct Outcome {
    over: bool,
    text: Option<String>,
    error: Option<String>,
}

/// Sends back what comes, in its order.
struct Echo {
    /// What the send queue had no room for.
    waiting: VecDeque<Message>,
    mute: bool,
    outcome: Rc<RefCell<Outcome>>,
}

impl Echo {
    fn send_waiting(&mut self, conn: &mut Connection<'_>) {
        while let Some(message) = self.waiting.pop_front() {
            match conn.send(message) {
                Ok(()) => {}
                Err(SendError::Full(message)) => {
                    self.waiting.push_front(*message);
                    conn.pause_reading();
                    return;
                }
                // It is closing: nobody waits for an echo.
                Err(SendError::Closed(_)) => {}
                Err(_) => conn.close(CloseCode::TOO_BIG),
            }
        }
        conn.resume_reading();
    }
}

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        if self.mute {
            self.outcome.borrow_mut().text = message.as_text().map(str::to_owned);
            return;
        }
        self.waiting.push_back(message);
        self.send_waiting(conn);
    }

    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        self.send_waiting(conn);
    }

    fn on_close(&mut self, _: Closed) {
        self.outcome.borrow_mut().over = true;
    }

    fn on_connect_error(&mut self, error: &ConnectError) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.error = Some(error.to_string());
        outcome.over = true;
    }
}
