//! Wireshark on the command line.

use super::Fail;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The text messages that were recovered, by TCP stream.
pub type Texts = BTreeMap<usize, Vec<String>>;

/// A tshark that works.
pub struct Tshark {
    program: OsString,
    /// Its name and version, as it says itself.
    pub version: String,
}

impl Tshark {
    /// What the variable `TSHARK` names, or `tshark` in the path.
    pub fn find() -> Option<Tshark> {
        let program = std::env::var_os("TSHARK").unwrap_or_else(|| "tshark".into());
        let output = Command::new(&program)
            .arg("--version")
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        // "TShark (Wireshark) 4.0.17 (Git v4.0.17 …)."
        let line = text.lines().next()?.trim_end_matches('.');
        let version = line.split(" (Git").next().unwrap_or(line).to_owned();
        output
            .status
            .success()
            .then_some(Tshark { program, version })
    }

    /// The WebSocket text messages in a capture, decrypted with a key log if one
    /// is given.
    pub fn texts(&self, capture: &Path, keylog: Option<&Path>) -> Result<Texts, Fail> {
        self.run(arguments(capture, keylog))
    }

    /// The streams of a capture that carry encrypted data, as seen without a key.
    pub fn encrypted(&self, capture: &Path) -> Result<BTreeSet<usize>, Fail> {
        let filter = "tls.record.content_type == 23 || tls.record.opaque_type == 23";
        let streams = self.run(command(capture, None, filter, "frame.number"))?;
        Ok(streams.into_keys().collect())
    }

    /// The command of [`texts`](Tshark::texts), as one would type it in the
    /// files' folder.
    pub fn shown(&self, capture: &Path, keylog: &Path) -> String {
        let name = |path: &Path| path.file_name().map(PathBuf::from).unwrap_or_default();
        let mut line = self.program.to_string_lossy().into_owned();
        for argument in arguments(&name(capture), Some(&name(keylog))) {
            let argument = argument.to_string_lossy().into_owned();
            let quote = if argument.contains(' ') { "'" } else { "" };
            line.push_str(&format!(" {quote}{argument}{quote}"));
        }
        line
    }

    fn run(&self, arguments: Vec<OsString>) -> Result<Texts, Fail> {
        let output = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("tshark failed ({}): {}", output.status, why.trim()).into());
        }
        let mut values = Texts::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((stream, value)) = line.split_once('\t') else {
                return Err(format!("tshark printed {line:?}").into());
            };
            let of_stream = values.entry(stream.parse()?).or_default();
            of_stream.push(value.to_owned());
        }
        Ok(values)
    }
}

/// Asks for the text messages; Wireshark takes the mask off what clients send.
fn arguments(capture: &Path, keylog: Option<&Path>) -> Vec<OsString> {
    let field = "websocket.payload.text";
    command(capture, keylog, "websocket.opcode == 1", field)
}

/// Asks for the stream and a field of the packets that a filter lets through.
fn command(capture: &Path, keylog: Option<&Path>, filter: &str, field: &str) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["-n".into(), "-r".into(), capture.into()];
    if let Some(keylog) = keylog {
        let mut option = OsString::from("tls.keylog_file:");
        option.push(keylog);
        all.extend(["-o".into(), option]);
    }
    let fields = [
        "-Y",
        filter,
        "-T",
        "fields",
        "-e",
        "tcp.stream",
        "-e",
        field,
    ];
    all.extend(fields.map(OsString::from));
    all
}
