//! Development tasks, run as `cargo xtask VERB`.

mod api;
mod bench;
mod ci;
mod compiler_cache;
mod conformance;
mod debian;
mod demo;
mod error;
mod features;
mod fuzz;
mod lock;
mod msrv;
mod package;
mod paths;
mod process;
mod sanitize;
mod setup;
mod soak;
mod std_sources;
mod system;
mod test;
mod tls;
mod tools;
mod valgrind;
mod vendor;
mod windows;

use std::process::ExitCode;

use error::{Error, Result};

const HELP: &str = "\
Usage: cargo xtask VERB [ARGS]

Verbs:
  setup                           install the system packages the build needs
  vendor [--archive FILE] [--force] [--without PATCH]
                                  fetch, verify, unpack and patch the C library
                                    --archive FILE  use this archive, do not fetch
                                    --force         redo it even if up to date
                                    --without PATCH make a tree without this patch below
                                                    target/, to watch its tests fail
  demo [-- ARGS]                  setup, vendor, then run the `keylog` example
  test [--allow-skips] [--tls NAME] [ARGS]
                                  setup, vendor, then `cargo test --workspace ARGS`
                                    --allow-skips   leave out tests for which this machine
                                                    lacks something
                                    --tls NAME      the tests that meet the TLS library,
                                                    with `system` OpenSSL, `vendored`,
                                                    `openssl-1.1.1`, `openssl-sslkeylog`
                                                    or `aws-lc`
  ci [--all] [--allow-skips]      format, lint, documentation, public API, package,
                                  sanitizer, fuzz targets, Windows, and soak, bench echo
                                  and conformance in short
                                    --all           also what takes long: AWS-LC, features,
                                                    the oldest Rust
                                    --allow-skips   pass although this machine lacks what
                                                    a check, or a test, takes
  sanitize address|thread|undefined [-- ARGS]
                                  run the tests under a sanitizer, the C library included
  system [--only SUITE,...] [-- ARGS]
                                  install the vendored library below target/, run the
                                  tests with it instead of one of the build's own
  features [--depth N] [--compile]
                                  check every pair of features (sets of up to N)
                                    --compile  the C library for each set, too
  api [--update]                  compare the public API with tests/api.txt
                                    --update  write that file
  msrv                            check with the oldest Rust that is supported
  valgrind                        run the examples under Valgrind
  fuzz [--seconds N] [TARGET...]  run the fuzz targets, 60 s each unless told otherwise
  windows [--keylog] [-- ARGS]    build for Windows with mingw, run the tests under Wine
                                    --keylog        only those of the key log
  soak [--quick] [--seed N] [NAME...]
                                  put servers under load and faults, in all scenarios or
                                  in those named
                                    --quick         in a minute, with less of each
                                    --seed N        other malformed frames
  bench [NAME] [ARGS]             run a benchmark, or all; print ratios, and goals missed
  conformance [--quick] [--suite NAME] [--cases LIST]
                                  run the Autobahn|Testsuite's cases against our server
                                  and our client, plain and over TLS
                                    --quick         less than 90 seconds, for CI
                                    --suite NAME    autobahntestsuite or kosoku
                                    --cases LIST    such as 6.4.*,7.1.1
  help                            show this text
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Exit(code)) => ExitCode::from(code),
        // A verb that was named and has run nothing has failed, too.
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the verb named by the first argument.
fn dispatch(args: &[String]) -> Result<()> {
    let Some((verb, rest)) = args.split_first() else {
        eprint!("{HELP}");
        return Err(Error::Exit(2));
    };
    if rest.first().is_some_and(|a| a == "--help" || a == "-h") {
        print!("{HELP}");
        return Ok(());
    }
    match verb.as_str() {
        "setup" => no_args(verb, rest).and_then(|()| setup::run()),
        "vendor" => vendor::Options::parse(rest).and_then(|o| vendor::run(&o)),
        "demo" => demo::run(rest),
        "test" => test::run(rest),
        "ci" => ci::run(rest),
        "sanitize" => sanitize::run(rest),
        "system" => system::run(rest),
        "features" => features::run(rest),
        "api" => api::run(rest),
        "msrv" => no_args(verb, rest).and_then(|()| msrv::run()),
        "valgrind" => no_args(verb, rest).and_then(|()| valgrind::run()),
        "fuzz" => fuzz::run(rest),
        "windows" => windows::run(rest),
        "soak" => soak::run(rest),
        "bench" => bench::run(rest),
        "conformance" => conformance::Options::parse(rest).and_then(|o| conformance::run(&o)),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(Error::new(format!(
            "no verb `{other}`; `cargo xtask help` lists them"
        ))),
    }
}

/// Refuses arguments for a verb that takes none.
fn no_args(verb: &str, rest: &[String]) -> Result<()> {
    match rest.first() {
        None => Ok(()),
        Some(arg) => Err(Error::new(format!(
            "`{verb}` takes no arguments, but got `{arg}`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| s.to_string()).collect()
    }

    #[test]
    fn unknown_verb_is_refused() {
        let err = dispatch(&args(&["frobnicate"])).unwrap_err();
        assert!(err.to_string().contains("no verb `frobnicate`"));
    }

    #[test]
    fn verb_without_arguments_refuses_them() {
        assert!(no_args("setup", &args(&[])).is_ok());
        assert!(no_args("setup", &args(&["now"])).is_err());
    }
}
