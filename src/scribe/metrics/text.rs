//! OpenMetrics 1.0, written by hand: families with their type, unit and help, samples, `# EOF`.

use std::fmt::{self, Write};

use super::catalogue::{FAMILIES, Kind};
use super::histogram::Histogram;
use super::{Counters, Own};
use crate::wire::told::Told;

/// Of an answer that holds this text.
pub(in crate::scribe) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that an answer is made of.
pub(super) struct View<'a> {
    pub(super) counters: &'a Counters,
    pub(super) own: &'a Own,
    pub(super) told: &'a Told,
}

/// Writes every family.
pub(super) fn write(counters: &Counters, own: &Own, told: &Told) -> String {
    let view = View { counters, own, told };
    let mut samples = Samples { text: String::with_capacity(16 << 10), name: "", kind: Kind::Gauge };
    for family in FAMILIES {
        samples.begin(family.name, family.kind, family.unit, family.help);
        (family.samples)(&view, &mut samples);
    }
    samples.text.push_str("# EOF\n");
    samples.text
}

/// The text, and the family whose samples come now.
pub(super) struct Samples {
    text: String,
    name: &'static str,
    kind: Kind,
}

/// Label names and values of a sample.
pub(super) type Labels<'a> = &'a [(&'static str, &'a dyn fmt::Display)];

impl Samples {
    fn begin(&mut self, name: &'static str, kind: Kind, unit: &str, help: &str) {
        self.name = name;
        self.kind = kind;
        self.put(format_args!("# TYPE {name} {}\n", kind.name()));
        if !unit.is_empty() {
            self.put(format_args!("# UNIT {name} {unit}\n"));
        }
        self.put(format_args!("# HELP {name} {help}\n"));
    }

    /// One sample of a counter, a gauge or an info.
    pub(super) fn one(&mut self, labels: Labels<'_>, value: impl fmt::Display) {
        let ending = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.sample(ending, labels, None, value);
    }

    /// All samples of one histogram of microseconds, in seconds.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        for (bound, within) in histogram.cumulated() {
            self.sample("_bucket", labels, Some(&Seconds(bound)), within);
        }
        self.sample("_bucket", labels, Some(&"+Inf"), histogram.count());
        self.sample("_count", labels, None, histogram.count());
        self.sample("_sum", labels, None, Seconds(histogram.sum()));
    }

    fn sample(
        &mut self,
        ending: &str,
        labels: Labels<'_>,
        le: Option<&dyn fmt::Display>,
        value: impl fmt::Display,
    ) {
        let name = self.name;
        self.put(format_args!("{name}{ending}"));
        let le = le.map(|bound| ("le", bound));
        let mut before = '{';
        for (label, value) in labels.iter().copied().chain(le) {
            self.put(format_args!("{before}{label}=\"{}\"", Escaped(value)));
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        self.put(format_args!(" {value}\n"));
    }

    fn put(&mut self, arguments: fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _written = self.text.write_fmt(arguments);
    }
}

/// Microseconds as seconds.
pub(super) struct Seconds(pub(super) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let digits = format!("{part:06}");
        let digits = digits.trim_end_matches('0');
        write!(f, "{whole}.{}", if digits.is_empty() { "0" } else { digits })
    }
}

/// A label's value: backslash, quote and LF are spelt out.
struct Escaped<'a>(&'a dyn fmt::Display);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.to_string().chars() {
            match letter {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}
