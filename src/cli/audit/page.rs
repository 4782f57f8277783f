//! A report as one page of HTML: nothing beside it is needed, and nothing in it can act but its own script.
//!
//! The page says so itself: its Content-Security-Policy names one style and one script by their hashes and allows
//! nothing else, so that even a mistake in escaping could fetch, run and draw nothing.
#![doc = include_str!("../../manual/report.md")]

mod charts;
mod gather;
mod markup;
mod table;
mod tally;
mod timeline;
mod trust;

use std::fmt::{self, Display};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use charts::{Bar, Numbers, OverTime, Width};
use markup::{Cut, Grouped, Html, source_hash};
use table::{Accesses, Slowest};
use tally::{Count, Ranking, Tally};
use trust::Trust;

use super::{Where, verify};
use crate::audit::query::{Filter, Join};
use crate::audit::reader::Reader;
use crate::cli::term::Term;
use crate::cli::whole::Whole;
use crate::cli::{Answer, Failure};
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// Where the page goes, and how long it gets.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// Writes one page of HTML that needs nothing beside it; `-` is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Rows of the page's table, at most; half of them are kept for what was denied
    #[arg(long, value_name = "ROWS", default_value_t = 2_000, requires = "html",
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    rows: u32,
    /// The pinned public key, as for `verify`: the page then says what that finds
    #[arg(long, value_name = "HEX|FILE", requires = "html")]
    key: Vec<String>,
    /// Heads that were kept elsewhere, as for `verify`
    #[arg(long, value_name = "FILE", requires = "key")]
    witness: Vec<PathBuf>,
}

impl Wanted {
    /// The file, where a page is wanted.
    pub(super) fn file(&self) -> Option<&Path> {
        self.html.as_deref()
    }
}

/// Makes the page of what `filter` asks for.
pub(super) fn run(
    wanted: &Wanted,
    file: &Path,
    place: &Where,
    filter: &Filter,
    term: &mut Term,
) -> Result<Answer, Failure> {
    let directory = place.directory();
    let place = directory.display().to_string();
    let reader = Reader::open(&directory).map_err(Failure::at(format!("can't read {place}")))?;
    let rows = usize::try_from(wanted.rows).unwrap_or(usize::MAX);
    let gathered = gather::gather(Join::new(reader), filter, rows, term);
    let (noticed, mut told) = gathered.noticed();
    // Verified after it was read: what came meanwhile is not on the page.
    let trust = match wanted.key.as_slice() {
        [] => {
            told.push("Nobody checked the seals: the page was made without --key.".to_owned());
            noticed
        }
        pins => {
            let question = verify::question(pins, &wanted.witness)?;
            let report = verify::asked(&directory, &question, term)?;
            let trust = trust::of(&report, noticed, &mut told);
            if trust == Trust::Damaged {
                term.complain(format!("{place} is damaged: `peergate audit verify` says where"));
            }
            trust
        }
    };
    let page = Page {
        place: &place,
        asked: &asked(),
        made: Timestamp::now(),
        trust: (&trust, &told),
        tally: &gathered.tally,
    };
    let answer = if gathered.tally.count.total() > 0 { Answer::Yes } else { Answer::No };
    if file == Path::new("-") {
        term.line(page.to_string().trim_end())?;
        return Ok(answer);
    }
    let unwritable = || Failure::at(format!("can't write {}", file.display()));
    let whole = Whole::begin(file).map_err(unwritable())?;
    whole.file().and_then(|mut to| to.write_all(page.to_string().as_bytes())).map_err(unwritable())?;
    whole.end().map_err(unwritable())?;
    Ok(answer)
}

/// The filters as they were typed.
fn asked() -> String {
    let mut asked = Vec::new();
    let mut typed = std::env::args_os().skip_while(|word| word != "report").skip(1);
    while let Some(word) = typed.next() {
        let word = word.to_string_lossy();
        let (name, inline) = word.split_once('=').map_or((&*word, false), |(name, _)| (name, true));
        if !["--html", "--rows", "--dir", "--format", "--top", "--key", "--witness"].contains(&name) {
            asked.push(word.into_owned());
        } else if !inline {
            typed.next();
        }
    }
    asked.join(" ")
}

/// The page, as it is printed.
#[derive(Debug)]
struct Page<'a> {
    /// The directory.
    place: &'a str,
    /// The filters in words; empty where everything was asked for.
    asked: &'a str,
    /// Now.
    made: Timestamp,
    /// The verdict on the record, and what there is to say of it, one sentence each.
    trust: (&'a Trust, &'a [String]),
    tally: &'a Tally,
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (style, script) = (source_hash(STYLE), source_hash(SCRIPT));
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{style}'; \
             script-src '{script}'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>Accesses on record, {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            day(&self.made.to_string())
        )?;
        f.write_str("<a class=\"skip\" href=\"#log-title\">To the table of accesses</a>\n")?;
        self.header(f)?;
        f.write_str("<main>\n")?;
        if self.tally.count.total() > 0 {
            self.charts(f)?;
        }
        write!(f, "<h2 id=\"log-title\">Accesses</h2>\n{}</main>\n", Accesses(self.tally))?;
        write!(
            f,
            "<footer>Made by peergate {} at {}. Times are UTC. Text from callers is shown with its hostile characters spelt \
             out.</footer>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION"),
            self.made
        )
    }
}

impl Page<'_> {
    fn header(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<header>\n<h1>Accesses on record</h1>\n<dl class=\"facts\">\n<dt>Record</dt><dd><code>{}</code></dd>\n",
            Html(self.place)
        )?;
        let asked = if self.asked.is_empty() { "everything" } else { self.asked };
        writeln!(f, "<dt>Asked for</dt><dd>{}</dd>", Html(asked))?;
        if let Some((first, last)) = &self.tally.range {
            writeln!(f, "<dt>From</dt><dd>{}</dd>\n<dt>To</dt><dd>{}</dd>", spoken(*first), spoken(*last))?;
        }
        f.write_str("</dl>\n")?;
        self.trust(f)?;
        let Tally { count, failed, callers, routes, .. } = self.tally;
        let Count { allowed, denied } = *count;
        f.write_str("<ul class=\"tiles\">\n")?;
        for (class, number, name) in [
            ("denied", denied, "denied"),
            ("", allowed, "allowed"),
            ("", *failed, "allowed, and failed"),
            ("", callers.len() as u64, "callers"),
            ("", routes.len() as u64, "routes"),
        ] {
            let class = if class.is_empty() || number == 0 { "" } else { " class=\"denied\"" };
            writeln!(f, "<li{class}><b>{}</b> {name}</li>", Grouped(number))?;
        }
        f.write_str("</ul>\n</header>\n")
    }

    fn trust(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trust, told) = self.trust;
        write!(
            f,
            "<section class=\"trust {}\" aria-label=\"Trust in the record\"><strong>{}</strong>",
            trust.class(),
            Html(&trust.to_string())
        )?;
        match told {
            [] => {}
            [only] => write!(f, " {}", Html(only))?,
            several => {
                f.write_str("<ul>")?;
                several.iter().try_for_each(|it| write!(f, "<li>{}</li>", Html(it)))?;
                f.write_str("</ul>")?;
            }
        }
        f.write_str("</section>\n")
    }

    fn charts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = self.tally;
        let bars = tally.timeline.bars();
        if !bars.counts.is_empty() {
            write!(
                f,
                "<h2>Over time</h2>\n<figure class=\"scroll\" tabindex=\"0\" aria-label=\"Over time\">{}</figure>\n",
                OverTime(&bars)
            )?;
            let every = Width(bars.width);
            write!(
                f,
                "<details><summary>The numbers, per {every}</summary>\n{}</details>\n",
                Numbers(&bars)
            )?;
        }
        f.write_str("<div class=\"pair\">\n")?;
        if tally.count.denied > 0 {
            ranking(f, "Why refused", "Refusal", &tally.refusals, true)?;
        }
        ranking(f, "By caller", "Caller", &tally.callers, false)?;
        ranking(f, "By route", "Route", &tally.routes, false)?;
        f.write_str("</div>\n")?;
        if !tally.slowest.is_empty() {
            write!(f, "<h2>Slowest, of the allowed</h2>\n{}", Slowest(&tally.slowest))?;
        }
        Ok(())
    }
}

/// A ranking with its bars. Of refusals there is nothing but denied.
fn ranking(f: &mut fmt::Formatter<'_>, title: &str, what: &str, of: &Ranking, refusals: bool) -> fmt::Result {
    let top = of.top();
    let others = format!("{} more", Grouped(top.others.0 as u64));
    let rest = (top.others.1.total() > 0).then_some((&others, top.others.1));
    let most = top.names.iter().map(|(_, count)| count.total()).max().unwrap_or(0);
    write!(f, "<section><h2>{title}</h2>\n<table class=\"rank\"><thead><tr><th scope=\"col\">{what}</th>")?;
    let heads: &[_] =
        if refusals { &[("deny", "Denied")] } else { &[("deny", "Denied"), ("allow", "Allowed")] };
    for (class, name) in heads {
        write!(
            f,
            "<th scope=\"col\" class=\"n\"><svg class=\"key\" viewBox=\"0 0 8 8\" aria-hidden=\"true\">\
             <rect class=\"{class}\" width=\"8\" height=\"8\"/></svg>{name}</th>"
        )?;
    }
    f.write_str("<td class=\"chart\"></td></tr></thead><tbody>\n")?;
    let named = top.names.iter().map(|(name, count)| (name, *count, true));
    for (name, count, known) in named.chain(rest.map(|(name, count)| (name, count, false))) {
        f.write_str("<tr><th scope=\"row\">")?;
        match Refusal::ALL.iter().find(|refusal| refusals && refusal.code() == name) {
            Some(refusal) => write!(f, "{name} <i>{}</i>", Html(refusal.text()))?,
            None if known => Cut(name, 80).fmt(f)?,
            None => write!(f, "<i>{name}</i>")?,
        }
        write!(f, "</th><td class=\"n\">{}</td>", Grouped(count.denied))?;
        if !refusals {
            write!(f, "<td class=\"n\">{}</td>", Grouped(count.allowed))?;
        }
        // Many small ones together would outshine each of those that are named.
        let bar = if known { Bar(count, most).to_string() } else { String::new() };
        writeln!(f, "<td class=\"chart\">{bar}</td></tr>")?;
    }
    f.write_str("</tbody></table></section>\n")
}

fn day(ts: &str) -> &str {
    ts.get(..10).unwrap_or(ts)
}

/// Down to the second, with a space.
fn spoken(at: Timestamp) -> String {
    let ts = at.to_string();
    ts.get(..19).unwrap_or(&ts).replace('T', " ")
}
