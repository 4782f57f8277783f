//! Charts as inline SVG: two panels over time, and a bar beside each row of a ranking.
//!
//! Every number in a chart also stands in a table, so a chart is a picture with a name, and nothing is lost by who
//! can't see it.

use std::fmt::{self, Display};

use super::markup::{Grouped, Html};
use super::tally::Count;
use super::timeline::Bars;
use crate::model::time::Timestamp;

const WIDTH: f64 = 960.0;
/// Room for the numbers of the vertical axis.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 8.0;
const PANEL: f64 = 96.0;
/// Between the panels, for the title of the second.
const GAP: f64 = 34.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 28.0;
/// What is there can be seen, however little it is.
const LEAST: f64 = 1.5;

/// Both panels, denied first: each has its own scale, so that few denials are not lost under many allowed.
pub(super) struct OverTime<'a>(pub(super) &'a Bars);

impl Display for OverTime<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bars = self.0;
        let height = TOP + 2.0 * PANEL + GAP + BOTTOM;
        write!(
            f,
            "<svg class=\"time\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"time-title time-desc\">\
             <title id=\"time-title\">Denied and allowed over time</title>\
             <desc id=\"time-desc\">{}</desc>",
            Html(&told(bars))
        )?;
        panel(f, bars, TOP, "deny", "denied", |count| count.denied)?;
        panel(f, bars, TOP + PANEL + GAP, "allow", "allowed", |count| count.allowed)?;
        times(f, bars, height)?;
        f.write_str("</svg>\n")
    }
}

fn panel(
    f: &mut fmt::Formatter<'_>,
    bars: &Bars,
    top: f64,
    class: &str,
    name: &str,
    of: impl Fn(&Count) -> u64,
) -> fmt::Result {
    let most = bars.counts.iter().map(&of).max().unwrap_or(0);
    let scale = scale(most);
    let full = scale.last().copied().unwrap_or(1).max(1);
    let bottom = top + PANEL;
    let (label_y, every) = (top - 10.0, Width(bars.width));
    write!(f, "<text class=\"name\" x=\"{LEFT}\" y=\"{label_y}\">{name}, per {every}</text>")?;
    for tick in scale {
        let y = bottom - part(tick, full) * PANEL;
        let (right, low) = (WIDTH - RIGHT, y + 4.0);
        write!(f, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")?;
        write!(f, "<text class=\"y\" x=\"{}\" y=\"{low:.1}\">{}</text>", LEFT - 8.0, Grouped(tick))?;
    }
    let step = step(bars);
    let (gap, thick) = (step * 0.12, (step * 0.76).max(0.8));
    for (at, count) in bars.counts.iter().enumerate() {
        let value = of(count);
        if value > 0 {
            let tall = (part(value, full) * PANEL).max(LEAST);
            let (x, y) = (LEFT + at as f64 * step + gap, bottom - tall);
            write!(
                f,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{thick:.1}\" height=\"{tall:.1}\">\
                 <title>{}: {} {name}</title></rect>",
                From(bars, at),
                Grouped(value)
            )?;
        }
    }
    Ok(())
}

/// The marks of the horizontal axis, at most six, at the beginning of a bar.
fn times(f: &mut fmt::Formatter<'_>, bars: &Bars, height: f64) -> fmt::Result {
    let every = bars.counts.len().div_ceil(6).max(1);
    for at in (0..bars.counts.len()).step_by(every) {
        let x = LEFT + at as f64 * step(bars);
        let (from, to) = (height - BOTTOM, height - BOTTOM + 5.0);
        write!(f, "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from}\" y2=\"{to}\"/>")?;
        // One at the very end would stand outside.
        if x > WIDTH - 84.0 {
            break;
        }
        write!(f, "<text class=\"x\" x=\"{x:.1}\" y=\"{}\">{}</text>", height - 8.0, From(bars, at))?;
    }
    Ok(())
}

/// The widest that a bar gets, so that one record is no wall of ink.
fn step(bars: &Bars) -> f64 {
    ((WIDTH - LEFT - RIGHT) / (bars.counts.len().max(1) as f64)).min(48.0)
}

fn part(value: u64, of: u64) -> f64 {
    value as f64 / of as f64
}

/// Round numbers from 0 to at least `most`: two to five steps of 1, 2 or 5 times a power of ten.
fn scale(most: u64) -> Vec<u64> {
    let mut step: u64 = 1;
    for factor in [2, 5, 10].into_iter().cycle() {
        if most / step < 4 {
            break;
        }
        let power = 10_u64.pow(step.ilog10());
        step = power.saturating_mul(factor);
        if step == u64::MAX {
            break;
        }
    }
    let steps = most.max(1).div_ceil(step);
    (0..=steps).map(|at| at.saturating_mul(step)).collect()
}

/// When a bar begins: as much of it as the width of the bars makes worth saying, in UTC.
struct From<'a>(&'a Bars, usize);

impl Display for From<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let From(bars, at) = self;
        let ts = instant(bars.start + *at as u64 * bars.width);
        let long = bars.counts.len() as u64 * bars.width > 86_400;
        let shown = match (bars.width, long) {
            (86_400.., _) => ts.get(..10),
            (60.., true) => ts.get(5..16),
            (60.., false) => ts.get(11..16),
            _ => ts.get(11..19),
        };
        f.write_str(&shown.unwrap_or(&ts).replace('T', " "))
    }
}

fn instant(seconds: u64) -> String {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000)).to_string()
}

/// Of each bar, in words.
pub(super) struct Width(pub(super) u64);

impl Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Width(seconds) = *self;
        let (number, unit) = match seconds {
            31_449_600.. => (seconds / 31_449_600, "year"),
            604_800.. => (seconds / 604_800, "week"),
            86_400.. => (seconds / 86_400, "day"),
            3_600.. => (seconds / 3_600, "hour"),
            60.. => (seconds / 60, "minute"),
            _ => (seconds, "second"),
        };
        if number == 1 { f.write_str(unit) } else { write!(f, "{number} {unit}s") }
    }
}

/// The chart in a sentence.
fn told(bars: &Bars) -> String {
    let mut sum = Count::default();
    bars.counts.iter().for_each(|count| sum.merge(*count));
    let peak = |of: fn(&Count) -> u64| {
        let (at, count) =
            bars.counts.iter().enumerate().max_by_key(|(at, count)| (of(count), usize::MAX - at))?;
        (of(count) > 0).then(|| {
            format!(", most in the {} from {} ({})", Width(bars.width), From(bars, at), Grouped(of(count)))
        })
    };
    format!(
        "{} denied{}; {} allowed{}. The numbers stand in the table below the chart.",
        Grouped(sum.denied),
        peak(|count| count.denied).unwrap_or_default(),
        Grouped(sum.allowed),
        peak(|count| count.allowed).unwrap_or_default(),
    )
}

/// The numbers behind [`OverTime`], where there is something to count.
pub(super) struct Numbers<'a>(pub(super) &'a Bars);

impl Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<table class=\"small\"><thead><tr><th scope=\"col\">From (UTC)</th>")?;
        f.write_str("<th scope=\"col\" class=\"n\">Denied</th><th scope=\"col\" class=\"n\">Allowed</th></tr></thead><tbody>\n")?;
        for (at, count) in self.0.counts.iter().enumerate().filter(|(_, count)| count.total() > 0) {
            let ts = instant(self.0.start + at as u64 * self.0.width);
            let ts = ts.get(..19).unwrap_or(&ts).replace('T', " ");
            let (denied, allowed) = (Grouped(count.denied), Grouped(count.allowed));
            writeln!(
                f,
                "<tr><th scope=\"row\">{ts}</th><td class=\"n\">{denied}</td><td class=\"n\">{allowed}</td></tr>"
            )?;
        }
        f.write_str("</tbody></table>\n")
    }
}

/// One row's bar, denied before allowed, `most` being the longest.
pub(super) struct Bar(pub(super) Count, pub(super) u64);

impl Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONG: f64 = 200.0;
        let Bar(count, most) = *self;
        let long = |value: u64| if value == 0 { 0.0 } else { (part(value, most.max(1)) * LONG).max(2.0) };
        let (denied, allowed) = (long(count.denied), long(count.allowed));
        let allowed = allowed.min(LONG - denied).max(0.0);
        f.write_str(
            "<svg class=\"bar\" viewBox=\"0 0 200 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
        )?;
        let mut x = 0.0;
        for (class, wide) in [("deny", denied), ("allow", allowed)] {
            if wide > 0.0 {
                write!(
                    f,
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"0\" width=\"{wide:.1}\" height=\"12\"/>"
                )?;
                x += wide;
            }
        }
        f.write_str("</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_is_round_and_reaches_the_most() {
        for (most, ticks) in [
            (0, vec![0, 1]),
            (1, vec![0, 1]),
            (3, vec![0, 1, 2, 3]),
            (4, vec![0, 2, 4]),
            (17, vec![0, 5, 10, 15, 20]),
            (99, vec![0, 50, 100]),
        ] {
            assert_eq!(scale(most), ticks, "{most}");
        }
        assert!(scale(u64::MAX).len() < 7 && *scale(123_456).last().unwrap() >= 123_456);
    }

    #[test]
    fn chart_tells_its_peak_in_words() {
        let count = |allowed, denied| Count { allowed, denied };
        let bars =
            Bars { start: 1_795_405_560, width: 60, counts: vec![count(1, 0), count(4_000, 2), count(0, 0)] };
        assert_eq!(
            told(&bars),
            "2 denied, most in the minute from 03:47 (2); 4,001 allowed, most in the minute from 03:47 (4,000). \
             The numbers stand in the table below the chart."
        );
        let drawn = OverTime(&bars).to_string();
        assert_eq!(drawn.matches("<rect").count(), 3);
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        assert!(!OverTime(&Bars::default()).to_string().contains("NaN"));
    }
}
