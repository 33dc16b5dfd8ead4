//! Debian's source packages, by the machine's own apt and from the mirror that
//! the machine itself uses. Nothing of the system is changed: apt's lists and
//! cache are private directories, so no special rights are needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, IoContext, Result};
use crate::process::{self, find_program};

/// Signs Debian's suites; used if it is installed, otherwise apt's own keys count.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Files in the working directory.
const LIST: &str = "sources.list";
const CONFIG: &str = "apt.conf";

/// A suite's source packages; its files live in a working directory that the
/// caller removes.
pub struct Sources<'a> {
    work: &'a Path,
}

impl<'a> Sources<'a> {
    /// Reads the index of a suite.
    pub fn open(work: &'a Path, suite: &str) -> Result<Self> {
        if find_program("apt-get").is_none() {
            return Err(Error::Lacking("there is no apt-get on this machine".into()));
        }
        let Some(mirror) = find_mirror()? else {
            let why = "apt on this machine has no source for Debian";
            return Err(Error::Lacking(why.into()));
        };
        for dir in ["lists/partial", "cache/archives/partial", "files"] {
            let dir = work.join(dir);
            fs::create_dir_all(&dir).doing("create", &dir)?;
        }
        let line = source_line(&mirror, suite, Path::new(KEYRING).exists());
        for (name, text) in [(LIST, line.as_str()), (CONFIG, APT_CONFIG)] {
            let file = work.join(name);
            fs::write(&file, text).doing("write", &file)?;
        }
        let sources = Sources { work };
        sources.run(apt("apt-get", work).arg("update"))?;
        Ok(sources)
    }

    /// The versions of a package that the suite has.
    pub fn versions(&self, package: &str) -> Result<Vec<String>> {
        let mut show = apt("apt-cache", self.work);
        show.args(["showsrc", "--only-source", package]);
        let text = process::output(&mut show)?;
        let text = text.ok_or_else(|| Error::new("`apt-cache showsrc` failed"))?;
        let versions = text.lines().filter_map(|l| l.strip_prefix("Version: "));
        Ok(versions.map(str::to_owned).collect())
    }

    /// Brings the archive of a package, named as apt does (`name` or
    /// `name=version`); apt checks it against the signed index. Returns the
    /// folder, and the names of all that lies there.
    pub fn archive(&self, package: &str) -> Result<(PathBuf, Vec<String>)> {
        let files = self.work.join("files");
        let mut get = apt("apt-get", self.work);
        get.args(["source", "--download-only", "--tar-only", package]);
        self.run(get.current_dir(&files))?;
        let names = fs::read_dir(&files)
            .doing("read", &files)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        Ok((files, names))
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        let status = process::status(command)?;
        if status.success() {
            return Ok(());
        }
        let verb = command.get_args().filter_map(|a| a.to_str());
        let verb = verb.skip_while(|a| *a != "update" && *a != "source");
        let verb: Vec<_> = verb.collect();
        Err(Error::new(format!(
            "`apt-get {}` failed ({status})",
            verb.join(" ")
        )))
    }
}

/// apt's hooks may clean the system's cache, which is not ours to touch. As root,
/// apt would switch to a user who may not write to our directories.
const APT_CONFIG: &str = "\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User \"root\";
Acquire::Languages \"none\";
Acquire::Retries \"3\";
";

/// One of apt's programs, with private directories and a single source.
fn apt(program: &str, work: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8").arg("-q");
    // Unlike a file named in APT_CONFIG, this one is read after the system's.
    command.arg("-c").arg(work.join(CONFIG));
    for (key, name) in [
        ("Dir::Etc::sourcelist", LIST),
        ("Dir::Etc::sourceparts", "none"),
        ("Dir::State::Lists", "lists"),
        ("Dir::Cache", "cache"),
    ] {
        let path = work.join(name);
        command.arg("-o").arg(format!("{key}={}", path.display()));
    }
    command
}

fn source_line(mirror: &str, suite: &str, keyring: bool) -> String {
    let options = if keyring {
        format!("[signed-by={KEYRING}] ")
    } else {
        String::new()
    };
    format!("deb-src {options}{mirror} {suite} main\n")
}

/// The mirror of Debian's archive that this machine uses.
fn find_mirror() -> Result<Option<String>> {
    let mut query = Command::new("apt-get");
    query.args(["indextargets", "--format", "$(LABEL) $(REPO_URI)"]);
    let targets = process::output(&mut query)?.unwrap_or_default();
    let labelled = targets.lines().filter_map(|line| line.rsplit_once(' '));
    if let Some(mirror) = choose_mirror(labelled) {
        return Ok(Some(mirror));
    }
    // Before the first `apt-get update` there may be no targets yet.
    let texts = source_files()
        .into_iter()
        .filter_map(|f| fs::read_to_string(f).ok());
    let text = texts.collect::<Vec<_>>().join("\n");
    Ok(choose_mirror(source_uris(&text).map(|uri| ("", uri))))
}

fn source_files() -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten();
    let mut parts: Vec<_> = parts.filter_map(|entry| Some(entry.ok()?.path())).collect();
    parts.retain(|p| p.extension().is_some_and(|e| e == "list" || e == "sources"));
    parts.sort();
    files.append(&mut parts);
    files
}

/// The URIs in apt's source files, of either format.
fn source_uris(text: &str) -> impl Iterator<Item = &str> {
    let active = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    active
        .flat_map(str::split_whitespace)
        .filter(|word| is_uri(word))
}

fn is_uri(word: &str) -> bool {
    ["http://", "https://", "mirror+", "file:"]
        .iter()
        .any(|scheme| word.starts_with(scheme))
}

/// Picks Debian's main archive from pairs of label and URI: by its label, else
/// by the usual end of its path.
fn choose_mirror<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let pairs: Vec<_> = pairs.filter(|(_, uri)| is_uri(uri)).collect();
    let usual = |uri: &str| uri.trim_end_matches('/').ends_with("/debian");
    pairs
        .iter()
        .find(|(label, uri)| *label == "Debian" && usual(uri))
        .or_else(|| pairs.iter().find(|(label, _)| *label == "Debian"))
        .or_else(|| pairs.iter().find(|(_, uri)| usual(uri)))
        .map(|(_, uri)| uri.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_is_chosen_by_label_and_path() {
        let choose = |list: &[(&'static str, &'static str)]| choose_mirror(list.iter().copied());
        let security = ("Debian-Security", "http://m.test/debian-security/");
        let local = ("", "http://m.test/debian/");
        let odd = ("Debian", "http://m.test/mirrors/deb-main/");
        let other = ("Other", "http://o.test/apt/");
        assert_eq!(choose(&[security, other]), None);
        assert_eq!(choose(&[security, odd, other]).as_deref(), Some(odd.1));
        assert_eq!(choose(&[other, local]).as_deref(), Some(local.1));
        assert_eq!(choose(&[("Debian", "cdrom://x/debian")]), None);
    }

    #[test]
    fn uris_of_both_formats() {
        let text = "# deb http://no.test/debian x main\n\
                    deb [arch=amd64 signed-by=/k] http://a.test/debian x main\n\
                    Types: deb\nURIs: https://b.test/debian http://c.test/debian\n";
        let uris: Vec<_> = source_uris(text).collect();
        assert_eq!(
            uris,
            [
                "http://a.test/debian",
                "https://b.test/debian",
                "http://c.test/debian"
            ]
        );
    }

    #[test]
    fn source_lines() {
        assert_eq!(
            source_line("http://m/", "s", false),
            "deb-src http://m/ s main\n"
        );
        assert!(source_line("http://m/", "s", true).contains("[signed-by=/"));
    }
}
