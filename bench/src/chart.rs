//! Charts as SVG: bars and lines on a logarithmic scale, readable on light and dark pages.

use std::fmt::Write;

/// A grey that is readable on white and black; replaced by the color of the reader's dark scheme,
/// if there is one.
const STYLE: &str = "<style>text{font:13px system-ui,sans-serif;fill:#57606a}.t{font-weight:600}.m{font-size:11px}\
.axis{stroke:#8c959f;stroke-width:1;fill:none}.grid{stroke:#8c959f;stroke-opacity:.25;stroke-width:1}\
.a{fill:#2f81f7}.b{fill:#d29922}.la{stroke:#2f81f7;fill:none;stroke-width:2}.lb{stroke:#d29922;fill:none;stroke-width:2}\
@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}</style>";

/// A group of bars.
pub(crate) struct Bars {
    /// Name of the group.
    pub(crate) name: String,
    /// One value per series.
    pub(crate) values: Vec<f64>,
}

/// Lines with a common horizontal axis.
pub(crate) struct Lines {
    /// Title above the lines.
    pub(crate) title: String,
    /// Label of the horizontal axis.
    pub(crate) across: String,
    /// Name and points of each series.
    pub(crate) series: Vec<(String, Vec<(f64, f64)>)>,
}

const CLASSES: [&str; 2] = ["a", "b"];

/// Draws horizontal bars that start at `least`, on a logarithmic scale, with at most two series.
pub(crate) fn bars(
    title: &str,
    series: &[&str],
    groups: &[Bars],
    unit: &str,
    least: f64,
) -> String {
    const LEFT: f64 = 170.0;
    const WIDTH: f64 = 480.0;
    const BAR: f64 = 16.0;
    let most = groups.iter().flat_map(|group| &group.values).copied().fold(least, f64::max);
    let length = |value: f64| WIDTH * (value / least).ln().max(0.0) / (most / least).ln();
    let mut body = format!("<text class=\"t\" x=\"8\" y=\"20\">{title}</text>\n");
    let mut x = LEFT;
    for (name, class) in series.iter().zip(CLASSES) {
        let _ = writeln!(
            body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"32\" width=\"11\" height=\"11\"/><text class=\"m\" x=\"{}\" y=\"42\">{name}</text>",
            x + 16.0
        );
        x += 150.0;
    }
    let mut y = 58.0;
    for group in groups {
        let _ = writeln!(body, "<text x=\"8\" y=\"{}\">{}</text>", y + BAR, group.name);
        for (value, class) in group.values.iter().zip(CLASSES) {
            let length = length(*value).max(1.0);
            let _ = writeln!(
                body,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\"/>\
                 <text class=\"m\" x=\"{:.1}\" y=\"{}\">{}{unit}</text>",
                BAR - 2.0,
                LEFT + length + 5.0,
                y + BAR - 5.0,
                short(*value)
            );
            y += BAR;
        }
        y += 8.0;
    }
    document(LEFT + WIDTH + 90.0, y + 4.0, title, &body)
}

/// Draws charts next to each other; both axes are logarithmic.
pub(crate) fn lines(title: &str, pictures: &[Lines]) -> String {
    const SIDE: f64 = 230.0;
    let mut body = String::new();
    let mut left = 0.0;
    for picture in pictures {
        body += &picture.drawn(left);
        left += SIDE + 20.0;
    }
    document(left, 240.0, title, &body)
}

impl Lines {
    fn drawn(&self, left: f64) -> String {
        const TOP: f64 = 40.0;
        const HEIGHT: f64 = 140.0;
        const WIDTH: f64 = 175.0;
        let left = left + 46.0;
        let points = || self.series.iter().flat_map(|(_, points)| points);
        let decades = |values: &mut dyn Iterator<Item = f64>| {
            let (low, high) = values
                .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
            let (low, high) = (low.log10().floor(), high.log10().ceil());
            (low, if high > low { high } else { low + 1.0 })
        };
        let (x_low, x_high) = decades(&mut points().map(|(x, _)| *x));
        let (y_low, y_high) = decades(&mut points().map(|(_, y)| *y));
        let at_x = |value: f64| left + WIDTH * (value.log10() - x_low) / (x_high - x_low);
        let at_y = |value: f64| TOP + HEIGHT * (y_high - value.log10()) / (y_high - y_low);
        let mut body =
            format!("<text class=\"t\" x=\"{}\" y=\"20\">{}</text>\n", left - 38.0, self.title);
        let mut decade = y_low;
        while decade <= y_high {
            let (value, y) = (10_f64.powf(decade), at_y(10_f64.powf(decade)));
            let _ = writeln!(
                body,
                "<path class=\"grid\" d=\"M{left} {y:.1}h{WIDTH}\"/><text class=\"m\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
                left - 5.0,
                y + 4.0,
                short(value)
            );
            decade += 1.0;
        }
        let mut decade = x_low;
        while decade <= x_high {
            let x = at_x(10_f64.powf(decade));
            let _ = writeln!(
                body,
                "<text class=\"m\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                TOP + HEIGHT + 16.0,
                short(10_f64.powf(decade))
            );
            decade += 1.0;
        }
        let _ = writeln!(
            body,
            "<path class=\"axis\" d=\"M{left} {TOP}v{HEIGHT}h{WIDTH}\"/><text class=\"m\" x=\"{left}\" y=\"{}\">{}</text>",
            TOP + HEIGHT + 32.0,
            self.across
        );
        for (index, ((name, points), class)) in self.series.iter().zip(CLASSES).enumerate() {
            let path: Vec<_> =
                points.iter().map(|(x, y)| format!("{:.1} {:.1}", at_x(*x), at_y(*y))).collect();
            let x = left + 90.0 * f64::from(u8::try_from(index).unwrap_or_default());
            let _ = writeln!(
                body,
                "<path class=\"l{class}\" d=\"M{}\"/><rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"9\" height=\"9\"/>\
                 <text class=\"m\" x=\"{}\" y=\"{}\">{name}</text>",
                path.join("L"),
                TOP + HEIGHT + 40.0,
                x + 13.0,
                TOP + HEIGHT + 49.0
            );
        }
        body
    }
}

fn document(width: f64, height: f64, title: &str, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n\
         <title>{title}</title>\n{STYLE}\n{body}</svg>\n"
    )
}

/// Prints a number with about three significant digits.
pub(crate) fn short(value: f64) -> String {
    match value {
        value if value >= 10_000_000.0 => format!("{:.0}M", value / 1e6),
        value if value >= 1_000_000.0 => format!("{:.1}M", value / 1e6),
        value if value >= 10_000.0 => format!("{:.0}k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 && value.fract() > 0.05 => format!("{value:.1}"),
        value if value >= 1.0 && value.fract() < 0.005 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (12_345.0, "12k"),
            (123.4, "123"),
            (12.34, "12.3"),
            (10.0, "10"),
            (1.0, "1"),
            (1.26, "1.3"),
            (0.1, "0.10"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn pictures_are_whole() {
        let groups = [Bars { name: "floor".to_owned(), values: vec![10.0, 20.0] }];
        let lines = Lines {
            title: "Cost".to_owned(),
            across: "containers".to_owned(),
            series: vec![("prestop".to_owned(), vec![(1.0, 10.0), (1000.0, 900.0)])],
        };
        for svg in [
            bars("CPU", &["small", "large"], &groups, " µs", 1.0),
            super::lines("Curves", &[lines]),
        ] {
            assert!(
                svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && !svg.contains("NaN"),
                "{svg}"
            );
        }
    }
}
