//! `vendor/tests.toml`, which says which tests fail without which patch, against the patches and
//! the tests that are there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The tests of each patch, by its name.
    tests: BTreeMap<String, Vec<String>>,
    /// Why there is none.
    none: BTreeMap<String, String>,
}

/// What is wrong with a table, for these patches and the tests below `tests`.
fn wrong(text: &str, patches: &[String], tests: &Path) -> Vec<String> {
    // A name that is there twice in one part is no TOML.
    let table: Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(why) => return vec![why.to_string()],
    };
    let mut wrong = Vec::new();
    for patch in patches {
        match (table.tests.get(patch), table.none.get(patch)) {
            (None, None) => wrong.push(format!("{patch} has no entry")),
            (Some(_), Some(_)) => wrong.push(format!("{patch} has tests, and has none")),
            _ => {}
        }
    }
    for name in table.tests.keys().chain(table.none.keys()) {
        if !patches.contains(name) {
            wrong.push(format!("there is no patch {name}"));
        }
    }
    for (patch, named) in &table.tests {
        if named.is_empty() {
            wrong.push(format!("{patch}: no test is named"));
        }
        let missing = named.iter().filter_map(|name| find(name, tests).err());
        wrong.extend(missing.map(|why| format!("{patch}: {why}")));
    }
    for (patch, why) in &table.none {
        let (kind, more) = why.split_once(": ").unwrap_or_default();
        if kind.is_empty() || more.is_empty() {
            wrong.push(format!(
                "{patch}: `{why}` doesn't begin with a kind and `: `"
            ));
        }
    }
    wrong
}

/// Looks for a test; an error says what isn't there.
fn find(name: &str, tests: &Path) -> Result<(), String> {
    // A command may be in front, a row behind, which may have colons of its own.
    let test = match name.split_once(": ") {
        Some((command, test)) if command.starts_with("cargo xtask ") => test,
        _ => name,
    };
    let (test, row) = match test.split_once('#') {
        Some((test, row)) => (test, Some(row)),
        None => (test, None),
    };
    let parts: Vec<&str> = test.split("::").collect();
    let [suite, modules @ .., function] = &parts[..] else {
        return Err(format!("`{name}` names no suite"));
    };
    let (file, modules) = source(tests, suite, modules);
    let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut rest = &text[..];
    for module in modules {
        let begins = format!("mod {module} {{\n");
        let (_, within) = rest
            .split_once(&begins)
            .ok_or_else(|| format!("no module `{module}` in {}", file.display()))?;
        // Its end is the brace at the beginning of a line, as rustfmt has it.
        rest = within
            .split_once("\n}")
            .map_or(within, |(module, _)| module);
    }
    if !has_test(rest, function) {
        return Err(format!("no test `{function}` in {}", file.display()));
    }
    match row {
        Some(row) if !text.contains(&format!("\"{row}\"")) => {
            Err(format!("no row `{row}` in {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// The file that a test is in, and the modules within it.
fn source<'a>(tests: &Path, suite: &str, modules: &'a [&'a str]) -> (PathBuf, &'a [&'a str]) {
    let single = tests.join(format!("{suite}.rs"));
    match modules {
        [file, within @ ..] if !single.exists() => {
            (tests.join(suite).join(format!("{file}.rs")), within)
        }
        [] if !single.exists() => (tests.join(suite).join("main.rs"), modules),
        _ => (single, modules),
    }
}

/// Whether a function with these lines above it is a test that isn't left out.
fn is_run<'a, 'b: 'a>(above: impl Iterator<Item = &'a &'b str>) -> bool {
    let lines: Vec<&str> = above.copied().collect();
    lines.contains(&"#[test]") && !lines.iter().any(|line| line.starts_with("#[ignore"))
}

/// Whether there is such a function, and it is a test.
fn has_test(text: &str, function: &str) -> bool {
    let begins = format!("fn {function}(");
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let mut above = lines[..at].iter().rev();
        line.starts_with(&begins)
            && is_run(
                above
                    .by_ref()
                    .take_while(|line| line.starts_with("#[") || line.starts_with("//")),
            )
    })
}

mod tests {
    use super::super::patches;
    use super::*;
    use crate::paths;

    #[test]
    fn each_patch_has_tests_that_are_there_or_a_reason() {
        let root = paths::root();
        let text = fs::read_to_string(root.join("vendor/tests.toml")).unwrap();
        let patches = patches::load(&root.join("vendor/patches")).unwrap();
        assert!(!patches.is_empty());
        let names: Vec<_> = patches
            .iter()
            .map(|patch| patch.stem().to_owned())
            .collect();
        let wrong = wrong(&text, &names, &root.join("tests"));
        assert!(wrong.is_empty(), "vendor/tests.toml:\n{}", wrong.join("\n"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let text = "#[test]\n#[cfg(unix)]\nfn alone() {}\nfn helper() {}\n\
                    const ROWS: &[&str] = &[\"a: row\"];\n\
                    mod within {\n    // Why.\n    #[test]\n    fn inner() {}\n}\n";
        fs::write(dir.join("one.rs"), text).unwrap();
        fs::create_dir(dir.join("two")).unwrap();
        fs::write(dir.join("two/part.rs"), text).unwrap();
        let patches = ["0001-a".to_owned(), "0002-b".to_owned()];
        let check = |tests: &str, none: &str| {
            wrong(
                &format!("[tests]\n{tests}\n[none]\n{none}\n"),
                &patches,
                dir,
            )
        };
        let reason = "0002-b = 'speed: it is'";
        for name in [
            "one::alone",
            "one::alone#a: row",
            "one::within::inner",
            "two::part::alone",
            "two::part::within::inner",
            "cargo xtask some verb: one::alone#a: row",
        ] {
            let tests = format!("0001-a = ['{name}']");
            assert_eq!(check(&tests, reason), [""; 0], "{name}");
        }
        for (tests, none, says) in [
            ("", reason, "0001-a has no entry"),
            ("0001-a = []", reason, "no test is named"),
            ("0001-a = ['one::gone']", reason, "no test `gone`"),
            ("0001-a = ['one::helper']", reason, "no test `helper`"),
            ("0001-a = ['one::within::alone']", reason, "no test `alone`"),
            ("0001-a = ['one::out::inner']", reason, "no module `out`"),
            ("0001-a = ['one::alone#b']", reason, "no row `b`"),
            ("0001-a = ['three::alone']", reason, "three"),
            ("0001-a = ['alone']", reason, "names no suite"),
            ("0001-a = ['one::alone']", "0002-b = 'because'", "a kind"),
            (
                "0001-a = ['one::alone']\n0002-b = ['one::alone']",
                reason,
                "and has none",
            ),
            (
                "0001-a = ['one::alone']\n0003-c = ['one::alone']",
                reason,
                "no patch 0003-c",
            ),
            (
                "0001-a = ['one::alone']\n0001-a = ['one::alone']",
                reason,
                "duplicate",
            ),
        ] {
            let wrong = check(tests, none);
            assert!(
                wrong.iter().any(|why| why.contains(says)),
                "{says}: {wrong:?}"
            );
        }
    }
}
