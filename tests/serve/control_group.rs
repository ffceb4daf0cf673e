//! A control group with a memory limit, as the kubelet creates one for each container.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use prestop_test_support::program;

/// A control group with a memory limit; removed on drop.
pub(super) struct Group {
    folder: PathBuf,
    is_first_version: bool,
}

impl Group {
    /// Creates a group with this limit. The error is the reason why that is impossible.
    pub(super) fn new(bytes: u64) -> Result<Self, String> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("prestop-test-{}-{number}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/memory");
        let is_first_version = first.join("memory.limit_in_bytes").exists();
        let parent = if is_first_version { first } else { Path::new("/sys/fs/cgroup") };
        let group = Self { folder: parent.join(name), is_first_version };
        fs::create_dir(&group.folder).map_err(|error| format!("no control group: {error}"))?;
        let bound = if is_first_version { "memory.limit_in_bytes" } else { "memory.max" };
        fs::write(group.folder.join(bound), bytes.to_string())
            .map_err(|error| format!("no bound of memory: {error}"))?;
        if !is_first_version {
            // Missing if there is no swap.
            let _ = fs::write(group.folder.join("memory.swap.max"), "0");
        }
        Ok(group)
    }

    /// Returns a command that runs the program in this group.
    pub(super) fn prestop(&self) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]);
        command.arg(self.folder.join("cgroup.procs")).arg(program());
        command
    }

    /// Returns the peak of memory use. Linux before 5.19 does not provide it for the second
    /// version.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        let file = if self.is_first_version { "memory.max_usage_in_bytes" } else { "memory.peak" };
        fs::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok()
    }

    /// Returns how many processes the kernel killed for lack of memory.
    pub(super) fn kills(&self) -> u64 {
        let file = if self.is_first_version { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.folder.join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its process has exited, which the kernel may notice a little later.
        for _ in 0..500 {
            if fs::remove_dir(&self.folder).is_ok() || !self.folder.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Returns the memory limit of the chart.
pub(super) fn limit_bytes() -> u64 {
    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/prestop/values.yaml");
    let values = fs::read_to_string(values).unwrap();
    let (_, resources) = values.split_once("\nresources:").unwrap();
    let (_, limits) = resources.split_once("limits:").unwrap();
    let memory = limits.lines().find_map(|line| line.trim().strip_prefix("memory: ")).unwrap();
    memory.strip_suffix("Mi").unwrap().parse::<u64>().unwrap() << 20
}
