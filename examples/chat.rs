//! A chat with rooms. One thread owns all of its state, so there is no lock: handlers
//! send events to that thread, and it sends messages through the context's handle.
//! `--help` lists the options.

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

/// The longest name of a member or a room, and the longest message, in bytes.
const MAX_NAME: usize = 32;
const MAX_MESSAGE: usize = 4096;
/// How many events may be queued. The chat's thread also prints, to a terminal that may be slow.
const MAX_QUEUED: usize = 1000;
/// How many of a room's last messages a new member gets.
const HISTORY: usize = 20;

/// What the chat's thread handles.
enum Event {
    Joined(ConnectionId, Member),
    Message(ConnectionId, String),
    Left(ConnectionId),
    /// A line of standard input.
    Input(String),
    Shutdown,
}

/// A member's name, and the room that it is in.
#[derive(Clone)]
struct Member {
    room: String,
    name: String,
}

/// The queue of events to the chat's thread.
#[derive(Clone)]
struct Events {
    sender: mpsc::Sender<Event>,
    /// How many events were sent and not yet received.
    queued: Arc<AtomicUsize>,
}

impl Events {
    /// Queues an event. Fails when the chat's thread has ended.
    fn send(&self, event: Event) -> Result<(), mpsc::SendError<Event>> {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.sender.send(event)
    }
}

/// The handler of a member's connection.
struct Session {
    member: Member,
    events: Events,
    /// Whether `Joined` was sent for it.
    joined: bool,
}

impl Session {
    /// Queues an event and returns true, or closes the connection and returns false. The
    /// service loop serves all members, so it can't wait for room in the queue.
    fn send(&self, conn: &mut Connection<'_>, event: Event) -> bool {
        if self.events.queued.load(Ordering::Relaxed) >= MAX_QUEUED {
            conn.close(CloseCode::TRY_AGAIN_LATER);
        } else if self.events.send(event).is_err() {
            // The program is about to end.
            conn.close(CloseCode::GOING_AWAY);
        } else {
            return true;
        }
        false
    }
}

impl Handler for Session {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        let member = self.member.clone();
        self.joined = self.send(conn, Event::Joined(conn.id(), member));
    }

    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        if let Some(text) = message.as_text() {
            self.send(conn, Event::Message(conn.id(), text.into()));
        } else {
            conn.close(CloseCode::UNSUPPORTED);
        }
    }

    fn on_close(&mut self, closed: Closed) {
        if self.joined {
            // Even if the queue is full: the member would stay in its room for ever. If the
            // chat's thread has ended, there are no rooms.
            let _ = self.events.send(Event::Left(closed.id));
        }
    }
}

/// Accepts or refuses a request: the room is its path, the name is in its query.
fn accept(request: &Request<'_>, events: &Events) -> Result<Session, Refusal> {
    let room = request.path().to_owned();
    let name = request.query_value("name").unwrap_or("somebody").to_owned();
    for text in [&room, &name] {
        if text.is_empty() || text.len() > MAX_NAME || text.chars().any(is_control) {
            let why = "choose a room and a name that are printable, of up to 32 bytes";
            return Err(Refusal::forbidden().body(why));
        }
    }
    Ok(Session {
        member: Member { room, name },
        events: events.clone(),
        joined: false,
    })
}

/// Whether a terminal or a browser would interpret a character instead of showing it: control
/// characters, line and paragraph separators, and those that change the writing direction.
fn is_control(c: char) -> bool {
    let is_bidi = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || is_bidi
}

/// A message with such characters escaped. Otherwise a member could forge lines of others, and
/// control the terminal.
fn escape(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match is_control(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// All rooms and their members, owned by the chat's thread.
struct Chat {
    context: ContextHandle,
    queued: Arc<AtomicUsize>,
    members: BTreeMap<ConnectionId, Member>,
    /// The last messages of each room that has members.
    history: BTreeMap<String, VecDeque<String>>,
}

impl Chat {
    /// Handles events until `Shutdown`, or until something fails.
    fn run(mut self, events: mpsc::Receiver<Event>) -> Result<(), Fail> {
        for event in events {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            match event {
                Event::Joined(id, member) => self.join(id, member)?,
                Event::Message(id, text) => self.message(id, &text)?,
                Event::Left(id) => self.leave(id)?,
                #[cfg(feature = "keylog")]
                Event::Input(line) if line.starts_with("/keylog") => {
                    print(&switch_keylog(self.context.keylog(), &line))?;
                }
                Event::Input(line) => {
                    print(&format!("* {line}"))?;
                    self.drop_slow(self.context.broadcast(format!("* {line}")));
                }
                Event::Shutdown => break,
            }
        }
        Ok(())
    }

    fn join(&mut self, id: ConnectionId, member: Member) -> Result<(), Fail> {
        let others = self.members.values().filter(|m| m.room == member.room);
        let mut names: Vec<&str> = others.map(|other| other.name.as_str()).collect();
        if names.is_empty() {
            names.push("nobody");
        }
        let names = format!("* here already: {}", names.join(", "));
        let history = self.history.get(&member.room).into_iter().flatten();
        for line in std::iter::once(&names).chain(history) {
            self.drop_slow(self.context.broadcast_to([id], line.as_str()));
        }
        self.members.insert(id, member.clone());
        self.send(&member.room, &format!("* {} has come", member.name))
    }

    fn message(&mut self, id: ConnectionId, text: &str) -> Result<(), Fail> {
        // A member can have left by the time that its message is handled.
        let Some(Member { room, name }) = self.members.get(&id) else {
            return Ok(());
        };
        let line = format!("{name}: {}", escape(text));
        self.send(room, &line)?;
        let history = self.history.entry(room.clone()).or_default();
        history.push_back(line);
        history.drain(..history.len().saturating_sub(HISTORY));
        Ok(())
    }

    fn leave(&mut self, id: ConnectionId) -> Result<(), Fail> {
        if let Some(Member { room, name }) = self.members.remove(&id) {
            self.send(&room, &format!("* {name} has left"))?;
            if self.members.values().all(|member| member.room != room) {
                self.history.remove(&room);
            }
        }
        Ok(())
    }

    /// Sends a line to all members of a room, and prints it.
    fn send(&self, room: &str, line: &str) -> Result<(), Fail> {
        match room {
            "/" => print(line)?,
            _ => print(&format!("{room} {line}"))?,
        }
        let members = self.members.iter().filter(|(_, m)| m.room == room);
        let ids = members.map(|(id, _)| *id);
        self.drop_slow(self.context.broadcast_to(ids, line));
        Ok(())
    }

    /// Drops the connections whose send queue is full. A close frame would have to wait behind
    /// what is in the queue.
    fn drop_slow(&self, sent: Broadcast) {
        for id in sent.full {
            // An error means that the connection is gone already.
            let _ = self.context.abort(id);
        }
    }
}

/// Prints a line. Unlike `println!` it returns an error when standard output is closed.
fn print(line: &str) -> Result<(), Fail> {
    let mut stdout = std::io::stdout().lock();
    let printed = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    printed.map_err(|error| format!("cannot write to the standard output: {error}").into())
}

/// Shuts the context down when the chat's thread ends, even by a panic: no message would be
/// delivered any more.
struct ShutdownOnDrop(ContextHandle);

impl Drop for ShutdownOnDrop {
    fn drop(&mut self) {
        // A context that is gone has stopped already.
        let _ = self
            .0
            .shutdown(CloseCode::GOING_AWAY, Duration::from_secs(2));
    }
}

/// Switches the key log for new connections, and returns its state.
#[cfg(feature = "keylog")]
fn switch_keylog(keylog: &libwebsockets::keylog::KeyLogHandle, command: &str) -> String {
    match command {
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

    let (sender, receiver) = mpsc::channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let events = Events {
        sender,
        queued: Arc::clone(&queued),
    };
    let (input, shutdown) = (events.clone(), events.clone());
    let config = WebSocketConfig::new()
        .max_message_size(MAX_MESSAGE)
        .max_write_buffer_size(256 << 10) // slower members are dropped
        .ping_after(Duration::from_secs(30))
        .idle_timeout(Duration::from_secs(45)); // without a pong
    let vhost = Vhost::listen((iface, port))
        .accept(move |request| accept(request, &events))
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

    let chat = Chat {
        context: context.handle(),
        queued,
        members: BTreeMap::new(),
        history: BTreeMap::new(),
    };
    let shutdown_on_drop = ShutdownOnDrop(context.handle());
    let chat = thread::spawn(move || {
        let _shutdown_on_drop = shutdown_on_drop;
        chat.run(receiver)
    });
    // Reads as long as there is input; the end of the program ends it.
    thread::spawn(move || {
        let mut lines = std::io::stdin().lock().lines().map_while(Result::ok);
        lines.try_for_each(|line| input.send(Event::Input(line)))
    });

    context.run()?;
    // Closes the connections that are still open.
    drop(context);
    // If the chat's thread has ended already, joining it returns why.
    let _ = shutdown.send(Event::Shutdown);
    chat.join().map_err(|_| "the chat's thread panicked")?
}
