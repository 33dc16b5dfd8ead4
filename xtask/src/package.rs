//! The package as it would be published: made, then looked into.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::error::{Error, IoContext, Result};
use crate::{features, paths, process, vendor};

/// Name of the published package.
const NAME: &str = "libwebsockets";

/// The registry accepts packages below this many bytes.
const MAX_SIZE: u64 = 10_000_000;

/// Files without which the package would not build.
const REQUIRED: &[&str] = &[
    "Cargo.toml",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "vendor/libwebsockets/CMakeLists.txt",
    "vendor/libwebsockets/LICENSE",
];

/// Runs `cargo package`, checks the result, and builds it and its documentation.
pub fn check() -> Result<()> {
    // Cargo would build it, too, but compile all that the package needs for that.
    let verb = ["package", "--offline", "--allow-dirty", "--no-verify", "-p"];
    process::run(process::cargo().args(verb).arg(NAME))?;
    let manifest = paths::root().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).doing("read", &manifest)?;
    let version = version(&text)
        .ok_or_else(|| Error::new(format!("{} has no package.version", manifest.display())))?;
    let stem = format!("{NAME}-{version}");
    let file = paths::target_dir().join(format!("package/{stem}.crate"));
    let size = file.metadata().doing("open", &file)?.len();
    let names = members(&file).doing("read", &file)?;
    judge(&stem, size, &names, &vendor::left_out()?).map_err(Error::new)?;
    println!("{stem}.crate: {} files, {size} bytes", names.len());
    build(&file, &stem, &documented_features(&text))
}

/// Builds the package, and its documentation as docs.rs does: from the package alone,
/// without a network. In the root's `exclude`, for it is no member of this workspace.
fn build(file: &Path, stem: &str, features: &str) -> Result<()> {
    let target = paths::target_dir();
    let folder = target.join("package/unpacked");
    if folder.exists() {
        fs::remove_dir_all(&folder).doing("remove", &folder)?;
    }
    let packed = File::open(file).doing("read", file)?;
    let unpacked = tar::Archive::new(GzDecoder::new(packed)).unpack(&folder);
    unpacked.doing("unpack", file)?;
    let package = folder.join(stem);
    let cargo = |verb: &[&str]| {
        let mut cargo = process::cargo();
        let features = ["--offline", "--quiet", "--features", features];
        cargo.args(verb).args(features).current_dir(&package);
        cargo
    };
    process::run(
        cargo(&["build", "--lib"])
            .env("CARGO_TARGET_DIR", target.join("package/built"))
            .env("CARGO_BUILD_BUILD_DIR", &target),
    )?;
    let mut doc = cargo(&["doc", "--no-deps"]);
    features::headers_only(&mut doc);
    process::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

/// The version in the root manifest.
fn version(manifest: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(manifest).ok()?;
    let own = table.get("package")?.get("version")?;
    let inherited = || {
        table
            .get("workspace")?
            .get("package")?
            .get("version")?
            .as_str()
    };
    own.as_str().or_else(inherited).map(str::to_string)
}

/// The features that docs.rs is told to turn on, comma-separated.
fn documented_features(manifest: &str) -> String {
    let features = || {
        let table: toml::Table = toml::from_str(manifest).ok()?;
        let metadata = table.get("package")?.get("metadata")?;
        let list = metadata
            .get("docs")?
            .get("rs")?
            .get("features")?
            .as_array()?;
        let names = list.iter().filter_map(toml::Value::as_str);
        Some(names.collect::<Vec<_>>().join(","))
    };
    features().unwrap_or_default()
}

/// The names in a `.crate` file.
fn members(file: &Path) -> std::io::Result<Vec<String>> {
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(file)?));
    let names = tar
        .entries()?
        .map(|entry| Ok(entry?.path()?.to_string_lossy().into_owned()));
    names.collect()
}

/// Whether size and content are right. What is left out of the C library has licences that
/// the package doesn't name.
fn judge(
    stem: &str,
    size: u64,
    names: &[String],
    left_out: &[PathBuf],
) -> std::result::Result<(), String> {
    if size >= MAX_SIZE {
        return Err(format!(
            "{stem}.crate has {size} bytes; it must stay below {MAX_SIZE}"
        ));
    }
    let tree = Path::new(stem).join("vendor/libwebsockets");
    let left_out: Vec<PathBuf> = left_out.iter().map(|path| tree.join(path)).collect();
    let is_left_out = |name: &&String| {
        left_out
            .iter()
            .any(|path| Path::new(name).starts_with(path))
    };
    if let Some(name) = names.iter().find(is_left_out) {
        return Err(format!(
            "{stem}.crate has {name}, which vendor/manifest.toml leaves out; run \
             `cargo xtask vendor --force`"
        ));
    }
    let inside = |file: &str| names.contains(&format!("{stem}/{file}"));
    match REQUIRED.iter().find(|file| !inside(file)) {
        None => Ok(()),
        Some(file) => Err(format!(
            "{stem}.crate lacks {file}; correct `include` in Cargo.toml"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_of_the_package() {
        let own = "[package]\nname = 'x'\nversion = '1.2.3'\n";
        assert_eq!(version(own).as_deref(), Some("1.2.3"));
        let inherited =
            "[workspace.package]\nversion = '2.0.0'\n[package]\nversion.workspace = true\n";
        assert_eq!(version(inherited).as_deref(), Some("2.0.0"));
        assert_eq!(version("[package]\nname = 'x'\n"), None);
    }

    #[test]
    fn features_for_docs_rs() {
        let text = "[package.metadata.docs.rs]\nfeatures = ['a', 'b']\n";
        assert_eq!(documented_features(text), "a,b");
        assert_eq!(documented_features("[package]\nname = 'x'\n"), "");
    }

    #[test]
    fn size_and_content_are_judged() {
        let all: Vec<_> = REQUIRED.iter().map(|file| format!("p-1/{file}")).collect();
        judge("p-1", 5, &all, &[]).unwrap();
        for (missing, file) in REQUIRED.iter().enumerate() {
            let mut names = all.clone();
            names.remove(missing);
            assert!(judge("p-1", 5, &names, &[]).unwrap_err().contains(file));
        }
        let names = all;
        assert!(judge("p-1", MAX_SIZE, &names, &[]).is_err());
    }

    #[test]
    fn what_is_left_out_is_not_in_the_package() {
        let mut names: Vec<_> = REQUIRED.iter().map(|file| format!("p-1/{file}")).collect();
        let left_out = [PathBuf::from("win32port/zlib")];
        names.push("p-1/vendor/libwebsockets/win32port/zlib.txt".into());
        judge("p-1", 5, &names, &left_out).unwrap();
        names.push("p-1/vendor/libwebsockets/win32port/zlib/zlib.h".into());
        let why = judge("p-1", 5, &names, &left_out).unwrap_err();
        assert!(why.contains("zlib.h"), "{why}");
    }
}
