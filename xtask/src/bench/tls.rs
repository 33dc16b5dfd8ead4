//! `cargo xtask bench tls`: what a handshake costs a server, by the TLS library.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::options;
use super::programs::{Load, Programs, Server};
use super::ratio::Comparison;
use crate::error::Result;
use crate::{setup, vendor};

const SERVER: &str = "handshake_server";
const CLIENT: &str = "handshake_client";
const RUSTLS: &str = "rustls_server";

/// Connections between two looks at the clock.
const SLICE: u32 = 200;

/// Connections at once.
const PARALLEL: u32 = 8;

/// Unless `--rounds` says otherwise.
const ROUNDS: u32 = 20;

pub const HELP: &str = "\
Usage: cargo xtask bench tls [--rounds N]

  --rounds N   rounds of each pair of servers (default 20)
";

/// Runs the benchmark.
pub fn run(args: &[String]) -> Result<()> {
    let rounds = rounds(args)?;
    super::needs_linux("bench")?;
    setup::run()?;
    setup::satisfy(&[setup::CXX])?;
    vendor::run(&vendor::Options::default())?;
    let openssl = Programs::build("tls-openssl", &["tls"], &[SERVER, CLIENT, RUSTLS])?;
    let aws_lc = Programs::build("tls-aws-lc", &["aws-lc"], &[SERVER])?;
    let bench = Bench {
        rounds,
        client: openssl.path(CLIENT),
    };
    let (openssl, aws_lc, rustls) = (
        openssl.path(SERVER),
        aws_lc.path(SERVER),
        openssl.path(RUSTLS),
    );
    for (version, options) in [("1.3", &[][..]), ("1.2", &["--tls12"])] {
        println!(
            "\nTLS {version}: {rounds} rounds of {SLICE} handshakes, {PARALLEL} at once, in turn: \
             medians, and in brackets the quartiles, of the ratios\n  {:<28} {:>15} {:>24} {:>31}",
            "", "server CPU, µs", "ratio of CPU", "ratio of handshakes/s"
        );
        for (name, base, other) in [
            ("system OpenSSL → AWS-LC", &openssl, &aws_lc),
            ("rustls with ring → AWS-LC", &rustls, &aws_lc),
            ("rustls with ring → OpenSSL", &rustls, &openssl),
        ] {
            super::keylog::row(name, &bench.compare(base, other, options)?);
        }
    }
    println!("\nA ratio above 1: the second takes less time, or makes more handshakes.");
    Ok(())
}

fn rounds(args: &[String]) -> Result<u32> {
    let mut rounds = ROUNDS;
    let mut args = args.iter();
    while let Some(name) = args.next() {
        match name.as_str() {
            "--rounds" => rounds = options::count(name, &mut args)?,
            _ => return Err(options::unknown("tls", name, "`--rounds` alone")),
        }
    }
    Ok(rounds)
}

struct Bench {
    rounds: u32,
    client: PathBuf,
}

impl Bench {
    /// Two servers that run at the same time, and serve in turn.
    fn compare(&self, base: &Path, other: &Path, options: &[&str]) -> Result<Comparison> {
        let load = Load {
            client: &self.client,
            count: SLICE,
            parallel: PARALLEL,
            options,
        };
        let base = [Server::start(&mut Command::new(base))?];
        let other = [Server::start(&mut Command::new(other))?];
        // What is done for the first connections alone.
        for servers in [&base, &other] {
            load.run(servers)?;
        }
        Comparison::measure(self.rounds, |second| {
            load.run(if second { &other } else { &base })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_a_number_above_none() {
        let args = |list: &[&str]| -> Vec<String> { list.iter().map(|s| s.to_string()).collect() };
        assert_eq!(rounds(&[]).unwrap(), ROUNDS);
        assert_eq!(rounds(&args(&["--rounds", "3"])).unwrap(), 3);
        for wrong in [&["--rounds"][..], &["--rounds", "0"], &["3"]] {
            assert!(rounds(&args(wrong)).is_err(), "{wrong:?}");
        }
        let why = rounds(&args(&["--tls", "aws-lc"])).unwrap_err();
        assert!(why.to_string().contains("`--tls`"), "{why}");
    }
}
