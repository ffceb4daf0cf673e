//! Requests to a server that is already running, for `prestop watch --url`: the clients of
//! rehearsals, without a sandbox.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::kept_alive::Pools;
use super::{Choice, Clients, Service, in_background};
use crate::endpoints::Endpoint;
use crate::plan::Load;
use crate::recording::{Client, Ending, Sample};

/// Target and rate of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The addresses of the server. Each new connection uses a random one.
    pub addresses: Vec<SocketAddr>,
    /// Host name of the requests.
    pub host: String,
    /// The path of the requests.
    pub path: String,
    /// Requests per second: half of them on a new connection each, half on kept connections.
    pub rate_per_second: u32,
    /// Maximum time to wait for an answer.
    pub timeout: Duration,
    /// Seed of all random choices.
    pub seed: u64,
}

/// Sends requests from `started` until `over` is true; then waits for the last answers. `take`
/// receives each request that has ended. Redirects are not followed.
///
/// # Errors
/// Returns an error if the threads can't be started.
pub fn start(
    remote: Remote,
    started: Instant,
    over: watch::Receiver<bool>,
    take: impl FnMut(Sample) + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    in_background(clients(remote, started).run(over, take))
}

/// Sends one request on a new connection, to check whether the server answers at all.
pub async fn check(remote: &Remote) -> Ending {
    let choice = Choice { client: Client::NewConnection, random: [0, 0] };
    let clients = clients(remote.clone(), Instant::now());
    let attempt = clients.alone(choice, &clients.load.path, clients.load.timeout);
    attempt.await.ending
}

fn clients(remote: Remote, started: Instant) -> Clients {
    let Remote { addresses, host, path, rate_per_second, timeout, seed } = remote;
    let service = Service::default();
    service.change(|endpoints| {
        for (replica, address) in (0..).zip(addresses) {
            endpoints.add(Endpoint { replica, address });
        }
    });
    let load = Load { rate_per_second, least_requests: 0, seed, path, long: None, timeout };
    Clients { service, pools: Pools::default(), load, host: Some(host), started }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Starts a server that answers each request and then closes the connection.
    async fn server(hosts: Arc<Mutex<Vec<String>>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                hosts.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn requests_are_sent_to_the_address_for_the_host_until_it_is_over() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let address = server(seen.clone()).await;
        let remote = Remote {
            addresses: vec![address],
            host: "web.shop".to_owned(),
            path: "/healthz".to_owned(),
            rate_per_second: 100,
            timeout: Duration::from_secs(10),
            seed: 1,
        };
        assert_eq!(check(&remote).await, Ending::Ok);
        let (tell, over) = watch::channel(false);
        let (send, mut samples) = tokio::sync::mpsc::unbounded_channel();
        let take = move |sample: Sample| {
            let _ = send.send(sample);
        };
        let done = start(remote, Instant::now(), over, take).unwrap();
        let mut all = Vec::new();
        while all.len() < 20 {
            all.push(samples.recv().await.unwrap());
        }
        tell.send_replace(true);
        done.await.unwrap();
        assert!(all.iter().all(|sample| sample.last == Ending::Ok), "{all:?}");
        let new = all.iter().filter(|sample| sample.client == Client::NewConnection).count();
        assert!(0 < new && new < all.len(), "both kinds of clients");
        let seen = seen.lock().unwrap();
        let is_right = |it: &String| {
            it.starts_with("GET /healthz HTTP/1.1\r\n") && it.contains("host: web.shop\r\n")
        };
        assert!(seen.len() >= 20 && seen.iter().all(is_right), "{seen:?}");
    }
}
