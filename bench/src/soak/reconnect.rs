//! Clients of this crate whose server is killed, and comes back.

use super::target::Target;
use super::{ensure, Fail, Report};
use libwebsockets::{
    Backoff, Client, Closed, ConnectError, Connection, Context, ContextHandle, Handler, Message,
};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What happened to one client.
#[derive(Clone, Copy, Default)]
struct Life {
    opened: u32,
    echoed: u32,
    closed: u32,
    errors: u32,
}

/// What happened to all.
#[derive(Clone)]
struct Lives(Arc<Mutex<Vec<Life>>>);

struct Lasting {
    number: usize,
    lives: Lives,
}

impl Lives {
    fn lock(&self) -> MutexGuard<'_, Vec<Life>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something holds for each.
    fn wait(&self, what: &str, holds: impl Fn(&Life) -> bool) -> Result<Duration, Fail> {
        let start = Instant::now();
        loop {
            let lives = self.lock().clone();
            let left = lives.iter().filter(|life| !holds(life)).count();
            if left == 0 {
                return Ok(start.elapsed());
            }
            ensure(start.elapsed() < Duration::from_secs(30), || {
                format!("{left} of {} were never {what}", lives.len())
            })?;
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Lasting {
    fn note(&self, change: impl FnOnce(&mut Life)) {
        change(&mut self.lives.lock()[self.number]);
    }

    fn greeting(&self) -> String {
        format!("client {}", self.number)
    }
}

impl Handler for Lasting {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        self.note(|life| life.opened += 1);
        let _ = conn.send(self.greeting()); // the first message always has room
    }

    fn on_message(&mut self, _: &mut Connection<'_>, message: Message) {
        if message.as_text() == Some(&*self.greeting()) {
            self.note(|life| life.echoed += 1);
        }
    }

    fn on_close(&mut self, _: Closed) {
        self.note(|life| life.closed += 1);
    }

    fn on_connect_error(&mut self, _: &ConnectError) {
        self.note(|life| life.errors += 1);
    }
}

/// Connects `count` clients, says so, and waits for the server's end and return.
pub fn run(target: &Target, count: usize) -> Report {
    let lives = Lives(Arc::new(Mutex::new(vec![Life::default(); count])));
    let (sender, receiver) = std::sync::mpsc::channel::<ContextHandle>();
    let service = std::thread::spawn(move || -> Result<(), libwebsockets::Error> {
        let mut context = Context::builder().build()?;
        let _ = sender.send(context.handle());
        context.run()
    });
    let context = receiver.recv()?;
    let backoff = Backoff::new()
        .first(Duration::from_millis(100))
        .max(Duration::from_secs(1));
    for number in 0..count {
        let client = Client::new(&format!("ws://{}/", target.plain))?.reconnect(backoff.clone());
        let lives = lives.clone();
        drop(context.connect(client, Lasting { number, lives })?);
    }
    lives.wait("connected", |life| life.echoed == 1)?;
    println!("connected");
    std::io::stdout().flush()?;
    let noticed = lives.wait("told of the end", |life| life.closed == 1)?;
    let returned = lives.wait("connected again", |life| life.echoed == 2)?;
    context.stop();
    service.join().map_err(|_| "the clients panicked")??;
    let lives = lives.lock();
    let once = |life: &Life| life.opened == 2 && life.closed == 2;
    ensure(lives.iter().all(once), || {
        "opened or closed more or less than twice".into()
    })?;
    let errors: u32 = lives.iter().map(|life| life.errors).sum();
    ensure(errors > 0, || {
        "no attempt failed while the server was gone".into()
    })?;
    Ok(format!(
        "{count} clients; all heard of the end within {:.1} s, and {errors} failed attempts later \
         echoed again after {:.1} s",
        noticed.as_secs_f64(),
        returned.as_secs_f64()
    ))
}
