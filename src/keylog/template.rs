//! Paths with placeholders, so that processes and vhosts each have a file.

use super::file::strip_name;
use super::KeyLogError;
use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest value that is put in place of a placeholder.
const LONGEST: usize = 64;

/// What a placeholder may be called, for messages.
pub(super) const PLACEHOLDERS: &str = "{pid}, {exe}, {vhost} and {time}";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(OsString),
    Pid,
    Exe,
    Vhost,
    Time,
}

/// An absolute path, with placeholders.
#[derive(Clone, Debug)]
pub(super) struct Template {
    given: PathBuf,
    parts: Vec<Part>,
}

impl Template {
    /// Takes a path apart. `{{` and `}}` stand for a brace.
    pub fn parse(path: &Path) -> Result<Self, KeyLogError> {
        let parts = parts(path.as_os_str()).map_err(|found| KeyLogError::Placeholder {
            path: path.to_owned(),
            found,
        })?;
        Ok(Template {
            given: path.to_owned(),
            parts,
        })
    }

    /// Whether vhosts have files of their own.
    pub fn is_per_vhost(&self) -> bool {
        self.parts.contains(&Part::Vhost)
    }

    /// The folder that the files of all vhosts are in, or their folders; not beyond what is
    /// the same for all.
    pub fn folder(&self, now: &Now) -> PathBuf {
        let common = Template {
            given: PathBuf::new(),
            parts: (self.parts.iter())
                .take_while(|part| **part != Part::Vhost)
                .cloned()
                .collect(),
        };
        let mut path = common.expand(now, "").into_os_string();
        // The name that begins here is the vhost's.
        path.push("x");
        let path = PathBuf::from(path);
        path.parent().map(Path::to_owned).unwrap_or(path)
    }

    /// Whether processes have files of their own.
    pub fn is_per_process(&self) -> bool {
        self.parts.contains(&Part::Pid)
    }

    /// The processes whose file might be called this. Other placeholders stand for
    /// whatever they can stand for; the rest of the name, behind what the template
    /// covers, is for `suffix` to judge.
    pub fn processes_of(&self, name: &OsStr, suffix: &dyn Fn(&[u8]) -> bool) -> BTreeSet<u32> {
        let mut search = Search {
            suffix,
            seen: HashSet::new(),
            found: BTreeSet::new(),
        };
        search.look(&self.parts, name.as_encoded_bytes(), None);
        search.found
    }

    /// The path as it was given, made absolute.
    pub fn given(&self) -> &Path {
        &self.given
    }

    /// The path of a vhost's file. What doesn't change as long as the log is on is
    /// in `now`.
    pub fn expand(&self, now: &Now, vhost: &str) -> PathBuf {
        let mut path = OsString::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push(text),
                Part::Pid => path.push(&now.pid),
                Part::Exe => path.push(&now.exe),
                Part::Time => path.push(&now.time),
                Part::Vhost => path.push(sanitised(vhost)),
            }
        }
        path.into()
    }
}

/// The values of a log that is switched on.
#[derive(Clone, Debug)]
pub(super) struct Now {
    pid: String,
    exe: String,
    time: String,
}

impl Now {
    pub fn new() -> Self {
        let exe = std::env::current_exe().ok();
        let exe = exe.as_deref().and_then(Path::file_stem);
        let exe = exe.unwrap_or_default().to_string_lossy();
        // As Linux calls a program whose file was replaced.
        let exe = exe.strip_suffix(" (deleted)").unwrap_or(&exe);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            pid: std::process::id().to_string(),
            exe: sanitised(exe),
            time: utc(since.map_or(0, |d| d.as_secs())),
        }
    }
}

/// Looks for processes in a name.
struct Search<'a> {
    suffix: &'a dyn Fn(&[u8]) -> bool,
    /// From where it was looked: how many parts and bytes were left, and the process that
    /// was found before. Names may be made by others, so that each is looked from once:
    /// placeholders in a row can share a name's letters in very many ways.
    seen: HashSet<(usize, usize, Option<u32>)>,
    found: BTreeSet<u32>,
}

impl Search<'_> {
    fn look(&mut self, parts: &[Part], name: &[u8], process: Option<u32>) {
        let Some((part, rest)) = parts.split_first() else {
            if (self.suffix)(name) {
                self.found.extend(process);
            }
            return;
        };
        match part {
            Part::Text(text) => {
                if let Some(name) = strip_name(name, text.as_encoded_bytes()) {
                    self.look(rest, name, process);
                }
            }
            Part::Pid => {
                // All the digits: a part of a number is another process.
                let end = name.iter().position(|b| !b.is_ascii_digit());
                let (digits, name) = name.split_at(end.unwrap_or(name.len()));
                let pid = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|d| d.parse().ok());
                let pid = pid.filter(|_| digits[0] != b'0');
                if pid.is_some() && process.is_none_or(|process| pid == Some(process)) {
                    self.look(rest, name, pid);
                }
            }
            Part::Exe | Part::Vhost | Part::Time => {
                if !self.seen.insert((parts.len(), name.len(), process)) {
                    return;
                }
                let most = name.iter().position(|b| !is_kept(*b)).unwrap_or(name.len());
                // A name has at most 255 bytes.
                for end in 1..=most.min(LONGEST + 1) {
                    self.look(rest, &name[end..], process);
                }
            }
        }
    }
}

fn is_kept(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.".contains(&b)
}

/// A value that is one component of a path, and no surprise to a shell.
fn sanitised(value: &str) -> String {
    let kept = |c: &char| u8::try_from(*c).is_ok_and(is_kept);
    let mut text: String = value
        .chars()
        .map(|c| if kept(&c) { c } else { '_' })
        .take(LONGEST)
        .collect();
    if text.is_empty() || text.starts_with('.') || cfg!(windows) && is_device(&text) {
        text.insert(0, '_');
    }
    if cfg!(windows) && text.ends_with('.') {
        // Where a name ends with it, Windows takes it away.
        text.push('_');
    }
    text
}

/// Whether Windows takes a file of that name for a device, whatever comes behind a dot.
fn is_device(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    match stem.as_str() {
        "con" | "prn" | "aux" | "nul" => true,
        other => {
            let number = other.strip_prefix("com").or(other.strip_prefix("lpt"));
            number.is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit())
        }
    }
}

/// Seconds since 1970 as `20261124T080000Z`.
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // From the first of March of year 0, in eras of 400 years: a leap day is then a
    // year's last day.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The parts of a path; an error is what isn't a placeholder.
#[cfg(unix)]
fn parts(path: &OsStr) -> Result<Vec<Part>, String> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    split(path.as_bytes(), OsString::from_vec)
}

/// A path that isn't Unicode has no placeholders here.
#[cfg(not(unix))]
fn parts(path: &OsStr) -> Result<Vec<Part>, String> {
    match path.to_str() {
        // Cut at ASCII characters only, so that each piece is UTF-8.
        Some(text) => split(text.as_bytes(), |text| {
            String::from_utf8_lossy(&text).into_owned().into()
        }),
        None => Ok(vec![Part::Text(path.to_owned())]),
    }
}

fn split(path: &[u8], text: impl Fn(Vec<u8>) -> OsString) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'}' if rest.first() == Some(&byte) => {
                literal.push(byte);
                rest = &rest[1..];
            }
            b'{' => {
                let end = rest.iter().position(|b| *b == b'}').unwrap_or(rest.len());
                let part = match &rest[..end] {
                    b"pid" => Part::Pid,
                    b"exe" => Part::Exe,
                    b"vhost" => Part::Vhost,
                    b"time" => Part::Time,
                    other => return Err(format!("{{{}}}", String::from_utf8_lossy(other))),
                };
                if end == rest.len() {
                    return Err(format!("{{{}", String::from_utf8_lossy(rest)));
                }
                if !literal.is_empty() {
                    parts.push(Part::Text(text(std::mem::take(&mut literal))));
                }
                parts.push(part);
                rest = &rest[end + 1..];
            }
            b'}' => return Err("}".into()),
            _ => literal.push(byte),
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Text(text(literal)));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str, vhost: &str) -> Result<String, String> {
        let now = Now {
            pid: "42".into(),
            exe: "app".into(),
            time: utc(0),
        };
        match Template::parse(Path::new(template)) {
            Ok(template) => Ok(template.expand(&now, vhost).to_str().unwrap().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Lost: the log of a vhost called com1, on Windows before 11.
    #[test]
    fn devices_of_windows_are_known_by_their_names() {
        for name in ["nul", "CON", "com1", "LPT9.log", "aux.", "Com0.x.y"] {
            assert!(is_device(name), "{name}");
        }
        for name in ["null", "com", "com12", "xcom1", "lptx", "a.nul", ""] {
            assert!(!is_device(name), "{name}");
        }
        let made = ["com1", "vhost.", "vhost"].map(sanitised);
        let expected = match cfg!(windows) {
            true => ["_com1", "vhost._", "vhost"],
            false => ["com1", "vhost.", "vhost"],
        };
        assert_eq!(made, expected);
    }

    #[test]
    fn placeholders_are_filled_in() {
        let path = expand("/k/{exe}-{pid}.{vhost}.{time}", "a.test");
        assert_eq!(path.as_deref(), Ok("/k/app-42.a.test.19700101T000000Z"));
        assert_eq!(expand("/k/{{pid}}", "x").as_deref(), Ok("/k/{pid}"));
        assert_eq!(expand("/k/plain", "x").as_deref(), Ok("/k/plain"));
    }

    #[test]
    fn the_folder_of_all_vhosts_is_what_they_have_in_common() {
        for (template, folder) in [
            ("/k/{vhost}.log", "/k"),
            ("/k/keys-{vhost}.log", "/k"),
            ("/k/{vhost}/keys.log", "/k"),
            ("/k/{exe}/at-{vhost}/x/keys.log", "/k/app"),
            ("/{vhost}", "/"),
        ] {
            let now = Now {
                pid: "42".into(),
                exe: "app".into(),
                time: utc(0),
            };
            let found = Template::parse(Path::new(template)).unwrap().folder(&now);
            assert_eq!(found, Path::new(folder), "{template}");
        }
    }

    /// Lost: logs of programs that overwrite each other, or can't be told apart.
    #[test]
    fn what_is_filled_in_is_this_process_and_this_second() {
        let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let before = seconds().as_secs();
        let now = Now::new();
        let after = seconds().as_secs();
        assert!((before..=after).any(|second| utc(second) == now.time));
        assert_eq!(now.pid, std::process::id().to_string());
        // Cargo's name of this test program: the crate's, and a number in hex.
        let rest = now.exe.strip_prefix("libwebsockets-").unwrap();
        assert!(rest.bytes().all(|b| b.is_ascii_hexdigit()), "{rest}");
    }

    #[test]
    fn a_value_never_leads_elsewhere() {
        for (vhost, expected) in [
            ("../../etc/passwd", "_.._.._etc_passwd"),
            ("a/b\\c\0d\ne", "a_b_c_d_e"),
            ("", "_"),
            (".hidden", "_.hidden"),
            ("ümlaut", "_mlaut"),
        ] {
            assert_eq!(expand("{vhost}", vhost).as_deref(), Ok(expected));
        }
        assert_eq!(expand("{vhost}", &"x".repeat(500)).unwrap().len(), LONGEST);
    }

    #[test]
    fn what_is_no_placeholder_is_named_with_those_that_are() {
        for (template, found) in [
            ("/k/{host}", "{host}"),
            ("/k/{pid", "{pid"),
            ("/k/{}", "{}"),
            ("/k/}", "}"),
            ("/k/{PID}", "{PID}"),
        ] {
            let error = expand(template, "").unwrap_err();
            assert!(
                error.contains(found) && error.contains("{vhost}"),
                "{error}"
            );
            assert!(
                error.contains("{{"),
                "it says how to write a brace: {error}"
            );
        }
    }

    /// Lost: a program that starts with `clean()`, to a name that somebody else made.
    #[test]
    fn a_name_that_fits_in_many_ways_is_soon_looked_through() {
        let template = "{exe}.{vhost}.{time}.".repeat(10) + "{pid}#";
        let template = Template::parse(Path::new(&template)).unwrap();
        let name = ".1".repeat(127);
        let end = |rest: &[u8]| rest.is_empty();
        assert!(template.processes_of(OsStr::new(&name), &end).is_empty());
    }

    #[test]
    fn the_processes_are_found_in_a_name() {
        let end = |rest: &[u8]| rest.is_empty() || rest == b".1";
        let find = |template: &str, name: &str| {
            let template = Template::parse(Path::new(template)).unwrap();
            let found = template.processes_of(OsStr::new(name), &end);
            found.into_iter().collect::<Vec<_>>()
        };
        for (template, name, expected) in [
            ("k-{pid}.log", "k-42.log", &[42][..]),
            ("k-{pid}.log", "k-42.log.1", &[42]),
            ("k-{pid}.log", "k-42.log.2", &[]),
            ("k-{pid}.log", "k-42x.log", &[]),
            ("k-{pid}.log", "k-.log", &[]),
            ("k-{pid}.log", "k-042.log", &[]),
            ("k-{pid}.log", "k-99999999999.log", &[]),
            ("k{pid}", "k7", &[7]),
            // Whichever of them it is: "a-b-1" could be the program, or "2-c" the vhost.
            ("{exe}-{pid}-{vhost}", "a-b-1-2-c", &[1, 2]),
            ("{exe}{pid}", "app4569", &[9, 69, 569, 4569]),
            ("{exe}-{pid}-{vhost}", "a-b-c", &[]),
            ("{time}.{pid}", "20261124T080000Z.5", &[5]),
            ("{pid}.{pid}", "5.5", &[5]),
            ("{pid}.{pid}", "5.6", &[]),
            ("{{{pid}}}", "{5}", &[5]),
            ("keys.log", "keys.log", &[]),
        ] {
            assert_eq!(find(template, name), expected, "{template} {name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_utf8_has_placeholders_too() {
        use std::os::unix::ffi::OsStrExt;
        let template = Template::parse(Path::new(OsStr::from_bytes(b"/\xff/{vhost}"))).unwrap();
        let path = template.expand(&Now::new(), "v");
        assert_eq!(path.as_os_str().as_bytes(), b"/\xff/v");
    }

    #[test]
    fn the_time_is_the_calendars() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_795_507_200, "20261124T080000Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }
}
