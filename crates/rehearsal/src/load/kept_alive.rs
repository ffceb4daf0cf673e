//! Clients that keep connections, like Go's `http.Transport` and nginx's upstreams: the most
//! recently used connection is used again, and connections known to be closed are skipped. A
//! request that fails on a kept connection before any byte of its answer is sent once more on a new
//! connection: the server may have closed the kept one at that moment, and a GET can be repeated
//! (`shouldRetryRequest` in Go, RFC 9110 section 9.2.2).

use std::sync::{Mutex, PoisonError};

use tokio::time::timeout;

use super::Clients;
use super::connection::{self, Attempt, Connection};
use crate::recording::Ending;

/// Number of clients, each with its own pool. With a single pool, all requests of a quiet service
/// would use one connection.
const CLIENTS: usize = 8;

/// The idle connections of all clients.
#[derive(Default)]
pub(super) struct Pools([Mutex<Vec<Kept>>; CLIENTS]);

/// A connection that has served a request.
struct Kept {
    connection: Connection,
    replica: u32,
}

impl Pools {
    /// Sends one request; returns the result of its first attempt, and the result and replica of
    /// the last one.
    pub(super) async fn request(&self, clients: &Clients, random: [u64; 2]) -> (Ending, Attempt) {
        let client = usize::try_from(random[1] >> 32).unwrap_or_default() % CLIENTS;
        let patience = clients.load.timeout;
        let path = &clients.load.path;
        if let Some(mut kept) = self.take(client).await {
            let before = kept.connection.received();
            let asked = timeout(patience, kept.connection.get(path)).await;
            let ending = asked.unwrap_or(Ending::TimeOut);
            let attempt = Attempt { ending, replica: Some(kept.replica) };
            let can_repeat = ending == Ending::Reset && kept.connection.received() == before;
            self.keep(client, kept, ending);
            if !can_repeat {
                return (ending, attempt);
            }
            return (ending, self.on_new_connection(clients, client, random[1]).await);
        }
        let attempt = self.on_new_connection(clients, client, random[0]).await;
        (attempt.ending, attempt)
    }

    async fn on_new_connection(&self, clients: &Clients, client: usize, random: u64) -> Attempt {
        let Some(endpoint) = clients.service.pick(random) else {
            return Attempt { ending: Ending::Refused, replica: None };
        };
        let asked = timeout(clients.load.timeout, async {
            let mut connection =
                connection::open(endpoint.address, clients.host.as_deref()).await?;
            let ending = connection.get(&clients.load.path).await;
            Ok((ending, connection))
        });
        let ending = match asked.await {
            Err(_) => Ending::TimeOut,
            Ok(Err(ending)) => ending,
            Ok(Ok((ending, connection))) => {
                self.keep(client, Kept { connection, replica: endpoint.replica }, ending);
                ending
            }
        };
        Attempt { ending, replica: Some(endpoint.replica) }
    }

    async fn take(&self, client: usize) -> Option<Kept> {
        loop {
            let mut kept = self.pool(client)?.pop()?;
            if kept.connection.is_usable().await {
                return Some(kept);
            }
        }
    }

    fn keep(&self, client: usize, kept: Kept, ending: Ending) {
        if matches!(ending, Ending::Ok | Ending::ErrorStatus)
            && let Some(mut pool) = self.pool(client)
        {
            pool.push(kept);
        }
    }

    fn pool(&self, client: usize) -> Option<std::sync::MutexGuard<'_, Vec<Kept>>> {
        Some(self.0.get(client)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
