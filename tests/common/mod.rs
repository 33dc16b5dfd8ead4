//! What the tests share: contexts on threads of their own, handlers that tell
//! what happened to them, peers, certificates and folders.

#![allow(dead_code, unused_imports)] // each test file uses a part of it

pub mod capture;
pub mod cargo;
#[cfg(feature = "_tls")]
pub mod certs;
#[cfg(target_os = "linux")]
#[path = "../../src/ffi/keylog/fork_tests/child.rs"]
pub mod child;
pub mod events;
#[path = "../../src/keylog/tests/machine.rs"]
pub mod machine;
#[path = "../../examples/common/pcapng.rs"]
pub mod pcapng;
pub mod peer;
pub mod programs;
pub mod roles;
#[cfg(feature = "keylog")]
pub mod secrets;
pub mod temp;
#[cfg(feature = "_tls")]
pub mod tls;
pub mod watched;

use libwebsockets::{Connection, Context, ContextBuilder, ContextHandle, Error, Vhost};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use events::{probe, Echo, Event, Events, Probe};

/// The longest that a test waits for anything; sanitizers make programs slow.
pub const WAIT: Duration = match option_env!("LWS_SANITIZE") {
    Some(_) => Duration::from_secs(60),
    None => Duration::from_secs(10),
};

/// The outcome of [`Context::run`] on its thread, or the panic it ended with.
pub type Outcome = thread::Result<Result<(), Error>>;

/// A context that runs on a thread of its own until this is dropped.
pub struct Running {
    pub handle: ContextHandle,
    addresses: Vec<SocketAddr>,
    #[cfg(feature = "keylog")]
    pub keylog: libwebsockets::keylog::KeyLogHandle,
    ended: Receiver<()>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Running {
    /// Builds a context on a new thread, and runs it there.
    pub fn start(describe: impl FnOnce() -> ContextBuilder + Send + 'static) -> Running {
        Running::try_start(describe).expect("the context can be built")
    }

    /// As [`start`](Running::start), for a context that may not be built.
    pub fn try_start(
        describe: impl FnOnce() -> ContextBuilder + Send + 'static,
    ) -> Result<Running, Error> {
        let (report, reported) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let _end = end;
            let mut context = match describe().build() {
                Ok(context) => context,
                Err(error) => {
                    let _ = report.send(Err(error));
                    return Ok(());
                }
            };
            let built = Built {
                handle: context.handle(),
                addresses: (0..).map_while(|i| context.local_addr(i)).collect(),
                #[cfg(feature = "keylog")]
                keylog: context.keylog().clone(),
            };
            let _ = report.send(Ok(built));
            context.run()
        });
        let built = reported
            .recv_timeout(WAIT)
            .expect("the context is built or refused")?;
        Ok(Running {
            handle: built.handle,
            addresses: built.addresses,
            #[cfg(feature = "keylog")]
            keylog: built.keylog,
            ended,
            thread: Some(thread),
        })
    }

    /// The address of the first vhost.
    pub fn addr(&self) -> SocketAddr {
        self.addr_of(0)
    }

    pub fn addr_of(&self, vhost: usize) -> SocketAddr {
        self.addresses[vhost]
    }

    /// A URL of the first vhost.
    pub fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://localhost:{}{path}", self.addr().port())
    }

    /// Waits until the thread ends by itself.
    pub fn wait(mut self) -> Outcome {
        self.join()
    }

    /// Stops the context, and drops it on its thread.
    pub fn stop(mut self) -> Outcome {
        self.handle.stop();
        self.join()
    }

    fn join(&mut self) -> Outcome {
        let thread = self.thread.take().expect("it is joined once");
        let ended = self.ended.recv_timeout(WAIT);
        assert!(
            ended == Err(mpsc::RecvTimeoutError::Disconnected),
            "the context's thread doesn't end"
        );
        thread.join()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.thread.is_none() {
            return;
        }
        self.handle.stop();
        if thread::panicking() {
            return;
        }
        match self.join() {
            Ok(result) => result.expect("the context ran without an error"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

struct Built {
    handle: ContextHandle,
    addresses: Vec<SocketAddr>,
    #[cfg(feature = "keylog")]
    keylog: libwebsockets::keylog::KeyLogHandle,
}

/// A vhost on a free port of the loopback interface.
pub fn loopback() -> Vhost {
    Vhost::listen(([127, 0, 0, 1], 0))
}

/// A port of the loopback interface that nobody listens on at present.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Runs a context with the one vhost that `describe` makes of [`loopback`]'s.
pub fn serve(describe: impl FnOnce(Vhost) -> Vhost + Send + 'static) -> Running {
    Running::start(move || Context::builder().vhost(describe(loopback())))
}

/// Runs a context that listens nowhere.
pub fn client_context() -> Running {
    Running::start(Context::builder)
}

/// A server whose connections tell what happens to them.
pub fn probed(config: libwebsockets::WebSocketConfig) -> (Running, Events) {
    let (probe, events) = probe();
    let server = serve(move |vhost| vhost.config(config).accept(move |_| Ok(probe.clone())));
    (server, events)
}

/// Runs a closure on a context's thread, and waits for what it returns.
pub fn on_thread<R: Send + 'static>(
    handle: &ContextHandle,
    f: impl FnOnce(&mut Context) -> R + Send + 'static,
) -> R {
    let (report, reported) = mpsc::channel();
    handle
        .run(move |context| {
            let _ = report.send(f(context));
        })
        .expect("the context lives");
    reported.recv_timeout(WAIT).expect("the closure runs")
}

/// Services a context until there is an answer.
#[track_caller]
pub fn turn_until<T>(context: &mut Context, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "nothing is told");
        context.service(Some(Duration::from_millis(50))).unwrap();
    }
}

/// Fails if the loop of a context doesn't rest in the next half second.
#[track_caller]
pub fn rests(context: &mut Context) {
    let end = Instant::now() + Duration::from_millis(500);
    let mut turns = 0;
    while Instant::now() < end {
        context.service(Some(Duration::from_millis(100))).unwrap();
        turns += 1;
    }
    assert!(turns < 100, "it turned {turns} times");
}

/// Asks again and again until it is so; for states that nobody announces.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + WAIT;
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A text that is as long as is asked, and no two pieces of it alike.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect()
}
