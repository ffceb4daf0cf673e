//! The panel of one run: bars, phases, rows of marks, and a time axis.

use std::collections::BTreeMap;
use std::time::Duration;

use svg::node::element::path::Data;
use svg::node::element::{Circle, Element, Line, Path, Rectangle, Text, Title};

use super::{BAR_MICROS, LEFT, RIGHT, Scales, round, shortened};
use crate::recording::{Happened, Phase};
use crate::report::{Played, grouped};
use crate::tally::phases;

/// Vertical positions from the top of the panel, in pixels.
const PLOT_TOP: f64 = 58.0;
const PLOT_BOTTOM: f64 = 168.0;
const FIRST_ROW: f64 = 184.0;
/// Position of the first row if there are no requests.
const FIRST_ROW_WITHOUT_PLOT: f64 = 50.0;
const ROW: f64 = 15.0;
/// Distance from the last row to the axis, and from there to the end of the panel.
const TO_AXIS: f64 = 13.0;
const BELOW_AXIS: f64 = 38.0;
/// Length limits, in characters: the outcome is next to the title.
const LONGEST_TITLE: usize = 80;
const LONGEST_SUBTITLE: usize = 130;
/// Limit for the number of names that are listed for a mark of many events.
const MOST_NAMES: usize = 10;
/// Limit for the size of a mark, so that it does not reach into the next row.
const LARGEST_MARK: f64 = 7.0;
/// Minimum height of dropped requests, so that a few among many remain visible.
const LEAST_DROPPED: f64 = 4.0;

/// Name of a row, and the condition for its events.
pub(super) type Row = (&'static str, fn(&Happened) -> bool);

const ROWS: [Row; 5] = [
    ("deleted", |happened| matches!(happened, Happened::Deleted { .. })),
    ("endpoint removed", |happened| matches!(happened, Happened::Withdrawn { .. })),
    (DELAY_OVER, |happened| matches!(happened, Happened::DelayOver { .. })),
    ("stop signal", |happened| matches!(happened, Happened::StopSignal { .. })),
    ("exit", |happened| matches!(happened, Happened::Exited { .. } | Happened::Killed { .. })),
];

/// Row that exists only if hooks report the end of their delay.
const DELAY_OVER: &str = "delay over";

/// One run, ready to be drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drawn {
    /// Title of the panel.
    pub title: String,
    /// A line below the title.
    pub subtitle: String,
    /// The outcome as text, and whether it is good.
    pub outcome: (String, Outcome),
    /// Bars of requests, from the start of the run.
    pub bars: Vec<Bar>,
    /// Phases of the run: beginning, end and name.
    pub phases: Vec<(u64, u64, &'static str)>,
    /// Rows of marks, with their names.
    pub rows: Vec<(&'static str, Vec<Mark>)>,
}

/// Outcome of a run or an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The expected outcome.
    #[default]
    Good,
    /// A bad outcome, drawn in red.
    Bad,
}

/// An event of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Time of the event, in microseconds.
    pub at_micros: u64,
    /// Name of the event.
    pub name: String,
    /// Outcome of the event; bad ones are larger and red.
    pub outcome: Outcome,
}

/// One run, with its position in the picture.
pub(super) struct Panel<'a> {
    pub(super) drawn: &'a Drawn,
    pub(super) scales: Scales,
    pub(super) top: f64,
}

/// Requests that ended in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bar {
    /// Requests that were answered correctly.
    pub answered: u32,
    /// All other requests.
    pub dropped: u32,
}

/// Returns the rows of the panels, which are the same in each.
pub(super) fn rows(runs: &[Played]) -> Vec<Row> {
    let has_delays = runs.iter().flat_map(|run| &run.recording.events);
    let has_delays =
        has_delays.into_iter().any(|event| matches!(event.happened, Happened::DelayOver { .. }));
    ROWS.into_iter().filter(|(name, _)| has_delays || *name != DELAY_OVER).collect()
}

/// Returns the position of the first row of marks, from the top of the panel.
const fn first_row(drawn: &Drawn) -> f64 {
    if drawn.bars.is_empty() { FIRST_ROW_WITHOUT_PLOT } else { FIRST_ROW }
}

/// Returns the position of the time axis, from the top of the panel.
fn axis(drawn: &Drawn) -> f64 {
    let last = u8::try_from(drawn.rows.len().saturating_sub(1)).unwrap_or(u8::MAX);
    first_row(drawn) + ROW * f64::from(last) + TO_AXIS
}

/// Returns the total height of the panel.
pub(super) fn height(drawn: &Drawn) -> f64 {
    axis(drawn) + BELOW_AXIS
}

impl Drawn {
    /// Creates the drawing of a rehearsal's run, with these rows.
    pub(super) fn of(run: &Played, rows: &[Row]) -> Self {
        let all = run.tally.all;
        let how = &run.how;
        let count = match all.dropped {
            0 => "none".to_owned(),
            dropped => grouped(dropped),
        };
        let words = format!("{count} of {} requests dropped", grouped(all.sent));
        let outcome = if all.dropped == 0 { Outcome::Good } else { Outcome::Bad };
        let hook = format!("{}, grace period {}s", how.hook_words(), how.grace_period_seconds);
        let began = phases(&run.recording);
        let ends = began.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
        let played = began.iter().zip(ends).filter(|((_, phase), _)| Phase::PLAYED.contains(phase));
        Self {
            title: how.variant.words().to_owned(),
            subtitle: hook,
            outcome: (words, outcome),
            bars: bars(run),
            phases: played.map(|((from, phase), to)| (*from, to, phase.words())).collect(),
            rows: rows.iter().map(|row| (row.0, marks(run, *row))).collect(),
        }
    }

    /// Returns the time of the last event or bar.
    pub(super) fn end_micros(&self, bar_micros: u64) -> u64 {
        let bars = u64::try_from(self.bars.len()).unwrap_or(u64::MAX).saturating_mul(bar_micros);
        let marks = self.rows.iter().flat_map(|(_, marks)| marks).map(|mark| mark.at_micros);
        marks.max().unwrap_or_default().max(bars)
    }
}

fn marks(run: &Played, (name, is_of_row): Row) -> Vec<Mark> {
    let events = run.recording.events.iter().filter(|event| is_of_row(&event.happened));
    let marks = events.map(|event| {
        let is_killed = matches!(event.happened, Happened::Killed { .. });
        Mark {
            at_micros: event.at_micros,
            name: if is_killed { "killed" } else { name }.to_owned(),
            outcome: if is_killed { Outcome::Bad } else { Outcome::Good },
        }
    });
    marks.collect()
}

/// Returns the bars of a run, from its start.
pub(super) fn bars(run: &Played) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    for sample in &run.recording.samples {
        let index = usize::try_from(sample.ended_micros() / BAR_MICROS).unwrap_or_default();
        if bars.len() <= index {
            bars.resize(index + 1, Bar::default());
        }
        if let Some(bar) = bars.get_mut(index) {
            if sample.last.is_ok() {
                bar.answered += 1;
            } else {
                bar.dropped += 1;
            }
        }
    }
    bars
}

impl Panel<'_> {
    pub(super) fn nodes(&self) -> Vec<Element> {
        let mut nodes = self.title();
        self.phases(&mut nodes);
        if !self.drawn.bars.is_empty() {
            self.plot(&mut nodes);
        }
        self.rows(&mut nodes);
        self.axis(&mut nodes);
        nodes
    }

    fn title(&self) -> Vec<Element> {
        let Drawn { title, subtitle, outcome: (words, outcome), .. } = self.drawn;
        let class = match outcome {
            Outcome::Good => "title",
            Outcome::Bad => "bad",
        };
        vec![
            self.text(8.0, 12.0, &shortened(title, LONGEST_TITLE)).set("class", "title").into(),
            self.text(RIGHT, 12.0, words).set("text-anchor", "end").set("class", class).into(),
            self.text(8.0, 28.0, &shortened(subtitle, LONGEST_SUBTITLE)).into(),
        ]
    }

    /// Draws a band behind each phase of the rollout, with its name.
    fn phases(&self, nodes: &mut Vec<Element>) {
        for (from, to, name) in &self.drawn.phases {
            let (from, to) = (self.scales.x(*from), self.scales.x(*to));
            let band = Rectangle::new()
                .set("x", from)
                .set("y", self.top + PLOT_TOP - 16.0)
                .set("width", round((to - from - 1.0).max(0.5)))
                .set("height", axis(self.drawn) - PLOT_TOP + 16.0)
                .set("class", "phase");
            nodes.push(band.into());
            // The name is drawn only if there is room for it.
            if to - from > 60.0 {
                nodes.push(self.text(from + 4.0, PLOT_TOP - 4.0, name).into());
            }
        }
    }

    fn plot(&self, nodes: &mut Vec<Element>) {
        let highest = f64::from(self.scales.highest);
        let height = |count: u32| f64::from(count) / highest * (PLOT_BOTTOM - PLOT_TOP);
        let (mut answered, mut dropped) = (Data::new(), Data::new());
        let mut is_dropped = false;
        let width = self.scales.bar_micros;
        for (bar, from) in self.drawn.bars.iter().zip((0..).map(|index| index * width)) {
            let (left, right) = (self.scales.x(from), self.scales.x(from + width));
            let base = self.top + PLOT_BOTTOM;
            let mut red = 0.0;
            if bar.dropped > 0 {
                red = height(bar.dropped).max(LEAST_DROPPED);
                dropped = bar_path(dropped, left, right, base, red);
                is_dropped = true;
            }
            if bar.answered > 0 {
                answered = bar_path(answered, left, right, base - red, height(bar.answered));
            }
        }
        nodes.push(Path::new().set("class", "answered").set("d", answered).into());
        if is_dropped {
            nodes.push(Path::new().set("class", "dropped").set("d", dropped).into());
        }
        let label = self.text(LEFT - 6.0, PLOT_TOP + 10.0, &self.scales.highest.to_string());
        nodes.push(label.set("text-anchor", "end").into());
        nodes.push(self.line(LEFT, RIGHT, PLOT_BOTTOM, "axis"));
    }

    fn rows(&self, nodes: &mut Vec<Element>) {
        let places = (0_u8..).map(|row| first_row(self.drawn) + ROW * f64::from(row));
        for ((name, marks), y) in self.drawn.rows.iter().zip(places) {
            nodes.push(self.text(LEFT - 6.0, y + 4.0, name).set("text-anchor", "end").into());
            nodes.push(self.line(LEFT, RIGHT, y, "grid"));
            // Bad marks are drawn on top of good ones.
            for outcome in [Outcome::Good, Outcome::Bad] {
                let mut groups: BTreeMap<u128, Vec<&Mark>> = BTreeMap::new();
                for mark in marks.iter().filter(|mark| mark.outcome == outcome) {
                    groups.entry(self.scales.place(mark.at_micros)).or_default().push(mark);
                }
                nodes.extend(groups.values().map(|marks| self.mark(marks, outcome, y)));
            }
        }
    }

    /// Returns a mark for all events at the same position; its size grows with their number.
    fn mark(&self, marks: &[&Mark], outcome: Outcome, y: f64) -> Element {
        let (radius, class) = match outcome {
            Outcome::Good => (4.0, "mark"),
            Outcome::Bad => (5.5, "dropped"),
        };
        let count = f64::from(u32::try_from(marks.len()).unwrap_or(u32::MAX));
        let names = marks.iter().take(MOST_NAMES).map(|Mark { at_micros, name, .. }| {
            format!("{name}, {:.1} s", Duration::from_micros(*at_micros).as_secs_f64())
        });
        let mut names: Vec<_> = names.collect();
        if marks.len() > MOST_NAMES {
            names.push(format!("and {} more", marks.len() - MOST_NAMES));
        }
        let at_micros = marks.first().map_or(0, |mark| mark.at_micros);
        Circle::new()
            .set("cx", self.scales.x(at_micros))
            .set("cy", self.top + y)
            .set("r", round((radius * count.sqrt()).min(LARGEST_MARK)))
            .set("class", class)
            .add(Title::new(names.join("\n")))
            .into()
    }

    fn axis(&self, nodes: &mut Vec<Element>) {
        let y = axis(self.drawn);
        nodes.push(self.line(LEFT, RIGHT, y, "axis"));
        let step = tick_seconds(self.scales.longest);
        let mut at = 0;
        while Duration::from_secs(at) <= self.scales.longest {
            let x = self.scales.x(at * 1_000_000);
            let label = self.text(x, y + 15.0, &format!("{at}s")).set("text-anchor", "middle");
            nodes.push(label.into());
            at += step;
        }
    }

    fn text(&self, x: f64, y: f64, words: &str) -> Text {
        Text::new(words).set("x", round(x)).set("y", round(self.top + y))
    }

    fn line(&self, from: f64, to: f64, y: f64, class: &str) -> Element {
        let y = round(self.top + y);
        Line::new()
            .set("x1", from)
            .set("x2", to)
            .set("y1", y)
            .set("y2", y)
            .set("class", class)
            .into()
    }
}

fn bar_path(data: Data, left: f64, right: f64, base: f64, height: f64) -> Data {
    let (base, top) = (round(base), round(base - height));
    data.move_to((left, base))
        .line_to((left, top))
        .line_to((right, top))
        .line_to((right, base))
        .close()
}

/// Returns the interval of the ticks, such that there are at most about fifteen.
fn tick_seconds(longest: Duration) -> u64 {
    let steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600];
    steps.into_iter().find(|step| longest.as_secs() / step <= 15).unwrap_or(longest.as_secs() / 15)
}
