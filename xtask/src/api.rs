//! `cargo xtask api`: the public API is the one in `tests/api.txt`, so that no
//! change of it goes unseen. `--update` writes the file.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, IoContext, Result};
use crate::{paths, process, setup, tools, vendor};

/// The snapshot, below the repository's root.
const SNAPSHOT: &str = "tests/api.txt";

/// The version of rustdoc's JSON that the reader in `Cargo.toml` reads.
const FORMAT: u32 = 57;

/// What is on in the snapshot: everything that adds to the API.
const FEATURES: &str = "keylog-gzip,ipv6,unix-sockets";

/// Implementations that compilers add by themselves and that nobody relies on by
/// name; which of them there are differs between compilers. `Send` and `Sync` stay.
const NOT_TOLD: &[&str] = &[
    "core::marker::Freeze for ",
    "core::marker::Unpin for ",
    "core::marker::UnsafeUnpin for ",
    "core::panic::unwind_safe::RefUnwindSafe for ",
    "core::panic::unwind_safe::UnwindSafe for ",
];

/// Runs the verb with its arguments.
pub fn run(args: &[String]) -> Result<()> {
    let update = match args {
        [] => false,
        [arg] if arg == "--update" => true,
        _ => return Err(Error::new("`api` takes --update or nothing")),
    };
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    match update {
        true => write(&present()?),
        false => check(),
    }
}

/// Compares the API with the snapshot.
pub fn check() -> Result<()> {
    compare(&present()?)
}

fn snapshot() -> PathBuf {
    paths::root().join(SNAPSHOT)
}

fn write(api: &str) -> Result<()> {
    let file = snapshot();
    fs::write(&file, api).doing("write", &file)?;
    println!("api: {SNAPSHOT} has {} items", api.lines().count());
    Ok(())
}

fn compare(api: &str) -> Result<()> {
    let file = snapshot();
    let old = fs::read_to_string(&file).doing("read", &file)?;
    let changes = changes(&old, api);
    if changes.is_empty() {
        println!("api: as in {SNAPSHOT}, {} items", api.lines().count());
        return Ok(());
    }
    println!("{}", changes.join("\n"));
    Err(Error::new(format!(
        "the public API isn't that of {SNAPSHOT}. If this is meant, run \
         `cargo xtask api --update`, commit the file, and tell of it in CHANGELOG.md"
    )))
}

/// One line for each item that is gone or new. The order says nothing; what can be
/// reached by two paths is told twice, and each counts.
fn changes(old: &str, new: &str) -> Vec<String> {
    let mut changes = surplus(old, new, '-');
    changes.extend(surplus(new, old, '+'));
    changes
}

/// The lines that `a` has more of than `b`.
fn surplus(a: &str, b: &str, sign: char) -> Vec<String> {
    let mut there: HashMap<&str, usize> = HashMap::new();
    for line in b.lines() {
        *there.entry(line).or_default() += 1;
    }
    let more = a.lines().filter(|line| match there.get_mut(*line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    more.map(|line| format!("{sign}{line}")).collect()
}

/// The API of this tree.
fn present() -> Result<String> {
    if !cfg!(target_os = "linux") {
        return Err(Error::NotHere(format!("{SNAPSHOT} is the API on Linux")));
    }
    let json = document()?;
    let format = format_version(&json)?;
    if format != Some(FORMAT) {
        return Err(Error::Lacking(format!(
            "what reads rustdoc's JSON reads version {FORMAT}, and the rustdoc here writes {}",
            format.map_or("none".to_owned(), |number| number.to_string())
        )));
    }
    let api = public_api::Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .build()
        .map_err(|e| Error::new(format!("cannot read {}: {e}", json.display())))?;
    Ok(told(&api.to_string()))
}

/// The lines that make up the snapshot.
fn told(text: &str) -> String {
    text.lines()
        .filter(|line| !is_of_the_bindings(line) && !is_of_the_compiler(line))
        .fold(String::new(), |all, line| all + line + "\n")
}

/// What the C library's headers declare is theirs to change: the bindings follow.
fn is_of_the_bindings(line: &str) -> bool {
    let about = match is_impl(line) {
        true => line.rsplit_once(" for ").map_or(line, |(_, of)| of),
        false => line,
    };
    let path = about.find("libwebsockets::").map(|at| &about[at..]);
    path.is_some_and(|path| path.starts_with("libwebsockets::sys::"))
}

fn is_of_the_compiler(line: &str) -> bool {
    is_impl(line) && NOT_TOLD.iter().any(|name| line.contains(name))
}

fn is_impl(line: &str) -> bool {
    line.starts_with("impl") || line.starts_with("unsafe impl")
}

/// What makes rustdoc write JSON.
const AS_JSON: [&str; 3] = ["-Zunstable-options", "--output-format", "json"];

/// Makes the JSON; its path.
fn document() -> Result<PathBuf> {
    let rustdoc = tools::permissive("rustdoc", None)?;
    let mut cargo = process::cargo_for_host();
    cargo
        .args(["rustdoc", "--quiet", "--package", "libwebsockets", "--lib"])
        .args(["--features", FEATURES, "--"])
        .args(AS_JSON)
        .env("RUSTDOC", &rustdoc);
    let dir = paths::target_dir();
    match process::run(&mut cargo) {
        Ok(()) => Ok(dir.join("doc/libwebsockets.json")),
        // Of code that doesn't compile, or a full disk, it is said already.
        Err(why) => match refusal(&rustdoc, &dir)? {
            None => Err(why),
            Some(said) => Err(Error::Lacking(format!(
                "this toolchain's rustdoc writes no JSON: {said}"
            ))),
        },
    }
}

/// What rustdoc says to the options alone, of a crate that is empty, if it doesn't know them.
fn refusal(rustdoc: &Path, dir: &Path) -> Result<Option<String>> {
    let mut command = Command::new(rustdoc);
    command
        .current_dir(paths::root())
        .args(AS_JSON)
        .args(["--crate-name", "nothing", "/dev/null", "--output"])
        .arg(dir.join("doc/nothing"))
        .stdin(Stdio::null());
    let output = command.output().doing("run", rustdoc)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(said
        .lines()
        .find(|line| !output.status.success() && is_refusal(line))
        .map(str::to_owned))
}

fn is_refusal(line: &str) -> bool {
    let refused = [
        "only accepted on the nightly",
        "output format",
        "output-format",
    ];
    refused.iter().any(|text| line.contains(text))
}

/// The number at the end of rustdoc's JSON.
fn format_version(json: &Path) -> Result<Option<u32>> {
    let text = fs::read_to_string(json).doing("read", json)?;
    Ok(format_of(&text))
}

fn format_of(json: &str) -> Option<u32> {
    let (_, rest) = json.rsplit_once("\"format_version\":")?;
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_their_lines() {
        let old = "pub fn a()\npub fn b()\npub fn c()\n";
        let new = "pub fn c()\npub fn a()\npub fn b(u8)\n";
        assert_eq!(changes(old, new), ["-pub fn b()", "+pub fn b(u8)"]);
        assert!(changes(old, old).is_empty());
        // Two paths lead to it, and one is gone.
        assert_eq!(changes("impl A\nimpl A\n", "impl A\n"), ["-impl A"]);
    }

    #[test]
    fn the_format_is_read() {
        let json = r#"{"root":1,"docs":"\"format_version\":","format_version":57}"#;
        assert_eq!(format_of(json), Some(57));
        assert_eq!(format_of("{}"), None);
    }

    #[test]
    fn a_rustdoc_that_refuses_json_is_told_from_one_that_fails() {
        for line in [
            "error: the option `Z` is only accepted on the nightly compiler",
            "error: unknown output format `json`",
            "error: the -Z unstable-options flag must be passed to enable --output-format",
        ] {
            assert!(is_refusal(line), "{line}");
        }
        assert!(!is_refusal(
            "error: couldn't write: No space left on device"
        ));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_rustdoc_here_is_asked_for_its_refusal() {
        let dir = paths::target_dir();
        let permissive = tools::permissive("rustdoc", None).unwrap();
        assert_eq!(refusal(&permissive, &dir).unwrap(), None);
        assert!(refusal(Path::new("/nonexistent/rustdoc"), &dir).is_err());
    }

    #[test]
    fn the_bindings_are_not_told_but_what_gives_them_out_is() {
        let own = "pub mod x::sys\nimpl core::convert::From<libwebsockets::sys::a> for \
                   libwebsockets::A\npub fn libwebsockets::A::raw(&self) -> \
                   libwebsockets::sys::a\n";
        let bindings = "pub fn libwebsockets::sys::lws_a()\npub struct libwebsockets::sys::a\n\
                        impl core::clone::Clone for libwebsockets::sys::a\n\
                        impl libwebsockets::sys::a\n";
        assert_eq!(told(&format!("{bindings}{own}")), own);
    }

    #[test]
    fn send_and_sync_are_told_and_what_differs_between_compilers_is_not() {
        let text = "pub struct x::A\nimpl core::marker::Send for x::A\n\
                    impl !core::marker::Sync for x::A\nimpl core::marker::Freeze for x::A\n\
                    impl !core::panic::unwind_safe::UnwindSafe for x::A\n\
                    impl<T> core::marker::Unpin for x::B<T>\n";
        let expected = "pub struct x::A\nimpl core::marker::Send for x::A\n\
                        impl !core::marker::Sync for x::A\n";
        assert_eq!(told(text), expected);
    }
}
