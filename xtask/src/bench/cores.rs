//! The cores that the programs of a benchmark stay on: one for the servers, one for those
//! who ask them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::find_program;

/// Two cores, where this process has so many and a program that keeps others on them.
pub struct Cores(Option<[u32; 2]>);

impl Cores {
    /// The first two that this process may run on: not always 0 and 1, in a container.
    pub fn find() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let found = match (find_program("taskset"), &allowed(&status)[..]) {
            (None, _) => Err("there is no taskset"),
            (Some(_), [first, second, ..]) => Ok([*first, *second]),
            (Some(_), _) => Err("there is but one core"),
        };
        if let Err(why) = found {
            println!("bench: {why}, so servers and clients may disturb each other");
        }
        Cores(found.ok())
    }

    /// A server, which shares its core with the others.
    pub fn server(&self, program: &Path) -> Command {
        self.pinned(0, program)
    }

    /// A load generator.
    pub fn client(&self, program: &Path) -> Command {
        self.pinned(1, program)
    }

    fn pinned(&self, which: usize, program: &Path) -> Command {
        let Some(cores) = &self.0 else {
            return Command::new(program);
        };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &cores[which].to_string()]);
        command.arg(program);
        command
    }
}

/// The cores in Linux' description of a process: numbers and ranges, from small to large.
fn allowed(status: &str) -> Vec<u32> {
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let ranges = list.unwrap_or_default().trim().split(',');
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    ranges.filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_those_that_are_allowed() {
        let of = |list: &str| allowed(&format!("Name:\tx\nCpus_allowed_list:\t{list}\nMems: 0"));
        assert_eq!(of("0-3"), [0, 1, 2, 3]);
        assert_eq!(of("2-3"), [2, 3]);
        assert_eq!(of("1,5-6,9"), [1, 5, 6, 9]);
        assert_eq!(of("7"), [7]);
        assert!(allowed("").is_empty());
    }

    #[test]
    fn servers_and_clients_are_kept_apart_where_that_can_be() {
        let shown = |command: Command| format!("{command:?}");
        let two = Cores(Some([2, 3]));
        let server = shown(two.server("server".as_ref()));
        assert_eq!(server, r#""taskset" "--cpu-list" "2" "server""#);
        let client = shown(two.client("client".as_ref()));
        assert_eq!(client, r#""taskset" "--cpu-list" "3" "client""#);
        assert_eq!(shown(Cores(None).client("client".as_ref())), r#""client""#);
    }
}
