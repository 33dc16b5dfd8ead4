//! The stamp inside the vendored tree: what the tree was made from.

use std::fs;
use std::path::Path;

use super::archive::sha256;
use super::manifest::Manifest;
use super::patches::PatchFile;

/// Name of the stamp file.
pub const FILE: &str = ".vendored";

/// The stamp's text for a manifest and its patches.
pub fn text(manifest: &Manifest, manifest_text: &str, patches: &[PatchFile]) -> String {
    // A checkout with CRLF line ends must not look like a different manifest.
    let manifest_hash = sha256(manifest_text.replace("\r\n", "\n").as_bytes());
    let mut text = format!(
        "version {}\narchive {}\nmanifest {manifest_hash}\n",
        manifest.version, manifest.archive.sha256
    );
    for patch in patches {
        text += &format!("patch {} {}\n", sha256(&patch.text), patch.name);
    }
    text
}

/// Whether a tree bears this stamp and still has everything that is kept.
pub fn matches(tree: &Path, stamp: &str, manifest: &Manifest) -> bool {
    fs::read_to_string(tree.join(FILE)).is_ok_and(|found| found == stamp)
        && manifest.keep.paths.iter().all(|p| tree.join(p).exists())
}
