//! How much time the caller has left. The API server puts its own deadline into the query
//! (`?timeout=10s`, a duration as Go writes it); an answer that comes later is thrown away.

use std::time::Duration;

/// What an answer may take on its way.
const RESERVE: Duration = Duration::from_millis(200);

/// How long the body may take: the server's own limit, or less where the caller has less time.
/// What can't be read as a duration, or is not above zero, is passed over.
pub(super) fn time_for_body(query: Option<&str>, limit: Duration) -> Duration {
    let timeout = query.and_then(|query| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix("timeout="))?;
        go_duration(value).filter(|timeout| !timeout.is_zero())
    });
    timeout.map_or(limit, |timeout| limit.min(timeout.saturating_sub(RESERVE.min(timeout / 2))))
}

/// A sum of decimal numbers with units: `1m0.5s`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let number: f64 = number.parse().ok()?;
        let letters = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "%C2%B5s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = after;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_time_counts() {
        let limit = Duration::from_secs(5);
        for (query, expected) in [
            (None, 5.0),
            (Some(""), 5.0),
            (Some("timeout=10s"), 5.0),
            (Some("timeout=2s"), 1.8),
            (Some("a=b&timeout=1m0s"), 5.0),
            (Some("timeout=1s500ms"), 1.3),
            (Some("timeout=1.5s"), 1.3),
            (Some("timeout=100ms"), 0.05),
            (Some("timeout=0s"), 5.0),
            (Some("timeout="), 5.0),
            (Some("timeout=abc"), 5.0),
            (Some("timeout=10"), 5.0),
            (Some("timeout=-1s"), 5.0),
            (Some("timeout=..s"), 5.0),
            (Some("timeout=100h"), 5.0),
            (Some("timeout=99999999999999999999999h"), 5.0),
            (Some("timeout=\u{e4}s"), 5.0),
        ] {
            let time = time_for_body(query, limit).as_secs_f64();
            assert!((time - expected).abs() < 1e-9, "{query:?}: {time}");
        }
    }
}
