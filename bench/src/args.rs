//! The options of a program.

use crate::Fail;
use std::str::FromStr;

/// What is left of the command line.
pub struct Args(Vec<String>);

impl Args {
    /// All of it.
    pub fn from_env() -> Self {
        Args(std::env::args().skip(1).collect())
    }

    /// Takes an option with a value, if it was given.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Fail> {
        let Some(at) = self.0.iter().position(|arg| arg == name) else {
            return Ok(None);
        };
        self.0.remove(at);
        if at == self.0.len() {
            return Err(format!("{name} needs a value").into());
        }
        let value = self.0.remove(at);
        let parsed = value.parse();
        let parsed = parsed.map_err(|_| format!("{name} does not take {value:?}"))?;
        Ok(Some(parsed))
    }

    /// The same for one that must be there.
    pub fn required<T: FromStr>(&mut self, name: &str) -> Result<T, Fail> {
        let value = self.value(name)?;
        value.ok_or_else(|| format!("{name} is missing").into())
    }

    /// Takes an option without a value; whether it was given.
    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|arg| arg == name);
        at.map(|at| self.0.remove(at)).is_some()
    }

    /// Refuses what nobody has taken.
    pub fn finish(self) -> Result<(), Fail> {
        match self.0.first() {
            None => Ok(()),
            Some(left) => Err(format!("unknown argument {left:?}").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[&str]) -> Args {
        Args(list.iter().map(|arg| arg.to_string()).collect())
    }

    #[test]
    fn options_are_taken_in_any_order_and_the_rest_is_refused() {
        let mut given = args(&["--flag", "--count", "7", "more"]);
        assert_eq!(given.required::<u32>("--count").unwrap(), 7);
        assert_eq!(given.value::<u32>("--count").unwrap(), None);
        assert!(given.flag("--flag") && !given.flag("--flag"));
        assert!(given.finish().unwrap_err().to_string().contains("more"));
    }

    #[test]
    fn values_that_are_missing_or_wrong_are_errors() {
        assert!(args(&["--count"]).value::<u32>("--count").is_err());
        assert!(args(&["--count", "x"]).value::<u32>("--count").is_err());
        assert!(args(&[]).required::<u32>("--count").is_err());
    }
}
