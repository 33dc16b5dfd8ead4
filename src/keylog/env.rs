//! From a configuration to a running log: who asks, and whether they may.

use super::config::Request;
use super::log::{Control, Log};
use super::sink::Target;
use super::template::Template;
use super::{KeyLog, KeyLogError, KeyLogHandle, Problem, Source, TARGET};
use crate::ffi::keylog::{self as ffi, Variable};
use std::path::PathBuf;
use std::sync::Arc;

/// The name of the variable that [`KeyLog::from_env`] reads: what `LWS_KEYLOG_ENV`
/// said when this crate was built, else `LWS_SSLKEYLOGFILE`. `None` if it was
/// built with an empty name, and reads no variable.
///
/// The generic `SSLKEYLOGFILE` of browsers and other libraries is read only by
/// a build that was given that name; by this crate, that is: see
/// [`Problem::LibraryLogs`].
pub fn env_name() -> Option<&'static str> {
    ffi::env_name()
}

/// Starts the log of one context. Called once, when the context is built.
///
/// An error is the application's: what the environment asks for in vain is a
/// warning, and a problem in the log's statistics.
pub(crate) fn start(config: &KeyLog) -> Result<KeyLogHandle, KeyLogError> {
    // A context has done so; a unit test may have none.
    #[cfg(test)]
    assert!(crate::ffi::forks::watch());
    if ffi::library_logs() {
        log::warn!(target: TARGET, "{}", Problem::LibraryLogs);
    }
    match &config.request {
        Request::Off => open(config, Source::Off, None),
        Request::File(path) => open(config, Source::Api, Some(path.clone())),
        Request::Other(target) => begin(config, Source::Api, Some(target.clone())),
        Request::Environment => Ok(from_variable(config, ffi::read_variable())),
    }
}

/// The log that the variable asks for: never an error.
pub(super) fn from_variable(config: &KeyLog, variable: Variable) -> KeyLogHandle {
    let idle = |source, target, refused| new(config, source, target, refused);
    match variable {
        Variable::Unset => idle(Source::Off, None, None),
        Variable::Ignored => {
            log::warn!(target: TARGET, "{}", Problem::VariableIgnored);
            idle(Source::Variable, None, Some(Problem::VariableIgnored))
        }
        Variable::Set(value) => {
            let path = PathBuf::from(value);
            // Absolute even if it is refused: enable() may try it again later.
            let path = std::path::absolute(&path).unwrap_or(path);
            open(config, Source::Variable, Some(path.clone())).unwrap_or_else(|e| {
                let reason = e.to_string();
                log::warn!(
                    target: TARGET,
                    "{} asks for a key log, and there is none: {reason}",
                    Source::Variable
                );
                let refused = Problem::PathRefused { reason };
                {
                    let target = Template::parse(&path).ok().map(Target::File);
                    idle(Source::Variable, target, Some(refused))
                }
            })
        }
    }
}

fn open(
    config: &KeyLog,
    source: Source,
    path: Option<PathBuf>,
) -> Result<KeyLogHandle, KeyLogError> {
    let target = path.as_deref().map(Target::file).transpose()?;
    begin(config, source, target)
}

fn begin(
    config: &KeyLog,
    source: Source,
    target: Option<Target>,
) -> Result<KeyLogHandle, KeyLogError> {
    let handle = new(config, source, target, None);
    if config.enabled {
        handle.enable()?;
    } else {
        handle.log().check()?;
    }
    Ok(handle)
}

fn new(
    config: &KeyLog,
    source: Source,
    target: Option<Target>,
    refused: Option<Problem>,
) -> KeyLogHandle {
    let control = Control {
        source,
        target,
        queue: config.queue,
        options: Arc::new(config.options.clone()),
        auto_off: config.auto_off.clone(),
        refused,
    };
    KeyLogHandle::new(Log::new(control, config.filter.clone()))
}
