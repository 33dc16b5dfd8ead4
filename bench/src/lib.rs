//! What the benchmarks share. Their programs are in `src/bin`; `cargo xtask bench`
//! runs them and prints ratios.

pub mod args;
pub mod frames;
pub mod load_tls;
mod meter;
pub mod soak;
pub mod socket;
pub mod tls;

pub use meter::Meter;

/// Any error: programs print it and end with status 1.
pub type Fail = Box<dyn std::error::Error + Send + Sync>;

/// Prints an error for `main`.
pub fn exit(result: Result<(), Fail>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// CPU time that a process has used so far, in user and kernel mode together.
pub mod cpu {
    use std::fs;
    use std::time::Duration;

    /// Of the process with this id, the threads that it has now together; `None` if
    /// there is no such process.
    ///
    /// Linux keeps it in nanoseconds for each thread (Documentation/scheduler/sched-stats),
    /// and brings a running thread's up to date with each tick of the clock.
    pub fn time(pid: u32) -> Option<Duration> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let of_thread = |thread: fs::DirEntry| {
            // One that has ended since is left out.
            let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            parse(&stat)
        };
        let times = threads.filter_map(Result::ok).filter_map(of_thread);
        times.reduce(|sum, time| sum + time)
    }

    fn parse(stat: &str) -> Option<Duration> {
        let run = stat.split_ascii_whitespace().next()?;
        Some(Duration::from_nanos(run.parse().ok()?))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_first_field_is_the_time_that_it_ran() {
            assert_eq!(parse("1500 99 3\n"), Some(Duration::from_nanos(1500)));
            assert_eq!(parse(""), None);
        }

        #[test]
        fn work_takes_time() {
            let me = std::process::id();
            let before = time(me).unwrap();
            let start = std::time::Instant::now();
            while time(me).unwrap() < before + Duration::from_millis(50) {
                assert!(start.elapsed() < Duration::from_secs(30));
            }
        }
    }
}
