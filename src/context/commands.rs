//! What other threads ask of a context, until its thread does it.

use super::Context;
use crate::client::{Client, Ticket, Token};
use crate::connection::ids::ById;
use crate::connection::{ConnectionId, Handler};
use crate::message::CloseFrame;
use std::collections::VecDeque;
use std::time::Duration;

/// What the service thread is asked to do.
pub(crate) enum Command {
    Connect(Box<Client>, Box<dyn Handler + Send>, Ticket),
    /// To drop a connection, and whether its client connects again.
    Drop(ConnectionId, bool),
    /// Whether to read from a connection.
    Read(ConnectionId, bool),
    Cancel(Token),
    Shutdown(CloseFrame, Duration),
    Run(Box<dyn FnOnce(&mut Context) + Send>),
}

/// Commands in their order.
///
/// What is asked of one connection again and again, while the service thread stands still,
/// takes the place of what was asked before: the last counts. That is so as long as nothing
/// else was asked in between, so that a closure still meets what was asked ahead of it.
#[derive(Default)]
pub(super) struct Commands {
    queue: VecDeque<Command>,
    /// How many were taken: the number of the first in the queue.
    taken: u64,
    /// The first number that others may take the place of.
    open: u64,
    /// The number of a connection's last command of each kind. It is in the queue.
    drops: ById<u64>,
    reads: ById<u64>,
}

impl Commands {
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn push(&mut self, command: Command) {
        let next = self.taken + self.queue.len() as u64;
        let (last, id) = match command {
            Command::Drop(id, _) => (&mut self.drops, id),
            Command::Read(id, _) => (&mut self.reads, id),
            command => {
                self.queue.push_back(command);
                self.open = next + 1;
                return;
            }
        };
        if let Some(number) = last.get(&id).filter(|number| **number >= self.open) {
            let at = usize::try_from(number - self.taken).ok();
            if let Some(earlier) = at.and_then(|at| self.queue.get_mut(at)) {
                *earlier = command;
                return;
            }
        }
        last.insert(id, next);
        self.queue.push_back(command);
    }

    pub fn pop(&mut self) -> Option<Command> {
        let command = self.queue.pop_front()?;
        let number = self.taken;
        self.taken += 1;
        let (last, id) = match &command {
            Command::Drop(id, _) => (&mut self.drops, id),
            Command::Read(id, _) => (&mut self.reads, id),
            _ => return Some(command),
        };
        if last.get(id) == Some(&number) {
            last.remove(id);
        }
        Some(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left to do, by kind and connection.
    fn rest(commands: &mut Commands) -> Vec<(&'static str, Option<ConnectionId>, bool)> {
        let taken = std::iter::from_fn(|| commands.pop());
        taken
            .map(|command| match command {
                Command::Drop(id, again) => ("drop", Some(id), again),
                Command::Read(id, on) => ("read", Some(id), on),
                _ => ("other", None, false),
            })
            .collect()
    }

    #[test]
    fn of_what_is_asked_again_and_again_the_last_is_done() {
        let mut commands = Commands::default();
        let (a, b) = (ConnectionId::next(), ConnectionId::next());
        for n in 0..1000 {
            commands.push(Command::Read(a, n % 2 == 0));
            commands.push(Command::Drop(b, n % 2 == 0));
            commands.push(Command::Read(b, n % 2 == 1));
        }
        assert_eq!(commands.len(), 3);
        let left = [
            ("read", Some(a), false),
            ("drop", Some(b), false),
            ("read", Some(b), true),
        ];
        assert_eq!(rest(&mut commands), left);
        // And what is asked once that was done is done as well.
        commands.push(Command::Read(a, true));
        assert_eq!(rest(&mut commands), [("read", Some(a), true)]);
        assert!(commands.drops.is_empty() && commands.reads.is_empty());
    }

    #[test]
    fn nothing_is_done_ahead_of_what_was_asked_before() {
        let mut commands = Commands::default();
        let a = ConnectionId::next();
        commands.push(Command::Read(a, false));
        commands.push(Command::Run(Box::new(|_| {})));
        commands.push(Command::Read(a, true));
        commands.push(Command::Read(a, false));
        assert!(commands.pop().is_some());
        commands.push(Command::Read(a, true));
        let left = [("other", None, false), ("read", Some(a), true)];
        assert_eq!(rest(&mut commands), left);
        assert!(commands.reads.is_empty());
    }
}
