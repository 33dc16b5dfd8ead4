//! What the benchmarks share. Their programs are in `src/bin`; `cargo xtask bench`
//! runs them and prints ratios.

/// CPU time that a process has used so far, in user and kernel mode together.
pub mod cpu {
    use std::time::Duration;

    /// Of the process with this id; `None` if there is no such process.
    ///
    /// Linux counts it in ticks of 10 ms (proc_pid_stat(5), `USER_HZ`).
    pub fn time(pid: u32) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        parse(&stat)
    }

    fn parse(stat: &str) -> Option<Duration> {
        // The name, in brackets, may hold anything.
        let after_name = stat.rsplit_once(')')?.1;
        let mut fields = after_name.split_ascii_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let kernel: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_millis((user + kernel) * 10))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_name_with_brackets_and_spaces_shifts_no_field() {
            let stat = "7 (a) 1 2 3) S 1 1 1 0 -1 0 0 0 0 0 20 5 0 0 20 0 1 0";
            assert_eq!(parse(stat), Some(Duration::from_millis(250)));
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
