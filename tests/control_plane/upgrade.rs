//! Upgrades from older versions to this one and back, while pods are created: chart, configuration,
//! Secret and program of each. `just upgrades` builds two older versions and tests three versions
//! of the API server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::installing::{Cluster, SECRET, WEBHOOK};
use super::proxy::Proxy;
use prestop_test_support::control_plane::{Webhook, has_status};
use prestop_test_support::full_size::Row;
use prestop_test_support::helm::NAMESPACE;
use prestop_test_support::process::{Serve, wait_until};
use prestop_test_support::{program, root};

const REPLICAS: usize = 2;
const CLIENTS: usize = 4;

/// A version of prestop: its chart and its program.
struct Version {
    name: String,
    chart: PathBuf,
    program: PathBuf,
}

impl Version {
    fn this() -> Self {
        let chart = root().join("charts/prestop");
        Self { name: "this version".to_owned(), chart, program: program().to_owned() }
    }

    /// Returns the versions in a folder, each a commit with its chart and its program.
    fn older(folder: &Path) -> Vec<Self> {
        let entries =
            fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut all: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| Self {
                name: path.file_name().unwrap().display().to_string(),
                chart: path.join("charts/prestop"),
                program: path.join("prestop"),
            })
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

/// A release, and replicas of its Deployment behind a proxy.
struct Release<'a> {
    cluster: &'a Cluster,
    proxy: Proxy,
    replicas: Vec<Serve>,
    draining: Vec<Serve>,
}

impl Release<'_> {
    fn helm(&self, verb: &[&str], version: &Version) {
        let chart = version.chart.to_str().unwrap();
        self.cluster.helm(&[verb, &["prestop", chart]].concat());
    }

    /// Adds a replica like the Deployment's current pods.
    fn add(&mut self, version: &Version) {
        let configuration = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/prestop");
        let configuration = self.cluster.get(&configuration)["data"]["prestop.yaml"].clone();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prestop.yaml");
        fs::write(&file, configuration.as_str().unwrap()).unwrap();
        let (kubeconfig, mut arguments) = self.cluster.pod();
        arguments.extend(["--config".to_owned(), "{folder}/prestop.yaml".to_owned()]);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut command = Command::new(&version.program);
        command.env("KUBECONFIG", kubeconfig).env("POD_NAMESPACE", NAMESPACE);
        let replica = Serve::launch_by(command, folder, &arguments);
        self.proxy.add(&replica);
        self.replicas.push(replica);
    }

    /// Rolls like a Deployment: adds one replica, then asks one to end.
    fn roll(&mut self, version: &Version) {
        for _ in 0..REPLICAS {
            self.add(version);
            wait_until("one more", || self.proxy.ready() > REPLICAS);
            let old = self.replicas.remove(0);
            old.signal("TERM");
            wait_until("one less", || self.proxy.ready() == REPLICAS);
            self.draining.push(old);
        }
        for mut old in self.draining.drain(..) {
            old.ended();
            self.proxy.remove(&old);
        }
    }

    /// Returns the trusted CAs, and the data that the replicas share.
    fn authority(&self) -> [Value; 3] {
        let webhook = self.cluster.get(WEBHOOK);
        [
            webhook["webhooks"][0]["clientConfig"]["caBundle"].clone(),
            webhook["metadata"]["annotations"]["prestop.dev/ca-generation"].clone(),
            self.cluster.get(SECRET)["data"].clone(),
        ]
    }
}

/// Results for the pods.
#[derive(Default)]
struct Pods {
    created: AtomicUsize,
    without: AtomicUsize,
}

/// Ends the background work, whatever happens.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Upgrades and goes back. Returns the API server's version, the number of created pods, and of
/// those without a hook.
fn there_and_back(old: &Version, new: &Version) -> (String, [usize; 2]) {
    let cluster = Cluster::start();
    cluster.control_plane.namespace(NAMESPACE, &json!({}));
    // A webhook of the test replaces the Service of the chart's, which needs a kube-proxy.
    cluster.control_plane.namespace("shop", &json!({"through": "proxy"}));
    let proxy = Proxy::start();
    let mut release =
        Release { cluster: &cluster, proxy, replicas: Vec::new(), draining: Vec::new() };
    release.helm(&["install"], old);
    for _ in 0..REPLICAS {
        release.add(old);
    }
    wait_until("replicas", || release.proxy.ready() == REPLICAS);
    let before = release.authority();
    let bundle = STANDARD.decode(before[0].as_str().unwrap()).unwrap();
    let authority_pem = &String::from_utf8(bundle).unwrap();
    let webhook = Webhook { name: "through", port: release.proxy.port, authority_pem };
    cluster.control_plane.webhook_for(&webhook, &json!({"through": "proxy"}));
    cluster.control_plane.wait_for_effect("shop", has_status);
    let number = AtomicUsize::new(0);
    // API servers before 1.31 do not generate another name if the first one is taken.
    let web = || {
        let name = format!("web-{}", number.fetch_add(1, Ordering::Relaxed));
        json!({"metadata": {"name": name},
            "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]}})
    };
    let (pods, is_over) = (Pods::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        // Also if something fails.
        let end = End(&is_over);
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let (status, pod) = cluster.control_plane.pod("shop", &web());
                    assert_eq!(status, 201, "{pod}");
                    pods.created.fetch_add(1, Ordering::Relaxed);
                    pods.without.fetch_add(usize::from(!has_status(&pod)), Ordering::Relaxed);
                }
            });
        }
        for (verb, version) in [("upgrade", new), ("back", old)] {
            if verb == "upgrade" {
                release.helm(&["upgrade"], version);
            } else {
                cluster.helm(&["rollback", "prestop", "1"]);
            }
            release.roll(version);
            // Neither version creates another CA, and each uses the data of the other.
            assert_eq!(release.authority(), before, "{verb}");
        }
        drop(end);
    });
    (cluster.control_plane.version(), [pods.created.into_inner(), pods.without.into_inner()])
}

#[test]
#[ignore = "needs older versions, and an API server; run: just upgrades"]
fn upgrades_from_older_versions_and_back_cost_no_hook() {
    let folder = std::env::var_os("PRESTOP_OLDER_VERSIONS").map(PathBuf::from);
    let older = Version::older(
        &folder.expect("PRESTOP_OLDER_VERSIONS: tests/control_plane/older-versions"),
    );
    assert!(older.len() >= 2, "{}", older.len());
    let (began, new) = (Instant::now(), Version::this());
    let (mut version, mut figures) = (String::new(), Vec::new());
    for old in &older {
        let (server, [created, without]) = there_and_back(old, &new);
        version = server;
        figures.push(format!(
            "{} and back: {created} pods created, {without} without a hook",
            old.name
        ));
        println!("{version}, from {}", figures.last().unwrap());
        assert!(created > 100, "{created}");
        assert_eq!(without, 0, "{} to {}", old.name, new.name);
    }
    Row {
        what: &format!("upgrades with Kubernetes {version}"),
        command: "just upgrades",
        took: began.elapsed(),
        figures: format!("{}; 0 refused", figures.join("; ")),
    }
    .note();
}
