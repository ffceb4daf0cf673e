//! The picture: requests per 100 ms of each run, with the dropped ones in red, and the events of
//! the replicas below. Both runs have the same scales. There is no background, and the text follows
//! the color scheme.

mod panel;

use std::time::Duration;

use svg::Document;
use svg::node::element::{Rectangle, Style, Text, Title};

use self::panel::Panel;
pub use self::panel::{Bar, Drawn, Mark, Outcome};
use super::report::Rehearsal;

/// Time covered by one bar.
const BAR_MICROS: u64 = 100_000;

const WIDTH: f64 = 960.0;
/// Left and right edge of the plots; names of rows are to the left of them.
const LEFT: f64 = 132.0;
const RIGHT: f64 = 948.0;
/// Number of distinct horizontal positions for marks.
const PLACES: u128 = 408;
const TOP: f64 = 58.0;
const TOP_WITHOUT_LEGEND: f64 = 32.0;

const STYLE: &str = "\
text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #6e7781 }
.title { font-size: 14px; font-weight: 600 }
.answered { fill: #4493d8 }
.dropped { fill: #e5383b }
.bad { fill: #e5383b; font-size: 14px; font-weight: 600 }
.mark { fill: #6e7781 }
.axis { stroke: #6e7781; stroke-width: 1 }
.grid { stroke: #6e7781; stroke-width: 1; stroke-opacity: .25 }
.phase { fill: #6e7781; fill-opacity: .09 }
@media (prefers-color-scheme: dark) { text, .mark { fill: #9ea7b0 } }";
/// Length limit for the heading, in characters.
const LONGEST_HEADING: usize = 110;

/// Scales shared by all panels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scales {
    /// End of the longest run.
    longest: Duration,
    /// Height of the highest bar, in requests.
    highest: u32,
    /// Time covered by one bar, in microseconds.
    bar_micros: u64,
}

/// Returns the picture of a rehearsal, as the text of an SVG file.
#[must_use]
pub fn of(rehearsal: &Rehearsal) -> String {
    let rows = panel::rows(&rehearsal.runs);
    let drawn: Vec<_> = rehearsal.runs.iter().map(|run| Drawn::of(run, &rows)).collect();
    let subject = &rehearsal.subject;
    let heading = format!("{}, {} ({})", subject.workload, subject.container, subject.image);
    drawing(&heading, &rehearsal.verdict(), &drawn, Duration::from_micros(BAR_MICROS))
}

/// Draws runs below each other; returns the text of an SVG file. `title` is a description for users
/// who can't see the picture, `bar` the time covered by one bar of requests.
#[must_use]
pub fn drawing(heading: &str, title: &str, runs: &[Drawn], bar: Duration) -> String {
    let scales = Scales::of(runs, bar);
    let has_requests = runs.iter().any(|run| !run.bars.is_empty());
    let (mut nodes, mut top) =
        if has_requests { (legend(bar), TOP) } else { (Vec::new(), TOP_WITHOUT_LEGEND) };
    for drawn in runs {
        nodes.extend(Panel { drawn, scales, top }.nodes());
        top += panel::height(drawn);
    }
    let mut document = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, top))
        .set("width", WIDTH)
        .set("height", top)
        .set("role", "img")
        .add(Title::new(title))
        .add(Style::new(STYLE))
        .add(
            Text::new(shortened(heading, LONGEST_HEADING))
                .set("x", 8.0)
                .set("y", 20.0)
                .set("class", "title"),
        );
    for node in nodes {
        document = document.add(node);
    }
    let mut text = document.to_string();
    text.push('\n');
    text
}

fn legend(bar: Duration) -> Vec<svg::node::element::Element> {
    let square = |x: f64, class: &str| {
        let square = Rectangle::new().set("x", x).set("y", 32.0).set("width", 10.0);
        square.set("height", 10.0).set("class", class).into()
    };
    let words = |x: f64, words: &str| Text::new(words).set("x", x).set("y", 41.0).into();
    let per = if bar < Duration::from_secs(1) {
        format!("{} ms", bar.as_millis())
    } else {
        format!("{} s", bar.as_secs())
    };
    vec![
        square(8.0, "answered"),
        words(24.0, &format!("requests per {per}, answered")),
        square(222.0, "dropped"),
        words(238.0, "dropped"),
    ]
}

impl Scales {
    fn of(runs: &[Drawn], bar: Duration) -> Self {
        let bar_micros = u64::try_from(bar.as_micros()).unwrap_or(u64::MAX).max(1);
        let longest = runs.iter().map(|run| run.end_micros(bar_micros)).max();
        let longest = longest.unwrap_or_default().max(bar_micros);
        let highest = runs.iter().flat_map(|run| &run.bars).map(|bar| bar.answered + bar.dropped);
        Self {
            longest: Duration::from_micros(longest),
            highest: highest.max().unwrap_or_default().max(1),
            bar_micros,
        }
    }

    /// Returns the position of a mark. Marks at the same position can't be distinguished.
    fn place(&self, micros: u64) -> u128 {
        u128::from(micros) * PLACES / self.longest.as_micros().max(1)
    }

    fn x(&self, micros: u64) -> f64 {
        let share = Duration::from_micros(micros).as_secs_f64() / self.longest.as_secs_f64();
        round(LEFT + share.min(1.0) * (RIGHT - LEFT))
    }
}

/// Shortens a text to the width of a line: names, selectors and hooks can be long.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Rounds to a tenth of a pixel, which is precise enough.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::container::Probe;
    use crate::plan::{EndpointDelay, Load, Plan, Termination, Variant};
    use crate::recording::{Client, Ending, Event, Happened, Phase, Recording, Sample};
    use crate::report::{Played, Subject};

    fn run(variant: Variant, dropped_every: u64) -> Played {
        let samples = (0..600).map(|number| {
            let is_dropped = dropped_every > 0 && number % dropped_every == 0;
            let ending = if is_dropped { Ending::Refused } else { Ending::Ok };
            Sample {
                due_micros: number * 5_000,
                late_micros: 0,
                took_micros: 1_000,
                client: Client::NewConnection,
                replica: Some(0),
                first: ending,
                last: ending,
            }
        });
        let event = |at_micros, happened| Event { at_micros, happened };
        let recording = Recording {
            variant,
            samples: samples.collect(),
            events: vec![
                event(0, Happened::Phase(Phase::Steady)),
                event(500_000, Happened::Phase(Phase::RollingUpdate)),
                event(600_000, Happened::Deleted { replica: 0 }),
                event(700_000, Happened::Withdrawn { replica: 0 }),
                event(800_000, Happened::StopSignal { replica: 0 }),
                event(900_000, Happened::Killed { replica: 0 }),
                event(950_000, Happened::Exited { replica: 0 }),
                event(1_000_000, Happened::Phase(Phase::Settled)),
            ],
            hooks: Vec::new(),
            rollout_micros: 500_000,
            notes: Vec::new(),
        };
        let how = Termination {
            variant,
            hook: None,
            measured: None,
            words: None,
            grace_period_seconds: 30,
            exec_fails: None,
        };
        Played::new(how, recording)
    }

    fn rehearsal(runs: Vec<Played>) -> Rehearsal {
        let least = Duration::ZERO;
        Rehearsal {
            subject: Subject {
                workload: "Deployment default/<web>".to_owned(),
                container: "nginx".to_owned(),
                image: "nginx:1.15".to_owned(),
                stop_signal_from: String::new(),
                unchanged: None,
                notes: Vec::new(),
            },
            plan: Plan {
                command: vec!["nginx".to_owned()],
                replicas: 2,
                port: 80,
                probe: Probe::connect(80),
                ready_timeout: least,
                stop_signal: "TERM".to_owned(),
                endpoint_delay: EndpointDelay { least, most: least },
                late_endpoints: least,
                load: Load {
                    rate_per_second: 200,
                    least_requests: 1,
                    seed: 1,
                    path: "/".to_owned(),
                    long: None,
                    timeout: least,
                },
                runs: Vec::new(),
            },
            runs,
        }
    }

    #[test]
    fn both_runs_are_drawn_and_names_are_escaped() {
        let runs = vec![run(Variant::AsWritten, 10), run(Variant::AsInjected, 0)];
        let text = of(&rehearsal(runs));
        assert!(text.starts_with("<svg "), "{text}");
        assert!(text.contains("default/&lt;web&gt;"), "{text}");
        assert!(text.contains("as written") && text.contains("as injected"));
        // Only the first run has dropped requests.
        assert_eq!(text.matches("class=\"dropped\" d=").count(), 1, "{text}");
        for row in ["deleted", "endpoint removed", "stop signal", "exit"] {
            assert_eq!(text.matches(&format!(">{row}</text>")).count(), 2, "{row}");
        }
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn the_end_of_delays_has_a_row_where_hooks_report_it() {
        let plain = of(&rehearsal(vec![run(Variant::AsWritten, 0)]));
        assert!(!plain.contains(">delay over</text>"));
        let mut watched = run(Variant::AsInjected, 0);
        let happened = Happened::DelayOver { replica: 0 };
        watched.recording.events.push(Event { at_micros: 750_000, happened });
        let text = of(&rehearsal(vec![run(Variant::AsWritten, 0), watched]));
        assert_eq!(text.matches(">delay over</text>").count(), 2);
        assert!(text.contains("delay over, 0.8 s"), "{text}");
    }

    #[test]
    fn a_run_without_requests_is_a_picture_too() {
        let mut empty = run(Variant::AsWritten, 0);
        empty.recording.samples.clear();
        let full = of(&rehearsal(vec![empty.clone()]));
        empty.recording.events.clear();
        for text in [full, of(&rehearsal(vec![empty]))] {
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            assert!(!text.contains("answered</text>"), "{text}");
            assert!(text.contains(">deleted</text>"), "{text}");
        }
    }

    #[test]
    fn many_marks_at_one_place_are_a_larger_one_and_bad_ones_are_above() {
        let mark = |at_micros, number: u32, outcome| Mark {
            at_micros,
            name: format!("web-{number}"),
            outcome,
        };
        let mut marks = vec![mark(1_000_000, 0, Outcome::Bad)];
        marks.extend((1..=40).map(|number| mark(1_000_000, number, Outcome::Good)));
        marks.push(mark(3_000_000, 41, Outcome::Good));
        let drawn = Drawn { rows: vec![("exit", marks)], ..Drawn::default() };
        let text = drawing("heading", "", &[drawn], Duration::from_secs(1));
        let circles: Vec<_> = text.split("<circle ").skip(1).collect();
        assert_eq!(circles.len(), 3, "{text}");
        assert!(circles[0].contains("r=\"7\"") && circles[0].contains("and 30 more"), "{text}");
        assert!(circles[1].contains("r=\"4\"") && circles[1].contains("web-41, 3.0 s<"), "{text}");
        assert!(circles[2].contains("class=\"dropped\"") && circles[2].contains("web-0, 1.0 s<"));
    }

    #[test]
    fn long_names_are_cut() {
        let drawn = Drawn { title: "x".repeat(200), ..Drawn::default() };
        let text = drawing(&"é".repeat(200), "", &[drawn], Duration::from_secs(1));
        for (letter, most) in [("x", 79), ("é", 109)] {
            assert!(text.contains(&format!("{}…", letter.repeat(most))), "{text}");
            assert!(!text.contains(&letter.repeat(most + 1)), "{text}");
        }
    }
}
