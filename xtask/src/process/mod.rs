//! Starting other programs.

mod child;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::{compiler_cache, paths};
use child::cannot_start;

pub use child::{Child, MUCH_PATIENCE, PATIENCE};

/// The Cargo that runs us.
pub fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

/// A Cargo command, run in the root of the repository.
pub fn cargo() -> Command {
    let mut command = Command::new(cargo_program());
    command.current_dir(paths::root());
    // Relative to another folder, or said in another one's settings, it would build elsewhere.
    command.env("CARGO_TARGET_DIR", paths::target_dir());
    // What the Cargo that runs us has said of this package. Build scripts, ring's for one,
    // would take the difference from a Cargo run by hand for a change, and start anew.
    for (name, _) in env::vars_os() {
        if is_of_this_package(&name) {
            command.env_remove(name);
        }
    }
    compiler_cache::enable(&mut command);
    command
}

/// The same for what is then taken from a profile's folder in [`paths::target_dir`]: what is
/// built for a target that is named goes to another one.
pub fn cargo_for_host() -> Command {
    let mut command = cargo();
    command.env_remove("CARGO_BUILD_TARGET");
    command
}

fn is_of_this_package(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// The target that the Rust compiler compiles for by itself.
pub fn host() -> Option<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = output(Command::new(rustc).arg("-vV")).ok()??;
    host_line(&version)
}

/// The same, in what a compiler says of its version.
pub fn host_line(version: &str) -> Option<String> {
    let line = version.lines().find_map(|l| l.strip_prefix("host: "))?;
    Some(line.trim().to_string())
}

/// Gives a Cargo command flags for the compiler, after those that it was given itself. A
/// space doesn't end a flag here, as it does in `RUSTFLAGS`.
pub fn add_rustflags(cargo: &mut Command, own: &[String]) {
    let encoded = env::var("CARGO_ENCODED_RUSTFLAGS").ok();
    let plain = env::var("RUSTFLAGS").ok();
    let flags = rustflags(encoded.as_deref(), plain.as_deref(), own);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags);
}

/// Cargo looks at the encoded ones alone, where they are set.
fn rustflags(encoded: Option<&str>, plain: Option<&str>, own: &[String]) -> String {
    let given: Vec<&str> = match encoded {
        Some(flags) => flags
            .split('\x1f')
            .filter(|flag| !flag.is_empty())
            .collect(),
        None => plain.unwrap_or_default().split_whitespace().collect(),
    };
    let all = given.into_iter().chain(own.iter().map(String::as_str));
    all.collect::<Vec<_>>().join("\x1f")
}

/// Runs a command with the terminal inherited; its failure becomes our exit status.
pub fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Exit(exit_code(status)))
    }
}

/// The same, with each line of its output looked at on its way to ours.
pub fn run_and_look(command: &mut Command, look: impl FnMut(&str)) -> Result<()> {
    let status = child(command.stdout(Stdio::piped()))?.look(look)?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Exit(exit_code(status))),
    }
}

/// Runs a command with the terminal inherited.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    child(command)?.wait()
}

/// The same for a command that is killed if it takes too long, which is an error.
pub fn status_within(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    child(command)?.end(limit)
}

/// Runs a command silently and returns what it printed, if it succeeded.
pub fn output(command: &mut Command) -> Result<Option<String>> {
    let out = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|e| cannot_start(&quoted(command), &e))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    Ok(out.status.success().then_some(text))
}

/// Runs a command with the terminal inherited, but for what it prints, which comes with its
/// status; it is killed if it takes too long, which is an error.
pub fn output_within(command: &mut Command, limit: Duration) -> Result<(ExitStatus, String)> {
    let mut child = child(command.stdout(Stdio::piped()))?;
    // Not by looking each few milliseconds: that could disturb what is measured.
    let text = child.rest(limit)?;
    Ok((child.end(limit)?, text))
}

fn child(command: &mut Command) -> Result<Child> {
    Child::start(&quoted(command), command)
}

/// What errors call a command's program.
fn quoted(command: &Command) -> String {
    format!("`{}`", command.get_program().to_string_lossy())
}

/// Whether a command can be started and succeeds; prints nothing.
pub fn succeeds(command: &mut Command) -> bool {
    matches!(output(command), Ok(Some(_)))
}

/// The status to exit with; a process ended by signal N counts as 128 + N.
fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(1);
    }
    match status.code() {
        Some(code) if code != 0 => u8::try_from(code).unwrap_or(1),
        _ => 1,
    }
}

/// Finds a program in `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_in(&env::var_os("PATH")?, name)
}

fn find_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(path)
        .map(|dir| dir.join(&file))
        .find(|candidate| is_executable(candidate))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn host_is_read() {
        let text = "rustc 1\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1\n";
        assert_eq!(host_line(text).as_deref(), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host_line("rustc 1\n"), None);
    }

    #[test]
    fn flags_come_after_those_that_were_given_and_may_have_spaces() {
        let own = ["-La b".to_owned()];
        assert_eq!(rustflags(None, None, &own), "-La b");
        let plain = Some(" -Dwarnings  -O ");
        assert_eq!(rustflags(None, plain, &own), "-Dwarnings\x1f-O\x1f-La b");
        assert_eq!(rustflags(Some("-O"), plain, &own), "-O\x1f-La b");
        assert_eq!(rustflags(Some(""), plain, &own), "-La b");
    }

    /// Lost: minutes, in which crates are compiled that haven't changed.
    #[test]
    fn cargo_gets_none_of_our_own_packages_variables() {
        assert!(env::var_os("CARGO_MANIFEST_DIR").is_some(), "from Cargo");
        let command = cargo();
        let removed: Vec<_> = command.get_envs().map(|(name, _)| name).collect();
        assert!(removed.contains(&OsStr::new("CARGO_MANIFEST_DIR")));
        assert!(removed.contains(&OsStr::new("CARGO_PKG_NAME")));
        let of_package = |(name, _): &(&OsStr, _)| is_of_this_package(name);
        let mut given = command.get_envs().filter(of_package);
        assert!(given.all(|(_, value)| value.is_none()));
    }

    #[test]
    fn cargo_builds_where_programs_are_looked_for() {
        let command = cargo_for_host();
        let value = |name: &str| {
            let mut all = command.get_envs();
            all.find_map(|(n, value)| (n == name).then_some(value))
        };
        let dir = paths::target_dir();
        assert_eq!(value("CARGO_TARGET_DIR"), Some(Some(dir.as_os_str())));
        assert_eq!(value("CARGO_BUILD_TARGET"), Some(None));
    }

    #[test]
    fn finds_programs_in_the_given_path() {
        let path = OsStr::new("/nonexistent:/bin:/usr/bin");
        assert!(find_in(path, "sh").is_some());
        assert!(find_in(path, "no-such-program-here").is_none());
        assert!(find_in(OsStr::new(""), "sh").is_none());
    }

    #[test]
    fn exit_status_is_passed_through() {
        let err = run(Command::new("sh").args(["-c", "exit 7"])).unwrap_err();
        assert!(matches!(err, Error::Exit(7)));
        let err = run(Command::new("sh").args(["-c", "kill -TERM $$"])).unwrap_err();
        assert!(matches!(err, Error::Exit(143)));
    }

    #[test]
    fn lines_are_looked_at_and_the_status_is_passed_through() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        // What stays behind has the same output.
        command.args(["-c", "sleep 20 & echo one; echo two; exit 7"]);
        let start = std::time::Instant::now();
        let result = run_and_look(&mut command, |line| lines.push(line.to_owned()));
        assert!(matches!(result, Err(Error::Exit(7))));
        assert_eq!(lines, ["one", "two"]);
        assert!(start.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn missing_program_is_named() {
        let err = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(err.to_string().contains("no-such-program-here"));
    }
}
