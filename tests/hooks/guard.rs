//! The script's check of PID 1 and its signal, in PID namespaces: PID 1 is a shell that records its
//! signals, or a program with an odd name.

use std::fs;
use std::os::unix::fs::symlink;

use super::container::{Container, HookEnd};
use super::server::{Folder, path_in};
use super::shell::{Shell, in_each_shell};
use super::{eventually, hook_arguments, need_containers, program, text};

/// A PID 1 (named `sh`) that records its signals, with a folder in which the quit command leaves a
/// mark.
struct Witness {
    container: Container,
    // Declared, and thus dropped, after the container, which writes into it.
    folder: Folder,
}

impl Witness {
    fn start() -> Self {
        let folder = Folder::new();
        let script = "trap 'echo QUIT >>signals' QUIT; cd \"$1\"; >ready
            while :; do sleep 0.05; done";
        // A shell can't trap a signal that was ignored when it started; SIGQUIT is ignored in the
        // background processes of a script.
        let default = ["env", "--default-signal=QUIT"];
        let command = [&default[..], &["sh", "-c", script, "sh", text(folder.path())]].concat();
        let container = Container::start(folder.path(), &command);
        eventually("a trap", || fs::metadata(folder.path().join("ready")).ok());
        Self { container, folder }
    }

    /// Runs a hook whose quit command exits with this status.
    fn hook(&self, shell: &Shell, signal: &str, names: &str, status: &str) -> HookEnd {
        let mark = path_in(&self.folder, "told");
        let quit = ["sh", "-c", "echo told >\"$1\"; exit $2", "sh", &mark, status];
        let hook = hook_arguments(0, "0", signal, names, &quit);
        self.container.exec(&shell.run_by(&hook)).end()
    }

    fn was_told_by_command(&self) -> bool {
        self.folder.path().join("told").exists()
    }

    fn signals(&self) -> String {
        fs::read_to_string(self.folder.path().join("signals")).unwrap_or_default()
    }
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn a_signal_is_sent_to_pid_1_if_the_command_fails() {
    need_containers(&[]);
    in_each_shell(|shell| {
        let witness = Witness::start();
        let end = witness.hook(shell, "QUIT", "sh", "5");
        assert_eq!(end.code(), Some(0), "{}: {}", shell.name(), end.stderr);
        let expected = "prestop: sh failed with status 5\n";
        assert_eq!(end.stderr, expected, "{}", shell.name());
        eventually("the signal", || (witness.signals() == "QUIT\n").then_some(()));
    });
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn a_signal_alone_is_enough_and_is_held() {
    need_containers(&[]);
    in_each_shell(|shell| {
        let witness = Witness::start();
        let hook = hook_arguments(0, "1", "QUIT", "", &[]);
        let started = std::time::Instant::now();
        let end = witness.container.exec(&shell.run_by(&hook)).end();
        assert_eq!(end.code(), Some(0), "{}: {}", shell.name(), end.stderr);
        assert!(started.elapsed().as_secs() >= 1, "{}", shell.name());
        eventually("the signal", || (witness.signals() == "QUIT\n").then_some(()));
    });
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn no_signal_follows_a_command_that_did_it() {
    need_containers(&[]);
    in_each_shell(|shell| {
        let witness = Witness::start();
        let end = witness.hook(shell, "QUIT", "sh", "0");
        assert_eq!(end.code(), Some(0), "{}: {}", shell.name(), end.stderr);
        assert!(witness.was_told_by_command(), "{}", shell.name());
        // Once a later signal has arrived, an earlier one would have been recorded too.
        witness.hook(shell, "QUIT", "sh", "5");
        eventually("the signal", || Some(witness.signals()).filter(|all| !all.is_empty()));
        assert_eq!(witness.signals(), "QUIT\n", "{}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn a_pid_1_of_another_name_gets_no_signal() {
    need_containers(&[]);
    in_each_shell(|shell| {
        let witness = Witness::start();
        for names in ["nginx", "nginx,nginx-debug", "s", "shell", "sh2,ash", "shx*,x*", "[s]h"] {
            let end = witness.hook(shell, "QUIT", names, "5");
            let case = format!("{} {names}: {}", shell.name(), end.stderr);
            assert_eq!(end.code(), Some(1), "{case}");
            let message = format!(
                "prestop: sh failed with status 5\n\
                 prestop: PID 1 is \"sh\", expected {names}: it is sent no signal\n"
            );
            assert_eq!(end.stderr, message, "{case}");
        }
        // The quit command runs whatever the name of PID 1 is.
        assert!(witness.was_told_by_command(), "{}", shell.name());
        let end = witness.hook(shell, "QUIT", "nginx", "0");
        assert_eq!(end.code(), Some(0), "{}: {}", shell.name(), end.stderr);
        witness.hook(shell, "QUIT", "", "5");
        eventually("the signal", || Some(witness.signals()).filter(|all| !all.is_empty()));
        assert_eq!(witness.signals(), "QUIT\n", "{}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn each_of_the_names_is_accepted() {
    need_containers(&[]);
    in_each_shell(|shell| {
        let witness = Witness::start();
        for names in ["sh", "sh,nginx", "nginx,sh", "nginx,sh,httpd", "sh*", "x*,s*", "*", ""] {
            let end = witness.hook(shell, "QUIT", names, "5");
            assert_eq!(end.code(), Some(0), "{} {names}", shell.name());
        }
    });
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn an_odd_name_of_pid_1_is_only_a_name() {
    need_containers(&["sleep"]);
    let sleep = program("sleep").unwrap();
    for name in ["*", "?????", "[n]ginx", " nginx", "nginx ", "a\\b", "%s", "$(id)", "-n"] {
        let folder = Folder::new();
        let path = folder.path().join(name);
        symlink(&sleep, &path).unwrap();
        let container = Container::start(folder.path(), &[text(&path), "1000"]);
        eventually("the odd name", || (container.process_name() == name).then_some(()));
        in_each_shell(|shell| {
            let refused = guarded(&container, shell, "nginx");
            let message =
                format!("prestop: PID 1 is \"{name}\", expected nginx: it is sent no signal\n");
            assert_eq!(refused.stderr, message, "{}", shell.name());
            assert_eq!(refused.code(), Some(1), "{} {name}", shell.name());
            let accepted = guarded(&container, shell, name);
            assert_eq!(accepted.code(), Some(0), "{} {name}: {}", shell.name(), accepted.stderr);
        });
    }
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn an_unreadable_name_is_none_of_the_expected() {
    need_containers(&["mount"]);
    let folder = Folder::new();
    let script = "mount -t tmpfs none /proc && exec sleep 1000";
    let container = Container::start(folder.path(), &["sh", "-c", script]);
    eventually("sleep as PID 1", || (container.process_name() == "sleep").then_some(()));
    in_each_shell(|shell| {
        let end = guarded(&container, shell, "sleep");
        assert_eq!(end.code(), Some(1), "{}", shell.name());
        let message = "prestop: PID 1 is \"\", expected sleep: it is sent no signal\n";
        assert_eq!(end.stderr, message, "{}", shell.name());
    });
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn names_of_distributions_begin_alike() {
    need_containers(&["sleep"]);
    let sleep = program("sleep").unwrap();
    for (name, is_accepted) in
        [("php-fpm", true), ("php-fpm8.2", true), ("php-fpm82", true), ("php", false)]
    {
        let folder = Folder::new();
        let path = folder.path().join(name);
        symlink(&sleep, &path).unwrap();
        let container = Container::start(folder.path(), &[text(&path), "1000"]);
        eventually("the name", || (container.process_name() == name).then_some(()));
        in_each_shell(|shell| {
            let end = guarded(&container, shell, "nginx,php-fpm*");
            let code = i32::from(!is_accepted);
            assert_eq!(end.code(), Some(code), "{} {name}: {}", shell.name(), end.stderr);
        });
    }
}

/// Runs a hook with a signal that doesn't affect `sleep` as PID 1.
fn guarded(container: &Container, shell: &Shell, names: &str) -> HookEnd {
    let hook = hook_arguments(0, "0", "QUIT", names, &[]);
    container.exec(&shell.run_by(&hook)).end()
}
