//! Files by whose locks runs keep out of each other's way.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::error::{Error, IoContext, Result};

/// Waits until no other run holds the lock; it is held as long as the file is kept. Where a
/// file system has no locks, there is none, and it is said.
pub fn hold(path: &Path) -> Result<File> {
    let (file, none) = wait(path)?;
    if let Some(cause) = none {
        println!(
            "there are no locks for {}: {cause}; have no other run work there meanwhile",
            path.display()
        );
    }
    Ok(file)
}

/// The same, for what another run would spoil: without locks it is an error.
pub fn insist(path: &Path) -> Result<File> {
    match wait(path)? {
        (file, None) => Ok(file),
        (_, Some(cause)) => Err(Error::io("lock", path, cause)),
    }
}

/// The file, once it is locked, or why that can't be.
fn wait(path: &Path) -> Result<(File, Option<io::Error>)> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .doing("open", path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            println!(
                "waiting for another run, which holds {} ...",
                path.display()
            );
            file.lock().doing("lock", path)?;
        }
        // The file is there and open, so it is the file system that can't.
        Err(TryLockError::Error(cause)) => return Ok((file, Some(cause))),
    }
    Ok((file, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Lost: the tests of a run whose server another one stops.
    #[test]
    fn a_second_run_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        for lock in [hold, insist] {
            let first = lock(&path).unwrap();
            let (tell, told) = mpsc::channel();
            let other = path.clone();
            let second = std::thread::spawn(move || tell.send(lock(&other).is_ok()));
            assert!(told.recv_timeout(Duration::from_millis(200)).is_err());
            drop(first);
            assert_eq!(told.recv_timeout(Duration::from_secs(30)), Ok(true));
            second.join().unwrap().unwrap();
        }
    }
}
