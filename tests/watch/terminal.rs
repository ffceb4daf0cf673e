//! The table on a terminal. Its drawing is tested in `src/commands/watch/live.rs`.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use prestop_test_support::screen::Screen;
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use super::*;

/// Returns both ends of a terminal of this width: that of the screen and that for programs.
fn terminal(columns: u16) -> (OwnedFd, OwnedFd) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let program = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let size = Winsize { ws_col: columns, ws_row: 24, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&program, size).unwrap();
    (screen, program)
}

/// Starts a watch on a terminal. Returns the watch, everything that was written to the terminal,
/// and the end for programs.
fn watch_on_a_terminal(
    api: &FakeApi,
    columns: u16,
    term: &str,
) -> (Watch, Arc<Mutex<String>>, OwnedFd) {
    let folder = tempfile::tempdir().unwrap();
    let (screen, program) = terminal(columns);
    let mut child = Command::new(env!("CARGO_BIN_EXE_prestop"))
        .arg("watch")
        .current_dir(folder.path())
        .env("KUBECONFIG", api.kubeconfig(folder.path()))
        .env("TERM", term)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdin(program.try_clone().unwrap())
        .stdout(program.try_clone().unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = lines(child.stderr.take().unwrap());
    let written = Arc::new(Mutex::new(String::new()));
    let own = written.clone();
    thread::spawn(move || {
        let (mut screen, mut bytes, mut part) = (File::from(screen), Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = screen.read(&mut part) {
            bytes.extend_from_slice(&part[..length]);
            *own.lock().unwrap() = String::from_utf8_lossy(&bytes).into_owned();
        }
    });
    (Watch { child, out: Arc::default(), told, folder }, written, program)
}

/// Waits until the screen shows a line with this part.
fn wait_until_shown(written: &Mutex<String>, columns: usize, part: &str) -> Vec<String> {
    let mut shown = Vec::new();
    wait_until(part, || {
        let mut screen = Screen::new(columns, 24);
        screen.show(&written.lock().unwrap());
        shown = screen.lines().into_iter().map(str::to_owned).collect();
        // An empty last line means that the line before it is complete.
        shown.iter().any(|line| line.contains(part)) && shown.last().is_some_and(String::is_empty)
    });
    shown
}

#[test]
fn a_terminal_shows_what_is_ending_and_nothing_of_it_is_left_at_the_end() {
    for columns in [120, 30] {
        let api = FakeApi::start();
        api.apply(PODS, pod("web-1"));
        let (watch, written, program) = watch_on_a_terminal(&api, columns, "xterm");
        let before = tcgetattr(&program).unwrap();
        let columns = usize::from(columns);
        wait_until_shown(&written, columns, "1 pod running, 0 ending; 0");
        api.apply(PODS, deleted(pod("web-1")));
        wait_until_shown(&written, columns, "  shop/web-1: deleted");
        end(&api, "web-2", 0, 3);
        let shown = wait_until_shown(&written, columns, "√ shop/web-2 web");
        // A row that wraps would be two lines.
        let rows = wait_until_shown(&written, columns, "  shop/web-1: deleted");
        let table = |lines: &[String]| lines.iter().filter(|it| it.contains("running, ")).count();
        assert_eq!((table(&shown) <= 1, table(&rows)), (true, 1), "{rows:#?}");
        // As a terminal echoes Ctrl-C.
        rustix::io::write(&program, b"^C").unwrap();
        let Ended { status, told, .. } = watch.interrupt();
        assert_eq!(status, 0, "{told:?}");
        // The last word of the summary.
        let whole = wait_until_shown(&written, columns, "lost");
        let left = |part: &str| whole.iter().any(|line| line.contains(part));
        assert!(!left("running, ") && !left("^C") && !left("ago"), "{whole:#?}");
        assert_eq!(whole.iter().filter(|line| line.contains("shop/web-2 web")).count(), 1);
        // The cursor is on a new line, and the settings of the terminal are unchanged.
        assert_eq!(whole.last().unwrap(), "", "{whole:#?}");
        let after = tcgetattr(&program).unwrap();
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
    }
}

#[test]
fn where_there_is_no_terminal_or_one_that_can_nothing_lines_are_plain() {
    let api = FakeApi::start();
    api.apply(PODS, pod("web-1"));
    let watch = Watch::synced(&api, &[]);
    end(&api, "web-1", 0, 3);
    watch.wait_for(&["√ shop/web-1 web"]);
    let Ended { out, .. } = watch.interrupt();
    assert!(!out.concat().contains('\x1b') && !out.concat().contains("running, "), "{out:?}");
    let (watch, written, _program) = watch_on_a_terminal(&api, 80, "dumb");
    Watch::wait_for_watches(&api, 2);
    end(&api, "web-3", 0, 3);
    wait_until_shown(&written, 80, "√ shop/web-3 web");
    assert_eq!(watch.interrupt().status, 0);
    let written = written.lock().unwrap();
    assert!(!written.contains('\x1b') && !written.contains("running, "), "{written:?}");
}
