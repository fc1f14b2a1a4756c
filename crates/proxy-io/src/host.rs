//! What memory the program may have.

use std::fs;
use std::path::Path;

/// The host's memory, or the least that the control groups around this process leave it, in bytes;
/// `None` where the system does not say.
pub(crate) fn memory() -> Option<u64> {
    let host = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().filter_map(limit_of).chain(host).min()
}

/// `MemTotal` of /proc/meminfo.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit of a control group, named by a line of /proc/self/cgroup, and of those around it.
fn limit_of(line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (root, file) = match controllers {
        // Version 2 has one hierarchy, without a name.
        "" => ("/sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|name| name == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    // In a container the path may be the host's, where only the root is to be seen.
    let own = Path::new(path.strip_prefix('/').unwrap_or(path));
    let limit = |group: &Path| {
        let text = fs::read_to_string(Path::new(root).join(group).join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    own.ancestors().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_in_bytes() {
        let text = "MemTotal:       24683420 kB\nMemFree:        1 kB\n";
        assert_eq!(total_of(text), Some(24_683_420 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn this_host_has_some() {
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn hierarchies_without_memory_say_nothing() {
        assert_eq!(limit_of("4:cpu,cpuacct:/"), None);
        assert_eq!(limit_of("nonsense"), None);
    }
}
