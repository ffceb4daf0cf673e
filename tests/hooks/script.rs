//! The branches of the script that need no PID namespace. The signal names in these tests are
//! unknown to every shell, because PID 1 is that of the machine.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::hook_arguments;
use super::shell::{Shell, in_each_shell};

/// Index of the script's delay in the arguments of the hook.
const DELAY: usize = 4;

/// Index of the signal in the arguments of the hook.
const SIGNAL: usize = 6;

/// Longer than any test waits, in seconds.
const FOREVER: &str = "1000";

const SECOND: Duration = Duration::from_secs(1);

#[test]
#[ignore = "needs dash, bash and busybox; run: just test-tools"]
fn delays_then_quits_then_holds() {
    in_each_shell(|shell| {
        let hook = hook_arguments(1, "1", "", "", &["sh", "-c", "echo told"]);
        let started = Instant::now();
        let mut process = command(shell, &hook).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "told\n", "{}", shell.name());
        let told = started.elapsed();
        assert!(told >= SECOND, "{}: {told:?}", shell.name());
        assert!(process.wait().unwrap().success(), "{}", shell.name());
        let held = started.elapsed();
        assert!(held >= 2 * SECOND, "{}: {held:?}", shell.name());
    });
}

#[test]
#[ignore = "needs dash, bash and busybox; run: just test-tools"]
fn a_second_time_is_like_the_first() {
    in_each_shell(|shell| {
        let hook = hook_arguments(0, "0", "", "", &["sh", "-c", "echo told"]);
        for _ in 0..2 {
            let output = run(shell, &hook);
            assert_eq!(output.status.code(), Some(0), "{}", shell.name());
            assert_eq!(output.stdout, b"told\n", "{}", shell.name());
            assert_eq!(output.stderr, b"", "{}", shell.name());
        }
    });
}

#[test]
#[ignore = "needs dash, bash and busybox; run: just test-tools"]
fn says_so_and_does_not_hold_when_the_signal_fails() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("", &[], ""),
        ("NOSUCH", &[], ""),
        ("", &["sh", "-c", "exit 7"], "prestop: sh failed with status 7\n"),
        ("NOSUCH", &["false"], "prestop: false failed with status 1\n"),
        ("", &["/no/such"], "prestop: /no/such failed with status 127\n"),
        ("", &["/"], "prestop: / failed with status 126\n"),
        ("", &["-s", "quit"], "prestop: -s failed with status 127\n"),
        ("", &["a=b"], "prestop: a=b failed with status 127\n"),
        ("", &["a%d\\n*"], "prestop: a%d\\n* failed with status 127\n"),
    ];
    in_each_shell(|shell| {
        for (signal, quit, reason) in cases {
            let mut hook = hook_arguments(0, FOREVER, "", "", quit);
            hook[SIGNAL] = (*signal).to_owned();
            let output = run(shell, &hook);
            let stderr = String::from_utf8(output.stderr).unwrap();
            let case = format!("{}, {quit:?}: {stderr}", shell.name());
            assert_eq!(output.status.code(), Some(1), "{case}");
            assert!(stderr.contains(reason), "{case}");
            let last = "prestop: PID 1 could not be told to quit\n";
            assert!(stderr.ends_with(last), "{case}");
        }
    });
}

#[test]
#[ignore = "needs dash, bash and busybox; run: just test-tools"]
fn without_a_wait_the_hook_becomes_the_command() {
    in_each_shell(|shell| {
        let hook = hook_arguments(0, "none", "", "", &["sh", "-c", "echo $$; exit 3"]);
        let process = command(shell, &hook).stdout(Stdio::piped()).spawn().unwrap();
        let pid = process.id();
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", shell.name());
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed, format!("{pid}\n"), "{}", shell.name());
    });
}

#[test]
#[ignore = "needs dash, bash and busybox; run: just test-tools"]
fn without_a_wait_a_missing_command_is_a_failure() {
    in_each_shell(|shell| {
        let output = run(shell, &hook_arguments(0, "none", "", "", &["/no/such"]));
        assert_eq!(output.status.code(), Some(127), "{}", shell.name());
    });
}

#[test]
#[ignore = "needs dash, bash and busybox; run: just test-tools"]
fn arguments_arrive_byte_for_byte() {
    let hostile = [
        "",
        " two  words ",
        "line\nline\n",
        "\ttab",
        "'\"`",
        "$(echo owned) ${HOME} $1 $#",
        "`echo owned`",
        "*",
        "/etc/*",
        "[a-z]?",
        "; exit 9 #",
        "a && b | c > d &",
        "\\ \\n \\0 \\c",
        "%s %n",
        "-n",
        "--",
        "~",
        "{a,b}",
        "!!",
        "naïve ☂",
    ];
    let mut quit = vec!["sh", "-c", "printf '%s\\0' \"$@\"", "sh"];
    quit.extend(hostile);
    let expected = hostile.join("\0") + "\0";
    in_each_shell(|shell| {
        for wait in ["0", "none"] {
            let output = run(shell, &hook_arguments(0, wait, "", "", &quit));
            let arrived = String::from_utf8(output.stdout).unwrap();
            assert_eq!(arrived, expected, "{} {wait}", shell.name());
            assert_eq!(output.status.code(), Some(0), "{} {wait}", shell.name());
        }
    });
}

#[test]
#[ignore = "needs dash, bash and busybox; run: just test-tools"]
fn a_command_that_is_a_word_of_the_shell_does_not_end_the_hook() {
    in_each_shell(|shell| {
        for quit in [&["exit", "0"], &["exec", "true"], &["set", "--"]] {
            let started = Instant::now();
            let output = run(shell, &hook_arguments(0, "1", "", "", quit));
            let held = started.elapsed();
            assert_eq!(output.status.code(), Some(0), "{} {quit:?}", shell.name());
            assert!(held >= SECOND, "{} {quit:?} {held:?}", shell.name());
        }
    });
}

#[test]
#[ignore = "needs dash, bash and busybox; run: just test-tools"]
fn without_a_delay_nothing_is_reported() {
    in_each_shell(|shell| {
        for wait in ["0", "none"] {
            let mut hook = hook_arguments(0, wait, "", "", &["echo", "told"]);
            // `sleep` fails, as in an image without the program.
            hook[DELAY] = "no number".to_owned();
            let output = run(shell, &hook);
            assert!(!output.status.success(), "{} {wait}", shell.name());
            assert_eq!(output.stdout, b"", "{} {wait}", shell.name());
        }
    });
}

fn command(shell: &Shell, hook: &[String]) -> Command {
    let words = shell.run_by(hook);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    command
}

fn run(shell: &Shell, hook: &[String]) -> Output {
    command(shell, hook).output().unwrap()
}
