//! Who holds a port of this machine.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpListener};

/// Whether something holds the port. Where we may not try, nothing is said.
pub(crate) fn is_taken(ip: IpAddr, port: u16) -> bool {
    match TcpListener::bind((ip, port)) {
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::AddrInUse,
    }
}

/// The process that listens on the port, as `redis-server (process 4711)`.
/// Linux alone tells, and only of processes that we may look at.
pub(crate) fn holder(port: u16) -> Option<String> {
    let inodes: Vec<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening(&table, port))
        .collect();
    let wanted: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if wanted.is_empty() {
        return None;
    }
    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
        .find(|process| holds(&process.path().join("fd"), &wanted))
        .map(|process| {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let pid = process.file_name();
            format!("{} (process {})", name.trim(), pid.to_string_lossy())
        })
}

fn holds(descriptors: &std::path::Path, wanted: &[String]) -> bool {
    fs::read_dir(descriptors)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| {
            wanted
                .iter()
                .any(|socket| target.as_os_str() == socket.as_str())
        })
}

/// The sockets of a table of `/proc/net` that listen on the port.
fn listening(table: &str, port: u16) -> Vec<u64> {
    const LISTENS: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, hex) = fields.get(1)?.rsplit_once(':')?;
            let is_it = u16::from_str_radix(hex, 16) == Ok(port) && *fields.get(3)? == LISTENS;
            is_it.then(|| fields.get(9)?.parse().ok()).flatten()
        })
        .collect()
}

/// The port in words: the address is left out if it is every one.
pub(crate) fn shown(ip: IpAddr, port: u16) -> String {
    if ip == Ipv4Addr::UNSPECIFIED {
        port.to_string()
    } else {
        format!("{ip}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ip = IpAddr::from([127, 0, 0, 1]);
        assert!(is_taken(ip, port));
        if cfg!(target_os = "linux") {
            let holder = holder(port).unwrap();
            let me = format!("(process {})", std::process::id());
            assert!(holder.ends_with(&me), "{holder}");
        }
        drop(listener);
        // A process that another test starts just now may hold it for a moment.
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_taken(ip, port) {
            assert!(Instant::now() < deadline, "the port stays taken");
        }
    }

    #[test]
    fn only_listeners_on_the_port_count() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1
   1: 0100007F:1538 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 102 1
   2: 0100007F:1539 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 103 1
";
        assert_eq!(listening(table, 0x1538), [101]);
    }
}
