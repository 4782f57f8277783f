//! The accesses as rows of HTML, which the page's script only hides and reorders.

use std::fmt::{self, Display};

use super::markup::{Cut, Grouped, Html, Took};
use super::tally::Tally;
use crate::cli::audit::row::Row;

/// Characters of a value in a row. What a caller chose can be 8 KiB long; `peergate audit show` has all of it.
const TEXT: usize = 240;
const NAME: usize = 80;

/// The table with its filter.
pub(super) struct Accesses<'a>(pub(super) &'a Tally);

impl Display for Accesses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = self.0;
        if tally.count.total() == 0 {
            return f.write_str("<p>There are none.</p>\n");
        }
        f.write_str(FILTER)?;
        f.write_str("<div class=\"scroll\" role=\"region\" aria-labelledby=\"log-title\" tabindex=\"0\">\n<table class=\"log\" id=\"log\">\n")?;
        writeln!(f, "<caption>{}</caption>", LeftOut(tally))?;
        f.write_str("<thead><tr>")?;
        for (name, class) in [
            ("Time (UTC)", ""),
            ("Verdict", ""),
            ("Caller", ""),
            ("Request", ""),
            ("Route", ""),
            ("Rule", ""),
            ("Status", "n"),
            ("Took", "n"),
            ("Id", ""),
        ] {
            let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            write!(f, "<th scope=\"col\"{class}>{name}</th>")?;
        }
        f.write_str("</tr></thead>\n<tbody>\n")?;
        tally.latest.rows().try_for_each(|row| access(f, row))?;
        f.write_str("</tbody>\n</table>\n</div>\n")
    }
}

/// It is shown by the script, without which it would do nothing.
const FILTER: &str = "\
<form class=\"filter\" id=\"filter\" hidden aria-label=\"Filter the accesses\">
<label>Words, in any order (/)<input id=\"filter-text\" type=\"search\" autocomplete=\"off\" spellcheck=\"false\"></label>
<label>Verdict<select id=\"filter-verdict\"><option value=\"\">any</option><option>denied</option>\
<option>allowed</option></select></label>
<label>Caller<select id=\"filter-caller\"><option value=\"\">any</option></select></label>
<label>Route<select id=\"filter-route\"><option value=\"\">any</option></select></label>
<button id=\"filter-clear\" type=\"button\">Clear</button>
<output id=\"filter-said\" for=\"filter-text filter-verdict filter-caller filter-route\"></output>
</form>
";

/// What the table has, and what it has not.
struct LeftOut<'a>(&'a Tally);

impl Display for LeftOut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut denied, mut allowed) = (0_u64, 0_u64);
        for row in self.0.latest.rows() {
            let side = if row.denied { &mut denied } else { &mut allowed };
            *side = side.saturating_add(row.count);
        }
        let all = self.0.count;
        f.write_str("Denied first, then the latest first. ")?;
        if (denied, allowed) == (all.denied, all.allowed) {
            return f.write_str("Nothing is left out.");
        }
        write!(
            f,
            "Left out for length: {} denied and {} allowed, all of them older; they are counted above. \
             <code>--rows</code> shows more, <code>peergate audit search</code> finds any.",
            Grouped(all.denied.saturating_sub(denied)),
            Grouped(all.allowed.saturating_sub(allowed))
        )
    }
}

fn access(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    f.write_str(if row.denied { "<tr class=\"d\">" } else { "<tr>" })?;
    let ts = row.ts.to_string();
    // Down to the millisecond; sorted by the microsecond.
    write!(f, "<td class=\"when\" data-v=\"{ts}\">{}</td>", ts.get(..23).unwrap_or(&ts).replace('T', " "))?;
    verdict(f, row)?;
    write!(f, "<td data-v=\"{}\">{}", Html(&row.caller), Cut(&row.caller, NAME))?;
    if !row.program.is_empty() {
        write!(f, "<br><i>{}</i>", Cut(&row.program, TEXT))?;
    }
    write!(f, "</td><td class=\"ask mono\">{}</td>", Cut(&row.request, TEXT))?;
    write!(f, "<td data-v=\"{}\">{}</td>", Html(&row.route), Cut(&row.route, NAME))?;
    write!(f, "<td>{}</td><td class=\"n\">{}</td>", Cut(&row.rule, TEXT), Html(&row.status))?;
    match row.us {
        Some(us) => write!(f, "<td class=\"n\" data-v=\"{us}\">{}</td>", Took(us))?,
        None => f.write_str("<td class=\"n\" data-v=\"\"></td>")?,
    }
    writeln!(f, "<td class=\"id mono\">{}</td></tr>", Html(&row.id))
}

fn verdict(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let (class, word) = if row.denied { ("verdict denied", "denied") } else { ("verdict", "allowed") };
    write!(f, "<td><span class=\"{class}\">{word}</span>")?;
    if row.count > 1 {
        write!(f, " {} times", Grouped(row.count))?;
    }
    if row.denied || row.failed || !row.result.is_empty() && row.status.is_empty() {
        write!(f, "<br>{}", Cut(&row.result, NAME))?;
    }
    if !row.doubts.is_empty() {
        write!(f, "<br><b>{}</b>", Html(&row.doubts))?;
    }
    f.write_str("</td>")
}

/// The slowest of the allowed.
pub(super) struct Slowest<'a>(pub(super) &'a [Row]);

impl Display for Slowest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<div class=\"scroll\" role=\"region\" aria-label=\"Slowest\" tabindex=\"0\"><table class=\"slow\"><thead><tr><th scope=\"col\" class=\"n\">Took</th>")?;
        for name in ["Request", "Caller", "Route", "Time (UTC)", "Id"] {
            write!(f, "<th scope=\"col\">{name}</th>")?;
        }
        f.write_str("</tr></thead><tbody>\n")?;
        for row in self.0 {
            let ts = row.ts.to_string().replace('T', " ");
            writeln!(
                f,
                "<tr><td class=\"n\">{}</td><td class=\"mono\">{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"mono\">{}</td></tr>",
                Took(row.us.unwrap_or(0)),
                Cut(&row.request, NAME),
                Cut(&row.caller, NAME),
                Cut(&row.route, NAME),
                ts.get(..19).unwrap_or(&ts),
                Html(&row.id)
            )?;
        }
        f.write_str("</tbody></table></div>\n")
    }
}
