//! Metrics of the process, with the [standard names of Prometheus
//! clients](https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics). Read
//! from /proc at each scrape; omitted if that fails.

use std::fmt;

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, WithCurrentSystemInfo};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Collects the metrics of this process.
#[derive(Debug)]
pub(super) struct ThisProcess;

/// Values at one scrape.
struct Seen {
    cpu_seconds: f64,
    open_fds: u64,
    /// Maximum number of open files; `None`: no limit.
    max_fds: Option<u64>,
    virtual_memory_bytes: u64,
    resident_memory_bytes: u64,
    start_time_seconds: f64,
    threads: u64,
}

impl Collector for ThisProcess {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Ok(seen) = Seen::now() else { return Ok(()) };
        let cpu = ConstCounter::new(seen.cpu_seconds);
        let help = "User and system CPU time spent";
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            help,
            None,
            MetricType::Counter,
        )?)?;
        let mut gauge = |name, help, value: f64| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        gauge("process_open_fds", "Open file descriptors", float(seen.open_fds))?;
        let max = seen.max_fds.map_or(f64::INFINITY, float);
        gauge("process_max_fds", "Maximum number of open file descriptors", max)?;
        let (virtual_memory, resident) =
            (float(seen.virtual_memory_bytes), float(seen.resident_memory_bytes));
        gauge("process_virtual_memory_bytes", "Virtual memory size", virtual_memory)?;
        gauge("process_resident_memory_bytes", "Resident memory size", resident)?;
        let start = seen.start_time_seconds;
        gauge("process_start_time_seconds", "Start time, in seconds since 1970", start)?;
        gauge("process_threads", "Threads", float(seen.threads))
    }
}

impl Seen {
    fn now() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = float(procfs::ticks_per_second());
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(most) => Some(most),
            LimitValue::Unlimited => None,
        };
        Ok(Self {
            cpu_seconds: float(stat.utime.saturating_add(stat.stime)) / ticks,
            open_fds: u64::try_from(process.fd_count()?).unwrap_or(u64::MAX),
            max_fds,
            virtual_memory_bytes: stat.vsize,
            resident_memory_bytes: stat.rss_bytes().get(),
            start_time_seconds: float(procfs::boot_time_secs()?) + float(stat.starttime) / ticks,
            threads: u64::try_from(stat.num_threads).unwrap_or_default(),
        })
    }
}

/// Converts the value of a sample. Samples are floating-point numbers; these values are far below
/// the limit for exact integers.
#[allow(clippy::cast_precision_loss)]
fn float(value: u64) -> f64 {
    value as f64
}
