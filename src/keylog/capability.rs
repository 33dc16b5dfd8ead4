//! What can be known of a key log before there is a context.

use super::config::Request;
use super::sink::Target;
use super::{KeyLog, Problem, Source};
use crate::ffi::keylog::{self as ffi, Variable};
use std::fmt;
use std::path::{Path, PathBuf};

/// Whether a key log would work in this process, and if not, why.
///
/// Made by [`KeyLog::capability`]. Its `Display` is for people: a line for each
/// fact, and one for each problem, which says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// The TLS library's name and version, as it tells them at run time.
    pub tls_library: String,
    /// Who would have asked for the log.
    pub requested_by: Source,
    /// The file, absolute, perhaps with placeholders; `None` where there is none.
    pub path: Option<PathBuf>,
    /// What would keep secrets from being logged, and what else should be known.
    pub problems: Vec<Problem>,
}

/// Whether the log that the environment asks for would work:
/// [`KeyLog::from_env`]'s [`capability`](KeyLog::capability).
pub fn capability() -> Capability {
    KeyLog::from_env().capability()
}

impl Capability {
    /// Whether secrets of a context that is built now would be logged, as far as
    /// can be told. Nothing is opened or created to find out: that a folder is read-only,
    /// or a file has the other format, is [`build`](crate::ContextBuilder::build)'s to say,
    /// and that the disk is full shows itself only later, in [`Stats`](super::Stats).
    pub fn is_capable(&self) -> bool {
        self.problems
            .iter()
            .all(|p| matches!(p, Problem::LibraryLogs | Problem::CallbackReplaced))
    }

    pub(super) fn of(config: &KeyLog) -> Self {
        let mut problems = tls_problems(ffi::probe());
        let (requested_by, target) = match &config.request {
            Request::Off => (Source::Off, None),
            Request::File(path) => (Source::Api, Some(Target::file(path))),
            Request::Other(target) => (Source::Api, Some(Ok(target.clone()))),
            Request::Environment => match ffi::read_variable() {
                Variable::Unset => (Source::Off, None),
                Variable::Ignored => {
                    problems.push(Problem::VariableIgnored);
                    (Source::Variable, None)
                }
                Variable::Set(value) => (Source::Variable, Some(Target::file(Path::new(&value)))),
            },
        };
        let path = match &target {
            Some(Ok(target)) => target
                .template()
                .map(|template| template.given().to_owned()),
            _ => None,
        };
        let usable = target.map(|target| target.and_then(|target| target.check(&config.options)));
        match usable {
            Some(Err(error)) => problems.push(Problem::PathRefused {
                reason: error.to_string(),
            }),
            Some(Ok(())) if !config.enabled => problems.push(Problem::Disabled),
            None if requested_by == Source::Off => problems.push(Problem::NoPath),
            _ => {}
        }
        Capability {
            tls_library: ffi::tls_library().to_owned(),
            requested_by,
            path,
            problems,
        }
    }
}

fn tls_problems(probe: Option<ffi::Probe>) -> Vec<Problem> {
    let mut problems = Vec::new();
    match probe {
        None => problems.push(Problem::NoHook),
        Some(probe) => {
            if !probe.keeps_callback {
                problems.push(Problem::NoCallback);
            }
            if probe.replaces_callback {
                problems.push(Problem::CallbackReplaced);
            }
            if probe.logs_by_itself {
                problems.push(Problem::LibraryLogs);
            }
        }
    }
    problems
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "TLS library: {}", self.tls_library)?;
        writeln!(f, "asked for by: {}", self.requested_by)?;
        if let Some(path) = &self.path {
            writeln!(f, "file: {path:?}")?;
        }
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        match self.is_capable() {
            true => f.write_str("secrets would be logged"),
            false => f.write_str("no secret would be logged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keylog::tests::Dir;
    use crate::keylog::MemoryLog;

    /// Lost: the reason, until the capture has been made in vain.
    #[test]
    fn it_tells_beforehand_what_a_context_would_say() {
        let dir = Dir::new("capability");
        let good = KeyLog::file(dir.path("keys.log"));
        let found = good.capability();
        assert!(found.is_capable(), "{found}");
        assert_eq!(found.requested_by, Source::Api);
        assert_eq!(found.path, Some(dir.path("keys.log")));
        assert!(found.tls_library.contains("SSL") || found.tls_library.contains("AWS-LC"));
        assert!(
            !dir.path("keys.log").exists(),
            "nothing is created to find out"
        );

        let off = good.enabled(false).capability();
        assert_eq!(off.problems, [Problem::Disabled]);
        let missing = KeyLog::file(dir.path("no/keys.log")).capability();
        let [Problem::PathRefused { reason }] = &missing.problems[..] else {
            panic!("{missing:?}");
        };
        assert!(reason.contains("does not exist: create it"));
        assert!(missing.to_string().ends_with("no secret would be logged"));
        let none = KeyLog::off().capability();
        assert_eq!(none.problems, [Problem::NoPath]);
        assert!(!none.is_capable());
        assert!(KeyLog::memory(&MemoryLog::new(100))
            .capability()
            .is_capable());
    }

    #[test]
    fn what_the_tls_library_lacks_is_a_problem_and_what_else_logs_a_note() {
        let good = ffi::Probe {
            keeps_callback: true,
            replaces_callback: false,
            logs_by_itself: false,
        };
        assert!(tls_problems(Some(good)).is_empty());
        let bad = ffi::Probe {
            keeps_callback: false,
            ..good
        };
        assert_eq!(tls_problems(Some(bad)), [Problem::NoCallback]);
        let both = ffi::Probe {
            replaces_callback: true,
            logs_by_itself: true,
            ..good
        };
        let notes = [Problem::CallbackReplaced, Problem::LibraryLogs];
        assert_eq!(tls_problems(Some(both)), notes);
        assert_eq!(tls_problems(None), [Problem::NoHook]);
    }
}
