//! A fake API server in plain HTTP on the loopback interface: it serves paged lists and watches of
//! any kind of objects. It can cut its connections, forget old versions, be unreachable, and be
//! slow.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Interval in which an idle watch checks whether it has to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The server. It stops when it is dropped.
pub struct FakeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    version: u64,
    /// Objects by the path of their collection and by name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// The events of watches: version, collection, line.
    history: Vec<(u64, String, String)>,
    /// Versions before this one have been forgotten.
    oldest: u64,
    /// Connections of an older generation are closed.
    generation: u64,
    is_away: bool,
    is_over: bool,
    /// Duration of each list.
    list_takes: Duration,
    refused: Vec<String>,
    /// Methods and targets of all requests, in order.
    requests: Vec<String>,
}

impl Default for FakeApi {
    fn default() -> Self {
        Self::start()
    }
}

impl FakeApi {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.state().version = 100;
        let own = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                if own.state().is_over {
                    return;
                }
                let shared = own.clone();
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { address, shared }
    }

    /// Writes a kubeconfig for the server to this folder.
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": "shop"}}],
        });
        let file = folder.join("kubeconfig");
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        file
    }

    /// Creates or changes an object in a collection such as `/api/v1/namespaces/shop/pods`.
    pub fn apply(&self, collection: &str, mut object: Value) {
        let mut state = self.shared.state();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let objects = state.objects.entry(collection.to_owned()).or_default();
        let kind =
            if objects.insert(name, object.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        state.tell(collection, kind, &object);
        self.shared.changed.notify_all();
    }

    /// Adds objects without events for watches, as if they had existed from the beginning.
    pub fn fill(&self, collection: &str, objects: impl Iterator<Item = Value>) {
        let mut state = self.shared.state();
        for mut object in objects {
            state.version += 1;
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            state.objects.entry(collection.to_owned()).or_default().insert(name, object);
        }
        state.oldest = state.version;
    }

    /// Removes an object.
    pub fn delete(&self, collection: &str, name: &str) {
        let mut state = self.shared.state();
        state.version += 1;
        let version = json!(state.version.to_string());
        let mut object = state.objects.get_mut(collection).unwrap().remove(name).unwrap();
        object["metadata"]["resourceVersion"] = version;
        state.tell(collection, "DELETED", &object);
        self.shared.changed.notify_all();
    }

    /// Sends the newest version to all watches of a collection.
    pub fn bookmark(&self, collection: &str, kind: &str) {
        let mut state = self.shared.state();
        state.version += 1;
        let version = state.version.to_string();
        let object =
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": version}});
        state.tell(collection, "BOOKMARK", &object);
        self.shared.changed.notify_all();
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.shared.state().generation += 1;
        self.shared.changed.notify_all();
    }

    /// Forgets all versions except the newest: watches that want to continue get status 410.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.version += 1;
        state.oldest = state.version;
        state.history.clear();
    }

    /// Closes all connections, and every new one immediately.
    pub fn go_away(&self) {
        let mut state = self.shared.state();
        state.is_away = true;
        state.generation += 1;
        self.shared.changed.notify_all();
    }

    pub fn come_back(&self) {
        self.shared.state().is_away = false;
    }

    /// Sets the duration of each list from now on.
    pub fn be_slow(&self, takes: Duration) {
        self.shared.state().list_takes = takes;
    }

    /// Forbids requests whose target contains this text.
    pub fn forbid(&self, part: &str) {
        self.shared.state().refused.push(part.to_owned());
    }

    /// Returns methods and targets of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.state().requests.clone()
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn tell(&mut self, collection: &str, kind: &str, object: &Value) {
        let line = json!({"type": kind, "object": object}).to_string();
        self.history.push((self.version, collection.to_owned(), line));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Serves one connection.
    fn serve(&self, stream: &TcpStream) {
        let generation = {
            let state = self.state();
            if state.is_away {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            state.generation
        };
        let mut lines = BufReader::new(stream).lines();
        while let Some(Ok(first)) = lines.next() {
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let mut words = first.split(' ');
            let (method, target) =
                (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let is_over = {
                let mut state = self.state();
                state.requests.push(format!("{method} {target}"));
                state.generation != generation
            };
            if is_over || self.answer(stream, target, generation).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn answer(&self, mut stream: &TcpStream, target: &str, generation: u64) -> std::io::Result<()> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
        };
        if self.state().refused.iter().any(|part| target.contains(part)) {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                "reason": "Forbidden", "message": format!("{path} is forbidden")});
            return respond(stream, "403 Forbidden", &status.to_string());
        }
        if path == "/version" {
            let version = json!({"major": "1", "minor": "37", "gitVersion": "v1.37.0", "gitCommit": "",
                "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
            return respond(stream, "200 OK", &version.to_string());
        }
        if parameter("watch").is_some() {
            let from = parameter("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
            stream.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
            )?;
            return self.watch(stream, path, from, generation);
        }
        let takes = self.state().list_takes;
        thread::sleep(takes);
        let is_collection = self.state().objects.contains_key(path)
            || ["pods", "events", "endpointslices"].iter().any(|plural| path.ends_with(plural));
        if is_collection {
            let first = parameter("continue").and_then(|text| text.parse().ok()).unwrap_or(0);
            let limit = parameter("limit").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
            return respond(stream, "200 OK", &self.list(path, first, limit));
        }
        let (collection, name) = path.rsplit_once('/').unwrap_or_default();
        let object = self.state().objects.get(collection).and_then(|it| it.get(name)).cloned();
        if let Some(object) = object {
            return respond(stream, "200 OK", &object.to_string());
        }
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": 404, "reason": "NotFound", "message": format!("{name} not found")});
        respond(stream, "404 Not Found", &status.to_string())
    }

    fn list(&self, path: &str, first: usize, limit: usize) -> String {
        let state = self.state();
        let empty = BTreeMap::new();
        let all = state.objects.get(path).unwrap_or(&empty);
        let items: Vec<_> = all.values().skip(first).take(limit).collect();
        let mut metadata = json!({"resourceVersion": state.version.to_string()});
        let read = first + items.len();
        if read < all.len() {
            metadata["continue"] = json!(read.to_string());
        }
        json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items})
            .to_string()
    }

    fn watch(
        &self,
        mut stream: &TcpStream,
        path: &str,
        from: u64,
        generation: u64,
    ) -> std::io::Result<()> {
        let mut seen = from;
        let mut state = self.state();
        if from < state.oldest {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                "reason": "Expired", "message": "too old resource version"});
            let line = json!({"type": "ERROR", "object": status}).to_string();
            drop(state);
            chunk(stream, &line)?;
            return stream.write_all(b"0\r\n\r\n");
        }
        loop {
            if state.is_over || state.generation != generation {
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
            let new = state.history.iter().filter(|(version, of, _)| *version > seen && of == path);
            let lines: Vec<_> = new.map(|(_, _, line)| line.clone()).collect();
            seen = seen.max(state.version);
            if !lines.is_empty() {
                drop(state);
                for line in lines {
                    chunk(stream, &line)?;
                }
                state = self.state();
                continue;
            }
            state = self.changed.wait_timeout(state, LOOK_EVERY).unwrap().0;
        }
    }
}

fn chunk(mut stream: &TcpStream, line: &str) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n{line}\n\r\n", line.len() + 1)
}

fn respond(mut stream: &TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
