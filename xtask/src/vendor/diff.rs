//! Reading unified diffs.

use std::path::{Component, Path, PathBuf};

/// The changes to one file; `None` stands for `/dev/null`.
#[derive(Debug)]
pub struct FileDiff {
    /// Path before, without the leading `a/`.
    pub old: Option<PathBuf>,
    /// Path after, without the leading `b/`.
    pub new: Option<PathBuf>,
    /// The changes, in order.
    pub hunks: Vec<Hunk>,
}

/// One `@@` section. Lines keep their line ends.
#[derive(Debug, Default)]
pub struct Hunk {
    /// First line replaced, from 1; with no old lines, the line to insert after.
    pub old_start: usize,
    /// Context and removed lines.
    pub old: Vec<Vec<u8>>,
    /// Context and added lines.
    pub new: Vec<Vec<u8>>,
}

type Lines<'a> =
    std::iter::Peekable<std::iter::Enumerate<std::slice::Split<'a, u8, fn(&u8) -> bool>>>;

/// Parses a patch; text outside the diffs is ignored.
pub fn parse(text: &[u8]) -> Result<Vec<FileDiff>, String> {
    let newline: fn(&u8) -> bool = |b| *b == b'\n';
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut lines = text.split(newline).enumerate().peekable();
    let mut files: Vec<FileDiff> = Vec::new();
    while let Some((number, line)) = lines.next() {
        let at = |why: String| format!("line {}: {why}", number + 1);
        if let Some(old) = line.strip_prefix(b"--- ") {
            let Some((_, next)) = lines.next_if(|(_, l)| l.starts_with(b"+++ ")) else {
                continue; // A line of the description.
            };
            let diff = FileDiff {
                old: path(old).map_err(at)?,
                new: path(&next[4..]).map_err(at)?,
                hunks: Vec::new(),
            };
            if diff.old.is_some() && diff.new.is_some() && diff.old != diff.new {
                return Err(at("renames are not supported".into()));
            }
            files.push(diff);
        } else if line.starts_with(b"@@ ") {
            let file = files
                .last_mut()
                .ok_or_else(|| at("hunk before any `---`".into()))?;
            file.hunks.push(hunk(line, &mut lines).map_err(at)?);
        } else if line.starts_with(b"GIT binary patch") || line.starts_with(b"rename from ") {
            return Err(at("binary changes and renames are not supported".into()));
        }
    }
    if files.is_empty() {
        return Err("holds no diff (no `---` and `+++` lines)".into());
    }
    if let Some(empty) = files.iter().find(|f| f.hunks.is_empty()) {
        return Err(format!("no hunk for {:?}", empty.new));
    }
    Ok(files)
}

/// A path of a `---` or `+++` line without its first directory (`-p1`).
fn path(field: &[u8]) -> Result<Option<PathBuf>, String> {
    let field = field.split(|b| *b == b'\t').next().unwrap_or_default();
    let text = std::str::from_utf8(field)
        .map_err(|e| e.to_string())?
        .trim_end();
    if text == "/dev/null" {
        return Ok(None);
    }
    let inner = text.split_once('/').map_or("", |(_, rest)| rest);
    let plain = |p: &Path| p.components().all(|c| matches!(c, Component::Normal(_)));
    if inner.is_empty() || !plain(Path::new(text)) {
        return Err(format!("path `{text}` must look like a/DIR/FILE"));
    }
    Ok(Some(PathBuf::from(inner)))
}

/// Reads a hunk's body; the counts in its header say where it ends.
fn hunk(header: &[u8], lines: &mut Lines<'_>) -> Result<Hunk, String> {
    let header = String::from_utf8_lossy(header);
    let ((old_start, old_count), (new_start, new_count)) =
        ranges(&header).ok_or_else(|| format!("bad hunk header `{}`", header.trim_end()))?;
    let mut hunk = Hunk {
        old_start,
        ..Hunk::default()
    };
    while hunk.old.len() < old_count || hunk.new.len() < new_count {
        let Some((_, line)) = lines.next() else {
            return Err("the hunk ends early".into());
        };
        let (tag, body) = match line {
            [] => (b' ', line), // A blank context line whose space was stripped.
            [tag, body @ ..] => (*tag, body),
        };
        let full = [body, b"\n"].concat();
        match tag {
            b' ' => {
                hunk.old.push(full.clone());
                hunk.new.push(full);
            }
            b'-' => hunk.old.push(full),
            b'+' => hunk.new.push(full),
            b'\\' => continue,
            _ => return Err("the hunk has a line that begins with none of ` `, `+`, `-`".into()),
        }
        if let Some((_, _)) = lines.next_if(|(_, l)| l.starts_with(b"\\")) {
            // "No newline at end of file" belongs to the line just read.
            if tag != b'+' {
                hunk.old.last_mut().map(Vec::pop);
            }
            if tag != b'-' {
                hunk.new.last_mut().map(Vec::pop);
            }
        }
    }
    if hunk.old.len() != old_count || hunk.new.len() != new_count {
        return Err(format!(
            "the hunk has {} old and {} new lines, but its header says {old_count} and {new_count}",
            hunk.old.len(),
            hunk.new.len()
        ));
    }
    if hunk.old == hunk.new
        || (old_start == 0 && old_count > 0)
        || (new_start == 0 && new_count > 0)
    {
        return Err("the hunk changes nothing, or has lines before the first".into());
    }
    Ok(hunk)
}

type Range = (usize, usize);

/// The ranges of `@@ -L,N +L,N @@`; a missing count means 1.
fn ranges(header: &str) -> Option<(Range, Range)> {
    let (inner, _) = header.strip_prefix("@@ ")?.split_once(" @@")?;
    let (old, new) = inner.split_once(' ')?;
    let range = |text: &str| -> Option<Range> {
        match text.split_once(',') {
            Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
            None => Some((text.parse().ok()?, 1)),
        }
    };
    Some((
        range(old.strip_prefix('-')?)?,
        range(new.strip_prefix('+')?)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_headers() {
        assert_eq!(ranges("@@ -3,2 +4 @@ int main"), Some(((3, 2), (4, 1))));
        assert_eq!(ranges("@@ -0,0 +1,9 @@"), Some(((0, 0), (1, 9))));
        assert_eq!(ranges("@@ 3 4 @@"), None);
    }

    #[test]
    fn counts_decide_where_a_hunk_ends() {
        // The removed line `-- x` looks like a `---` header.
        let text = b"Why.\n\n---\n stat\ndiff --git a/f b/f\n--- a/f\n+++ b/f\n\
                     @@ -1,2 +1,2 @@\n--- x\n+++ y\n k\n-- \n2.1\n";
        let files = parse(text).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].hunks[0].old, [b"-- x\n".to_vec(), b"k\n".to_vec()]);
        assert_eq!(files[0].hunks[0].new, [b"++ y\n".to_vec(), b"k\n".to_vec()]);
    }

    #[test]
    fn missing_newline_at_the_end() {
        let text = b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n";
        let files = parse(text).unwrap();
        assert_eq!(files[0].hunks[0].old, [b"a".to_vec()]);
        assert_eq!(files[0].hunks[0].new, [b"a\n".to_vec()]);
    }

    #[test]
    fn bad_patches_are_refused() {
        for (text, expect) in [
            ("nothing", "no diff"),
            ("--- a/f\n+++ b/f\n", "no hunk"),
            (
                "--- a/../f\n+++ b/../f\n@@ -1 +1 @@\n-a\n+b\n",
                "must look like",
            ),
            ("--- f\n+++ f\n@@ -1 +1 @@\n-a\n+b\n", "must look like"),
            ("--- a/f\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n", "renames"),
            ("--- a/f\n+++ b/f\n@@ -1,2 +1 @@\n-a\n+b\n", "ends early"),
            (
                "--- a/f\n+++ b/f\n@@ -1,2 +1 @@\n-a\n?b\n",
                "begins with none",
            ),
            (
                "--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n-a\n-b\n+c\n+d\n",
                "header says",
            ),
            ("--- a/f\n+++ b/f\n@@ -1 +1 @@\n a\n", "changes nothing"),
            ("@@ -1 +1 @@\n-a\n+b\n", "before any"),
        ] {
            let why = parse(text.as_bytes()).unwrap_err();
            assert!(why.contains(expect), "{text:?}: {why}");
        }
    }
}
