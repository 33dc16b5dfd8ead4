//! Says why a key log stays empty, and what is in one: validates, counts, merges,
//! splits, and cleans up. `--help` lists the options.

mod common;

use common::{Args, Fail};
use libwebsockets::keylog::{self, CleanPolicy, ConnectionSecrets, Connections, Input};
use libwebsockets::Context;
use std::path::{Path, PathBuf};
use std::time::Duration;

const HELP: &str = "\
keylog_doctor [OPTIONS] [FILE...]: without a file, tells whether a key log would work
here, and if not, why; else tells what is in the files, and which lines are torn.
A file is text, a pcapng file with secrets in it, or one of these compressed by gzip,
if the doctor was built with the feature keylog-gzip

  --merge PATH         write the records of all files, each once, to a new file
  --split DIR          write those of each connection to DIR/RANDOM.log, where RANDOM
                       is the client's random in hexadecimal
  --random HEX         of one connection only, with this random or its beginning
  --clean DIR          remove the key logs of dead processes from DIR
  --names NAMES        with --clean: what they are called; default keys-{pid}.log
  --min-age SECONDS    with --clean: leave what was written to less long ago
  --dry-run            with --clean: only tell what would be removed

It ends with status 1 if a line is torn, a file can't be read to its end, or no key log would
work.
";

fn main() -> std::process::ExitCode {
    common::exit(run())
}

fn run() -> Result<(), Fail> {
    let mut args = Args::new(HELP)?;
    let merge = args.path("--merge")?;
    let split = args.path("--split")?;
    let random: Option<String> = args.value("--random")?;
    let clean = args.path("--clean")?;
    let names = args.path("--names")?;
    let min_age: Option<u64> = args.value("--min-age")?;
    let dry_run = args.flag("--dry-run")?;
    let files = args.paths();
    args.finish()?;
    let of_files = merge.is_some() || split.is_some() || random.is_some();
    let of_cleaning = names.is_some() || min_age.is_some() || dry_run;
    if let Some(dir) = clean {
        if of_files || !files.is_empty() {
            let why = "--clean reads no files: give them, and --merge, --split and --random, in \
                       another run";
            return Err(why.into());
        }
        let names = names.unwrap_or_else(|| "keys-{pid}.log".into());
        let age = Duration::from_secs(min_age.unwrap_or(0));
        let policy = CleanPolicy::new(names)?.min_age(age).dry_run(dry_run);
        return clean_up(&dir, &policy, dry_run);
    }
    if of_cleaning {
        return Err("--names, --min-age and --dry-run go with --clean DIR".into());
    }
    let random = random.map(|random| prefix(&random)).transpose()?;
    if files.is_empty() {
        return match of_files {
            true => Err("--merge, --split and --random need files to read".into()),
            false => diagnose(),
        };
    }
    let (found, torn) = read(&files)?;
    let duplicates = found.duplicates();
    let chosen = choose(found, random.as_deref());
    report(&chosen, duplicates);
    if let Some(path) = merge {
        chosen.save(&path)?;
        println!("merged into {}", path.display());
    }
    if let Some(dir) = split {
        for connection in chosen.iter() {
            connection.save(dir.join(format!("{}.log", hex(connection.client_random()))))?;
        }
        println!("{} files in {}", chosen.len(), dir.display());
    }
    match torn {
        0 => Ok(()),
        n => Err(format!("{n} line(s) are torn or no records, or can't be read").into()),
    }
}

/// Checks whether the key log that the environment asks for would work.
fn diagnose() -> Result<(), Fail> {
    match keylog::env_name() {
        Some(name) => println!("variable: {name}"),
        None => println!("variable: this build reads none"),
    }
    let before = keylog::capability();
    println!("{before}");
    let context = Context::builder().build()?;
    let stats = context.keylog().stats();
    match (&stats.problem, before.is_capable()) {
        (None, _) => {
            println!("a context was built with it: the log is on");
            Ok(())
        }
        (Some(problem), true) => Err(problem.to_string().into()),
        (Some(_), false) => Err("the problems above keep secrets from being logged".into()),
    }
}

/// All records of the files, and the number of lines that aren't any.
fn read(files: &[PathBuf]) -> Result<(Connections, u64), Fail> {
    let mut found = Connections::new();
    let mut torn = 0;
    for path in files {
        let file = Input::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        for record in keylog::parse(file) {
            match record {
                Ok(record) => drop(found.add(record)),
                // A line that is no record; or the file's end, which was cut off or can't be read.
                Err(error) => {
                    println!("{}: {error}", path.display());
                    torn += 1;
                }
            }
        }
    }
    Ok((found, torn))
}

/// The beginning of a client random, in the form of [`hex`].
fn prefix(random: &str) -> Result<String, Fail> {
    let is_hex = random.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_hex && (1..=64).contains(&random.len()) {
        true => Ok(random.to_ascii_lowercase()),
        false => Err(format!("--random takes 1 to 64 hexadecimal digits, not {random:?}").into()),
    }
}

/// The connections whose random begins like this.
fn choose(found: Connections, random: Option<&str>) -> Connections {
    let Some(random) = random else {
        return found;
    };
    let matches = |c: &&ConnectionSecrets| hex(c.client_random()).starts_with(random);
    let mut chosen = Connections::new();
    for record in found.iter().filter(matches).flat_map(|c| c.records()) {
        chosen.add(record.clone());
    }
    chosen
}

fn report(found: &Connections, duplicates: u64) {
    println!("connections: {}", found.len());
    let count = |fits: fn(&ConnectionSecrets) -> bool| found.iter().filter(|c| fits(c)).count();
    println!(
        "with all that Wireshark needs: {}",
        count(ConnectionSecrets::is_decryptable)
    );
    println!(
        "with two secrets for one label: {}",
        count(|c| !c.conflicts().is_empty())
    );
    println!("records that were there twice: {duplicates}");
    for (label, n) in found.labels() {
        println!("{label}: {n}");
    }
}

fn clean_up(dir: &Path, policy: &CleanPolicy, dry_run: bool) -> Result<(), Fail> {
    let cleaned = keylog::clean(dir, policy)?;
    let verb = if dry_run {
        "would be removed"
    } else {
        "removed"
    };
    for path in &cleaned.removed {
        println!("{verb}: {}", path.display());
    }
    for (path, why) in &cleaned.left {
        println!("left: {}: {why}", path.display());
    }
    println!(
        "{verb}: {}, left: {}",
        cleaned.removed.len(),
        cleaned.left.len()
    );
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
