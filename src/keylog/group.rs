//! The records of one connection or more that are written together.

use super::batch::Batch;
use super::forks;
use std::sync::Arc;

/// Records for the file of one vhost, in the order in which they came.
pub(super) struct Group {
    batch: Batch,
    vhost: Arc<str>,
    /// Whether it begins with a connection of which none were written before.
    first: bool,
    /// For each further one, how many records come before its own.
    begins: Vec<u64>,
    /// The process that they were made in.
    forks: u32,
}

impl Group {
    /// Records of one connection; `first` if none of it were written before.
    pub fn new(batch: Batch, vhost: &Arc<str>, first: bool) -> Self {
        Group {
            batch,
            vhost: Arc::clone(vhost),
            first,
            begins: Vec::new(),
            forks: forks(),
        }
    }

    /// Adds the records of another, which stay in order.
    pub fn join(&mut self, other: &Group) {
        let before = self.records();
        self.begins.extend(other.begins().map(|n| before + n));
        self.batch.push_batch(&other.batch);
    }

    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    pub fn vhost(&self) -> &Arc<str> {
        &self.vhost
    }

    /// The length of the lines in bytes.
    pub fn len(&self) -> usize {
        self.batch.lines().len()
    }

    pub fn records(&self) -> u64 {
        self.batch.records()
    }

    /// Whether records of a new connection are among them.
    pub fn is_first(&self) -> bool {
        self.begins().next().is_some()
    }

    /// How many new connections have a part in the first `written` records.
    pub fn connections(&self, written: u64) -> u64 {
        self.begins().filter(|n| *n < written).count() as u64
    }

    fn begins(&self) -> impl Iterator<Item = u64> + '_ {
        self.first
            .then_some(0)
            .into_iter()
            .chain(self.begins.iter().copied())
    }

    /// Gives back memory that it doesn't need, for it may wait.
    pub fn shrink(&mut self) {
        self.batch.shrink();
    }

    /// Whether an ancestor of this process made them, which writes them itself.
    pub fn is_parents(&self) -> bool {
        self.forks != forks()
    }

    /// Puts a comment before the lines.
    pub fn comment(&mut self, comment: &str) {
        self.batch.push_comment_first(comment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(lines: &[&str], first: bool) -> Group {
        let mut batch = Batch::default();
        for line in lines {
            assert!(batch.push(line.as_bytes()));
        }
        Group::new(batch, &"vhost".into(), first)
    }

    #[test]
    fn connections_count_as_far_as_their_records_were_written() {
        let mut all = group(&["A", "B"], true);
        all.join(&group(&["C"], false));
        all.join(&group(&["D", "E"], true));
        assert_eq!(all.batch().lines(), b"A\nB\nC\nD\nE\n");
        assert_eq!((all.records(), all.len()), (5, 10));
        let counts: Vec<_> = (0..=5).map(|written| all.connections(written)).collect();
        assert_eq!(counts, [0, 1, 1, 1, 2, 2]);
        assert!(all.is_first() && !group(&["A"], false).is_first());
    }
}
