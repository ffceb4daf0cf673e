//! Times in which the API server could not be watched. After a short gap each watch continues at
//! its last position, and nothing is missed. After a longer one it starts with a new list, and the
//! events of pods that are not in the list are not known.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::seconds_between;

/// The watched kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Pods.
    Pods,
    /// Events.
    Events,
    /// Endpoint slices.
    EndpointSlices,
}

/// A time without a connection to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Time of the last response from the API server.
    pub from: Timestamp,
    /// Time at which all watches had continued.
    pub to: Timestamp,
    /// The first error.
    pub why: String,
    /// Sources that were listed again. The others continued at their last position.
    pub listed_anew: Vec<Source>,
    /// Number of pods that no longer existed afterwards.
    pub vanished: u64,
}

/// The connection to the API server.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    heard: Option<Timestamp>,
    open: Option<Open>,
    /// Sources whose first list has been read.
    synced: BTreeSet<Source>,
}

#[derive(Debug)]
struct Open {
    from: Timestamp,
    why: String,
    failed_last: Timestamp,
    /// Time of the first response after the failure.
    heard: Option<Timestamp>,
    listing: BTreeSet<Source>,
    listed: BTreeSet<Source>,
    vanished: u64,
}

/// Maximum time between retries of a failed watch; a watch that has not failed for this long is
/// running.
const RUNNING_AFTER: SignedDuration = SignedDuration::from_secs(6);

impl Gap {
    /// Length of the gap, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        seconds_between(self.from, self.to)
    }
}

impl Connection {
    /// Records a response or an event from the API server.
    pub(crate) fn heard(&mut self, at: Timestamp) {
        match &mut self.open {
            Some(open) => {
                open.heard.get_or_insert(at);
            }
            None => self.heard = Some(at),
        }
    }

    pub(crate) fn failed(&mut self, at: Timestamp, why: &str) {
        let from = self.heard.unwrap_or(at).min(at);
        let open = self.open.get_or_insert_with(|| Open {
            from,
            why: why.to_owned(),
            failed_last: at,
            heard: None,
            listing: BTreeSet::new(),
            listed: BTreeSet::new(),
            vanished: 0,
        });
        open.failed_last = at;
        open.heard = None;
    }

    /// Returns whether the next list of a source is its first.
    pub(crate) fn is_first_list(&self, source: Source) -> bool {
        !self.synced.contains(&source)
    }

    /// Returns whether every source has been listed.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced.len() == 3
    }

    /// Returns the time since which the API server has been silent, if it is.
    pub(crate) fn silent_since(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.from)
    }

    pub(crate) fn list_begins(&mut self, source: Source, at: Timestamp) {
        if self.is_first_list(source) {
            return;
        }
        // A watch with an expired version ends without an earlier failure.
        self.failed(at, "the watch had to begin anew");
        if let Some(open) = &mut self.open {
            open.listing.insert(source);
        }
    }

    pub(crate) fn list_done(&mut self, source: Source, vanished: u64) {
        self.synced.insert(source);
        if let Some(open) = &mut self.open {
            open.vanished += vanished;
            if open.listing.remove(&source) {
                open.listed.insert(source);
            }
        }
    }

    /// Returns the gap if it has ended.
    pub(crate) fn over(&mut self, at: Timestamp) -> Option<Gap> {
        let is_over = |open: &mut Open| {
            let is_running = at.duration_since(open.failed_last) >= RUNNING_AFTER;
            is_running && open.heard.is_some() && open.listing.is_empty()
        };
        let open = self.open.take_if(is_over)?;
        self.heard = Some(at);
        Some(open.into_gap(at))
    }

    /// Returns a gap that has not ended when the program ends.
    pub(crate) fn finish(&mut self, at: Timestamp) -> Option<Gap> {
        Some(self.open.take()?.into_gap(at))
    }
}

impl Open {
    fn into_gap(self, now: Timestamp) -> Gap {
        Gap {
            from: self.from,
            to: self.heard.unwrap_or(now),
            why: self.why,
            listed_anew: self.listed.into_iter().collect(),
            vanished: self.vanished,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn synced() -> Connection {
        let mut connection = Connection::default();
        for source in [Source::Pods, Source::Events, Source::EndpointSlices] {
            assert!(connection.is_first_list(source));
            connection.list_begins(source, at(0));
            connection.list_done(source, 0);
        }
        assert!(connection.is_synced());
        connection.heard(at(1));
        connection
    }

    #[test]
    fn first_lists_are_no_gap() {
        let mut connection = synced();
        assert_eq!(connection.over(at(100)), None);
        assert_eq!(connection.finish(at(100)), None);
    }

    #[test]
    fn a_watch_that_goes_on_has_missed_nothing() {
        let mut connection = synced();
        connection.heard(at(10));
        connection.failed(at(12), "connection refused");
        connection.failed(at(30), "connection refused");
        assert_eq!(connection.silent_since(), Some(at(10)));
        assert_eq!(connection.over(at(40)), None, "nothing was heard");
        connection.heard(at(31));
        connection.heard(at(36));
        assert_eq!(connection.over(at(35)), None);
        let gap = connection.over(at(36)).unwrap();
        let expected = Gap {
            from: at(10),
            to: at(31),
            why: "connection refused".to_owned(),
            listed_anew: Vec::new(),
            vanished: 0,
        };
        assert_eq!(gap, expected);
        assert_eq!(connection.over(at(99)), None);
    }

    #[test]
    fn a_new_list_is_reported_with_what_vanished() {
        let mut connection = synced();
        connection.failed(at(12), "410 Gone");
        connection.list_begins(Source::Pods, at(13));
        assert_eq!(connection.over(at(40)), None, "the list is being read");
        connection.heard(at(15));
        connection.list_done(Source::Pods, 2);
        let gap = connection.over(at(40)).unwrap();
        assert_eq!((gap.from, gap.to), (at(1), at(15)));
        assert_eq!((gap.listed_anew, gap.vanished), (vec![Source::Pods], 2));
    }

    #[test]
    fn a_gap_that_does_not_end_is_reported_at_the_end() {
        let mut connection = synced();
        connection.failed(at(12), "connection refused");
        assert_eq!(connection.finish(at(20)).unwrap().to, at(20));
    }
}
