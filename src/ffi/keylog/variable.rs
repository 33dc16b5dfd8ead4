//! The variable that asks for a log.

use crate::ffi::sys;
#[cfg(not(windows))]
use std::ffi::c_char;
use std::ffi::{CStr, OsString};

/// What the environment says.
pub(crate) enum Variable {
    /// Nothing, or this build reads no variable.
    Unset,
    /// A path.
    Set(OsString),
    /// Something, but the process runs with raised privileges.
    #[cfg_attr(windows, allow(dead_code, reason = "there is no setuid"))]
    Ignored,
}

/// The variable's name, as the C code was compiled.
#[doc(alias = "lwsrs_keylog_env_name")]
pub(crate) fn env_name() -> Option<&'static str> {
    // SAFETY: the function has no precondition.
    let name = unsafe { sys::lwsrs_keylog_env_name() };
    // SAFETY: it returns a string literal, never NULL.
    let name = unsafe { CStr::from_ptr::<'static>(name) };
    name.to_str().ok().filter(|name| !name.is_empty())
}

/// Reads the variable, now.
#[cfg(not(windows))]
#[doc(alias = "lwsrs_keylog_env_read")]
pub(crate) fn read_variable() -> Variable {
    let mut value: *const c_char = std::ptr::null();
    // SAFETY: `value` is valid for a write. The environment is read as by any
    // getenv(3): who changes it meanwhile breaks the rules of std::env::set_var.
    let found = unsafe { sys::lwsrs_keylog_env_read(&mut value) };
    match u32::try_from(found) {
        Ok(sys::LWSRS_KEYLOG_ENV_IGNORED) => Variable::Ignored,
        Ok(sys::LWSRS_KEYLOG_ENV_SET) if !value.is_null() => {
            // SAFETY: the C function left a string of the environment, which is
            // copied at once.
            let value = unsafe { CStr::from_ptr(value) };
            path_value(value).map_or(Variable::Unset, Variable::Set)
        }
        _ => Variable::Unset,
    }
}

/// Reads the variable, now. C has a copy of the environment from the program's
/// start here, in the ANSI code page, which can't hold every path.
#[cfg(windows)]
pub(crate) fn read_variable() -> Variable {
    env_name()
        .and_then(std::env::var_os)
        .filter(|value| !value.is_empty())
        .map_or(Variable::Unset, Variable::Set)
}

#[cfg(unix)]
fn path_value(value: &CStr) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt;
    Some(OsString::from_vec(value.to_bytes().to_vec()))
}
