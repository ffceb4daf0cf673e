//! The commands in the documents that need a cluster, unchanged: each block that is marked
//! `sh cluster`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use prestop_test_support::documents::{Block, Page, page};
use prestop_test_support::root;
use serde_json::{Value, json};

use super::cluster::{Cluster, PATIENCE, wait_at_most};
use super::installation;
use super::workloads::{self, Server};

/// The pages in this order, and whether the page needs an existing installation.
const PAGES: [(&str, bool); 12] = [
    ("README.md", false),
    ("docs/install.md", false),
    ("docs/get-started.md", true),
    ("docs/troubleshooting.md", true),
    ("docs/operations.md", true),
    ("docs/fronts.md", true),
    ("docs/audit.md", true),
    ("docs/watch.md", true),
    ("docs/certificates.md", true),
    ("docs/webhook.md", true),
    ("docs/upgrade.md", true),
    ("docs/policy.md", false),
];

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn the_commands_of_the_documents_run_as_they_are_written() {
    let cluster = Cluster::connect();
    every_page_is_listed();
    shop(&cluster);
    let mut count = 0;
    for (name, is_installed) in PAGES {
        let page = page(&root().join(name));
        if !is_installed {
            away(&cluster);
        }
        for (block, status) in blocks(&page) {
            settled(&cluster);
            run(&page, &block, status);
            count += 1;
        }
    }
    assert!(count >= 12, "only {count} blocks");
    for kind in ["mutatingadmissionpolicy", "mutatingadmissionpolicybinding"] {
        cluster.kubectl(&["delete", kind, "prestop.dev", "--ignore-not-found"]);
    }
    cluster.kubectl(&["delete", "namespace", "shop", "--wait=false"]);
}

/// A block that is not run is an error in this list.
fn every_page_is_listed() {
    for page in prestop_test_support::documents::pages() {
        let is_listed = PAGES.iter().any(|(name, _)| *name == page.name);
        assert!(is_listed || blocks(&page).is_empty(), "{} is not in PAGES", page.name);
    }
}

/// Returns the blocks for a cluster, with their expected exit status.
fn blocks(page: &Page) -> Vec<(Block, i32)> {
    let status = |block: &Block| {
        let status = block.mark.strip_prefix("sh cluster")?.trim();
        Some(if status.is_empty() { 0 } else { status.parse().unwrap() })
    };
    page.blocks()
        .into_iter()
        .filter_map(|block| status(&block).map(|status| (block, status)))
        .collect()
}

/// Creates the namespace of the documents, with a Deployment `web` behind a Service.
fn shop(cluster: &Cluster) {
    cluster.kubectl(&["delete", "namespace", "shop", "--ignore-not-found", "--timeout=120s"]);
    cluster.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}));
    wait_at_most(PATIENCE, "the default service account", || {
        cluster.try_kubectl(&["get", "serviceaccount", "default", "--namespace=shop"]).0
    });
    let template = workloads::template(Server::Nginx127, &Value::Null);
    for object in [
        workloads::content("shop"),
        workloads::deployment("shop", 2, &template),
        workloads::service("shop"),
    ] {
        cluster.apply(&object);
    }
    settled(cluster);
}

/// Waits for the end of the rollout of the previous block: its old pods had no hook, and a watch
/// would report that.
fn settled(cluster: &Cluster) {
    cluster.kubectl(&["--namespace=shop", "rollout", "status", "deployment/web", "--timeout=180s"]);
    wait_at_most(PATIENCE, "the end of old pods", || {
        let pods = cluster.list(&["pods", "--namespace=shop"]);
        pods.iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_null())
    });
}

/// Removes the installation, and the label of the namespace.
fn away(cluster: &Cluster) {
    installation::remove(cluster);
    cluster.kubectl(&["delete", "namespace", installation::NAMESPACE, "--ignore-not-found"]);
    cluster.kubectl(&["label", "namespace", "shop", "prestop.dev/inject-"]);
}

fn run(page: &Page, block: &Block, status: i32) {
    println!("{}:{}\n{}", page.name, block.line, block.body);
    let folder = tempfile::tempdir().unwrap();
    // Paths in the documents are relative to the repository or the fixture.
    for entry in fs::read_dir(root().join("tests/documents/fixture")).unwrap() {
        let path = entry.unwrap().path();
        std::os::unix::fs::symlink(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    std::os::unix::fs::symlink(root().join("charts"), folder.path().join("charts")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_prestop")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let ended = Command::new("timeout")
        .args(["300", "bash", "-euo", "pipefail", "-c", &block.body])
        .current_dir(folder.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(ended.code(), Some(status), "{}:{}", page.name, block.line);
}
