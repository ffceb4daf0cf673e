//! nginx with the stop signal TERM (a fast shutdown, the images before 1.19.5) and with QUIT.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::container::{Container, Termination};
use super::download::{self, BODY_BYTES, Download, Outcome};
use super::server::{FILE, Folder, GRACE_PERIOD, Server, free_port, path_in};
use super::{eventually, hook_arguments, need_containers, program, text};

/// A file served so slowly that its download outlasts every test.
const ENDLESS: &str = "/endless";

/// nginx, configured but not started.
pub(crate) struct Nginx {
    folder: Folder,
    port: u16,
    binary: String,
    configuration: String,
}

impl Nginx {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let port = free_port();
        let configuration = folder.write("nginx.conf", &configuration(&folder, port));
        Self {
            binary: text(&program("nginx").unwrap()).to_owned(),
            configuration: text(&configuration).to_owned(),
            folder,
            port,
        }
    }

    /// Starts nginx as PID 1.
    pub(crate) fn start(self) -> Server {
        let command = self.command();
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        Server::start(self.folder, self.port, &command)
    }

    fn command(&self) -> Vec<String> {
        let log = path_in(&self.folder, "error.log");
        let arguments = [&self.binary, "-e", &log, "-c", &self.configuration];
        arguments.map(str::to_owned).to_vec()
    }

    /// Starts nginx under a shell, which is PID 1 and gets the nginx command as its arguments.
    fn start_under(&self, script: &str) -> Container {
        let arguments = self.command();
        let mut command = vec!["sh", "-c", script, "supervisor"];
        command.extend(arguments.iter().map(String::as_str));
        let container = Container::start(self.folder.path(), &command);
        eventually("a server that listens", || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
        container
    }

    fn quit_command(&self) -> Vec<String> {
        let mut command = self.command();
        command.extend(["-s", "quit"].map(str::to_owned));
        command
    }

    fn hook(&self, wait: &str) -> Vec<String> {
        let quit = self.quit_command();
        let quit: Vec<_> = quit.iter().map(String::as_str).collect();
        hook_arguments(1, wait, "QUIT", "nginx,nginx-debug", &quit)
    }
}

fn configuration(folder: &Folder, port: u16) -> String {
    let folder = text(folder.path());
    let rate = BODY_BYTES / 4;
    format!(
        "user root;
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder};
  proxy_temp_path {folder};
  fastcgi_temp_path {folder};
  uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port};
    root {folder}/htdocs;
    location = {FILE} {{ limit_rate {rate}; }}
    location = {ENDLESS} {{ alias {folder}/htdocs/file; limit_rate 1000; }}
  }}
}}
"
    )
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn term_without_a_hook_cuts() {
    need_containers(&["nginx"]);
    let stopped = Nginx::new().start().stop_under_load(None, "TERM");
    assert_eq!(stopped.in_flight, Outcome::Cut);
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn term_after_the_quit_command_alone_cuts() {
    need_containers(&["nginx"]);
    let nginx = Nginx::new();
    let quit = nginx.quit_command();
    let mut server = nginx.start();
    let downloads = download::begin_several(server.port, FILE);
    let hook = server.container.exec(&quit);
    let end = server.container.terminate(Some(hook), &term());
    assert_eq!(end.hook.unwrap().code(), Some(0));
    assert_eq!(download::outcome_of_all(downloads), Outcome::Cut);
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn term_after_delay_quit_and_wait_drops_nothing() {
    need_containers(&["nginx"]);
    let nginx = Nginx::new();
    let hook = nginx.hook("20");
    let stopped = nginx.start().stop_under_load(Some(&hook), "TERM");
    stopped.assert_graceful();
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn a_graceful_stop_signal_needs_no_wait() {
    need_containers(&["nginx"]);
    let nginx = Nginx::new();
    let hook = nginx.hook("none");
    let stopped = nginx.start().stop_under_load(Some(&hook), "QUIT");
    assert_eq!(stopped.in_flight, Outcome::Complete);
    assert_eq!(stopped.late, Some(Outcome::Complete));
    let hook = stopped.end.hook.unwrap();
    assert_eq!(hook.code(), Some(0), "{}", hook.stderr);
    assert!(!stopped.end.killed);
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn the_signal_does_it_where_the_command_fails() {
    need_containers(&["nginx"]);
    let nginx = Nginx::new();
    let hook = nginx.hook("20");
    let configuration = nginx.configuration.clone();
    let mut server = nginx.start();
    fs::write(configuration, "no nginx would start with this").unwrap();
    let stopped = server.stop_under_load(Some(&hook), "TERM");
    stopped.assert_graceful();
    let stderr = stopped.end.hook.unwrap().stderr;
    assert!(stderr.contains("nginx failed with status 1"), "{stderr}");
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn a_repeated_hook_does_no_harm() {
    need_containers(&["nginx"]);
    let nginx = Nginx::new();
    let (first, again) = (nginx.hook("20"), nginx.hook("20"));
    let mut server = nginx.start();
    let downloads = download::begin_several(server.port, FILE);
    // A kubelet that restarts doesn't end the first hook and can start the second one at any time.
    let first = server.container.exec(&first);
    eventually("the end of nginx's listener", || {
        std::net::TcpStream::connect(("127.0.0.1", server.port)).err()
    });
    let again = server.container.exec(&again);
    let end = server.container.terminate(Some(again), &term());
    assert_eq!(download::outcome_of_all(downloads), Outcome::Complete);
    assert!(first.end().ended_with_container());
    assert!(end.hook.unwrap().ended_with_container());
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn the_wait_for_a_connection_that_never_ends_is_bounded() {
    need_containers(&["nginx"]);
    let nginx = Nginx::new();
    let hook = nginx.hook("2");
    let mut server = nginx.start();
    let endless = Download::begin(server.port, ENDLESS);
    let hook = server.container.exec(&hook);
    let grace_period = Duration::from_secs(5);
    let end = server.container.terminate(Some(hook), &Termination { signal: "QUIT", grace_period });
    assert_eq!(end.hook.unwrap().code(), Some(0), "told, and waited");
    assert!(end.killed);
    assert!(end.took >= Duration::from_secs(4), "{:?}", end.took);
    assert!(end.took < grace_period * 2, "{:?}", end.took);
    assert_eq!(endless.outcome(), Outcome::Cut);
}

/// The quit command finds nginx by its PID file; the container ends when the shell does.
#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn an_nginx_behind_a_shell_finishes_its_requests() {
    need_containers(&["nginx"]);
    let nginx = Nginx::new();
    let hook = nginx.hook("20");
    let mut container = nginx.start_under("\"$@\" & wait");
    let download = Download::begin(nginx.port, FILE);
    let hook = container.exec(&hook);
    let end = container.terminate(Some(hook), &term());
    assert_eq!(download.outcome(), Outcome::Complete);
    let hook = end.hook.unwrap();
    assert!(hook.ended_with_container(), "{:?} {}", hook.status, hook.stderr);
    assert!(!end.killed);
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn the_wait_is_bounded_where_a_supervisor_stays() {
    need_containers(&["nginx"]);
    let nginx = Nginx::new();
    let hook = nginx.hook("2");
    let container = nginx.start_under("\"$@\"; sleep 1000");
    let download = Download::begin(nginx.port, FILE);
    let end = container.exec(&hook).end();
    assert_eq!(end.code(), Some(0), "{}", end.stderr);
    assert_eq!(download.outcome(), Outcome::Complete);
}

fn term() -> Termination<'static> {
    Termination { signal: "TERM", grace_period: GRACE_PERIOD }
}

/// The main use case, end to end: the Deployment of the README is injected, and the resulting hook
/// runs in an nginx whose configuration is at the same path as in the image.
#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn the_hook_that_the_example_gets_drops_nothing() {
    need_containers(&["nginx"]);
    let hook = hook_of_the_example();
    let nginx = Nginx::new();
    // The bind mount is only in the mount namespace of the container.
    let script = "mount --bind \"$1\" /etc/nginx/nginx.conf && exec \"$2\" -e \"$3\"";
    let log = path_in(&nginx.folder, "error.log");
    let (configuration, binary) = (nginx.configuration.clone(), nginx.binary.clone());
    let command = ["sh", "-c", script, "nginx", &configuration, &binary, &log];
    let mut server = Server::start(nginx.folder, nginx.port, &command);
    server.stop_under_load(Some(&hook), "TERM").assert_graceful();
}

/// Returns the command of the preStop hook that `prestop inject` adds to `examples/nginx.yaml`,
/// with a delay of a second.
fn hook_of_the_example() -> Vec<String> {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nginx.yaml"));
    let delay = "metadata:\n      annotations: {prestop.dev/delay: 1s}\n      labels:";
    let manifest = manifest.unwrap().replace("metadata:\n      labels:", delay);
    let folder = Folder::new();
    let path = folder.write("nginx.yaml", &manifest);
    let output = Command::new(env!("CARGO_BIN_EXE_prestop"))
        .args(["inject", "-o", "json-patch", text(&path)])
        .output()
        .unwrap();
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let command = &line["patch"][0]["value"]["preStop"]["exec"]["command"];
    assert_eq!(command[4], "1", "{line}");
    serde_json::from_value(command.clone()).unwrap()
}
