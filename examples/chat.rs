//! A chat with rooms. Its state belongs to a thread of its own, without a lock:
//! handlers tell that thread what happens, and it sends through the context's
//! handle. `--help` tells the options.

mod common;

use common::{Args, Fail};
use libwebsockets::{
    Broadcast, CloseCode, Closed, Connection, ConnectionId, Context, ContextHandle, Handler,
    Message, Refusal, Request, Vhost, WebSocketConfig,
};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::thread;
use std::time::Duration;

const HELP: &str = "\
chat: a chat with rooms; connect to ws://ADDR:PORT/ROOM?name=NAME, and what you
send goes to all in the room; lines of standard input go to all rooms, except
\"/keylog on\", \"/keylog off\" and \"/keylog\"; SIGINT or SIGTERM ends it

  --port N             the port to listen on; 0 takes a free one (default 0)
  --iface ADDR         the address to listen on (default 127.0.0.1)
";

const HELP_TLS: &str = "  --tls                speak TLS, with a certificate of its own\n";

/// The longest name, of a guest or a room, and the longest message, in bytes.
const MAX_NAME: usize = 32;
const MAX_MESSAGE: usize = 4096;
/// How much may wait for the house. It has to print as well, to a terminal that may be slow.
const MAX_WAITING: usize = 1000;
/// How many of a room's messages a newcomer gets.
const HISTORY: usize = 20;

/// What happens.
enum Happening {
    Came(ConnectionId, Place),
    Said(ConnectionId, String),
    Left(ConnectionId),
    Typed(String),
    Over,
}

/// Who a guest is, and in which room.
#[derive(Clone)]
struct Place {
    room: String,
    name: String,
}

/// The way into the house.
#[derive(Clone)]
struct Door {
    to: mpsc::Sender<Happening>,
    /// How much was told that the house hasn't heard yet.
    waiting: Arc<AtomicUsize>,
}

impl Door {
    /// Tells the house. It fails when the house is closed.
    fn tell(&self, what: Happening) -> Result<(), mpsc::SendError<Happening>> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.to.send(what)
    }
}

/// A guest's connection.
struct Guest {
    place: Place,
    door: Door,
    /// Whether the house knows of it.
    came: bool,
}

impl Guest {
    /// Tells the house, or closes the connection: whether the house will hear of it. The loop
    /// serves all guests, so it can't wait until the house has time.
    fn tell(&self, conn: &mut Connection<'_>, what: Happening) -> bool {
        if self.door.waiting.load(Ordering::Relaxed) >= MAX_WAITING {
            conn.close(CloseCode::TRY_AGAIN_LATER);
        } else if self.door.tell(what).is_err() {
            // The program is about to end.
            conn.close(CloseCode::GOING_AWAY);
        } else {
            return true;
        }
        false
    }
}

impl Handler for Guest {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        let place = self.place.clone();
        self.came = self.tell(conn, Happening::Came(conn.id(), place));
    }

    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        if let Some(text) = message.as_text() {
            self.tell(conn, Happening::Said(conn.id(), text.into()));
        } else {
            conn.close(CloseCode::UNSUPPORTED);
        }
    }

    fn on_close(&mut self, closed: Closed) {
        if self.came {
            // However much waits: else it would stay for ever. A house that is closed has no
            // guests.
            let _ = self.door.tell(Happening::Left(closed.id));
        }
    }
}

/// The room is the path, the name is in the query.
fn enter(request: &Request<'_>, door: &Door) -> Result<Guest, Refusal> {
    let room = request.path().to_owned();
    let name = request.query_value("name").unwrap_or("somebody").to_owned();
    for text in [&room, &name] {
        if text.is_empty() || text.len() > MAX_NAME || text.chars().any(steers) {
            let why = "choose a room and a name that are printable, of up to 32 bytes";
            return Err(Refusal::forbidden().body(why));
        }
    }
    let (place, door) = (Place { room, name }, door.clone());
    let came = false;
    Ok(Guest { place, door, came })
}

/// Whether a terminal or a browser would obey a character instead of showing it: controls,
/// ends of lines and paragraphs, and what turns the direction of writing.
fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || turns
}

/// What a guest says, with such characters spelt out: a line could look as if it came from
/// somebody else, and the terminal isn't the guests'.
fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match steers(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// All rooms. Only their own thread has them.
struct House {
    context: ContextHandle,
    waiting: Arc<AtomicUsize>,
    guests: BTreeMap<ConnectionId, Place>,
    /// The last messages of each room that has guests.
    said: BTreeMap<String, VecDeque<String>>,
}

impl House {
    /// Until the end, or until something fails.
    fn run(mut self, happenings: mpsc::Receiver<Happening>) -> Result<(), Fail> {
        for happening in happenings {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match happening {
                Happening::Came(id, place) => self.welcome(id, place)?,
                Happening::Said(id, text) => self.pass_on(id, &text)?,
                Happening::Left(id) => self.see_off(id)?,
                #[cfg(feature = "keylog")]
                Happening::Typed(line) if line.starts_with("/keylog") => {
                    print(&switch_keylog(self.context.keylog(), &line))?;
                }
                Happening::Typed(line) => {
                    print(&format!("* {line}"))?;
                    self.show_out(self.context.broadcast(format!("* {line}")));
                }
                Happening::Over => break,
            }
        }
        Ok(())
    }

    fn welcome(&mut self, id: ConnectionId, place: Place) -> Result<(), Fail> {
        let there = self.guests.values().filter(|g| g.room == place.room);
        let mut here: Vec<&str> = there.map(|guest| guest.name.as_str()).collect();
        if here.is_empty() {
            here.push("nobody");
        }
        let here = format!("* here already: {}", here.join(", "));
        let said = self.said.get(&place.room).into_iter().flatten();
        for line in std::iter::once(&here).chain(said) {
            self.show_out(self.context.broadcast_to([id], line.as_str()));
        }
        self.guests.insert(id, place.clone());
        self.say(&place.room, &format!("* {} has come", place.name))
    }

    fn pass_on(&mut self, id: ConnectionId, text: &str) -> Result<(), Fail> {
        // A guest can be gone by the time that the message is read.
        let Some(Place { room, name }) = self.guests.get(&id) else {
            return Ok(());
        };
        let line = format!("{name}: {}", on_one_line(text));
        self.say(room, &line)?;
        let said = self.said.entry(room.clone()).or_default();
        said.push_back(line);
        said.drain(..said.len().saturating_sub(HISTORY));
        Ok(())
    }

    fn see_off(&mut self, id: ConnectionId) -> Result<(), Fail> {
        if let Some(Place { room, name }) = self.guests.remove(&id) {
            self.say(&room, &format!("* {name} has left"))?;
            if self.guests.values().all(|guest| guest.room != room) {
                self.said.remove(&room);
            }
        }
        Ok(())
    }

    /// To everybody in a room, and in the terminal.
    fn say(&self, room: &str, line: &str) -> Result<(), Fail> {
        match room {
            "/" => print(line)?,
            _ => print(&format!("{room} {line}"))?,
        }
        let guests = self.guests.iter().filter(|(_, guest)| guest.room == room);
        let ids = guests.map(|(id, _)| *id);
        self.show_out(self.context.broadcast_to(ids, line));
        Ok(())
    }

    /// Drops those who don't read what is sent to them. A close frame would have to
    /// wait behind all that.
    fn show_out(&self, sent: Broadcast) {
        for id in sent.full {
            // Gone already is as good.
            let _ = self.context.abort(id);
        }
    }
}

/// Shows a line in the terminal. Unlike `println!` it tells of a terminal that is gone.
fn print(line: &str) -> Result<(), Fail> {
    let mut stdout = std::io::stdout().lock();
    let printed = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    printed.map_err(|error| format!("cannot write to the standard output: {error}").into())
}

/// Shuts the context down when the house's thread ends, even by a panic: nobody would pass
/// on what guests say.
struct ClosingTime(ContextHandle);

impl Drop for ClosingTime {
    fn drop(&mut self) {
        // A context that is gone has stopped already.
        let _ = self
            .0
            .shutdown(CloseCode::GOING_AWAY, Duration::from_secs(2));
    }
}

/// Switches the key log for connections to come; how it is then.
#[cfg(feature = "keylog")]
fn switch_keylog(keylog: &libwebsockets::keylog::KeyLogHandle, order: &str) -> String {
    match order {
        "/keylog off" => keylog.disable(),
        "/keylog on" => {
            if let Err(error) = keylog.enable() {
                return format!("key log: {error}");
            }
        }
        _ => {}
    }
    let stats = keylog.stats();
    match stats.problem {
        Some(problem) => format!("key log: {problem}"),
        None => format!("key log: on, {} records", stats.written),
    }
}

fn main() -> std::process::ExitCode {
    common::exit(run())
}

fn run() -> Result<(), Fail> {
    common::show_log();
    let mut args = Args::new(&common::help(HELP, HELP_TLS))?;
    let port: u16 = args.value("--port")?.unwrap_or(0);
    let iface: IpAddr = args.value("--iface")?.unwrap_or([127, 0, 0, 1].into());

    let (to, happenings) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let door = Door {
        to,
        waiting: Arc::clone(&waiting),
    };
    let (typed, end) = (door.clone(), door.clone());
    let config = WebSocketConfig::new()
        .max_message_size(MAX_MESSAGE)
        .max_write_buffer_size(256 << 10) // whoever is slower has to leave
        .ping_after(Duration::from_secs(30))
        .idle_timeout(Duration::from_secs(45)); // for want of a pong
    let vhost = Vhost::listen((iface, port))
        .accept(move |request| enter(request, &door))
        .config(config);
    #[cfg(not(feature = "_tls"))]
    let scheme = "ws";
    #[cfg(feature = "_tls")]
    let (scheme, vhost) = match args.flag("--tls")? {
        false => ("ws", vhost),
        true => ("wss", vhost.tls(common::own_tls()?)),
    };
    let builder = Context::builder().vhost(vhost);
    #[cfg(feature = "keylog")]
    let builder = common::keylog(&mut args, builder)?;
    args.finish()?;
    let mut context = builder.build()?;
    common::stop_on_signals(context.handle())?;
    let address = context.local_addr(0).ok_or("it listens nowhere")?;
    print(&format!("listening on {scheme}://{address}/?name=NAME"))?;

    let house = House {
        context: context.handle(),
        waiting,
        guests: BTreeMap::new(),
        said: BTreeMap::new(),
    };
    let closing_time = ClosingTime(context.handle());
    let house = thread::spawn(move || {
        let _closing_time = closing_time;
        house.run(happenings)
    });
    // Reads as long as there is input; the end of the program ends it.
    thread::spawn(move || {
        let mut lines = std::io::stdin().lock().lines().map_while(Result::ok);
        lines.try_for_each(|line| typed.tell(Happening::Typed(line)))
    });

    context.run()?;
    // Whoever is still there is dropped with the context.
    drop(context);
    // A house that has ended already says why.
    let _ = end.tell(Happening::Over);
    house.join().map_err(|_| "the house's thread panicked")?
}
