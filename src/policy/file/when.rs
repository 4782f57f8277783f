//! `when`: the hours at which a rule holds.

use super::super::diagnostics::{At, quoted};
use super::super::near::nearest;
use super::super::reader::Section;
use super::super::table::DAYS;
use super::Texts;

/// `when = { days = ["mon-fri"], from = "08:00", to = "18:00", zone = "Europe/Berlin" }`.
#[derive(Debug, Clone)]
pub(crate) struct When {
    /// One bit a day, Monday the lowest.
    pub(crate) days: u8,
    /// The minute that it begins with.
    pub(crate) from: u16,
    /// The minute that it ends before.
    pub(crate) to: u16,
    pub(crate) zone: Option<At<String>>,
}

impl When {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> When {
        let days = section.some_texts("days", "leave it out to mean every day");
        let from = section.text("from").and_then(|at| minute(section, "from", &at));
        let to = section.text("to").and_then(|at| minute(section, "to", &at));
        let zone = section.text("zone");
        let zone = section.need("zone", zone, "\"Europe/Berlin\", or `\"UTC\"`");
        let days = days.map_or(ALL, |days| these(section, &days));
        let (from, to) = (from.unwrap_or(0), to.unwrap_or(DAY));
        if from == to {
            let help =
                "`to` is the first minute outside; over midnight, write `from = \"22:00\", to = \"06:00\"`";
            section.problems.add_help(section.span, "this window has no minute", help);
        } else if days == ALL && (from, to) == (0, DAY) && section.problems.is_empty() {
            let help = "write `days`, `from` or `to`, or leave `when` out";
            section.problems.add_help(section.span, "this is always", help);
        }
        When { days, from, to, zone }
    }
}

/// Minutes of a day.
const DAY: u16 = 1440;
/// Every day.
const ALL: u8 = 127;

/// `08:00`, to `24:00`.
fn minute(section: &mut Section<'_, '_, '_>, key: &str, at: &At<String>) -> Option<u16> {
    let number = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| plain)
    };
    let minutes = at.value.split_once(':').and_then(|(hours, minutes)| {
        let (hours, minutes) = (number(hours)?, number(minutes).filter(|minutes| *minutes < 60)?);
        Some(hours * 60 + minutes)
    });
    let most = if key == "from" { DAY - 1 } else { DAY };
    let minutes = minutes.filter(|minutes| *minutes <= most && (*minutes > 0 || key == "from"));
    if minutes.is_none() {
        let help = "write hour and minute as `\"08:00\"`; a day ends at `to = \"24:00\"`";
        section.problems.add_help(
            at.span,
            format!("`{key}` is a time of day, not {}", quoted(&at.value)),
            help,
        );
    }
    minutes
}

/// Days and spans of days, `mon-fri`.
fn these(section: &mut Section<'_, '_, '_>, days: &Texts) -> u8 {
    let place = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut bits = 0;
    for At { value, span } in &days.value {
        let (first, last) = value.split_once('-').unwrap_or((value, value));
        let (Some(first_day), Some(last_day)) = (place(first), place(last)) else {
            let wrong = if place(first).is_none() { first } else { last };
            let lower = wrong.to_lowercase();
            let spelt_out = DAYS.into_iter().find(|day| lower.starts_with(day));
            let help = match spelt_out.or_else(|| nearest(&lower, DAYS)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write {}, or a span such as `mon-fri`", DAYS.join(", ")),
            };
            section.problems.add_help(*span, format!("{} is no day", quoted(wrong)), help);
            continue;
        };
        // Over Sunday too: `fri-mon`.
        let length = (last_day + DAYS.len() - first_day) % DAYS.len();
        for day in 0..=length {
            bits |= 1 << ((first_day + day) % DAYS.len());
        }
    }
    bits
}
