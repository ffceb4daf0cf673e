//! The GitHub action: its file, a workflow that uses it, and its steps as a runner would run them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use prestop_test_support::command::{stderr, stdout};
use serde_json::Value;
use tempfile::TempDir;

use super::{Programs, blocks, documents, example, root, write};

fn action() -> Value {
    documents(&fs::read_to_string(root("action.yaml")).unwrap()).remove(0)
}

/// Adds the script of a step in bash, as runners run it.
fn step(command: &mut Command, index: usize) -> &mut Command {
    let script = action()["runs"]["steps"][index]["run"].as_str().unwrap().to_owned();
    command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script])
}

/// Returns a folder with findings, and with a workload without its hook.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shop = fs::read_to_string(root("tests/audit/golden/shop.yaml")).unwrap();
    write(&folder.path().join("manifests/shop.yaml"), &shop);
    write(&folder.path().join("web.yaml"), &example());
    folder
}

fn run(programs: &Programs, folder: &Path, inputs: [&str; 3]) -> Output {
    let [kind, paths, arguments] = inputs;
    let mut command = programs.command("bash", folder);
    command
        .env("COMMAND", kind)
        .env("PATHS", paths)
        .env("ARGUMENTS", arguments)
        .env("SARIF_FILE", "prestop.sarif")
        .env("GITHUB_OUTPUT", folder.join("output"))
        .env("GITHUB_STEP_SUMMARY", folder.join("summary"));
    step(&mut command, 1).output().unwrap()
}

#[test]
#[ignore = "needs the programs of tests/tools/clients/install; run: just test-tools"]
fn the_action_and_a_workflow_with_it_are_as_github_reads_them() {
    let programs = Programs::new();
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(root("action.yaml")).unwrap();
    write(&folder.path().join("action.yaml"), &text);
    programs.prints(
        "check-jsonschema --builtin-schema vendor.github-actions action.yaml",
        folder.path(),
    );
    let workflow = blocks("GitHub Actions", "yaml").remove(0);
    // actionlint checks actions of the same repository.
    let owner = env!("CARGO_PKG_REPOSITORY").trim_start_matches("https://github.com/");
    let uses = format!("uses: {owner}@");
    let lines = workflow.lines().map(|line| match line.split_once(&uses) {
        Some((indent, _)) => format!("{indent}uses: ./\n"),
        None => format!("{line}\n"),
    });
    let workflow: String = lines.collect();
    assert!(workflow.contains("uses: ./\n"), "{workflow}");
    let path = folder.path().join(".github/workflows/prestop.yaml");
    write(&path, &format!("on: pull_request\n{workflow}"));
    programs.run("git init -q", folder.path());
    programs.prints("actionlint", folder.path());
    write(&path, &format!("on: pull_request\n{}", workflow.replace("paths:", "path:")));
    let refused = programs.run("actionlint", folder.path());
    assert!(stdout(&refused).contains("input \"path\" is not defined"), "{}", stdout(&refused));
}

#[test]
#[ignore = "needs the programs of tests/tools/clients/install; run: just test-tools"]
fn the_steps_audit_and_check() {
    let (programs, folder) = (Programs::new(), folder());
    let path = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let found = run(&programs, folder.path(), ["audit", "manifests/", ""]);
    assert_eq!(found.status.code(), Some(1), "{}", stderr(&found));
    assert!(
        stdout(&found).contains("::error file=manifests/shop.yaml,line="),
        "{}",
        stdout(&found)
    );
    let sarif: Value = serde_json::from_str(&path("prestop.sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(path("output"), "sarif-file=prestop.sarif\n");
    assert!(path("summary").contains("| "), "{}", path("summary"));
    let accepted = run(&programs, folder.path(), ["audit", "manifests/", "--fail-on\nnever"]);
    assert_eq!(accepted.status.code(), Some(0), "{}", stderr(&accepted));
    let missing = run(&programs, folder.path(), ["audit", "nothing/", ""]);
    assert_eq!(missing.status.code(), Some(1));
    let check = || run(&programs, folder.path(), ["check", "web.yaml\n", ""]);
    let checked = check();
    assert_eq!(checked.status.code(), Some(1));
    assert!(
        stderr(&checked).contains("Deployment shop/web has no hook yet"),
        "{}",
        stderr(&checked)
    );
    programs.prints("prestop inject --in-place web.yaml", folder.path());
    assert_eq!(check().status.code(), Some(0));
    assert_eq!(run(&programs, folder.path(), ["lint", ".", ""]).status.code(), Some(2));
}

/// Installs from a server that has a release.
#[test]
#[ignore = "needs the programs of tests/tools/clients/install; run: just test-tools"]
fn the_step_that_installs_verifies_the_checksum_of_a_release() {
    let programs = Programs::new();
    let folder = tempfile::tempdir().unwrap();
    let name = "prestop-9.9.9-x86_64-unknown-linux-gnu";
    write(&folder.path().join(name).join("prestop"), "#!/bin/sh\necho released\n");
    let pack = format!(
        "chmod +x {name}/prestop; tar -czf {name}.tar.gz {name}; sha256sum {name}.tar.gz >SHA256SUMS"
    );
    assert!(programs.command("sh", folder.path()).args(["-c", &pack]).status().unwrap().success());
    let server = serve(folder.path());
    let install = |reference: &str| {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("bash");
        command
            .env("PATH", "/usr/bin:/bin")
            .env("GITHUB_SERVER_URL", &server)
            .env("REPOSITORY", "a/b")
            .env("REF", reference)
            .env("VERSION", "")
            .env("RUNNER_OS", "Linux")
            .env("RUNNER_ARCH", "X64")
            .env("RUNNER_TEMP", home.path())
            .env("GITHUB_PATH", home.path().join("path"));
        let output = step(&mut command, 0).output().unwrap();
        (output, fs::read_to_string(home.path().join("path")).unwrap_or_default(), home)
    };
    for reference in ["v9.9.9", "main"] {
        let (output, path, _home) = install(reference);
        assert!(output.status.success(), "{reference}: {}", stderr(&output));
        let said = Command::new(Path::new(path.trim()).join("prestop")).output().unwrap();
        assert_eq!(stdout(&said), "released\n");
    }
    fs::write(folder.path().join(format!("{name}.tar.gz")), "something else").unwrap();
    let (output, path, _home) = install("v9.9.9");
    assert!(!output.status.success() && path.is_empty(), "{}", stdout(&output));
}

/// Serves the files of a folder, by the last part of the path; `latest` redirects to the release.
fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && client.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default();
            let body = fs::read(folder.join(name)).unwrap_or_default();
            let status = if name == "latest" {
                "302 Found\r\nlocation: /a/b/releases/tag/v9.9.9"
            } else {
                "200 OK"
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(&body));
        }
    });
    address
}
