//! Removes the key logs of processes that are no more.

use super::file::{self, archive, lock};
use super::template::Template;
use super::{KeyLogError, TARGET};
use crate::ffi::process;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which files [`clean`] removes.
///
/// ```
/// use libwebsockets::keylog::{self, CleanPolicy};
/// use std::time::Duration;
///
/// # let dir = std::env::temp_dir().join(format!("lws-clean-example-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// // What `KeyLog::file("…/keys-{pid}.log")` of processes before this one has left.
/// let policy = CleanPolicy::new("keys-{pid}.log")?.min_age(Duration::from_secs(60));
/// let cleaned = keylog::clean(&dir, &policy)?;
/// println!("{} files removed", cleaned.removed.len());
/// # std::fs::remove_dir(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a policy does nothing until it is given to clean()"]
pub struct CleanPolicy {
    names: Template,
    min_age: Duration,
    dry_run: bool,
}

/// What [`clean`] has done.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// Files that were removed; with [`CleanPolicy::dry_run`], that would have been.
    pub removed: Vec<PathBuf>,
    /// Files of dead processes, by their names, that were left where they are, and
    /// why: they aren't this user's, say, or no key logs.
    pub left: Vec<(PathBuf, KeyLogError)>,
}

impl CleanPolicy {
    /// Files with names that this template gives, for processes that are no more.
    /// It must have `{pid}`; other placeholders ([`KeyLog`](super::KeyLog)) stand for
    /// anything.
    ///
    /// # Errors
    /// [`KeyLogError::NoProcess`] without `{pid}`, or with a directory in it;
    /// [`KeyLogError::Placeholder`].
    pub fn new(names: impl AsRef<Path>) -> Result<Self, KeyLogError> {
        let given = names.as_ref();
        let names = Template::parse(given)?;
        if !names.is_per_process() || given.file_name() != Some(given.as_os_str()) {
            return Err(KeyLogError::NoProcess {
                path: given.to_owned(),
            });
        }
        Ok(CleanPolicy {
            names,
            min_age: Duration::ZERO,
            dry_run: false,
        })
    }

    /// Leaves files that were written to less long ago. None by default.
    pub fn min_age(mut self, age: Duration) -> Self {
        self.min_age = age;
        self
    }

    /// Only tells what would be removed.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// Removes the key logs, in this directory alone, of processes that are no more,
/// with their old files and locks.
///
/// A file is removed if its name says so ([`CleanPolicy::new`]), if no process has
/// that id now, if it is a regular file of this user, and if it begins as a key log
/// does or is empty. A process that has got the id of one that died keeps its file for
/// now; so does every other process that the name could mean, where placeholders meet. Ids are
/// those of this machine, and of this container: don't clean a directory that other machines or
/// containers write to.
///
/// It may be called at any time, by several processes at once.
///
/// # Errors
/// [`KeyLogError::Open`] if the directory can't be read. What is wrong with a
/// single file is in [`Cleaned::left`].
pub fn clean(dir: impl AsRef<Path>, policy: &CleanPolicy) -> Result<Cleaned, KeyLogError> {
    let dir = dir.as_ref();
    let fail = |source| KeyLogError::Open {
        path: dir.to_owned(),
        source,
    };
    let mut cleaned = Cleaned::default();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let mut owners = (policy.names)
            .processes_of(&entry.file_name(), &is_suffix)
            .into_iter()
            .peekable();
        if owners.peek().is_none() || owners.any(process::is_alive) {
            continue;
        }
        let path = entry.path();
        match remove(&path, policy) {
            Ok(true) => cleaned.removed.push(path),
            Ok(false) => {}
            Err(error) => cleaned.left.push((path, error)),
        }
    }
    if !cleaned.removed.is_empty() && !policy.dry_run {
        log::info!(
            target: TARGET,
            "{} key log file(s) of processes that are no more were removed from {dir:?}",
            cleaned.removed.len()
        );
    }
    Ok(cleaned)
}

/// Whether a name goes on behind the log's own as those of its other files do.
fn is_suffix(rest: &[u8]) -> bool {
    rest.is_empty() || archive::is_suffix(rest) || lock::is_suffix(rest)
}

/// Whether the file was old enough to be removed.
fn remove(path: &Path, policy: &CleanPolicy) -> Result<bool, KeyLogError> {
    let fail = |source| KeyLogError::Remove {
        path: path.to_owned(),
        source,
    };
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(false); // somebody else removed it
    };
    file::check_removable(path, &found)?;
    if archive::age(found.modified()) < policy.min_age {
        return Ok(false);
    }
    if !file::begins_as_log(path).map_err(fail)? {
        return Err(KeyLogError::NotALog {
            path: path.to_owned(),
        });
    }
    if !policy.dry_run {
        archive::remove(path).map_err(fail)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keylog::tests::Dir;

    const LINE: &[u8] = b"CLIENT_RANDOM 00 11\n";

    /// The id of a process that is no more.
    fn dead() -> u32 {
        let program = if cfg!(windows) { "hostname" } else { "true" };
        let mut child = std::process::Command::new(program)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        child.wait().unwrap();
        child.id()
    }

    fn names(dir: &Dir) -> Vec<String> {
        let entries = fs::read_dir(dir.path("")).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    /// Lost: secrets that lie about for ever; or those of a program that runs, or a
    /// file that is no log at all.
    #[test]
    fn files_of_dead_processes_go_and_nothing_else() {
        let dir = Dir::new("clean");
        let (dead, alive) = (dead(), std::process::id());
        for gone in ["", ".1", ".27"] {
            dir.file(&format!("k-{dead}.log{gone}"), LINE);
        }
        dir.file(&format!("k-{dead}.log.gz-part"), b"\x1f\x8b");
        dir.file(&format!("k-{dead}.log.lock"), b"");
        dir.file(&format!("k-{dead}.log.2.gz"), b"\x1f\x8b\x08rest");
        let mut stays = vec![format!("k-{alive}.log"), "k-.log".into()];
        stays.push(format!("other-{dead}.log"));
        stays.push(format!("k-{dead}.log.txt"));
        for name in &stays {
            dir.file(name, LINE);
        }
        let policy = CleanPolicy::new("k-{pid}.log").unwrap();
        let dry = clean(dir.path(""), &policy.clone().dry_run(true)).unwrap();
        assert_eq!((dry.removed.len(), dry.left.len()), (6, 0), "{dry:?}");
        let young = policy.clone().min_age(Duration::from_secs(3600));
        assert!(clean(dir.path(""), &young).unwrap().removed.is_empty());
        assert_eq!(names(&dir).len(), 10);
        let done = clean(dir.path(""), &policy).unwrap();
        assert_eq!(done.removed.len(), 6);
        stays.sort();
        assert_eq!(names(&dir), stays);
    }

    /// Lost: the log of a process that runs, whose vhost's name begins with a number, or whose
    /// id comes right behind another placeholder.
    #[test]
    fn a_name_that_could_be_that_of_a_live_process_stays() {
        let dir = Dir::new("clean-unsure");
        let (dead, alive) = (dead(), std::process::id());
        let stays = [
            format!("app-{alive}-{dead}-example.log"),
            format!("app-{dead}-{alive}-example.log"),
            format!("app{alive}.log"),
        ];
        for name in &stays {
            dir.file(name, LINE);
        }
        for template in ["{exe}-{pid}-{vhost}.log", "{exe}{pid}.log"] {
            let done = clean(dir.path(""), &CleanPolicy::new(template).unwrap()).unwrap();
            assert!(done.removed.is_empty(), "{done:?}");
        }
        assert_eq!(names(&dir).len(), stays.len());
    }

    #[test]
    fn what_is_no_log_is_left_and_told() {
        let dir = Dir::new("clean-left");
        let dead = dead();
        let foreign = dir.file(&format!("k-{dead}"), b"a letter to somebody");
        let policy = CleanPolicy::new("k-{pid}").unwrap();
        let done = clean(dir.path(""), &policy).unwrap();
        assert!(done.removed.is_empty() && foreign.exists());
        let (path, error) = &done.left[0];
        assert_eq!(*path, foreign);
        assert!(error.to_string().contains("does not begin as a key log"));
        assert!(matches!(
            clean(dir.path("no"), &policy),
            Err(KeyLogError::Open { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed_and_not_removed() {
        let dir = Dir::new("clean-link");
        let target = dir.file("precious", LINE);
        let link = dir.path(&format!("k-{}", dead()));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let done = clean(dir.path(""), &CleanPolicy::new("k-{pid}").unwrap()).unwrap();
        assert!(matches!(done.left[0].1, KeyLogError::Symlink { .. }));
        assert!(target.exists() && link.is_symlink());
    }

    #[test]
    fn a_template_that_cannot_tell_whose_file_it_is_is_refused() {
        for names in ["keys.log", "k-{vhost}", "d/k-{pid}", "../{pid}", "/{pid}"] {
            let error = CleanPolicy::new(names).unwrap_err();
            assert!(error.to_string().contains("{pid}"), "{names}: {error}");
        }
        assert!(CleanPolicy::new("{pid").is_err());
    }
}
