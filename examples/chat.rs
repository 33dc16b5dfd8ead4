//! A chat room. Its state belongs to a thread of its own, without a lock:
//! handlers tell that thread what happens, and it sends through the context's
//! handle. `--help` tells the options.

mod common;

use common::{Args, Fail};
use libwebsockets::{
    CloseCode, Closed, Connection, ConnectionId, Context, ContextHandle, Handler, Message, Refusal,
    Request, SendError, Vhost, WebSocketConfig,
};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::thread;

const HELP: &str = "\
chat: a chat room; connect to ws://ADDR:PORT/?name=NAME, and what you send goes
to all; lines of standard input go to all as well; SIGINT or SIGTERM ends it

  --port N      the port to listen on; 0 takes a free one (default 0)
  --iface ADDR  the address to listen on (default 127.0.0.1)
";

/// The longest name and the longest message, in bytes.
const MAX_NAME: usize = 32;
const MAX_MESSAGE: usize = 4096;

/// What waits for one guest at most; whoever reads more slowly has to leave.
const MAX_QUEUE: usize = 256 << 10;

/// What happens in the room.
enum Happening {
    Came(ConnectionId, String),
    Said(ConnectionId, String),
    Left(ConnectionId),
    Announced(String),
    Over,
}

/// A guest's connection.
struct Guest {
    name: String,
    room: mpsc::Sender<Happening>,
}

impl Guest {
    fn tell(&self, happening: Happening) {
        // The room is gone only when the program ends.
        let _ = self.room.send(happening);
    }
}

impl Handler for Guest {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        self.tell(Happening::Came(conn.id(), self.name.clone()));
    }

    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        match message.as_text() {
            Some(text) => self.tell(Happening::Said(conn.id(), text.to_owned())),
            None => conn.close(CloseCode::UNSUPPORTED),
        }
    }

    fn on_close(&mut self, closed: Closed) {
        self.tell(Happening::Left(closed.id));
    }
}

/// The name in a request's query.
fn name(request: &Request<'_>) -> Result<String, Refusal> {
    let given = request.query().iter().find(|(key, _)| key == "name");
    let name = given.map_or("somebody", |(_, name)| name.as_str());
    let printable = !name.is_empty() && !name.chars().any(char::is_control);
    if !printable || name.len() > MAX_NAME {
        return Err(Refusal::forbidden().body("choose a printable name of up to 32 bytes"));
    }
    Ok(name.to_owned())
}

/// The room: who is there. Only its own thread has it.
struct Room {
    context: ContextHandle,
    guests: BTreeMap<ConnectionId, String>,
}

impl Room {
    fn run(mut self, happenings: mpsc::Receiver<Happening>) {
        for happening in happenings {
            match happening {
                Happening::Came(id, name) => self.welcome(id, name),
                Happening::Said(id, text) => {
                    if let Some(name) = self.guests.get(&id) {
                        self.say(&format!("{name}: {text}"));
                    }
                }
                Happening::Left(id) => {
                    if let Some(name) = self.guests.remove(&id) {
                        self.say(&format!("* {name} has left"));
                    }
                }
                Happening::Announced(text) => self.say(&format!("* {text}")),
                Happening::Over => return,
            }
        }
    }

    fn welcome(&mut self, id: ConnectionId, name: String) {
        let mut here: Vec<&str> = self.guests.values().map(String::as_str).collect();
        if here.is_empty() {
            here.push("nobody");
        }
        let here = format!("* here already: {}", here.join(", "));
        // A guest who has gone again is reported as such.
        if let Err(SendError::Full(_)) = self.context.send(id, here) {
            self.show_out(id);
        }
        self.say(&format!("* {name} has come"));
        self.guests.insert(id, name);
    }

    /// To everybody, in the terminal too.
    fn say(&self, line: &str) {
        println!("{line}");
        for id in self.context.broadcast(line).full {
            self.show_out(id);
        }
    }

    /// Drops a guest who doesn't read what is sent.
    fn show_out(&self, id: ConnectionId) {
        // Gone already is as good.
        let _ = self.context.abort(id);
    }
}

fn main() -> std::process::ExitCode {
    common::exit(run())
}

fn run() -> Result<(), Fail> {
    let mut args = Args::new(HELP)?;
    let port: u16 = args.value("--port")?.unwrap_or(0);
    let iface: IpAddr = args.value("--iface")?.unwrap_or([127, 0, 0, 1].into());
    args.finish()?;

    let (happen, happenings) = mpsc::channel();
    let (announce, end) = (happen.clone(), happen.clone());
    let config = WebSocketConfig::new()
        .max_message_size(MAX_MESSAGE)
        .max_write_buffer_size(MAX_QUEUE);
    let vhost = Vhost::listen((iface, port))
        .accept(move |request| {
            Ok(Guest {
                name: name(request)?,
                room: happen.clone(),
            })
        })
        .config(config);
    let mut context = Context::builder().vhost(vhost).build()?;
    common::stop_on_signals(context.handle())?;
    let address = context
        .local_addr(0)
        .unwrap_or(SocketAddr::new(iface, port));
    println!("listening on ws://{address}/?name=NAME");
    std::io::stdout().flush()?;

    let room = Room {
        context: context.handle(),
        guests: BTreeMap::new(),
    };
    let room = thread::spawn(move || room.run(happenings));
    // Reads as long as there is input; the end of the program ends it.
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if announce.send(Happening::Announced(line)).is_err() {
                break;
            }
        }
    });

    context.run()?;
    // Whoever is still there is dropped with the context.
    drop(context);
    end.send(Happening::Over)?;
    room.join().map_err(|_| "the room's thread panicked")?;
    Ok(())
}
