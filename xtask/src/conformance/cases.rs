//! Which cases of the suite are run.

use crate::error::{Error, Result};

/// A section of the suite: its number, how many cases it has, and the patterns of
/// those that the bounded form runs, with their number.
pub struct Section {
    pub number: u32,
    pub all: usize,
    quick: &'static [&'static str],
    quick_count: usize,
}

/// All cases of these sections. The suite has no 8, and 11 is empty.
pub const SECTIONS: &[Section] = &[
    whole(1, 16, &["1.*"]),
    whole(2, 11, &["2.*"]),
    whole(3, 7, &["3.*"]),
    whole(4, 10, &["4.*"]),
    whole(5, 20, &["5.*"]),
    whole(6, 145, &["6.*"]),
    whole(7, 37, &["7.*"]),
    // Up to 1 MiB in one frame, and 256 KiB in chops; a few thousand small messages.
    part(
        9,
        54,
        &[
            "9.1.1", "9.1.2", "9.1.3", "9.2.3", "9.3.5", "9.5.6", "9.7.1", "9.8.1",
        ],
        8,
    ),
    whole(10, 1, &["10.*"]),
    // The smallest messages, of a text and of what can't be compressed.
    part(12, 90, &["12.1.1", "12.5.1"], 2),
    // The smallest messages with each set of parameters.
    part(
        13,
        126,
        &[
            "13.1.1", "13.2.1", "13.3.1", "13.4.1", "13.5.1", "13.6.1", "13.7.1",
        ],
        7,
    ),
];

const fn whole(number: u32, all: usize, pattern: &'static [&'static str]) -> Section {
    part(number, all, pattern, all)
}

const fn part(
    number: u32,
    all: usize,
    quick: &'static [&'static str],
    quick_count: usize,
) -> Section {
    Section {
        number,
        all,
        quick,
        quick_count,
    }
}

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The bounded form.
    pub quick: bool,
    /// Patterns of the caller's instead.
    pub only: Vec<String>,
}

/// Reads a list of patterns such as `6.4.*,7.1.1`; refuses one that names no section of the
/// suite, which would run nothing and pass.
pub fn patterns(list: &str) -> Result<Vec<String>> {
    let is_known = |pattern: &str| match pattern.split_once('.') {
        None => pattern == "*",
        Some((section, _)) => SECTIONS.iter().any(|s| s.number.to_string() == section),
    };
    let patterns: Vec<String> = list.split(',').map(str::to_owned).collect();
    match patterns.iter().find(|pattern| !is_known(pattern)) {
        None => Ok(patterns),
        Some(pattern) => {
            let sections = SECTIONS.iter().map(|s| format!("{}.*", s.number));
            Err(Error::new(format!(
                "no case matches `{pattern}`; there are: {}",
                sections.collect::<Vec<_>>().join(", ")
            )))
        }
    }
}

/// Whether a pattern matches a case, such as `6.4.1`: a star stands for any text.
fn matches(pattern: &str, case: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == case,
        Some((start, rest)) => case.strip_prefix(start).is_some_and(|case| {
            (0..=case.len()).any(|at| case.get(at..).is_some_and(|end| matches(rest, end)))
        }),
    }
}

impl Selection {
    /// Those of the caller's patterns that match none of these cases.
    pub fn unmatched(&self, cases: &[String]) -> Vec<&str> {
        let is_unmatched = |pattern: &&str| !cases.iter().any(|case| matches(pattern, case));
        self.only
            .iter()
            .map(String::as_str)
            .filter(is_unmatched)
            .collect()
    }

    /// The patterns, as the suites take them.
    pub fn patterns(&self) -> Vec<String> {
        if !self.only.is_empty() {
            return self.only.clone();
        }
        let of = |section: &Section| match self.quick {
            true => section.quick.iter().map(|p| (*p).to_owned()).collect(),
            false => vec![format!("{}.*", section.number)],
        };
        SECTIONS.iter().flat_map(of).collect()
    }

    /// How many cases of a section there must be in the end; `None`: it isn't known.
    pub fn expected(&self, section: &Section) -> Option<usize> {
        match (self.only.is_empty(), self.quick) {
            (false, _) => None,
            (true, true) => Some(section.quick_count),
            (true, false) => Some(section.all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounded_form_counts_what_it_names() {
        for section in SECTIONS {
            let prefix = format!("{}.", section.number);
            assert!(section.quick.iter().all(|p| p.starts_with(&prefix)));
            if section.quick != [format!("{prefix}*")] {
                assert_eq!(section.quick.len(), section.quick_count);
            }
        }
        let total: usize = SECTIONS.iter().map(|section| section.all).sum();
        assert_eq!(total, 517);
    }

    #[test]
    fn patterns_that_match_nothing_are_found() {
        assert_eq!(patterns("6.4.*,13.1.1").unwrap(), ["6.4.*", "13.1.1"]);
        assert!(patterns("*").is_ok());
        for list in ["", "6.4.*,", "8.*", "11.1.1", "6", "x.*", "6.*, 7.*"] {
            assert!(patterns(list).is_err(), "{list:?}");
        }
        let selection = Selection {
            quick: false,
            only: ["6.4.*", "*.1", "6.*.2", "6.4", "7.1.1"]
                .map(Into::into)
                .into(),
        };
        let cases = ["6.4.1", "6.5.2"].map(String::from);
        assert_eq!(selection.unmatched(&cases), ["6.4", "7.1.1"]);
    }

    #[test]
    fn the_callers_patterns_replace_the_others() {
        let selection = Selection {
            quick: true,
            only: vec!["6.4.*".into()],
        };
        assert_eq!(selection.patterns(), ["6.4.*"]);
        assert_eq!(selection.expected(&SECTIONS[0]), None);
    }
}
