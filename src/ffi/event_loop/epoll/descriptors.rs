//! What is waited for on each descriptor, and what the kernel knows of that.

use std::os::fd::RawFd;

/// The descriptors of a context, by number.
#[derive(Default)]
pub(super) struct Descriptors {
    entries: Vec<Entry>,
    /// Those whose entry may differ from what the kernel knows.
    changed: Vec<Token>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    /// Counts the sockets that had this number: what is reported of an earlier one is
    /// told from news.
    generation: u32,
    /// The events of poll(2); `None`: it isn't waited for.
    wanted: Option<i16>,
    /// The events that the kernel was told; `None`: it doesn't know it.
    told: Option<i16>,
    /// Whether its end was reported while its input isn't waited for.
    hung_up: bool,
    /// Whether it is in `changed`.
    queued: bool,
}

/// One socket: its number, and which of those that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    fd: RawFd,
    generation: u32,
}

/// What the kernel is to be told.
pub(super) struct Change {
    pub token: Token,
    /// Whether the kernel knows the descriptor already.
    pub known: bool,
    /// `None`: it is to forget it.
    pub wanted: Option<i16>,
}

impl Entry {
    /// What the kernel is to know. It reports the end of a socket whether it was asked to
    /// or not, again and again: nothing more is asked of one that is known to be over.
    fn due(&self) -> Option<i16> {
        self.wanted.filter(|events| !self.hung_up || *events != 0)
    }
}

impl Token {
    pub fn fd(self) -> RawFd {
        self.fd
    }

    /// As the number that the kernel gives back with an event.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.fd as u32)
    }

    pub fn from_bits(bits: u64) -> Self {
        Token {
            fd: bits as u32 as RawFd,
            generation: (bits >> 32) as u32,
        }
    }
}

impl Descriptors {
    /// Begins to wait for these events, besides others.
    pub fn start(&mut self, fd: RawFd, events: i16) {
        let Ok(index) = usize::try_from(fd) else {
            return;
        };
        if index >= self.entries.len() {
            self.entries.resize(index + 1, Entry::default());
        }
        let wanted = self.entries[index].wanted.unwrap_or(0);
        self.set(index, wanted | events);
    }

    /// Waits for these events no longer. Errors and the end are reported all the same.
    pub fn stop(&mut self, fd: RawFd, events: i16) {
        let wanted = self.entry(fd).and_then(|entry| entry.wanted);
        if let (Ok(index), Some(wanted)) = (usize::try_from(fd), wanted) {
            self.set(index, wanted & !events);
        }
    }

    /// Notes that the end of a socket, or an error, was reported while its input wasn't
    /// waited for. Whoever waits for it meets the end by reading.
    pub fn hung_up(&mut self, token: Token) {
        let Some(entry) = self.entry_mut(token) else {
            return;
        };
        if let Some(wanted) = entry.wanted {
            entry.hung_up = true;
            self.set(token.fd as usize, wanted);
        }
    }

    /// Forgets the descriptor. The kernel is to do so as well if there is a result.
    pub fn remove(&mut self, fd: RawFd) -> Option<Token> {
        let entry = self.entries.get_mut(usize::try_from(fd).ok()?)?;
        let token = Token {
            fd,
            generation: entry.generation,
        };
        let told = entry.told;
        // What is queued for it is passed over, for it has another generation.
        *entry = Entry {
            generation: entry.generation.wrapping_add(1),
            ..Entry::default()
        };
        told.map(|_| token)
    }

    /// The events that are waited for; `None`: the token's socket is gone.
    pub fn wanted(&self, token: Token) -> Option<i16> {
        let entry = self.entry(token.fd)?;
        entry
            .wanted
            .filter(|_| entry.generation == token.generation)
    }

    /// The next change that the kernel has to be told.
    pub fn next_change(&mut self) -> Option<Change> {
        while let Some(token) = self.changed.pop() {
            let Some(entry) = self.entry_mut(token) else {
                continue;
            };
            entry.queued = false;
            let wanted = entry.due();
            if entry.told != wanted {
                let known = entry.told.is_some();
                return Some(Change {
                    token,
                    known,
                    wanted,
                });
            }
        }
        None
    }

    /// Notes that the kernel was told.
    pub fn told(&mut self, token: Token, wanted: Option<i16>) {
        if let Some(entry) = self.entry_mut(token) {
            entry.told = wanted;
        }
    }

    /// Notes that the kernel could not be told now.
    pub fn again(&mut self, token: Token) {
        if let Some(entry) = self.entry_mut(token) {
            entry.queued = true;
            self.changed.push(token);
        }
    }

    fn set(&mut self, index: usize, wanted: i16) {
        let entry = &mut self.entries[index];
        entry.wanted = Some(wanted);
        // Who stops to read before the end is told of it again.
        entry.hung_up &= wanted & libc::POLLIN == 0;
        if !entry.queued && entry.told != entry.due() {
            entry.queued = true;
            self.changed.push(Token {
                fd: index as RawFd,
                generation: entry.generation,
            });
        }
    }

    fn entry(&self, fd: RawFd) -> Option<&Entry> {
        self.entries.get(usize::try_from(fd).ok()?)
    }

    /// The entry of a token whose socket isn't gone.
    fn entry_mut(&mut self, token: Token) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(usize::try_from(token.fd).ok()?)?;
        (entry.generation == token.generation).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN: i16 = libc::POLLIN;
    const OUT: i16 = libc::POLLOUT;

    /// All changes, taken to be told to the kernel.
    fn tell(descriptors: &mut Descriptors) -> Vec<(RawFd, bool, Option<i16>)> {
        let mut changes = Vec::new();
        while let Some(Change {
            token,
            known,
            wanted,
        }) = descriptors.next_change()
        {
            descriptors.told(token, wanted);
            changes.push((token.fd(), known, wanted));
        }
        changes
    }

    #[test]
    fn a_change_that_is_taken_back_is_not_told() {
        let mut descriptors = Descriptors::default();
        descriptors.start(5, IN);
        assert_eq!(tell(&mut descriptors), [(5, false, Some(IN))]);
        descriptors.start(5, OUT);
        descriptors.stop(5, OUT);
        assert_eq!(tell(&mut descriptors), []);
        descriptors.start(5, OUT);
        descriptors.stop(5, IN);
        assert_eq!(tell(&mut descriptors), [(5, true, Some(OUT))]);
    }

    #[test]
    fn a_paused_descriptor_stays_known() {
        let mut descriptors = Descriptors::default();
        descriptors.start(5, IN);
        tell(&mut descriptors);
        descriptors.stop(5, IN);
        assert_eq!(tell(&mut descriptors), [(5, true, Some(0))]);
    }

    // Lost: the wait, which each turn would end at once.
    #[test]
    fn what_hung_up_is_not_asked_until_something_is_wanted() {
        let mut descriptors = Descriptors::default();
        let token = Token {
            fd: 5,
            generation: 0,
        };
        descriptors.start(5, IN);
        tell(&mut descriptors);
        // It is being read.
        descriptors.hung_up(token);
        assert_eq!(tell(&mut descriptors), []);
        descriptors.stop(5, IN);
        assert_eq!(tell(&mut descriptors), [(5, true, Some(0))]);
        descriptors.hung_up(token);
        assert_eq!(tell(&mut descriptors), [(5, true, None)]);
        descriptors.start(5, OUT);
        assert_eq!(tell(&mut descriptors), [(5, false, Some(OUT))]);
        descriptors.stop(5, OUT);
        assert_eq!(tell(&mut descriptors), [(5, true, None)]);
        // Once it was read the end is told again.
        descriptors.start(5, IN);
        assert_eq!(tell(&mut descriptors), [(5, false, Some(IN))]);
        descriptors.stop(5, IN);
        assert_eq!(tell(&mut descriptors), [(5, true, Some(0))]);
        descriptors.hung_up(token);
        tell(&mut descriptors);
        assert_eq!(descriptors.wanted(token), Some(0));
        assert_eq!(descriptors.remove(5), None);
        descriptors.hung_up(token);
        assert_eq!(tell(&mut descriptors), []);
    }

    #[test]
    fn a_number_that_comes_again_is_another_socket() {
        let mut descriptors = Descriptors::default();
        descriptors.start(5, IN);
        tell(&mut descriptors);
        descriptors.start(5, OUT);
        let old = descriptors.remove(5).unwrap();
        assert_eq!(descriptors.wanted(old), None);
        descriptors.start(5, IN);
        assert_eq!(descriptors.wanted(old), None);
        assert_eq!(tell(&mut descriptors), [(5, false, Some(IN))]);
        assert_eq!(tell(&mut descriptors), []);
    }

    #[test]
    fn what_could_not_be_told_comes_again() {
        let mut descriptors = Descriptors::default();
        descriptors.start(5, IN);
        let change = descriptors.next_change().unwrap();
        descriptors.again(change.token);
        descriptors.start(5, OUT);
        assert_eq!(tell(&mut descriptors), [(5, false, Some(IN | OUT))]);
    }

    #[test]
    fn what_the_kernel_never_knew_needs_no_removal() {
        let mut descriptors = Descriptors::default();
        assert_eq!(descriptors.remove(7), None);
        descriptors.start(7, IN);
        assert_eq!(descriptors.remove(7), None);
        assert_eq!(tell(&mut descriptors), []);
        descriptors.stop(7, IN);
        descriptors.start(-1, IN);
        assert_eq!(tell(&mut descriptors), []);
    }

    #[test]
    fn tokens_survive_the_kernel() {
        let mut descriptors = Descriptors::default();
        descriptors.start(9, IN);
        tell(&mut descriptors);
        let token = descriptors.remove(9).unwrap();
        assert_eq!(Token::from_bits(token.to_bits()), token);
    }
}
