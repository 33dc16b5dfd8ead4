//! One append to an open file: whole lines, or a block.

use crate::ffi::sigxfsz;
use crate::ffi::wipe::wipe;
use crate::keylog::batch::{self, Batch};
use crate::keylog::file::Opened;
use crate::keylog::pcapng;
use std::io::{self, Write};
use std::path::Path;

/// How often a line is written that others' torn lines swallow.
const TRIES: u32 = 3;

/// Appends a block, after the file's header if it is new. A block that the
/// system took only a part of spoils the file: the next goes to a new one.
pub(super) fn write_blocks(opened: &mut Opened, batch: &Batch) -> io::Result<()> {
    let new = opened.look()?.len == 0;
    let mut bytes = if new { pcapng::header() } else { Vec::new() };
    let mut block = pcapng::block(batch);
    bytes.reserve_exact(block.len());
    bytes.extend_from_slice(&block);
    wipe(&mut block);
    let mut done = 0;
    let result = loop {
        match sigxfsz::write(&mut opened.file, &bytes[done..]) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => break Err(e),
        }
        if done == bytes.len() {
            break Ok(());
        }
    };
    opened.torn |= 0 < done && done < bytes.len();
    wipe(&mut bytes);
    result
}

/// Appends whole lines to a file that others append to as well. If one of them left a line
/// without an end just before, it has swallowed the first of these, which follows once more.
pub(in crate::keylog) fn write_lines(
    opened: &mut Opened,
    path: &Path,
    lines: &[u8],
) -> Result<(), (io::Error, u64)> {
    let mut rest = lines;
    // Those behind the first got through, once they are written.
    let mut before = 0;
    for _ in 0..TRIES {
        if let Err((error, written)) = write(&mut opened.file, &mut opened.torn, rest) {
            opened.forget_end();
            return Err((error, before + written));
        }
        // A line break in front is all that can be swallowed.
        if !opened.follows_torn(path, rest.len()) || rest.starts_with(b"\n") {
            break;
        }
        let first = lines.split_inclusive(|b| *b == b'\n').next();
        rest = first.unwrap_or_default();
        before = batch::count(lines).saturating_sub(1);
    }
    Ok(())
}

/// Appends whole lines in one write. If the system takes only a part of them,
/// the rest follows; if it refuses the rest, `torn` tells the next write to
/// begin with a line break, and the error comes with the number of lines that
/// got through.
pub(in crate::keylog) fn write(
    to: &mut impl Write,
    torn: &mut bool,
    lines: &[u8],
) -> Result<(), (io::Error, u64)> {
    let mut done = 0;
    // A line break in front ends what is no record.
    let written = |done: usize| {
        let ours = lines[..done].strip_prefix(b"\n").unwrap_or(&lines[..done]);
        batch::count(ours)
    };
    while done < lines.len() {
        match sigxfsz::write(to, &lines[done..]) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), written(done))),
            Ok(n) => {
                done += n;
                *torn = lines[done - 1] != b'\n';
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err((e, written(done))),
        }
    }
    Ok(())
}
