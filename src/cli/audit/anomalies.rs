//! `peergate audit anomalies`: what is unusual, and why.

use std::fmt::Write;

use clap::Args;

use super::proper::proper;
use super::{Where, tell_torn};
use crate::audit::anomalies::{Detector, Finding, Report, Seen, THRESHOLD};
use crate::audit::query::when::When;
use crate::audit::query::{Filter, Item, Join};
use crate::audit::reader::Reader;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::model::time::Timestamp;

/// What is judged where nobody says since when.
const JUDGED: &str = "7d";

/// Reasons that a person is told of one finding, and a program.
const TOLD: usize = 6;
const TOLD_TO_PROGRAMS: usize = 24;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Learns from then on what is usual [default: from the beginning of the record]. What is judged begins with --since
    /// [default: 7d], and everything before it is learned from, whoever is asked for
    #[arg(long, value_name = "TIME")]
    learn_since: Option<When>,
    /// How many findings at most
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    top: usize,
    /// The score from which on a finding is told, and makes the exit code 1
    #[arg(long, value_name = "SCORE", default_value_t = THRESHOLD, value_parser = score)]
    threshold: f64,
    #[command(flatten)]
    filter: Filter,
}

/// A score. Nothing is at least as much as what is no number, and all would seem well.
fn score(text: &str) -> Result<f64, String> {
    let score = text.parse().map_err(|_| "a score is a number, such as 6 or 4.5".to_owned())?;
    if f64::is_nan(score) { Err("a score is a number".to_owned()) } else { Ok(score) }
}

/// The command's own exit codes.
pub(in crate::cli) const EXIT_CODES: &str = "\
Exit codes:
  0  nothing unusual
  1  something scores at least --threshold
  2  the command line makes no sense
  3  it could not be done: the record, or some of it, can't be read";

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let reader =
        Reader::open(&directory).map_err(Failure::at(format!("can't read {}", directory.display())))?;
    let report = arguments.judge(Join::new(reader), term);
    if report.judged > 0 && report.learned == 0 {
        term.complain("there is nothing before --since to learn from, so everything seems new");
    }
    if report.beyond > 0 {
        term.complain(format!(
            "{} requests are of callers beyond the first 10000, and not judged",
            report.beyond
        ));
    }
    let unusual = report.findings.iter().filter(|finding| finding.score >= arguments.threshold);
    for finding in unusual.clone().take(arguments.top) {
        match arguments.format {
            Format::Text => tell(finding, term)?,
            Format::Json => term.line(to_json(finding))?,
        }
    }
    let count = unusual.count();
    if arguments.format == Format::Text {
        term.line(summary(&report, count, arguments))?;
    }
    Ok(if count > 0 { Answer::No } else { Answer::Yes })
}

impl Arguments {
    fn judge(&self, mut join: Join, term: &mut Term) -> Report {
        let mut filter = self.filter.clone();
        filter.since = filter.since.or_else(|| JUDGED.parse().ok());
        let mut detector = Detector::new();
        loop {
            match join.next_item() {
                Ok(Some(item)) => self.take(&item, &filter, &mut detector),
                Ok(None) => break,
                Err(error) => term.leave_out(format!("can't read a segment: {error}")),
            }
        }
        tell_torn(join.reader(), term);
        detector.finish()
    }

    fn take(&self, item: &Item, filter: &Filter, detector: &mut Detector) {
        let meant = |at: Timestamp| {
            self.learn_since.is_none_or(|since| at >= since.begin)
                && filter.until.is_none_or(|until| at < until.end)
        };
        let seen = match item {
            Item::Access(access) if meant(access.when()) => Seen::of(access, filter.covers_access(access)),
            Item::Repeat(repeat) if meant(repeat.last) => Some(Seen::repeated(repeat, filter.covers(item))),
            _ => None,
        };
        if let Some(seen) = seen {
            detector.take(&seen);
        }
    }
}

fn summary(report: &Report, count: usize, arguments: &Arguments) -> String {
    let shown = count.min(arguments.top);
    let all = match count {
        0 => "nothing unusual".to_owned(),
        _ if shown < count => format!("the first {shown} of {count} findings"),
        1 => "1 finding".to_owned(),
        _ => format!("{count} findings"),
    };
    format!(
        "{all}: {} requests of {} callers judged, {} learned from",
        report.judged, report.callers, report.learned
    )
}

/// Who, as people say it.
fn caller(finding: &Finding) -> String {
    match (&finding.user, finding.uid) {
        (Some(user), Some(uid)) => format!("`{user}` (uid {uid})"),
        (_, Some(uid)) => format!("uid {uid}"),
        _ => finding.callers.join(", "),
    }
}

/// `2026-10-27 07:02`.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {}", text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default())
}

fn tell(finding: &Finding, term: &mut Term) -> Result<(), Failure> {
    let (from, to) = (minute(finding.from), minute(finding.to));
    let time = if from == to { from } else { format!("{from} to {to}") };
    term.line(format_args!("{:5.1}  {}  {time} UTC", finding.score, caller(finding)))?;
    for told in finding.reasons.iter().take(TOLD) {
        term.line(format_args!("       {:4.1}  {}", told.surprise, told.words))?;
    }
    if finding.reasons.len() > TOLD {
        term.line(format_args!("             and {} weaker reasons", finding.reasons.len() - TOLD))?;
    }
    for id in &finding.samples {
        term.line(format_args!("       peergate audit show {id}"))?;
    }
    term.line("")
}

/// Texts stand in it as in the record, where they are JSON already.
fn to_json(finding: &Finding) -> String {
    let mut out = format!("{{\"score\":{:.2}", finding.score);
    if let Some(uid) = finding.uid {
        write!(out, ",\"uid\":{uid}").ok();
    }
    if let Some(user) = &finding.user {
        write!(out, ",\"user\":\"{}\"", proper(user)).ok();
    }
    if finding.uid.is_none() {
        let callers: Vec<String> =
            finding.callers.iter().map(|caller| format!("\"{}\"", proper(caller))).collect();
        write!(out, ",\"callers\":[{}]", callers.join(",")).ok();
    }
    write!(out, ",\"from\":\"{}\",\"to\":\"{}\",\"count\":{}", finding.from, finding.to, finding.count).ok();
    let reasons: Vec<String> = finding
        .reasons
        .iter()
        .take(TOLD_TO_PROGRAMS)
        .map(|told| {
            let (about, words) = (told.family.code(), proper(&told.words));
            format!("{{\"about\":\"{about}\",\"surprise\":{:.2},\"words\":\"{words}\"}}", told.surprise)
        })
        .collect();
    let requests: Vec<String> = finding.samples.iter().map(|id| format!("\"{id}\"")).collect();
    write!(out, ",\"reasons\":[{}],\"requests\":[{}]}}", reasons.join(","), requests.join(",")).ok();
    out
}

#[cfg(test)]
mod tests {
    use super::score;

    #[test]
    fn score_that_is_no_number_is_refused() {
        assert_eq!((score("4.5"), score("0")), (Ok(4.5), Ok(0.0)));
        assert!(["nan", "-NaN", "high", ""].iter().all(|text| score(text).is_err()));
    }
}
