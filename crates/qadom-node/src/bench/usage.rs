//! What the process has used so far, its memory where the system tells (Linux: `/proc/self`).

use std::fs;
use std::time::Duration;

/// CPU time of the process, user and system.
pub(super) fn cpu() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).ok()
}

/// Resident memory of the process in KiB.
pub(super) fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
