//! `HAProxy` in images whose stop signal is TERM, in front of a slow backend: TERM cuts requests,
//! USR1 doesn't.

use super::download::Outcome;
use super::nginx::Nginx;
use super::server::{Folder, Server, free_port, path_in};
use super::{hook_arguments, need_containers, program, text};

/// Starts `HAProxy` as in the official image, and its backend. Panics if a program is missing.
fn start() -> (Server, Server) {
    need_containers(&["haproxy", "nginx"]);
    let backend = Nginx::new().start();
    let folder = Folder::new();
    let port = free_port();
    folder.write("haproxy.cfg", &configuration(port, backend.port));
    let binary = program("haproxy").unwrap();
    let configuration = path_in(&folder, "haproxy.cfg");
    let command = [text(&binary), "-W", "-db", "-f", &configuration];
    (Server::start(folder, port, &command), backend)
}

fn configuration(port: u16, backend_port: u16) -> String {
    format!(
        "defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend web
  bind 127.0.0.1:{port}
  default_backend files
backend files
  server nginx 127.0.0.1:{backend_port}
"
    )
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn term_without_a_hook_cuts() {
    let (mut haproxy, _backend) = start();
    let stopped = haproxy.stop_under_load(None, "TERM");
    assert_eq!(stopped.in_flight, Outcome::Cut);
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn term_after_delay_signal_and_wait_drops_nothing() {
    let (mut haproxy, _backend) = start();
    let hook = hook_arguments(1, "20", "USR1", "haproxy", &[]);
    haproxy.stop_under_load(Some(&hook), "TERM").assert_graceful();
}
