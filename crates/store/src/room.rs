//! How much memory this process may use.
//!
//! Owns: finding it out. Does not own: what becomes of it (`settings`).
//! Invariant: it is never more than the machine has.

use std::fs::read_to_string;
use std::path::Path;

use sawyer_config::ByteSize;

/// The part of the memory that is for what queries have read, if no setting says how much.
const CACHE_PART: u64 = 8;
/// At least so much, whatever the part is: what queries over two million records need.
const CACHE_MIN: ByteSize = ByteSize::mib(128);
/// At most so much: whoever has more to give says so.
const CACHE_MAX: ByteSize = ByteSize::gib(1);

/// Memory for what queries have read of segments, in bytes, where no setting says it.
pub(crate) fn search_cache_bytes() -> usize {
    cache_bytes(usable_bytes(Path::new("/")))
}

fn cache_bytes(usable: Option<u64>) -> usize {
    let part = usable.unwrap_or(0) / CACHE_PART;
    part.clamp(CACHE_MIN.bytes(), CACHE_MAX.bytes()) as usize
}

/// Bytes of memory that this process may use: what the machine has, or the least that its control groups allow, of both
/// versions (`memory.max` and `memory.limit_in_bytes`; Linux, `admin-guide/cgroup-v2` and `cgroup-v1/memory`). None if
/// that cannot be read.
fn usable_bytes(root: &Path) -> Option<u64> {
    let of_groups = read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = of_groups.lines().filter_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, group) = line.split_once(':')?;
        match controllers {
            "" => limit_of(&root.join("sys/fs/cgroup"), group, "memory.max"),
            "memory" => limit_of(&root.join("sys/fs/cgroup/memory"), group, "memory.limit_in_bytes"),
            _ => None,
        }
    });
    machine_bytes(root).into_iter().chain(limits).min()
}

/// The least that a group and those above it allow.
fn limit_of(mount: &Path, group: &str, file: &str) -> Option<u64> {
    // In a container the group's path may be that of the machine, while its mount has only its own group: at its root.
    let groups = Path::new(group.trim_start_matches('/')).ancestors();
    groups.filter_map(|group| read_to_string(mount.join(group).join(file)).ok()?.trim().parse().ok()).min()
}

fn machine_bytes(root: &Path) -> Option<u64> {
    let all = read_to_string(root.join("proc/meminfo")).ok()?;
    let total = all.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A machine of 16 GiB whose files are these.
    fn machine(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        let meminfo = ("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1000 kB\n");
        for (path, text) in files.iter().chain([&meminfo]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        usable_bytes(root.path())
    }

    #[test]
    fn the_least_limit_counts() {
        const GIB: u64 = 1 << 30;
        assert_eq!(machine(&[]), Some(16 * GIB));
        let group = |own: &str, above: &str| {
            machine(&[
                ("proc/self/cgroup", "0::/kubepods/pod1/own\n"),
                ("sys/fs/cgroup/kubepods/memory.max", above),
                ("sys/fs/cgroup/kubepods/pod1/own/memory.max", own),
            ])
        };
        assert_eq!(group("2147483648\n", "max\n"), Some(2 * GIB));
        assert_eq!(group("max\n", "3221225472\n"), Some(3 * GIB));
        assert_eq!(group("max\n", "max\n"), Some(16 * GIB));
        let container = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "1073741824\n")];
        assert_eq!(machine(&container), Some(GIB));
        let first_version = [
            ("proc/self/cgroup", "3:cpu:/x\n2:memory:/kubepods/own\n1:name=systemd:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"),
        ];
        assert_eq!(machine(&first_version), Some(GIB));
        let unlimited = [
            ("proc/self/cgroup", "2:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(machine(&unlimited), Some(16 * GIB));
    }

    #[test]
    fn a_part_of_it_is_for_queries() {
        assert_eq!(cache_bytes(None), 128 << 20);
        assert_eq!(cache_bytes(Some(512 << 20)), 128 << 20);
        assert_eq!(cache_bytes(Some(2 << 30)), 256 << 20);
        assert_eq!(cache_bytes(Some(64 << 30)), 1 << 30);
    }
}
