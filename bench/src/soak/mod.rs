//! What `cargo xtask soak` does to a server: each scenario is a module, and
//! `soak_client` runs one of them.

pub mod busy;
pub mod churn;
pub mod content;
pub mod exhausted;
pub mod half_open;
pub mod hold;
pub mod idle;
pub mod keylog;
pub mod malformed;
pub mod peer;
pub mod probe;
pub mod process;
pub mod random;
pub mod reconnect;
pub mod slow;
pub mod stalled;
pub mod starved;
pub mod target;
pub mod tls;
pub mod wire;

pub use crate::Fail;

/// What a scenario that passed has to tell: its numbers.
pub type Report = Result<String, Fail>;

/// Does the same in several threads, each of which gets its number and what it is to
/// work on; the first failure counts.
pub fn in_threads<W: Send, T: Send>(
    work: Vec<W>,
    each: impl Fn(usize, W) -> Result<T, Fail> + Sync,
) -> Result<Vec<T>, Fail> {
    std::thread::scope(|scope| {
        let each = &each;
        let start = |(number, work)| scope.spawn(move || each(number, work));
        let threads: Vec<_> = work.into_iter().enumerate().map(start).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<T, Fail>>| {
            thread.join().map_err(|_| "a thread panicked")?
        };
        threads.into_iter().map(join).collect()
    })
}

/// Fails with a text unless a condition holds.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Fail> {
    match holds {
        true => Ok(()),
        false => Err(otherwise().into()),
    }
}
