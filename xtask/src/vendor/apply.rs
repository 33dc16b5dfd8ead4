//! Applying hunks, without fuzz: every context and removed line has to match.

use super::diff::Hunk;

/// Applies hunks to a file's text. The error names the hunk.
pub fn apply(text: &[u8], hunks: &[Hunk]) -> Result<Vec<u8>, String> {
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0; // Lines of the old text already dealt with.
    let mut shift = 0; // How far off the previous hunk was.
    for (index, hunk) in hunks.iter().enumerate() {
        let at = locate(&lines, hunk, done, shift)
            .map_err(|why| format!("hunk {} (line {}): {why}", index + 1, hunk.old_start))?;
        shift = at as isize - stated(hunk) as isize;
        out.extend(lines[done..at].concat());
        out.extend(hunk.new.concat());
        done = at + hunk.old.len();
    }
    out.extend(lines[done..].concat());
    Ok(out)
}

/// The index, from 0, at which the header places the hunk.
fn stated(hunk: &Hunk) -> usize {
    if hunk.old.is_empty() {
        hunk.old_start
    } else {
        hunk.old_start.saturating_sub(1)
    }
}

/// Finds where a hunk's old lines are: at the stated place (moved as far as the
/// previous hunk was), or else at the only other place that matches.
fn locate(lines: &[&[u8]], hunk: &Hunk, from: usize, shift: isize) -> Result<usize, String> {
    let matches = |at: usize| {
        at >= from
            && lines
                .get(at..at + hunk.old.len())
                .is_some_and(|found| found.iter().eq(hunk.old.iter()))
    };
    if let Some(at) = stated(hunk).checked_add_signed(shift) {
        if matches(at) {
            return Ok(at);
        }
    }
    if hunk.old.is_empty() {
        return Err("it has no line to find its place by; add a line of context".into());
    }
    let mut places = (from..lines.len()).filter(|at| matches(*at));
    match (places.next(), places.next()) {
        (Some(at), None) => Ok(at),
        (Some(a), Some(b)) => Err(format!(
            "its lines are not at the stated place, and are found more than once \
             (lines {} and {}); correct the line number or add context",
            a + 1,
            b + 1
        )),
        (None, _) => Err(format!(
            "the lines to change are not in the file; the first one is `{}`",
            String::from_utf8_lossy(&hunk.old[0]).trim_end()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::diff::parse;
    use super::*;

    fn patched(text: &str, body: &str) -> Result<String, String> {
        let files = parse(format!("--- a/f\n+++ b/f\n{body}").as_bytes()).unwrap();
        apply(text.as_bytes(), &files[0].hunks).map(|v| String::from_utf8(v).unwrap())
    }

    #[test]
    fn replaces_without_context() {
        let new = patched("a\nb\nc\n", "@@ -2 +2 @@\n-b\n+B\n");
        assert_eq!(new.unwrap(), "a\nB\nc\n");
    }

    #[test]
    fn inserts_without_context() {
        for (header, expect) in [
            ("@@ -0,0 +1 @@", "x\na\nb\n"),
            ("@@ -1,0 +2 @@", "a\nx\nb\n"),
            ("@@ -2,0 +3 @@", "a\nb\nx\n"),
        ] {
            assert_eq!(
                patched("a\nb\n", &format!("{header}\n+x\n")).unwrap(),
                expect
            );
        }
        let why = patched("a\nb\n", "@@ -3,0 +4 @@\n+x\n").unwrap_err();
        assert!(why.contains("hunk 1 (line 3)"), "{why}");
    }

    #[test]
    fn several_hunks() {
        let new = patched(
            "a\nb\nc\nd\n",
            "@@ -1 +0,0 @@\n-a\n@@ -3,0 +3,2 @@\n+x\n+y\n@@ -4 +5 @@\n-d\n+D\n",
        );
        assert_eq!(new.unwrap(), "b\nc\nx\ny\nD\n");
    }

    #[test]
    fn finds_moved_lines_if_they_are_unique() {
        let body = "@@ -1 +1 @@\n-b\n+B\n";
        assert_eq!(patched("x\ny\nb\n", body).unwrap(), "x\ny\nB\n");
        let why = patched("x\nb\nb\n", body).unwrap_err();
        assert!(why.contains("lines 2 and 3"), "{why}");
    }

    #[test]
    fn later_hunks_move_along() {
        // Everything is one line lower than stated; `b` alone would be ambiguous.
        let new = patched("0\na\nb\nb\n", "@@ -1 +1 @@\n-a\n+A\n@@ -2 +2 @@\n-b\n+B\n");
        assert_eq!(new.unwrap(), "0\nA\nB\nb\n");
    }

    #[test]
    fn removed_lines_must_match_exactly() {
        let why = patched("a\nb \nc\n", "@@ -2 +2 @@\n-b\n+B\n").unwrap_err();
        assert!(
            why.contains("not in the file") && why.contains("`b`"),
            "{why}"
        );
        assert!(patched("a\r\n", "@@ -1 +1 @@\n-a\n+b\n").is_err());
    }

    #[test]
    fn last_line_without_newline() {
        let body =
            "@@ -2 +2 @@\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n";
        assert_eq!(patched("a\nb", body).unwrap(), "a\nc");
        assert!(patched("a\nb\n", body).is_err());
    }
}
