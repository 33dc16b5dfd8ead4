//! What the benchmarks make of their arguments.

use std::slice::Iter;

use crate::error::{Error, Result};

/// An option with the value that follows it.
pub fn value<'a>(name: &str, args: &mut Iter<'a, String>, taken: &str) -> Result<&'a str> {
    let value = args.next().map(String::as_str);
    value.ok_or_else(|| Error::new(format!("`{name}` needs a value: {taken}")))
}

/// The same, for a number above 0.
pub fn count(name: &str, args: &mut Iter<'_, String>) -> Result<u32> {
    let taken = "a number above 0";
    let value = value(name, args, taken)?;
    let count = value.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| not_taken(name, value, taken))
}

/// A value that an option doesn't take.
pub fn not_taken(name: &str, value: &str, taken: &str) -> Error {
    Error::new(format!("`{name}` takes {taken}, not `{value}`"))
}

/// An argument that a benchmark doesn't know.
pub fn unknown(benchmark: &str, given: &str, taken: &str) -> Error {
    Error::new(format!(
        "`bench {benchmark}` doesn't know `{given}`; it takes {taken}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_what_is_taken() {
        let said = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            count("--rounds", &mut list.iter()).map_err(|why| why.to_string())
        };
        assert_eq!(said(&["3", "4"]), Ok(3));
        let none = said(&[]).unwrap_err();
        assert_eq!(none, "`--rounds` needs a value: a number above 0");
        for wrong in ["0", "-1", "many"] {
            let why = said(&[wrong]).unwrap_err();
            assert_eq!(
                why,
                format!("`--rounds` takes a number above 0, not `{wrong}`")
            );
        }
    }
}
