//! The long script: its measurements, its end, its report. Each test has its own network.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use prestop_core::engine::hook::{Delay, Hook, Quit, ScriptHook, Task, Wait, Watch};

use super::eventually;
use super::network::{connect, in_each_network, listen, run, start, start_command, traffic};
use super::server::{Folder, path_in};
use super::shell::Shell;

const SECOND: Duration = Duration::from_secs(1);
/// Longer than any of these hooks waits, in seconds.
const FOREVER: i64 = 1000;
const OFTEN: Duration = Duration::from_millis(20);

/// Delay of at least 1 s and at most 1,000 s, which ends after 2 quiet seconds.
const WATCH: Watch = Watch {
    least_seconds: 1,
    most_seconds: FOREVER,
    quiet_seconds: 2,
    allowed_connections: 2,
    extra_seconds: 0,
};

fn arguments(hook: ScriptHook<'_>) -> Vec<String> {
    let body = serde_json::to_value(Hook::Script(hook)).unwrap();
    serde_json::from_value(body["exec"]["command"].clone()).unwrap()
}

fn watching(watch: Watch) -> ScriptHook<'static> {
    ScriptHook { delay: Delay::Watched(watch), task: Task::None, wait: Wait::No, report: None }
}

fn holding(seconds: i64) -> ScriptHook<'static> {
    let delay = Delay::Fixed { seconds: 0 };
    ScriptHook { delay, task: Task::None, wait: Wait::ForConnections { seconds }, report: None }
}

fn own(command: &[&str], wait: Wait) -> ScriptHook<'static> {
    let command = command.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let task = Task::Own { command: command.into() };
    ScriptHook { delay: Delay::Fixed { seconds: 0 }, task, wait, report: None }
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn a_quiet_pod_is_delayed_for_the_lower_bound() {
    let watch = Watch { least_seconds: 3, ..WATCH };
    in_each_network(|shell| {
        let ended = run(shell, &arguments(watching(watch)));
        assert_eq!(ended.code(), Some(0), "{}", shell.name());
        assert!(ended.took >= 3 * SECOND, "{}: {:?}", shell.name(), ended.took);
        assert_eq!(ended.output.stderr, b"", "{}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn the_delay_lasts_while_connections_arrive_and_ends_when_they_do_not() {
    in_each_network(|shell| {
        let clients = traffic(listen(), OFTEN);
        let mut hook = start(shell, &arguments(watching(WATCH)));
        hook.outlives(6 * SECOND);
        clients.stop();
        let ended = hook.end();
        assert_eq!(ended.code(), Some(0), "{}", shell.name());
        assert!(ended.took >= 7 * SECOND, "{}: {:?}", shell.name(), ended.took);
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn the_upper_bound_ends_the_delay_under_traffic() {
    let watch = Watch { most_seconds: 3, ..WATCH };
    in_each_network(|shell| {
        let clients = traffic(listen(), OFTEN);
        let ended = run(shell, &arguments(watching(watch)));
        clients.stop();
        assert!(ended.took >= 3 * SECOND, "{}: {:?}", shell.name(), ended.took);
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn probes_are_no_traffic() {
    // Four probes a second.
    let watch = Watch { allowed_connections: 20, ..WATCH };
    in_each_network(|shell| {
        let probes = traffic(listen(), SECOND / 4);
        let ended = run(shell, &arguments(watching(watch)));
        probes.stop();
        assert_eq!(ended.code(), Some(0), "{}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn a_sidecar_that_watches_in_the_same_way_ends_later_than_the_application() {
    let sidecar = Watch { extra_seconds: 3, ..WATCH };
    in_each_network(|shell| {
        let clients = traffic(listen(), OFTEN);
        let mut sidecar = start(shell, &arguments(watching(sidecar)));
        let application = start(shell, &arguments(watching(WATCH)));
        sidecar.outlives(3 * SECOND);
        clients.stop();
        application.end();
        assert!(!sidecar.is_over(), "{}", shell.name());
        assert_eq!(sidecar.end().code(), Some(0), "{}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn a_hold_ends_with_the_last_connection() {
    in_each_network(|shell| {
        let server = listen();
        let client = connect();
        let (taken, _) = server.accept().unwrap();
        let mut hook = start(shell, &arguments(holding(FOREVER)));
        hook.outlives(3 * SECOND);
        drop((client, taken));
        let ended = hook.end();
        assert_eq!(ended.code(), Some(0), "{}", shell.name());
        assert_eq!(ended.output.stderr, b"", "{}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn a_hold_without_connections_ends_at_once_and_no_hold_is_longer_than_its_bound() {
    in_each_network(|shell| {
        let server = listen();
        assert_eq!(run(shell, &arguments(holding(FOREVER))).code(), Some(0));
        let _client = connect();
        let _taken = server.accept().unwrap();
        let ended = run(shell, &arguments(holding(2)));
        assert_eq!(ended.code(), Some(0), "{}", shell.name());
        assert!(ended.took >= 2 * SECOND, "{}: {:?}", shell.name(), ended.took);
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn connections_to_closed_ports_do_not_count() {
    in_each_network(|shell| {
        let server = listen();
        let _client = connect();
        let _taken = server.accept().unwrap();
        drop(server);
        let ended = run(shell, &arguments(holding(FOREVER)));
        assert_eq!(ended.code(), Some(0), "{}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn the_ports_are_those_from_before_the_quit() {
    in_each_network(|shell| {
        let folder = Folder::new();
        let mark = path_in(&folder, "quit");
        let server = listen();
        let client = connect();
        let taken = server.accept().unwrap();
        let command = ["touch".to_owned(), mark.clone()];
        let quit = Quit { signal: None, process_names: &[], command: command[..].into() };
        let hook = ScriptHook { task: Task::Quit(quit), ..holding(FOREVER) };
        let mut hook = start(shell, &arguments(hook));
        eventually("the quit", || fs::metadata(&mark).ok());
        drop(server);
        let told = Instant::now();
        while told.elapsed() < 3 * SECOND {
            assert!(!hook.is_over(), "{}", shell.name());
            thread::sleep(OFTEN);
        }
        drop((client, taken));
        assert_eq!(hook.end().code(), Some(0), "{}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn an_authors_command_keeps_its_status_and_is_waited_for_only_if_it_succeeds() {
    in_each_network(|shell| {
        let failing = ["sh", "-c", "echo \"$1\"; exit 7", "sh", "a  b"];
        let hook = own(&failing, Wait::AtMost { seconds: FOREVER });
        let ended = run(shell, &arguments(hook));
        assert_eq!(ended.code(), Some(7), "{}", shell.name());
        assert_eq!(ended.output.stdout, b"a  b\n", "{}", shell.name());
        let ended = run(shell, &arguments(own(&failing, Wait::No)));
        assert_eq!(ended.code(), Some(7), "{}", shell.name());
        let ended = run(shell, &arguments(own(&["true"], Wait::AtMost { seconds: 2 })));
        assert_eq!(ended.code(), Some(0), "{}", shell.name());
        assert!(ended.took >= 2 * SECOND, "{}: {:?}", shell.name(), ended.took);
        let missing = own(&["/no/such"], Wait::ForConnections { seconds: 5 });
        assert_eq!(run(shell, &arguments(missing)).code(), Some(127), "{}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn a_quit_that_fails_is_the_status_of_the_hook() {
    in_each_network(|shell| {
        let command = ["false".to_owned()];
        let quit = Quit { signal: None, process_names: &[], command: command[..].into() };
        let hook = ScriptHook { task: Task::Quit(quit), ..holding(5) };
        let ended = run(shell, &arguments(hook));
        let stderr = String::from_utf8(ended.output.stderr.clone()).unwrap();
        assert_eq!(ended.code(), Some(1), "{}", shell.name());
        let expected = "prestop: false failed with status 1\n\
                        prestop: PID 1 could not be told to quit\n";
        assert_eq!(stderr, expected, "{}", shell.name());
    });
}

/// Runs a hook that reports into a file with this content. Returns the reports and the whole file.
fn reported(
    shell: &Shell,
    content: &str,
    hook: ScriptHook<'_>,
) -> (Vec<serde_json::Value>, String) {
    let folder = Folder::new();
    let path = folder.write("last words", content);
    let hook = ScriptHook { report: path.to_str().map(Into::into), ..hook };
    let ended = run(shell, &arguments(hook));
    assert_eq!(ended.code(), Some(0), "{}", shell.name());
    assert_eq!(ended.output.stderr, b"", "{}", shell.name());
    let file = fs::read_to_string(path).unwrap();
    let added = file.strip_prefix(content).unwrap();
    let lines = added.lines().filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(added.len() <= 512, "{added}");
    (lines.into_iter().map(|line: serde_json::Value| line["prestop"].clone()).collect(), file)
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn the_report_says_what_the_hook_saw() {
    in_each_network(|shell| {
        let server = listen();
        // Made before the hook starts, so they are not counted as new.
        for _ in 0..3 {
            drop((connect(), server.accept().unwrap()));
        }
        let _client = connect();
        let _taken = server.accept().unwrap();
        let hook = ScriptHook { wait: Wait::ForConnections { seconds: 1 }, ..watching(WATCH) };
        let (lines, file) = reported(shell, "out of memory", hook);
        let [line] = lines.as_slice() else { panic!("{}: {file}", shell.name()) };
        assert!(file.starts_with("out of memory\n{\"prestop\":{"), "{}: {file}", shell.name());
        assert!(line["delay"].as_i64() >= Some(2), "{line}");
        assert_eq!(line["last"], serde_json::Value::Null, "{line}");
        assert_eq!((&line["new"], &line["left"]), (&0.into(), &1.into()), "{line}");
        assert!(line["waited"].as_i64() >= Some(1), "{line}");

        let task = own(&["true"], Wait::No).task;
        let (lines, file) = reported(shell, "", ScriptHook { task, ..watching(WATCH) });
        let [delay, quit] = lines.as_slice() else { panic!("{}: {file}", shell.name()) };
        assert_eq!(delay["new"], 0, "{delay}");
        assert_eq!((&quit["quit"], &quit["waited"]), (&0.into(), &0.into()), "{quit}");
    });
}

/// A fixed delay of 8 s that allows 10 connections in 2 quiet seconds: twice the number of probes
/// and 2 more.
fn measured() -> ScriptHook<'static> {
    let delay = Delay::Measured { seconds: 8, quiet_seconds: 2, allowed_connections: 10 };
    ScriptHook { delay, ..watching(WATCH) }
}

/// Interval of the probes: two a second.
const PROBES: Duration = Duration::from_millis(500);

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn probes_are_no_traffic_in_the_report_of_a_long_delay() {
    let range = Watch { least_seconds: 8, quiet_seconds: 2, allowed_connections: 10, ..WATCH };
    in_each_network(|shell| {
        let mut server = listen();
        for hook in [measured(), watching(range)] {
            let probes = traffic(server, PROBES);
            let (lines, _) = reported(shell, "", hook);
            server = probes.stop();
            let line = &lines[0];
            assert_eq!(line["last"], serde_json::Value::Null, "{}: {line}", shell.name());
            // More than the allowed number in total; but only those of 2 s are compared with it.
            assert!(line["new"].as_i64() > Some(10), "{}: {line}", shell.name());
            assert!(line["delay"].as_i64() >= Some(8), "{}: {line}", shell.name());
        }
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn the_report_of_a_fixed_delay_has_the_second_of_the_last_traffic() {
    in_each_network(|shell| {
        let clients = traffic(listen(), OFTEN);
        let clock = thread::spawn(move || {
            let started = Instant::now();
            thread::sleep(3 * SECOND);
            let server = clients.stop();
            let stopped = started.elapsed();
            (traffic(server, PROBES), stopped)
        });
        let (lines, _) = reported(shell, "", measured());
        let (probes, stopped) = clock.join().unwrap();
        probes.stop();
        let last = lines[0]["last"].as_u64().unwrap();
        assert!(last >= 2 && last <= stopped.as_secs() + 1, "{}: {lines:?}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn a_report_stays_within_what_the_kubelet_reads() {
    in_each_network(|shell| {
        let hook = || ScriptHook { delay: Delay::Fixed { seconds: 0 }, ..watching(WATCH) };
        for content in ["x".repeat(4090), "line\n".repeat(816), "é".repeat(2040)] {
            let (lines, file) = reported(shell, &content, hook());
            assert!(lines.is_empty() && file == content, "{}: {lines:?}", shell.name());
        }
        let (lines, file) = reported(shell, &"é".repeat(1900), hook());
        assert!(lines.len() == 1 && file.len() <= 4096, "{}: {lines:?}", shell.name());
    });
}

/// Script that runs a program with its own `/dev/null`, in case that of the machine was changed.
const WITH_NULL: &str = "mount -t tmpfs -o mode=755 null /mnt && mknod -m 666 /mnt/null c 1 3 && \
     mount --bind /mnt/null /dev/null && exec \"$@\"";

#[test]
#[ignore = "needs root, util-linux, iproute2 and the shells; run: just test-tools"]
fn what_can_not_be_written_does_no_harm() {
    in_each_network(|shell| {
        let folder = Folder::new();
        let read_only = folder.write("read-only", "words\n");
        fs::set_permissions(&read_only, Permissions::from_mode(0o444)).unwrap();
        let missing = folder.path().join("missing");
        for path in [read_only.as_path(), &missing, folder.path(), "/dev/null".as_ref()] {
            let hook = ScriptHook { report: path.to_str().map(Into::into), ..watching(WATCH) };
            let hook = ScriptHook { delay: Delay::Fixed { seconds: 0 }, ..hook };
            // As an unprivileged user, who can write to nothing but `/dev/null`, as in every
            // container.
            let mut words = ["unshare", "--mount", "sh", "-ec", WITH_NULL, "sh", "setpriv"]
                .into_iter()
                .chain(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .map(str::to_owned)
                .collect::<Vec<_>>();
            words.extend(shell.run_by(&arguments(hook)));
            let ended = start_command(&words).end();
            let stderr = String::from_utf8_lossy(&ended.output.stderr).into_owned();
            assert_eq!(ended.code(), Some(0), "{} {}: {stderr}", shell.name(), path.display());
            assert_eq!(stderr, "", "{} {}", shell.name(), path.display());
        }
        assert_eq!(fs::read_to_string(read_only).unwrap(), "words\n");
        assert!(!missing.exists());
    });
}
