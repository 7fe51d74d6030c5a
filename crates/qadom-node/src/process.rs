//! What the process uses of what the operating system gives it: memory, open files, and the disk of
//! the data folder.
//!
//! What must stay true: nothing is changed but the number of open files, and that only when it is
//! asked for; what the system does not tell is left out.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::status::Limit;

/// The most open files that are asked for: some thousand connections, and what the store holds open.
const OPEN_FILES: u64 = 65_536;

/// Space on a disk in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    /// What may still be written.
    pub(crate) free: u64,
    /// The size of the whole.
    pub(crate) total: u64,
}

/// Lets this process open as many files as it may, up to 65 536, and gives how many that are. Most
/// systems begin with fewer than they allow.
pub fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    if current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum,
        };
        // Where it may not be raised, fewer have to do.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    open_files_max()
}

/// How many files this process may have open.
pub fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What is free on the disk of a folder; none when the operating system does not say.
pub(crate) fn space(folder: &Path) -> Option<Space> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(Space {
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
        total: disk.f_blocks.saturating_mul(disk.f_frsize),
    })
}

/// Every limit of the system beside what is used of it. May wait for the disk.
pub(crate) fn limits(folder: &Path) -> Vec<Limit> {
    let memory = resident().zip(memory_max());
    let files = open_files().map(|used| (used, open_files_max()));
    let disk = space(folder).map(|space| (space.total.saturating_sub(space.free), space.total));
    let limits = [
        ("memory-bytes", memory),
        ("open-files", files),
        ("disk-bytes", disk),
    ];
    let known = limits.into_iter().filter_map(|(name, known)| {
        let (used, limit) = known?;
        Some(Limit { name, used, limit })
    });
    known.collect()
}

/// The memory that this process holds, in bytes.
fn resident() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let pages = pages.split(' ').nth(1)?.parse::<u64>().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// The memory that this process may hold in bytes: that of the machine, or less where a control group
/// has less.
fn memory_max() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok()?;
    let machine = total_of(&machine)?;
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = files_of(&group).filter_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        text.trim().parse::<u64>().ok()
    });
    Some(limits.fold(machine, u64::min))
}

/// The size of the memory that the text of `/proc/meminfo` tells.
fn total_of(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes = line.trim().strip_suffix(" kB")?;
    kibibytes.parse::<u64>().ok()?.checked_mul(1024)
}

/// The files with the limits of the control groups that the text of `/proc/self/cgroup` names, and of
/// those above them.
fn files_of(text: &str) -> impl Iterator<Item = PathBuf> {
    let groups = text.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        Some((root, path.trim_start_matches('/'), file))
    });
    groups.flat_map(|(root, path, file)| {
        let above = Path::new(path).ancestors();
        above.map(move |group| Path::new(root).join(group).join(file))
    })
}

/// The files that this process has open.
fn open_files() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?;
    // The folder that is being read is one of them, for as long as this takes.
    Some((open.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_the_system_are_told_beside_their_use() {
        let limits = limits(Path::new("/proc"));
        let names: Vec<_> = limits.iter().map(|limit| limit.name).collect();
        assert_eq!(names, ["memory-bytes", "open-files", "disk-bytes"]);
        let memory = limits[0];
        assert!(
            memory.used > 1 << 20 && memory.limit > memory.used,
            "{memory:?}"
        );
        let before = limits[1];
        let _open: Vec<_> = (0..10)
            .map(|_| fs::File::open("/proc/self/statm"))
            .collect();
        let after = super::limits(Path::new("/proc"))[1];
        // Other tests open and close files meanwhile.
        assert!(before.used > 2 && after.used > 12, "{before:?}, {after:?}");
        assert_eq!(after.limit, open_files_max());
        assert!(raise_open_files() >= after.limit.min(OPEN_FILES));
    }

    #[test]
    fn the_memory_is_read_as_the_kernel_writes_it() {
        let text = "MemTotal:       24615636 kB\nMemFree:         1000000 kB\n";
        assert_eq!(total_of(text), Some(24_615_636 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        let files = |text| files_of(text).collect::<Vec<_>>();
        let of_two = files("0::/system.slice/qadom.service\n");
        assert_eq!(
            of_two,
            [
                Path::new("/sys/fs/cgroup/system.slice/qadom.service/memory.max"),
                Path::new("/sys/fs/cgroup/system.slice/memory.max"),
                Path::new("/sys/fs/cgroup/memory.max"),
            ]
        );
        let of_one = files("12:cpu,cpuacct:/x\n3:memory:/x\n");
        assert_eq!(
            of_one[0],
            Path::new("/sys/fs/cgroup/memory/x/memory.limit_in_bytes")
        );
        assert_eq!(of_one.len(), 2);
        assert!(files("nonsense\n").is_empty());
    }
}
