//! Import of the image into a containerd that the test starts in its own folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{NAME, PROGRAM, archive};

struct Containerd {
    child: Child,
    folder: TempDir,
}

/// Returns which requirement is missing: root, or the programs.
fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("containerd needs root");
    }
    let is_there = |program| Command::new(program).arg("--version").output().is_ok();
    (!is_there("containerd") || !is_there("ctr")).then_some("no containerd and ctr")
}

impl Containerd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let configuration = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.internal.v1.opt\"]\n[grpc]\n  address = {:?}\n",
            path("root"),
            path("state"),
            path("socket")
        );
        fs::write(path("config.toml"), configuration).unwrap();
        let log = fs::File::create(path("log")).unwrap();
        let child = Command::new("containerd")
            .args(["--config", &path("config.toml")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let containerd = Self { child, folder };
        let until = Instant::now() + Duration::from_secs(60);
        while !containerd.ctr(&["version"]).status.success() {
            let log = || fs::read_to_string(containerd.path("log")).unwrap();
            assert!(Instant::now() < until, "{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        containerd
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ctr(&self, arguments: &[&str]) -> Output {
        let socket = self.path("socket");
        let address = ["--address", socket.to_str().unwrap(), "--namespace", "test"];
        Command::new("ctr").args(address).args(arguments).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.ctr(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).output();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs root and containerd; run: just test-tools"]
fn containerd_takes_it() {
    assert_eq!(missing(), None);
    let archive = archive(NAME);
    let containerd = Containerd::start();
    let file = archive.file.to_str().unwrap();
    // The native snapshotter copies files instead of mounting layers, so any file system will do.
    containerd.done(&["images", "import", "--snapshotter", "native", file]);
    assert!(containerd.done(&["images", "list", "--quiet"]).lines().any(|name| name == NAME));
    let files = unpacked(&containerd.path("root"));
    let program = files.iter().find(|path| path.ends_with("prestop")).expect("prestop is unpacked");
    assert_eq!(fs::read(program).unwrap(), PROGRAM);
    // The configuration of the image as stored by containerd.
    let target = containerd.done(&["content", "list", "--quiet"]);
    let configuration = target
        .lines()
        // Unreferenced content, such as the archive's index, may be collected in the meantime.
        .filter_map(|digest| {
            let content = containerd.ctr(&["content", "get", digest]).stdout;
            serde_json::from_slice::<Value>(&content).ok()
        })
        .find(|value| value["config"].is_object() && value["rootfs"].is_object())
        .expect("a configuration");
    assert_eq!(configuration["config"]["User"], "65532:65532");
    assert_eq!(configuration["config"]["Entrypoint"][0], "/prestop");
}

/// Returns the files of all snapshots.
fn unpacked(root: &Path) -> Vec<PathBuf> {
    let snapshots = root.join("io.containerd.snapshotter.v1.native");
    let entries = walkdir::WalkDir::new(snapshots).into_iter().flatten();
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}
