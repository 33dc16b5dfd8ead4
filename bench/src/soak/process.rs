//! What the system says of a server's process.

use super::Fail;
use std::time::Duration;

/// Bytes of its memory that are resident.
pub fn resident(pid: u32) -> Result<u64, Fail> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|e| format!("the server is gone: {e}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.split_ascii_whitespace().next());
    let kilobytes: u64 = kilobytes.ok_or("no VmRSS")?.parse()?;
    Ok(kilobytes << 10)
}

/// Its open descriptors.
pub fn descriptors(pid: u32) -> Result<usize, Fail> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// How long a process of one thread was able to run, and had to wait for a processor
/// (sched-stats.rst); zero where the kernel doesn't count that.
pub fn waited(process: &str) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{process}/schedstat"));
    let text = text.unwrap_or_default();
    let nanoseconds = text.split_ascii_whitespace().nth(1);
    Duration::from_nanos(nanoseconds.and_then(|n| n.parse().ok()).unwrap_or(0))
}
