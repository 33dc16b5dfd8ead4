//! Unpacking the kept part of the archive.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use tar::EntryType;

use crate::error::{Error, IoContext, Result};

/// Unpacks what is kept of a `.tar.gz` into an empty directory, without the
/// archive's top directory, and without what is left out below that. Returns the number of
/// files written.
pub fn unpack(archive: &Path, keep: &[PathBuf], leave: &[PathBuf], into: &Path) -> Result<usize> {
    let file = File::open(archive).doing("open", archive)?;
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    let bad = |why: String| Error::new(format!("{}: {why}", archive.display()));
    let mut keep = Listed::new("keep", keep);
    let mut leave = Listed::new("leave", leave);
    let mut files = 0;

    for entry in tar.entries().map_err(|e| bad(e.to_string()))? {
        let mut entry = entry.map_err(|e| bad(format!("damaged archive: {e}")))?;
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            continue;
        }
        let name = entry.path().map_err(|e| bad(e.to_string()))?.into_owned();
        let inner = inner_path(&name).map_err(&bad)?;
        if !keep.holds(&inner) || leave.holds(&inner) {
            continue;
        }
        let target = into.join(&inner);
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&target).doing("create", &target)?,
            EntryType::Regular | EntryType::Continuous => {
                // Read whole first: what fails then is the archive, not the disk.
                let damaged = |e| bad(format!("damaged archive, in {}: {e}", name.display()));
                let executable = entry.header().mode().map_err(damaged)? & 0o111 != 0;
                let mut content = Vec::new();
                entry.read_to_end(&mut content).map_err(damaged)?;
                write_file(&target, &content, executable).doing("write", &target)?;
                files += 1;
            }
            // A link could lead out of the tree, and the library needs none.
            other => {
                return Err(bad(format!(
                    "refusing `{}`: only files and directories are unpacked, this is a {other:?}",
                    name.display()
                )))
            }
        }
    }
    [keep, leave]
        .iter()
        .try_for_each(Listed::all_seen)
        .map_err(&bad)?;
    Ok(files)
}

/// A list of the manifest's, and which of its paths the archive has.
struct Listed<'a> {
    key: &'static str,
    paths: &'a [PathBuf],
    seen: Vec<bool>,
}

impl<'a> Listed<'a> {
    fn new(key: &'static str, paths: &'a [PathBuf]) -> Self {
        let seen = vec![false; paths.len()];
        Listed { key, paths, seen }
    }

    /// Whether a member of the archive is one of them, or below one.
    fn holds(&mut self, member: &Path) -> bool {
        let index = self.paths.iter().position(|path| member.starts_with(path));
        if let Some(index) = index {
            self.seen[index] = true;
        }
        index.is_some()
    }

    /// A path that isn't there any more may be there under another name.
    fn all_seen(&self) -> std::result::Result<(), String> {
        match self.seen.iter().position(|seen| !seen) {
            None => Ok(()),
            Some(index) => Err(format!(
                "has no `{}`; correct {}.paths in vendor/manifest.toml",
                self.paths[index].display(),
                self.key
            )),
        }
    }
}

/// A member's path below the top directory; refuses paths that lead elsewhere.
fn inner_path(name: &Path) -> std::result::Result<PathBuf, String> {
    let mut inner = PathBuf::new();
    let mut top = true;
    for component in name.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) if top => top = false,
            Component::Normal(part) => inner.push(part),
            _ => return Err(format!("refusing unsafe path `{}`", name.display())),
        }
    }
    Ok(inner)
}

/// Writes a new file; an existing one is an error.
fn write_file(target: &Path, content: &[u8], executable: bool) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::create_new(target)?;
    file.write_all(content)?;
    set_mode(&file, executable)
}

#[cfg(unix)]
fn set_mode(file: &File, executable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if executable { 0o755 } else { 0o644 };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_file: &File, _executable: bool) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes an archive of (name, type, content) and unpacks `lib` of it.
    fn try_unpack(members: &[(&str, EntryType, &str)]) -> Result<Vec<String>> {
        try_unpack_without(&[], members)
    }

    fn try_unpack_without(
        leave: &[&str],
        members: &[(&str, EntryType, &str)],
    ) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::create_dir_all(dir.join("out")).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for (name, kind, content) in members {
            let mut header = tar::Header::new_gnu();
            // Written directly, as `set_path` refuses the paths tested here.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            let link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if link {
                header.set_link_name(content).unwrap();
            }
            let data = if link { "" } else { content };
            header.set_size(data.len() as u64);
            header.set_cksum();
            tar.append(&header, data.as_bytes()).unwrap();
        }
        let plain = tar.into_inner().unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&plain).unwrap();
        let archive = dir.join("a.tar.gz");
        fs::write(&archive, gz.finish().unwrap()).unwrap();

        let keep = [PathBuf::from("lib")];
        let leave: Vec<_> = leave.iter().map(PathBuf::from).collect();
        unpack(&archive, &keep, &leave, &dir.join("out")).map(|_| {
            let mut names: Vec<_> = fs::read_dir(dir.join("out/lib"))
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        })
    }

    #[test]
    fn keeps_only_what_is_asked_for() {
        let names = try_unpack(&[
            ("top/", EntryType::Directory, ""),
            ("top/lib/", EntryType::Directory, ""),
            ("top/lib/b.c", EntryType::Regular, "b"),
            ("top/lib/a.c", EntryType::Regular, "a"),
            ("top/library.c", EntryType::Regular, "no"),
            ("top/other/lib", EntryType::Regular, "no"),
            ("top/other/link", EntryType::Symlink, "../../../x"),
        ]);
        assert_eq!(names.unwrap(), ["a.c", "b.c"]);
    }

    #[test]
    fn leaves_out_what_is_said_and_refuses_what_is_not_there() {
        let members = [
            ("top/lib/a.c", EntryType::Regular, "a"),
            ("top/lib/sub/", EntryType::Directory, ""),
            ("top/lib/sub/b.c", EntryType::Regular, "b"),
            ("top/lib/sub.c", EntryType::Regular, "c"),
        ];
        let names = try_unpack_without(&["lib/sub"], &members);
        assert_eq!(names.unwrap(), ["a.c", "sub.c"]);
        let why = try_unpack_without(&["lib/other"], &members).unwrap_err();
        assert!(
            why.to_string()
                .contains("no `lib/other`; correct leave.paths"),
            "{why}"
        );
    }

    #[test]
    fn refuses_what_could_leave_the_tree() {
        for (name, kind, content, expect) in [
            ("top/lib/../../../x", EntryType::Regular, "", "unsafe path"),
            ("../x", EntryType::Regular, "", "unsafe path"),
            ("/etc/x", EntryType::Regular, "", "unsafe path"),
            ("top/lib/l", EntryType::Symlink, "/etc", "Symlink"),
            ("top/lib/l", EntryType::Link, "/etc/x", "Link"),
            ("top/lib/l", EntryType::Fifo, "", "Fifo"),
        ] {
            let why = try_unpack(&[(name, kind, content)])
                .unwrap_err()
                .to_string();
            assert!(why.contains(expect), "{name}: {why}");
        }
    }

    #[test]
    fn refuses_duplicates_and_missing_parts() {
        let twice = ("top/lib/a", EntryType::Regular, "a");
        assert!(try_unpack(&[twice, twice]).is_err());
        let why = try_unpack(&[("top/x", EntryType::Regular, "")]).unwrap_err();
        assert!(why.to_string().contains("has no `lib`"));
    }
}
