//! `cargo xtask vendor` from end to end, in a made-up checkout with a made-up
//! archive: what goes wrong is said, and leaves everything as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::write::GzEncoder;
use flate2::Compression;
use sha2::{Digest, Sha256};

const GOOD_PATCH: &str = "--- a/lib/a.c\n+++ b/lib/a.c\n@@ -2 +2 @@\n-two\n+zwei\n";
const BAD_PATCH: &str = "--- a/lib/a.c\n+++ b/lib/a.c\n@@ -2 +2 @@\n-three\n+drei\n";

/// A checkout with an archive, removed when it is dropped.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Self {
        let checkout = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(checkout.path("xtask")).unwrap();
        fs::create_dir_all(checkout.path("vendor/patches")).unwrap();
        checkout.patch(GOOD_PATCH);
        checkout.archive(&archive("one\ntwo\n"));
        checkout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes these bytes the archive, and the one that the manifest names.
    fn archive(&self, bytes: &[u8]) {
        fs::write(self.path("archive.tar.gz"), bytes).unwrap();
        let hash = Sha256::digest(bytes);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let manifest = format!(
            "version = '1.0'\n[archive]\nfile = 'a.tar.gz'\nsize = {}\nsha256 = '{hash}'\n\
             [debian]\nsource = 's'\nsuite = 't'\n[keep]\npaths = ['lib', 'LICENSE']\n",
            bytes.len()
        );
        fs::write(self.path("vendor/manifest.toml"), manifest).unwrap();
    }

    fn patch(&self, text: &str) {
        fs::write(self.path("vendor/patches/0001-two.patch"), text).unwrap();
    }

    fn vendor(&self) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["vendor", "--archive"])
            .arg(self.path("archive.tar.gz"))
            .env("CARGO_MANIFEST_DIR", self.path("xtask"))
            .env("CARGO_TARGET_DIR", self.path("target"))
            .output()
            .unwrap()
    }

    /// Runs it; what it says.
    #[track_caller]
    fn succeeds(&self) -> String {
        let output = self.vendor();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs it after `change` to what was in order. It fails, says all this, leaves
    /// the tree as it was, and nothing half-made.
    #[track_caller]
    fn fails(&self, change: impl FnOnce(&Self), said: &[&str]) {
        self.succeeds();
        let tree = self.content("vendor/libwebsockets");
        change(self);
        let output = self.vendor();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "it went on");
        for part in said {
            assert!(text.contains(part), "{part:?} isn't in: {text}");
        }
        assert_eq!(self.content("vendor/libwebsockets"), tree);
        let below = ["vendor", "target"].map(|dir| self.content(dir));
        let mut names = below.iter().flat_map(BTreeMap::keys);
        let half_made = |name: &&String| name.starts_with(".libwebs") || name.ends_with(".part");
        assert_eq!(names.find(half_made), None);
    }

    /// The files below a folder, and what they hold.
    fn content(&self, dir: &str) -> BTreeMap<String, Vec<u8>> {
        let top = self.path(dir);
        let mut files = BTreeMap::new();
        collect(&top, &top, &mut files);
        files
    }
}

fn collect(dir: &Path, top: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, top, files);
        } else {
            let name = path.strip_prefix(top).unwrap().display().to_string();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// A `.tar.gz` with this `lib/a.c`, and so much more that half of it isn't whole.
fn archive(a_c: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let noise = (0..2000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string());
    for (name, text) in [
        ("top/LICENSE", "MIT\n"),
        ("top/docs/left-out", "text\n"),
        ("top/lib/a.c", a_c),
        ("top/lib/noise.c", &noise.collect::<String>()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_tree_is_made_and_patched_once_and_again_for_another_patch() {
    let checkout = Checkout::new();
    assert!(checkout.succeeds().contains("is ready, with 1 patch(es)"));
    let files = checkout.content("vendor/libwebsockets");
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(names, [".vendored", "LICENSE", "lib/a.c", "lib/noise.c"]);
    assert_eq!(files["lib/a.c"], b"one\nzwei\n");
    assert!(checkout.succeeds().contains("is up to date"));
    checkout.patch(&GOOD_PATCH.replace("zwei", "deux"));
    assert!(checkout.succeeds().contains("is ready"));
    let files = checkout.content("vendor/libwebsockets");
    assert_eq!(files["lib/a.c"], b"one\ndeux\n");
}

#[test]
fn a_tree_is_made_again_when_more_is_left_out() {
    let checkout = Checkout::new();
    checkout.succeeds();
    let file = checkout.path("vendor/manifest.toml");
    let manifest = fs::read_to_string(&file).unwrap();
    fs::write(&file, manifest + "[leave]\npaths = ['lib/noise.c']\n").unwrap();
    assert!(checkout.succeeds().contains("is ready"));
    let files = checkout.content("vendor/libwebsockets");
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(names, [".vendored", "LICENSE", "lib/a.c"]);
}

/// The lock's file can't be opened where a folder is in its place, whoever runs this.
#[test]
fn a_tree_that_is_up_to_date_needs_nothing_to_be_written() {
    let checkout = Checkout::new();
    checkout.succeeds();
    fs::remove_file(checkout.path("vendor/.lock")).unwrap();
    fs::create_dir(checkout.path("vendor/.lock")).unwrap();
    assert!(checkout.succeeds().contains("is up to date"));
    checkout.patch(&GOOD_PATCH.replace("zwei", "deux"));
    assert!(!checkout.vendor().status.success());
}

#[test]
fn another_archive_than_the_manifests_is_refused() {
    let other_of_the_same_size = |checkout: &Checkout| {
        let file = checkout.path("archive.tar.gz");
        let mut bytes = fs::read(&file).unwrap();
        bytes[20] ^= 1;
        fs::write(&file, bytes).unwrap();
    };
    let said = ["is not the archive", "expected:", "got:"];
    Checkout::new().fails(other_of_the_same_size, &said);
}

#[test]
fn an_archive_that_was_cut_is_called_truncated() {
    let cut = |checkout: &Checkout| {
        let file = checkout.path("archive.tar.gz");
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    };
    Checkout::new().fails(cut, &["is truncated"]);
}

// The manifest of a new version may be given the hash of a broken download.
#[test]
fn an_archive_that_ends_early_is_refused_though_its_hash_is_right() {
    let cut = |checkout: &Checkout| {
        let bytes = archive("one\ntwo\n");
        checkout.archive(&bytes[..bytes.len() / 2]);
    };
    Checkout::new().fails(cut, &["a.tar.gz", "damaged archive"]);
}

#[test]
fn a_patch_that_does_not_apply_is_named_with_its_hunk() {
    let change = |checkout: &Checkout| checkout.patch(BAD_PATCH);
    let said = ["0001-two.patch", "does not apply", "hunk 1", "`three`"];
    Checkout::new().fails(change, &said);
}
