//! One run: bars, phases, rows of marks, a time axis.

use std::time::Duration;

use svg::node::element::path::Data;
use svg::node::element::{Circle, Element, Line, Path, Rectangle, Text, Title};

use super::{BAR_MICROS, LEFT, RIGHT, Scales, round};
use crate::recording::{Happened, Phase};
use crate::report::{Played, grouped};
use crate::tally::phases;

/// Measured from the top of the panel.
const PLOT_TOP: f64 = 58.0;
const PLOT_BOTTOM: f64 = 168.0;
const FIRST_ROW: f64 = 184.0;
const ROW: f64 = 15.0;
/// Below the last row, and from there to the end of the panel.
const TO_AXIS: f64 = 13.0;
const BELOW_AXIS: f64 = 38.0;
/// Few dropped requests among many have to be seen too.
const LEAST_DROPPED: f64 = 4.0;

/// A name, and which events are in its row.
pub(super) type Row = (&'static str, fn(&Happened) -> bool);

const ROWS: [Row; 5] = [
    ("deleted", |happened| matches!(happened, Happened::Deleted { .. })),
    ("endpoint removed", |happened| matches!(happened, Happened::Withdrawn { .. })),
    (DELAY_OVER, |happened| matches!(happened, Happened::DelayOver { .. })),
    ("stop signal", |happened| matches!(happened, Happened::StopSignal { .. })),
    ("exit", |happened| matches!(happened, Happened::Exited { .. } | Happened::Killed { .. })),
];

/// Only in pictures of hooks that report it.
const DELAY_OVER: &str = "delay over";

/// One run, and where it is drawn.
pub(super) struct Panel<'a> {
    pub(super) run: &'a Played,
    pub(super) scales: Scales,
    pub(super) rows: &'a [Row],
    pub(super) top: f64,
}

/// Requests that ended in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) answered: u32,
    pub(super) dropped: u32,
}

/// The rows of the panels of these runs, the same in each.
pub(super) fn rows(runs: &[Played]) -> Vec<Row> {
    let has_delays = runs.iter().flat_map(|run| &run.recording.events);
    let has_delays =
        has_delays.into_iter().any(|event| matches!(event.happened, Happened::DelayOver { .. }));
    ROWS.into_iter().filter(|(name, _)| has_delays || *name != DELAY_OVER).collect()
}

/// Where the time axis of a panel with so many rows is, from its top.
fn axis(rows: &[Row]) -> f64 {
    let last = u8::try_from(rows.len().saturating_sub(1)).unwrap_or(u8::MAX);
    FIRST_ROW + ROW * f64::from(last) + TO_AXIS
}

/// The height of such a panel with everything around it.
pub(super) fn height(rows: &[Row]) -> f64 {
    axis(rows) + BELOW_AXIS
}

/// The bars of a run, from its start.
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
        self.plot(&mut nodes);
        self.rows(&mut nodes);
        self.axis(&mut nodes);
        nodes
    }

    fn title(&self) -> Vec<Element> {
        let all = self.run.tally.all;
        let how = &self.run.how;
        let (count, class) = match all.dropped {
            0 => ("none".to_owned(), "title"),
            dropped => (grouped(dropped), "bad"),
        };
        let words = format!("{count} of {} requests dropped", grouped(all.sent));
        let hook = format!("{}, grace period {}s", how.hook_words(), how.grace_period_seconds);
        vec![
            self.text(8.0, 12.0, how.variant.words()).set("class", "title").into(),
            self.text(RIGHT, 12.0, &words).set("text-anchor", "end").set("class", class).into(),
            self.text(8.0, 28.0, &shortened(&hook)).into(),
        ]
    }

    /// A band behind each phase in which something happens, with its name.
    fn phases(&self, nodes: &mut Vec<Element>) {
        let began = phases(&self.run.recording);
        let ends = began.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
        for ((from, phase), to) in began.iter().zip(ends) {
            if !Phase::PLAYED.contains(phase) {
                continue;
            }
            let (from, to) = (self.scales.x(*from), self.scales.x(to));
            let band = Rectangle::new()
                .set("x", from)
                .set("y", self.top + PLOT_TOP - 16.0)
                .set("width", round((to - from - 1.0).max(0.5)))
                .set("height", axis(self.rows) - PLOT_TOP + 16.0)
                .set("class", "phase");
            nodes.push(band.into());
            // The name where there is room for it.
            if to - from > 60.0 {
                nodes.push(self.text(from + 4.0, PLOT_TOP - 4.0, phase.words()).into());
            }
        }
    }

    fn plot(&self, nodes: &mut Vec<Element>) {
        let highest = f64::from(self.scales.highest);
        let height = |count: u32| f64::from(count) / highest * (PLOT_BOTTOM - PLOT_TOP);
        let (mut answered, mut dropped) = (Data::new(), Data::new());
        let mut is_dropped = false;
        for (bar, from) in bars(self.run).iter().zip((0..).map(|index| index * BAR_MICROS)) {
            let (left, right) = (self.scales.x(from), self.scales.x(from + BAR_MICROS));
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
        let rows = self.rows.iter().zip((0_u8..).map(|row| FIRST_ROW + ROW * f64::from(row)));
        for ((name, is_of_row), y) in rows {
            nodes.push(self.text(LEFT - 6.0, y + 4.0, name).set("text-anchor", "end").into());
            nodes.push(self.line(LEFT, RIGHT, y, "grid"));
            let events = self.run.recording.events.iter();
            for event in events.filter(|event| is_of_row(&event.happened)) {
                let is_killed = matches!(event.happened, Happened::Killed { .. });
                let seconds = Duration::from_micros(event.at_micros).as_secs_f64();
                let name = if is_killed { "killed" } else { *name };
                let mark = Circle::new()
                    .set("cx", self.scales.x(event.at_micros))
                    .set("cy", self.top + y)
                    .set("r", if is_killed { 5.5 } else { 4.0 })
                    .set("class", if is_killed { "dropped" } else { "mark" })
                    .add(Title::new(format!("{name}, {seconds:.1} s")));
                nodes.push(mark.into());
            }
        }
    }

    fn axis(&self, nodes: &mut Vec<Element>) {
        let y = axis(self.rows);
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

/// At most about fifteen ticks.
fn tick_seconds(longest: Duration) -> u64 {
    let steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
    steps.into_iter().find(|step| longest.as_secs() / step <= 15).unwrap_or(1800)
}

/// Hooks can be long; a title has one line.
fn shortened(text: &str) -> String {
    const MOST: usize = 130;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST - 1).chain(['…']).collect()
}
