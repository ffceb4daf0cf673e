//! Apache httpd in images whose stop signal is TERM: TERM cuts requests, WINCH doesn't.

use super::download::{BODY_BYTES, Outcome};
use super::server::{FILE, Folder, Server, free_port, path_in};
use super::{hook_arguments, need_containers, program, text};

/// Debian's folder of the httpd modules.
const MODULES: &str = "/usr/lib/apache2/modules";

/// Starts Debian's httpd as PID 1.
fn start() -> Server {
    need_containers(&["apache2"]);
    assert!(
        std::path::Path::new(MODULES).join("mod_ratelimit.so").is_file(),
        "no mod_ratelimit here"
    );
    let folder = Folder::new();
    let port = free_port();
    folder.write("httpd.conf", &configuration(&folder, port));
    let binary = program("apache2").unwrap();
    let configuration = path_in(&folder, "httpd.conf");
    let command = [text(&binary), "-DFOREGROUND", "-f", &configuration];
    Server::start(folder, port, &command)
}

fn configuration(folder: &Folder, port: u16) -> String {
    let folder = text(folder.path());
    let kibibytes_a_second = BODY_BYTES / 4 / 1024;
    format!(
        "ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/httpd.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
LoadModule mpm_event_module {MODULES}/mod_mpm_event.so
LoadModule authz_core_module {MODULES}/mod_authz_core.so
LoadModule env_module {MODULES}/mod_env.so
LoadModule ratelimit_module {MODULES}/mod_ratelimit.so
User nobody
Group nogroup
DocumentRoot {folder}/htdocs
<Location {FILE}>
  SetOutputFilter RATE_LIMIT
  SetEnv rate-limit {kibibytes_a_second}
</Location>
"
    )
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn term_without_a_hook_cuts() {
    let mut server = start();
    let stopped = server.stop_under_load(None, "TERM");
    assert_eq!(stopped.in_flight, Outcome::Cut);
}

#[test]
#[ignore = "needs root, util-linux and servers; run: just test-tools"]
fn term_after_delay_signal_and_wait_drops_nothing() {
    let mut server = start();
    let hook = hook_arguments(1, "20", "WINCH", "httpd,apache2", &[]);
    server.stop_under_load(Some(&hook), "TERM").assert_graceful();
}
