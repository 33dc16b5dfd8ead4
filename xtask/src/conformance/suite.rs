//! The suite itself, from PyPI: Autobahn's own, which needs Python 2.7, or kosoku,
//! which runs the same cases on Python 3. Each gets an environment of its own.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, IoContext, Result};
use crate::process::{self, find_program};
use crate::{paths, setup};

const AUTOBAHN: &str = "autobahntestsuite==25.10.1";
const KOSOKU: &str = "kosoku==0.1.0";
/// The newest that makes environments for Python 2.7.
const VIRTUALENV: &str = "virtualenv==20.15.1";

/// In an environment that is whole: what was installed.
const STAMP: &str = "installed";

/// Which suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// autobahntestsuite.
    Autobahn,
    /// kosoku, which speaks no TLS: a relay does.
    Kosoku,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Autobahn => "autobahntestsuite",
            Kind::Kosoku => "kosoku",
        }
    }

    /// The kind that the caller names.
    pub fn parse(name: &str) -> Result<Self> {
        [Kind::Autobahn, Kind::Kosoku]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Error::new(format!("no suite `{name}`: autobahntestsuite or kosoku")))
    }
}

/// A suite that is installed.
pub struct Suite {
    pub kind: Kind,
    /// The environment.
    dir: PathBuf,
}

/// Where everything of this verb is.
pub fn home() -> PathBuf {
    paths::target_dir().join("conformance")
}

impl Suite {
    /// The suite that was asked for; else Autobahn's own where there is a Python 2.7
    /// for it. The bounded form takes the one that is installed within seconds.
    pub fn prepare(wanted: Option<Kind>, quick: bool) -> Result<Self> {
        let python2 = || find_python2().map(|python| (Kind::Autobahn, python));
        let found = match wanted {
            Some(Kind::Kosoku) => None,
            Some(Kind::Autobahn) => Some(python2().ok_or_else(|| {
                Error::new("there is no python2.7, in PATH or below pyenv's versions")
            })?),
            None if quick => None,
            None => python2(),
        };
        let (kind, python) = match found {
            Some(found) => found,
            None => {
                if wanted.is_none() && !quick {
                    println!("conformance: no python2.7 here, so not Autobahn's own runner");
                }
                setup::satisfy(&[setup::PYTHON])?;
                let none = || Error::new("kosoku needs Python 3.10 or newer with venv");
                (Kind::Kosoku, find_python3().ok_or_else(none)?)
            }
        };
        let suite = Suite {
            kind,
            dir: home().join(kind.name()),
        };
        suite.install(&python)?;
        println!("conformance: the suite is {}", suite.describe());
        Ok(suite)
    }

    /// Its name and version, and on what it runs.
    fn describe(&self) -> String {
        match self.kind {
            Kind::Autobahn => format!("{AUTOBAHN} on Python 2.7"),
            Kind::Kosoku => format!("{KOSOKU} on Python 3 (Autobahn's cases, a runner of its own)"),
        }
    }

    fn package(&self) -> &'static str {
        match self.kind {
            Kind::Autobahn => AUTOBAHN,
            Kind::Kosoku => KOSOKU,
        }
    }

    /// A command of the environment.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.dir.join("bin").join(name));
        // Old packages warn of an old Python each time.
        command
            .env("PYTHONWARNINGS", "ignore")
            .env("PYTHONUNBUFFERED", "1");
        command.stdin(Stdio::null());
        command
    }

    /// Makes the environment, unless it is there.
    fn install(&self, python: &Path) -> Result<()> {
        let wanted = format!("{} {}", self.package(), python.display());
        let stamp = self.dir.join(STAMP);
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        println!("conformance: installing {} with pip ...", self.package());
        paths::remove(&self.dir)?;
        fs::create_dir_all(home()).doing("create", &home())?;
        match self.kind {
            Kind::Kosoku => {
                let mut venv = Command::new(python);
                logged(venv.args(["-m", "venv"]).arg(&self.dir))?;
            }
            Kind::Autobahn => {
                // Python 2.7 has no venv of its own.
                let tool = home().join("virtualenv");
                let mut pip = Command::new(python);
                pip.args(["-m", "pip", "install", "--upgrade", VIRTUALENV, "--target"]);
                logged(pip.arg(&tool))?;
                let mut virtualenv = Command::new(python);
                virtualenv.args(["-m", "virtualenv"]).arg(&self.dir);
                logged(virtualenv.env("PYTHONPATH", &tool))?;
            }
        }
        logged(
            self.command("python")
                .args(["-m", "pip", "install", self.package()]),
        )?;
        fs::write(&stamp, wanted).doing("write", &stamp)
    }
}

/// Runs a command whose output is only of interest if it fails.
fn logged(command: &mut Command) -> Result<()> {
    let log = home().join("install.log");
    let open = || File::create(&log).doing("create", &log);
    command.stdin(Stdio::null()).stdout(open()?);
    command.stderr(
        File::options()
            .append(true)
            .open(&log)
            .doing("open", &log)?,
    );
    if process::status(command)?.success() {
        return Ok(());
    }
    let text = fs::read_to_string(&log).unwrap_or_default();
    Err(Error::new(format!("{command:?} failed:\n{text}")))
}

/// A Python 2.7 that runs, and has pip. pyenv's command of that name doesn't run
/// where another version is chosen, so that its versions are looked at, too.
fn find_python2() -> Option<PathBuf> {
    let pyenv = env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let versions = pyenv.and_then(|root| fs::read_dir(root.join("versions")).ok());
    let of_pyenv = versions.into_iter().flatten().flatten();
    let of_pyenv = of_pyenv.map(|version| version.path().join("bin/python2.7"));
    find_program("python2.7")
        .into_iter()
        .chain(of_pyenv)
        .find(|python| imports(python, "pip", (2, 7)..(2, 8)))
}

/// A Python 3 that kosoku runs on.
pub fn find_python3() -> Option<PathBuf> {
    [
        "python3",
        "python3.13",
        "python3.12",
        "python3.11",
        "python3.10",
    ]
    .iter()
    .filter_map(|name| find_program(name))
    .find(|python| imports(python, "venv, ensurepip", (3, 10)..(4, 0)))
}

/// Whether a Python is of these versions, and has these modules.
fn imports(python: &Path, modules: &str, versions: std::ops::Range<(u32, u32)>) -> bool {
    let code = format!("import {modules}, sys; print('%d.%d' % sys.version_info[:2])");
    let Ok(Some(text)) = process::output(Command::new(python).args(["-c", &code])) else {
        return false;
    };
    let version = text.trim().split_once('.');
    let version = version.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    version.is_some_and(|version| versions.contains(&version))
}
