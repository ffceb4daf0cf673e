//! Terminations as a picture, in the style of rehearsals: requests above, terminations below.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prestop_rehearsal::picture::{Bar, Drawn, Mark, Outcome, drawing};
use prestop_watch::judge::{End, Withdrawn};
use prestop_watch::seconds_between;
use prestop_watch::termination::Termination;
use prestop_watch::verdict::{Verdict, Weight};
use prestop_watch::words::count;

use super::requests::Requests;
use super::session::Session;

/// Maximum number of bars in a picture; in a long watch, each bar covers more seconds.
const MOST_BARS: usize = 480;

/// Returns the text of an SVG file.
pub(super) fn of(session: &Session, requests: Option<&Requests>, end: Timestamp) -> String {
    let began = began(session, requests);
    let seconds = requests.map(Requests::seconds).unwrap_or_default();
    let width = seconds.len().div_ceil(MOST_BARS).max(1);
    let lead =
        requests.and_then(Requests::began).map_or(0.0, |first| seconds_between(began, first));
    let outcome = match requests.map(Requests::counts) {
        Some((sent, 0)) => (format!("none of {} lost", count(sent, "request")), Outcome::Good),
        Some((sent, lost)) => (format!("{lost} of {} lost", count(sent, "request")), Outcome::Bad),
        None => (format!("{} bad", session.summary.bad()), outcome(session.summary.bad() > 0)),
    };
    let summary = session.summary.lines().into_iter().next().unwrap_or_default();
    let drawn = Drawn {
        title: session.scope.clone(),
        subtitle: format!(
            "{summary}; {:.0} s from {}",
            seconds_between(began, end),
            began.strftime("%Y-%m-%d %H:%M:%S UTC")
        ),
        outcome,
        bars: bars(seconds, width, lead),
        phases: Vec::new(),
        rows: rows(session, began),
    };
    let bar = Duration::from_secs(u64::try_from(width).unwrap_or(1));
    drawing("prestop watch", &summary, &[drawn], bar)
}

/// Returns the start of the picture: pods may have been deleted before the watch began.
fn began(session: &Session, requests: Option<&Requests>) -> Timestamp {
    let deletions = session.ended.iter().filter_map(|it| it.deleted);
    let began = deletions.chain([session.began]).chain(requests.and_then(Requests::began)).min();
    began.unwrap_or(session.began)
}

/// Returns bars of `width` seconds each, preceded by `lead` seconds without requests.
fn bars(seconds: &[Bar], width: usize, lead: f64) -> Vec<Bar> {
    let lead = Duration::try_from_secs_f64(lead).map_or(0, |lead| lead.as_secs());
    let lead = usize::try_from(lead).unwrap_or_default();
    let shifted: Vec<_> =
        std::iter::repeat_n(Bar::default(), lead).chain(seconds.iter().copied()).collect();
    let sum = |bars: &[Bar]| Bar {
        answered: bars.iter().map(|bar| bar.answered).sum(),
        dropped: bars.iter().map(|bar| bar.dropped).sum(),
    };
    if seconds.is_empty() { Vec::new() } else { shifted.chunks(width).map(sum).collect() }
}

fn rows(session: &Session, began: Timestamp) -> Vec<(&'static str, Vec<Mark>)> {
    let mark = |at: Option<Timestamp>, it: &Termination, is_bad: bool| {
        let micros = at?.duration_since(began).as_micros().max(0);
        let name = format!("{} {}: {}", it.pod, it.container, it.verdict().code());
        Some(Mark { at_micros: u64::try_from(micros).ok()?, name, outcome: outcome(is_bad) })
    };
    let all = || session.ended.iter();
    let after = |it: &Termination, seconds: f64| {
        it.deleted?.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
    };
    let withdrawn = all().filter_map(|it| match it.withdrawn {
        Some(Withdrawn::After(seconds)) => {
            mark(after(it, seconds), it, it.verdicts.contains(&Verdict::GoneBeforeWithdrawal))
        }
        _ => None,
    });
    let hooks = all().filter_map(|it| {
        mark(after(it, it.hook_ended_after?), it, it.verdicts.contains(&Verdict::HookFailed))
    });
    let exits = all().filter_map(|it| match &it.end {
        End::Exited(exit) => mark(Some(exit.at), it, session.summary.weight(it) == Weight::Bad),
        End::NeverStarted | End::Unseen => None,
    });
    vec![
        ("deleted", all().filter_map(|it| mark(it.deleted, it, false)).collect()),
        ("endpoint removed", withdrawn.collect()),
        ("hook over", hooks.collect()),
        ("exit", exits.collect()),
    ]
}

const fn outcome(is_bad: bool) -> Outcome {
    if is_bad { Outcome::Bad } else { Outcome::Good }
}
