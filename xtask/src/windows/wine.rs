//! Wine, with a prefix of its own: nothing of the user's is touched, no window
//! is shown, and its server ends with the verb.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::COMPILER;
use crate::error::{Error, IoContext, Result};
use crate::lock;
use crate::paths;
use crate::process::{self, find_program, MUCH_PATIENCE, PATIENCE};

/// Where Debian has the programs themselves; `wine` in PATH is a script there
/// that tells whoever has no 32-bit Wine to install it.
const DEBIAN: &str = "/usr/lib/wine";

/// In a prefix that is whole: the Wine that it was made by.
const STAMP: &str = "made-by";

const DLL: &str = "bcryptprimitives.dll";

/// Wine with a prefix that is ready. Its server is stopped when this is dropped.
pub struct Wine {
    program: PathBuf,
    server: PathBuf,
    prefix: PathBuf,
    /// Given back once the server was stopped, which ends all programs in the prefix.
    _alone: File,
}

/// Wine's program for 64-bit programs, and its server.
pub fn find() -> Option<(PathBuf, PathBuf)> {
    let program = find_any("wine64").or_else(|| find_program("wine"))?;
    Some((program, find_any("wineserver")?))
}

fn find_any(name: &str) -> Option<PathBuf> {
    let debian = Path::new(DEBIAN).join(name);
    Some(debian)
        .filter(|path| path.is_file())
        .or_else(|| find_program(name))
}

impl Wine {
    /// Makes the prefix, if the present Wine hasn't made it already.
    pub fn prepare() -> Result<Wine> {
        let (program, server) = find().ok_or_else(|| Error::new("there is no Wine"))?;
        let folder = paths::target_dir().join("windows");
        fs::create_dir_all(&folder).doing("create", &folder)?;
        let wine = Wine {
            program,
            server,
            // Not in the prefix, which is removed to be made anew.
            _alone: lock::insist(&folder.join("prefix.lock"))?,
            prefix: folder.join("prefix"),
        };
        let version = process::output(Command::new(&wine.program).arg("--version"))?;
        let version = version.unwrap_or_default();
        let stamp = wine.prefix.join(STAMP);
        if fs::read_to_string(&stamp).is_ok_and(|made_by| made_by == version) {
            return Ok(wine);
        }
        println!("windows: preparing {} ...", version.trim());
        paths::remove(&wine.prefix)?;
        fs::create_dir_all(&wine.prefix).doing("create", &wine.prefix)?;
        wine.run(&["wineboot", "--init"])?;
        wine.wait()?;
        // Rust's standard library needs it.
        let key = r"HKEY_CURRENT_USER\Software\Wine";
        wine.run(&["reg", "add", key, "/v", "Version", "/d", "win10", "/f"])?;
        let dll = wine.prefix.join("drive_c/windows/system32").join(DLL);
        if !dll.is_file() {
            let source = paths::root().join("xtask/windows/bcryptprimitives.c");
            let mut compile = Command::new(COMPILER);
            compile.args(["-O2", "-Wall", "-shared", "-o"]).arg(&dll);
            process::run(compile.arg(source).arg("-ladvapi32"))?;
        }
        fs::write(&stamp, version).doing("write", &stamp)?;
        Ok(wine)
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Lets a command, and what it starts, use this prefix, without a window.
    pub fn enter<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            // Wine would offer to download these two.
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
    }

    /// Runs one of Wine's own programs.
    fn run(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let ended = process::status_within(self.enter(&mut command), MUCH_PATIENCE)?;
        if ended.success() {
            return Ok(());
        }
        Err(Error::new(format!("Wine fails at `{}`", args.join(" "))))
    }

    /// Waits until all programs in the prefix have ended, and its files are written.
    fn wait(&self) -> Result<()> {
        let mut command = Command::new(&self.server);
        let ended = process::status_within(self.enter(command.arg("-w")), MUCH_PATIENCE)?;
        match ended.success() {
            true => Ok(()),
            false => Err(Error::new(format!("Wine's server ended with {ended}"))),
        }
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        // Whether there is still one to be stopped doesn't matter.
        let mut command = Command::new(&self.server);
        let _ = process::status_within(self.enter(command.arg("-k")), PATIENCE);
    }
}
