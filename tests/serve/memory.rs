//! A replica within the memory that the chart gives it, whatever it is sent. The kernel ends it
//! otherwise, so this needs a control group of its own, which only root can make.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use prestop_test_support::process::Serve;
use prestop_test_support::wire::{Connection, body, head, pod, review};

/// As many at once as the API servers of a large cluster send in a bad moment.
const AT_ONCE: usize = 25;
/// Just below `server.maximumBodyBytes`.
const LARGE_BYTES: usize = 7_300_000;

/// A control group with a bound for memory; gone when this is dropped.
struct Group {
    folder: PathBuf,
    is_first_version: bool,
}

impl Group {
    /// One with this bound, or why there can't be one.
    fn new(bytes: u64) -> Result<Self, String> {
        let name = format!("prestop-test-{}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/memory");
        let is_first_version = first.join("memory.limit_in_bytes").exists();
        let parent = if is_first_version { first } else { Path::new("/sys/fs/cgroup") };
        let group = Self { folder: parent.join(name), is_first_version };
        fs::create_dir(&group.folder).map_err(|error| format!("no control group: {error}"))?;
        let bound = if is_first_version { "memory.limit_in_bytes" } else { "memory.max" };
        fs::write(group.folder.join(bound), bytes.to_string())
            .map_err(|error| format!("no bound of memory: {error}"))?;
        if !is_first_version {
            // Not there where nothing swaps.
            let _ = fs::write(group.folder.join("memory.swap.max"), "0");
        }
        Ok(group)
    }

    /// The program, started in this group.
    fn prestop(&self) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]);
        command.arg(self.folder.join("cgroup.procs")).arg(env!("CARGO_BIN_EXE_prestop"));
        command
    }

    /// The most memory that was in use. Linux before 5.19 does not tell it for the second version.
    fn peak_bytes(&self) -> Option<u64> {
        let file = if self.is_first_version { "memory.max_usage_in_bytes" } else { "memory.peak" };
        fs::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok()
    }

    /// How often the kernel ended a process for want of memory.
    fn kills(&self) -> u64 {
        let file = if self.is_first_version { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.folder.join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its process has ended, which the kernel may notice a little later.
        for _ in 0..500 {
            if fs::remove_dir(&self.folder).is_ok() || !self.folder.exists() {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// What the chart allows.
fn limit_bytes() -> u64 {
    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/prestop/values.yaml");
    let values = fs::read_to_string(values).unwrap();
    let (_, resources) = values.split_once("\nresources:").unwrap();
    let (_, limits) = resources.split_once("limits:").unwrap();
    let memory = limits.lines().find_map(|line| line.trim().strip_prefix("memory: ")).unwrap();
    memory.strip_suffix("Mi").unwrap().parse::<u64>().unwrap() << 20
}

/// The review of a pod, with something else in the place of this text.
fn with(place: &str, text: &str) -> Vec<u8> {
    String::from_utf8(body()).unwrap().replacen(place, text, 1).into_bytes()
}

fn containers(list: &str) -> Vec<u8> {
    let mut pod = pod();
    pod["spec"]["containers"] = "PLACE".into();
    review(&pod).to_string().replacen("\"PLACE\"", list, 1).into_bytes()
}

/// Each the worst of its kind, as far as it is known.
fn worst() -> Vec<(&'static str, Vec<u8>)> {
    let list = |item: &str, bytes: usize| vec![item; bytes / (item.len() + 1)].join(",");
    let metadata = |text: &str| with("\"metadata\":{", &format!("\"metadata\":{{{text},"));
    vec![
        ("a long list of ones", containers(&format!("[{}]", list("1", LARGE_BYTES)))),
        (
            "19,000 containers",
            containers(&format!("[{}]", list("{\"name\":\"a\",\"image\":\"nginx\"}", 635_000))),
        ),
        (
            "long arguments",
            containers(&format!(
                "[{}]",
                vec![format!("{{\"name\":\"a\",\"args\":[{}]}}", list("\"\"", 2_700)); 2_600]
                    .join(",")
            )),
        ),
        ("labels", metadata(&format!("\"labels\":{{{}}}", list("\"a\":\"\"", LARGE_BYTES)))),
        ("a long uid", with("0df28fbd-", &"\\u0001".repeat(LARGE_BYTES / 6))),
        ("not JSON", vec![b'['; LARGE_BYTES]),
    ]
}

#[test]
fn the_memory_of_the_chart_is_enough_whatever_comes() {
    let group = match Group::new(limit_bytes()) {
        Ok(group) => group,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::launch_by(group.prestop(), folder, &["--kubernetes-version", "1.37"]);
    for (name, body) in worst() {
        all_at_once(&serve, &body);
        assert!(!serve.has_ended(), "{name}: {} kills", group.kills());
        println!("{name}: {:?} bytes at most", group.peak_bytes());
    }
    holding_all_places(&serve);
    assert!(!serve.has_ended(), "slow connections: {} kills", group.kills());
    println!("with slow connections: {:?} bytes at most", group.peak_bytes());
    let answer = Connection::open(&serve).post(body());
    assert!(answer.response().get("patch").is_some());
    assert_eq!(group.kills(), 0);
    drop(serve);
}

/// The body by many clients at once. Whatever they get, they get something.
fn all_at_once(serve: &Serve, body: &[u8]) {
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut connection = Connection::open(serve);
                // Refused before its end where it is too long, or for others' memory.
                if connection.send(head("/mutate", body.len())).is_ok() {
                    let _ = connection.send(body);
                    let _ = connection.answer();
                }
            });
        }
    });
}

/// Each connection that there may be holds as much of a head, or of a body, as it can.
fn holding_all_places(serve: &Serve) {
    let long_head = format!("POST /mutate HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(30_000));
    let beginning = " ".repeat(70_000);
    let half = head("/mutate", LARGE_BYTES) + &beginning;
    let mut holding = Vec::new();
    for index in 0..1_100 {
        let mut connection = Connection::open(serve);
        // Whoever came first may have to go meanwhile.
        let _ = connection.send(if index % 2 == 0 { &long_head } else { &half });
        holding.push(connection);
    }
    for connection in &mut holding {
        let _ = connection.send("y");
    }
}
