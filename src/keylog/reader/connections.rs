//! Records by connection, each of them once.

use super::Record;
use crate::keylog::batch::Batch;
use crate::keylog::file::{self, Format, Rules};
use crate::keylog::{sink, KeyLogError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

/// The records of several key logs, by connection, each of them once: for logs to
/// be merged, counted, or split.
///
/// ```
/// use libwebsockets::keylog::{self, Connections};
/// # let log = |n: u8| format!("CLIENT_RANDOM {} {}\n", format!("{n:02x}").repeat(32), "11".repeat(48));
/// # let (first, second) = (log(1), log(2) + &log(1));
/// let mut connections = Connections::new();
/// for log in [&first, &second] {
///     for record in keylog::parse(log.as_bytes()) {
///         connections.add(record?);
///     }
/// }
/// assert_eq!((connections.len(), connections.duplicates()), (2, 1));
/// let mut merged = Vec::new();
/// connections.write_to(&mut merged)?;
/// # assert_eq!(merged, (log(1) + &log(2)).as_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Connections {
    /// In the order of their first records.
    list: Vec<ConnectionSecrets>,
    /// Where in the list a client's random is.
    places: HashMap<Box<[u8]>, usize>,
    duplicates: u64,
}

/// The records of one connection.
#[derive(Clone, Debug)]
pub struct ConnectionSecrets {
    records: Vec<Record>,
    seen: HashSet<Record>,
}

impl Extend<Record> for Connections {
    fn extend<I: IntoIterator<Item = Record>>(&mut self, records: I) {
        for record in records {
            self.add(record);
        }
    }
}

impl FromIterator<Record> for Connections {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut connections = Connections::new();
        connections.extend(records);
        connections
    }
}

/// As [`Connections::iter`].
impl<'a> IntoIterator for &'a Connections {
    type Item = &'a ConnectionSecrets;
    type IntoIter = std::slice::Iter<'a, ConnectionSecrets>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl Connections {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record; `false` if it was there already.
    pub fn add(&mut self, record: Record) -> bool {
        let next = self.list.len();
        let place = match self.places.get(record.client_random()) {
            Some(place) => *place,
            None => {
                self.places.insert(record.client_random().into(), next);
                self.list.push(ConnectionSecrets {
                    records: Vec::new(),
                    seen: HashSet::new(),
                });
                next
            }
        };
        let connection = &mut self.list[place];
        let new = connection.seen.insert(record.clone());
        match new {
            true => connection.records.push(record),
            false => self.duplicates += 1,
        }
        new
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many records weren't taken because they were there already.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// The connections, in the order of their first records.
    pub fn iter(&self) -> impl Iterator<Item = &ConnectionSecrets> {
        self.list.iter()
    }

    /// The connection with this client's random.
    pub fn get(&self, client_random: &[u8]) -> Option<&ConnectionSecrets> {
        self.list.get(*self.places.get(client_random)?)
    }

    /// How many records there are of each label.
    pub fn labels(&self) -> BTreeMap<&str, u64> {
        let mut labels = BTreeMap::new();
        for record in self.iter().flat_map(ConnectionSecrets::records) {
            *labels.entry(record.label()).or_default() += 1;
        }
        labels
    }

    /// Writes all records into a new file, connection by connection. Only its owner
    /// can open the file, as that of a log.
    ///
    /// # Errors
    /// [`KeyLogError::Open`] if there is such a file already, or it can't be
    /// created; [`KeyLogError::Write`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), KeyLogError> {
        save(path.as_ref(), self.iter())
    }

    /// Writes all records, connection by connection, a write for each record.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        self.iter()
            .try_for_each(|connection| connection.write_to(writer))
    }
}

impl ConnectionSecrets {
    /// Its records, in the order in which they came; there is at least one.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What Wireshark finds the connection by; see [`Record::client_random`].
    pub fn client_random(&self) -> &[u8] {
        self.records.first().map_or(&[], Record::client_random)
    }

    /// Labels with more than one secret, of which at most one can be right: lines
    /// that were torn, or clients that use a random twice. OpenSSL gives one label,
    /// `CLIENT_TRAFFIC_SECRET_N` or `SERVER_TRAFFIC_SECRET_N`, to the secrets of all
    /// KeyUpdates: those are none.
    pub fn conflicts(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let labels = self.records.iter().map(Record::label);
        let once = labels.filter(|label| !label.ends_with("_TRAFFIC_SECRET_N"));
        once.filter(|label| !seen.insert(*label)).collect()
    }

    /// Whether there is enough to decrypt all of it: the master secret of TLS 1.2,
    /// or the four traffic secrets of TLS 1.3. Early data and what comes after a
    /// KeyUpdate need more.
    pub fn is_decryptable(&self) -> bool {
        let has = |label: &&str| self.records.iter().any(|record| record.label() == *label);
        let tls13 = [
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            "CLIENT_TRAFFIC_SECRET_0",
            "SERVER_TRAFFIC_SECRET_0",
        ];
        ["CLIENT_RANDOM", "RSA"].iter().any(has) || tls13.iter().all(has)
    }

    /// Writes its records into a new file, as [`Connections::save`] does.
    ///
    /// # Errors
    /// Those of [`Connections::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), KeyLogError> {
        save(path.as_ref(), std::iter::once(self))
    }

    /// Writes its records, as [`Connections::write_to`] does.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        self.records
            .iter()
            .try_for_each(|record| record.write_to(writer))
    }
}

fn save<'a>(
    path: &Path,
    connections: impl Iterator<Item = &'a ConnectionSecrets>,
) -> Result<(), KeyLogError> {
    let path = file::resolve(path)?;
    if path.symlink_metadata().is_ok() {
        let source = io::ErrorKind::AlreadyExists.into();
        return Err(KeyLogError::Open { path, source });
    }
    let mut file = file::open(&path, &Rules::default(), Format::Lines)?.file;
    for connection in connections {
        // Not by a buffered writer, which would leave secrets in freed memory.
        let mut lines = Batch::default();
        for record in &connection.records {
            lines.push_record(record);
        }
        if let Err((source, _)) = sink::write(&mut file, &mut false, lines.lines()) {
            return Err(KeyLogError::Write { path, source });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(label: &str, random: u8, secret: u8) -> Record {
        let random = format!("{random:02x}").repeat(32);
        let secret = format!("{secret:02x}").repeat(48);
        Record::from_line(format!("{label} {random} {secret}").as_bytes()).unwrap()
    }

    #[test]
    fn records_are_kept_once_and_by_connection() {
        let mut all = Connections::new();
        assert!(all.add(record("CLIENT_TRAFFIC_SECRET_0", 1, 1)));
        assert!(all.add(record("CLIENT_RANDOM", 2, 2)));
        assert!(all.add(record("SERVER_TRAFFIC_SECRET_0", 1, 3)));
        assert!(!all.add(record("CLIENT_RANDOM", 2, 2)));
        assert_eq!((all.len(), all.duplicates()), (2, 1));
        let first = all.get(&[1; 32]).unwrap();
        assert_eq!(first.records().len(), 2);
        assert!(!first.is_decryptable() && first.conflicts().is_empty());
        assert!(all.get(&[2; 32]).unwrap().is_decryptable());
        assert!(all.get(&[3; 32]).is_none());
        assert_eq!(all.labels()["CLIENT_RANDOM"], 1);
    }

    /// Lost: secrets that everybody can read, or a file that was there before.
    #[test]
    fn a_saved_log_is_new_its_owners_alone_and_what_was_read() {
        let dir = crate::keylog::tests::Dir::new("reader-save");
        let mut all = Connections::new();
        all.add(record("CLIENT_RANDOM", 1, 1));
        all.add(record("CLIENT_RANDOM", 2, 2));
        all.save(dir.path("merged")).unwrap();
        let mut expected = Vec::new();
        all.write_to(&mut expected).unwrap();
        assert_eq!(std::fs::read(dir.path("merged")).unwrap(), expected);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = dir.path("merged").metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let only = all.get(&[2; 32]).unwrap();
        let error = only.save(dir.path("merged")).unwrap_err();
        assert!(error.to_string().contains("exists"), "{error}");
        assert_eq!(std::fs::read(dir.path("merged")).unwrap(), expected);
        only.save(dir.path("split")).unwrap();
        let split = std::fs::read(dir.path("split")).unwrap();
        assert!(expected.ends_with(&split) && split.len() < expected.len());
    }

    #[test]
    fn two_secrets_of_one_label_are_kept_and_told() {
        let mut all = Connections::new();
        all.add(record("CLIENT_RANDOM", 1, 1));
        all.add(record("CLIENT_RANDOM", 1, 2));
        let only = all.iter().next().unwrap();
        assert_eq!(only.conflicts(), ["CLIENT_RANDOM"]);
        assert_eq!(only.records().len(), 2);
        // Those of two KeyUpdates have one label.
        for n in 1..3 {
            all.add(record("CLIENT_TRAFFIC_SECRET_N", 1, n));
        }
        let only = all.iter().next().unwrap();
        assert_eq!(only.conflicts(), ["CLIENT_RANDOM"]);
    }
}
