//! Command-line options, read from left to right. The help text defines them: each
//! option is at the start of a line, followed by its value's name if it takes one.

use super::Fail;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

/// A program's arguments. It takes the options one by one.
pub struct Args {
    /// Names and values.
    options: Vec<(String, OsString)>,
    others: Vec<OsString>,
}

impl Args {
    /// The program's arguments. `--help` prints the help and ends the program.
    pub fn new(help: &str) -> Result<Self, Fail> {
        let mut args = Args {
            options: Vec::new(),
            others: Vec::new(),
        };
        let mut words = std::env::args_os().skip(1);
        while let Some(word) = words.next() {
            if word == "--help" || word == "-h" {
                print!("{help}");
                std::process::exit(0);
            }
            match listed(help).find(|(name, _)| word == *name) {
                Some((name, false)) => args.options.push((name.into(), OsString::new())),
                Some((name, true)) => match words.next() {
                    Some(value) => args.options.push((name.into(), value)),
                    None => return Err(format!("{name} needs a value").into()),
                },
                None if looks_like_an_option(&word) => return Err(unknown(&word)),
                None => args.others.push(word),
            }
        }
        Ok(args)
    }

    /// Whether an option without a value is there.
    pub fn flag(&mut self, name: &str) -> Result<bool, Fail> {
        Ok(self.once(name)?.is_some())
    }

    /// The value of an option.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Fail>
    where
        T::Err: Display,
    {
        let Some(value) = self.once(name)? else {
            return Ok(None);
        };
        let text = utf8(name, value)?;
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(format!("{name} {text}: {error}").into()),
        }
    }

    /// The file that an option names.
    pub fn path(&mut self, name: &str) -> Result<Option<PathBuf>, Fail> {
        match self.once(name)? {
            // More likely the value was forgotten, and a key log must not go there.
            Some(value) if looks_like_an_option(&value) => {
                Err(format!("{name} needs a path, not {value:?}").into())
            }
            value => Ok(value.map(PathBuf::from)),
        }
    }

    /// The values of an option that may be repeated.
    pub fn values(&mut self, name: &str) -> Result<Vec<String>, Fail> {
        let values = self.take(name).into_iter();
        values.map(|value| utf8(name, value)).collect()
    }

    /// The next argument that isn't an option; `what` it is, for errors.
    pub fn positional(&mut self, what: &str) -> Result<Option<String>, Fail> {
        if self.others.is_empty() {
            return Ok(None);
        }
        utf8(what, self.others.remove(0)).map(Some)
    }

    /// All further arguments that aren't options, as paths.
    pub fn paths(&mut self) -> Vec<PathBuf> {
        self.others.drain(..).map(PathBuf::from).collect()
    }

    /// Refuses arguments that weren't taken.
    pub fn finish(self) -> Result<(), Fail> {
        let options = self.options.iter().map(|(name, _)| OsStr::new(name));
        let others = self.others.iter().map(OsString::as_os_str);
        match options.chain(others).next() {
            Some(word) => Err(unknown(word)),
            None => Ok(()),
        }
    }

    fn once(&mut self, name: &str) -> Result<Option<OsString>, Fail> {
        let mut values = self.take(name);
        if values.len() > 1 {
            return Err(format!("{name} is given {} times, not once", values.len()).into());
        }
        Ok(values.pop())
    }

    fn take(&mut self, name: &str) -> Vec<OsString> {
        let of_name = self.options.extract_if(.., |(own, _)| own == name);
        of_name.map(|(_, value)| value).collect()
    }
}

/// The options in a help text, and whether they take a value: its name comes
/// after one space, an explanation after more.
fn listed(help: &str) -> impl Iterator<Item = (&str, bool)> {
    help.lines().filter_map(|line| {
        let (name, rest) = line.trim_start().split_once(' ')?;
        looks_like_an_option(OsStr::new(name)).then_some((name, !rest.starts_with(' ')))
    })
}

fn looks_like_an_option(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"--")
}

fn utf8(name: &str, value: OsString) -> Result<String, Fail> {
    let text = value.into_string();
    text.map_err(|value| format!("{name} {value:?} isn't UTF-8").into())
}

fn unknown(word: &OsStr) -> Fail {
    format!("unknown argument {word:?}; --help tells what there is").into()
}
