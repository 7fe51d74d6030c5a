//! Plots as SVG: lines over time, and how numbers are spread.
//!
//! What must stay true: a document needs no script, font or style from elsewhere, and every text in
//! it is escaped.

use std::fmt::Write;

use super::{Report, Series, Spread};

/// The size of the whole and the space around the plotted area.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 48.0;
/// Steps of each axis.
const STEPS: u32 = 5;
/// Points of a line at the most; more would not be seen.
const POINTS: usize = 1000;
/// The colours of lines, told apart by most eyes.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// A plot: a title, what the axes mean, and lines.
struct Plot<'a> {
    title: &'a str,
    across: &'a str,
    up: &'a str,
    lines: Vec<(&'a str, Vec<(f64, f64)>)>,
    marks: &'a [(f64, String)],
    /// The highest value of the upward axis, if it is fixed.
    highest: Option<f64>,
}

/// The file, title, upward axis and series of a plot over time, and its highest value if fixed.
type OverTime = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    Option<f64>,
);

/// What is plotted over time.
const OVER_TIME: [OverTime; 5] = [
    (
        "success.svg",
        "Reads that found their record",
        "share",
        &["success"],
        Some(1.0),
    ),
    (
        "holders.svg",
        "Holders of a value",
        "living holders",
        &["holders", "holders p5"],
        None,
    ),
    (
        "upkeep.svg",
        "Upkeep, sent and received, UDP and IP included",
        "bytes per node and second",
        &["upkeep"],
        None,
    ),
    (
        "stale.svg",
        "Contacts that do not live",
        "share of all contacts",
        &["stale"],
        None,
    ),
    ("nodes.svg", "Nodes", "joined members", &["nodes"], None),
];

/// Every plot of a report for which there are numbers.
pub(super) fn all(report: &Report) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    for (file, title, up, names, highest) in OVER_TIME {
        let lines: Vec<_> = names
            .iter()
            .filter_map(|name| report.series.iter().find(|series| series.name == *name))
            .filter(|series| !series.points.is_empty())
            .map(|series: &Series| (series.name.as_str(), series.points.clone()))
            .collect();
        if !lines.is_empty() {
            let plot = Plot {
                title,
                across: "hours",
                up,
                lines,
                marks: &report.marks,
                highest,
            };
            plots.push((file.to_owned(), plot.draw()));
        }
    }
    for (kind, across, title) in [
        ("ms", "milliseconds", "How long operations take"),
        ("hops", "hops", "How deep operations go"),
    ] {
        let spreads = report.spreads.iter();
        let lines: Vec<_> = spreads
            .filter(|spread| spread.name.ends_with(kind))
            .map(|spread| (spread.name.as_str(), cumulative(spread)))
            .collect();
        if !lines.is_empty() {
            let plot = Plot {
                title,
                across,
                up: "share of the operations",
                lines,
                marks: &[],
                highest: Some(1.0),
            };
            plots.push((format!("{kind}.svg"), plot.draw()));
        }
    }
    plots
}

/// The share of the numbers that are not above each of them.
fn cumulative(spread: &Spread) -> Vec<(f64, f64)> {
    let count = spread.sorted.len();
    let step = count.div_ceil(POINTS).max(1);
    let places = (0..count).step_by(step).chain(count.checked_sub(1));
    places
        .filter_map(|place| {
            let value = spread.sorted.get(place)?;
            Some((f64::from(*value), ratio(place + 1, count)))
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn ratio(part: usize, all: usize) -> f64 {
    part as f64 / all as f64
}

impl Plot<'_> {
    fn draw(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let right = round_up(most(&mut points().map(|point| point.0)));
        let top = self
            .highest
            .unwrap_or_else(|| round_up(most(&mut points().map(|point| point.1))));
        let x = |value: f64| LEFT + value / right * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n\
             <title>{title}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{title}</text>\n",
            title = escaped(self.title),
        );
        for step in 0..=STEPS {
            let part = f64::from(step) / f64::from(STEPS);
            let (across, up) = (x(right * part), y(top * part));
            line(&mut svg, (LEFT, up), (WIDTH - RIGHT, up), "#dddddd");
            line(
                &mut svg,
                (across, HEIGHT - BOTTOM),
                (across, HEIGHT - BOTTOM + 4.0),
                "#444444",
            );
            text(&mut svg, (LEFT - 6.0, up + 4.0), "end", &label(top * part));
            text(
                &mut svg,
                (across, HEIGHT - BOTTOM + 18.0),
                "middle",
                &label(right * part),
            );
        }
        for (at, what) in self.marks {
            line(
                &mut svg,
                (x(*at), TOP),
                (x(*at), HEIGHT - BOTTOM),
                "#999999",
            );
            text(&mut svg, (x(*at) + 3.0, TOP + 10.0), "start", what);
        }
        text(&mut svg, (WIDTH - RIGHT, HEIGHT - 10.0), "end", self.across);
        text(&mut svg, (LEFT, TOP - 8.0), "start", self.up);
        self.draw_lines(&mut svg, &x, &|up: f64| y(up.min(top)));
        svg.push_str("</svg>\n");
        svg
    }

    fn draw_lines(&self, svg: &mut String, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) {
        for ((name, points), (place, colour)) in
            self.lines.iter().zip((0_u32..).zip(COLOURS.iter().cycle()))
        {
            let mut path = String::new();
            for (across, up) in points {
                let letter = if path.is_empty() { 'M' } else { 'L' };
                // Writing to a string cannot fail.
                let _ = write!(path, "{letter}{:.1} {:.1}", x(*across), y(*up));
            }
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>"
            );
            let legend = WIDTH - RIGHT - 120.0 * f64::from(place);
            let _ = writeln!(
                svg,
                "<text x=\"{legend}\" y=\"{}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                TOP - 8.0,
                escaped(name)
            );
        }
    }
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
        at.0,
        at.1,
        escaped(words)
    );
}

/// The next number of one digit and zeros, so that an axis ends at something that can be read.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let mut unit = 1.0;
    while unit * 10.0 < value {
        unit *= 10.0;
    }
    while unit >= value {
        unit /= 10.0;
    }
    (value / unit).ceil() * unit
}

fn label(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn escaped(words: &str) -> String {
    words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_a_document_of_its_own() {
        let mut report = Report::new("trial", "");
        report.series.push(Series {
            name: "success".to_owned(),
            points: vec![(0.0, 1.0), (1.0, 0.5)],
        });
        report.spreads.push(Spread {
            name: "get_ms".to_owned(),
            sorted: (0..5000).collect(),
        });
        report.marks.push((0.5, "<Kill>".to_owned()));
        let plots = report.plots();
        let files: Vec<&str> = plots.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(files, ["success.svg", "ms.svg"]);
        for (_, svg) in &plots {
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
            assert!(!svg.contains("<Kill>") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn axes_end_at_round_numbers() {
        let rounded = [0.0, 0.3, 1.0, 1.2, 9.5, 10.0, 11.0, 730.0].map(round_up);
        let expected = [1.0, 0.3, 1.0, 2.0, 10.0, 10.0, 20.0, 800.0];
        for (rounded, expected) in rounded.into_iter().zip(expected) {
            assert!((rounded - expected).abs() < 0.01, "{rounded} {expected}");
        }
    }
}
