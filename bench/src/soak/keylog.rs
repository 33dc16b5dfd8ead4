//! TLS connections to a server whose key log can't be written: they are served all the
//! same, the failures are counted, and a file has no torn lines but the last.

use super::peer::Peer;
use super::target::Target;
use super::{content, ensure, tls, Fail, Report};
use std::path::Path;

/// `count` connections; `file` is the log, if it is a file.
pub fn run(target: &Target, count: usize, file: Option<&Path>) -> Report {
    let tls = tls::client()?;
    for number in 0..count as u64 {
        let mut peer = Peer::open_tls(target.tls, &tls, "/")?;
        peer.echo(&content::of(number, 0))?;
        if number % 2 == 0 {
            peer.close()?;
        }
    }
    let stats = target.monitor()?.ask()?;
    let (written, failed) = (stats.get("written"), stats.get("failed"));
    ensure(failed > 0, || {
        format!("no record failed, {written} were written")
    })?;
    let lines = file.map(whole_lines).transpose()?;
    if let Some((whole, torn)) = lines {
        ensure(torn <= 1, || format!("{torn} torn lines among {whole}"))?;
        ensure(whole == written, || {
            format!("{written} were counted, and {whole} are in the file")
        })?;
    }
    ensure(file.is_some() || written == 0, || {
        format!("{written} were written to a full device")
    })?;
    let torn = lines.map_or(String::new(), |(_, torn)| format!(", {torn} torn"));
    Ok(format!(
        "{count} TLS connections served; {written} records written{torn}, {failed} counted as failed"
    ))
}

/// Whole lines of a log, and others.
fn whole_lines(path: &Path) -> Result<(u64, u64), Fail> {
    let text = std::fs::read_to_string(path)?;
    let (mut whole, mut torn) = (0, 0);
    for line in text.split_inclusive('\n') {
        match is_record(line) {
            true => whole += 1,
            false if line.starts_with('#') => {}
            false => torn += 1,
        }
    }
    Ok((whole, torn))
}

/// A label, 32 bytes of a random number, and a secret of 32 or 48 bytes.
fn is_record(line: &str) -> bool {
    let hex = |word: &str, lengths: &[usize]| {
        lengths.contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let Some(line) = line.strip_suffix('\n') else {
        return false;
    };
    let words: Vec<_> = line.split(' ').collect();
    matches!(words[..], [_, random, secret] if hex(random, &[64]) && hex(secret, &[64, 96]))
}

#[cfg(test)]
mod tests {
    use super::is_record;

    #[test]
    fn a_cut_record_is_no_record() {
        let line = format!("CLIENT_RANDOM {} {}\n", "0".repeat(64), "f".repeat(96));
        assert!(is_record(&line));
        assert!(!is_record(&line[..line.len() - 1]));
        assert!(!is_record(&line.replacen('f', "", 1)));
    }
}
