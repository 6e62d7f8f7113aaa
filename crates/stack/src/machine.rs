//! What the machine has: memory, disk, limits of the kernel.

use std::fs;
use std::path::Path;

use crate::place::Environment;

/// One gibibyte.
const GIB: u64 = 1 << 30;
/// Fewest memory maps that Elasticsearch starts with.
pub(crate) const MIN_MAP_COUNT: u64 = 262_144;

/// What an environment needs at least to start and carry small work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Bytes of memory that the engine has.
    pub(crate) memory: u64,
    /// Free bytes where the engine keeps its data.
    pub(crate) disk: u64,
}

/// Memory: what the services hold when idle, with half as much again; production
/// holds PostgreSQL's 2 GiB of buffers and Redis' 4 GiB beside. Monitoring adds
/// three Elasticsearch nodes of 768 MiB of heap and half as much beside it, 1 GiB
/// each for Logstash and Kibana, and 2.5 GiB for its twelve other services. Nobody
/// else says these figures: the finding repeats them.
/// Disk: images take about 3 GiB, with monitoring 8 GiB; RabbitMQ refuses
/// messages below 2 GiB.
pub(crate) fn needs(environment: Environment, monitoring: bool) -> Needs {
    let (memory, disk) = match environment {
        Environment::Test => (1, 4),
        Environment::Dev => (2, 6),
        Environment::Staging => (4, 10),
        Environment::Production => (12, 20),
    };
    let (more_memory, more_disk) = if monitoring { (8, 10) } else { (0, 0) };
    Needs {
        memory: (memory + more_memory) * GIB,
        disk: (disk + more_disk) * GIB,
    }
}

/// Bytes of memory that are free or can be freed. Linux alone tells.
pub(crate) fn available_memory() -> Option<u64> {
    available_in(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Free bytes on the disk of a folder, if we can see it.
pub(crate) fn free_disk(folder: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    Some(about.f_bavail * about.f_frsize)
}

/// How many memory maps a process may have.
pub(crate) fn map_count() -> Option<u64> {
    fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// How many files the engine can give a container, if it runs here.
pub(crate) fn engine_open_files() -> Option<u64> {
    let pid = fs::read_to_string("/var/run/docker.pid").ok()?;
    open_files_in(&fs::read_to_string(format!("/proc/{}/limits", pid.trim())).ok()?)
}

/// The hard limit of open files in a table of `/proc`.
fn open_files_in(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Bytes in words.
pub fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes >= 10 * GIB {
        format!("{} GiB", bytes / GIB)
    } else if bytes >= GIB {
        format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB)
    } else if bytes >= MIB {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{bytes} bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        let text = "MemTotal:       24664112 kB\nMemFree:  1 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(available_in(text), Some(2 << 20));
        assert_eq!(available_in("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn the_limit_of_open_files_is_the_hard_one() {
        let table = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 20000                files\n";
        assert_eq!(open_files_in(table), Some(20_000));
        assert_eq!(
            open_files_in("Max open files unlimited unlimited files"),
            None
        );
    }

    #[test]
    fn sizes_are_told_in_words() {
        for (bytes, text) in [
            (12, "12 bytes"),
            (5 << 20, "5 MiB"),
            (3 * GIB / 2, "1.5 GiB"),
            (24 * GIB, "24 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
