//! What the process uses, as Prometheus client libraries name it.
//!
//! Read from `/proc` (Linux, proc(5)) at each scrape; elsewhere the metrics are absent.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Collects what the process uses.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(usage) = Usage::read() else {
            return Ok(());
        };
        let cpu = ConstCounter::new(usage.cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "Processor time used",
            None,
            cpu.metric_type(),
        )?)?;
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory in use",
                usage.resident,
            ),
            (
                "process_virtual_memory_bytes",
                "Memory mapped",
                usage.virtual_size,
            ),
            (
                "process_start_time_seconds",
                "When the process started, since the epoch",
                usage.started_at,
            ),
            ("process_threads", "Threads", usage.threads),
            ("process_open_fds", "Open file descriptors", usage.open_fds),
            (
                "process_max_fds",
                "Most file descriptors that may be open",
                usage.max_fds,
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

struct Usage {
    cpu_seconds: f64,
    resident: f64,
    virtual_size: f64,
    started_at: f64,
    threads: f64,
    open_fds: f64,
    max_fds: f64,
}

impl Usage {
    #[cfg(not(target_os = "linux"))]
    fn read() -> Option<Self> {
        None
    }

    #[cfg(target_os = "linux")]
    fn read() -> Option<Self> {
        use std::fs;

        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name in parentheses may hold anything; what follows it is numbers.
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // Field 3 of the manual page is the first here.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as f64;
        let booted_at: f64 = fs::read_to_string("/proc/stat")
            .ok()?
            .lines()
            .find_map(|line| line.strip_prefix("btime "))?
            .trim()
            .parse()
            .ok()?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            started_at: booted_at + field(22)? / ticks,
            virtual_size: field(23)?,
            resident: field(24)? * page,
            // The folder that is being read has a descriptor too.
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()?
                .count()
                .saturating_sub(1) as f64,
            max_fds: limit.current.map_or(f64::INFINITY, |limit| limit as f64),
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_plausible() {
        let usage = Usage::read().expect("/proc is there");
        assert!(usage.resident > 100_000.0 && usage.resident < usage.virtual_size);
        assert!(usage.open_fds >= 3.0 && usage.open_fds <= usage.max_fds);
        assert!(usage.threads >= 1.0 && usage.started_at > 1_600_000_000.0);
    }
}
