//! What the process has used so far, where the system tells (Linux: `/proc/self`).

use std::fs;
use std::time::Duration;

/// Clock ticks per second of `/proc/self/stat`, the same on every Linux.
const TICKS_PER_SECOND: u32 = 100;

/// CPU time of the process, user and system, to a hundredth of a second.
pub(super) fn cpu() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in brackets and may contain spaces.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(Duration::from_secs(1) * (user + system) / TICKS_PER_SECOND)
}

/// Resident memory of the process in KiB.
pub(super) fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
