//! The hours at which rules hold: named zones become rules that the policy carries along.

use super::super::diagnostics::{At, quoted};
use super::super::file::When;
use super::super::names::Names;
use super::super::table::{MOST_ZONES, Window, Zone};
use super::super::{times, zones};
use super::Checker;

/// Needs no data base.
const UTC: &str = "UTC";

impl<N: Names> Checker<'_, '_, N> {
    pub(super) fn window(&mut self, written: &When) -> Option<Window> {
        let name = written.zone.as_ref()?;
        let zone = match self.zones.iter().position(|zone| zone.name == name.value) {
            Some(known) => known,
            None => {
                let zone = self.zone(name)?;
                if self.zones.len() == MOST_ZONES {
                    let message = format!("a policy names at most {MOST_ZONES} time zones");
                    self.problems.add(name.span, message);
                    return None;
                }
                self.zones.push(zone);
                self.zones.len() - 1
            }
        };
        let zone = u16::try_from(zone).ok()?;
        Some(Window { days: written.days, from: written.from, to: written.to, zone })
    }

    fn zone(&mut self, name: &At<String>) -> Option<Zone> {
        if name.value == UTC {
            return Some(Zone { name: name.value.clone(), tzif: Vec::new() });
        }
        let shown = quoted(&name.value);
        match zones::rules(&name.value) {
            Ok(Some(tzif)) => {
                let zone = Zone { name: name.value.clone(), tzif };
                if times::read(&zone).is_some() {
                    return Some(zone);
                }
                self.problems.add(name.span, format!("the rules of the time zone {shown} can't be read"));
            }
            Ok(None) if !zones::installed() => {
                let help = "install the package `tzdata`, or write `zone = \"UTC\"`";
                self.problems.add_help(name.span, "this system has no data base of time zones", help);
            }
            Ok(None) => {
                let beside = zones::beside(&name.value);
                let known = beside.iter().map(String::as_str).chain([UTC]);
                self.problems.add_unknown(
                    name.span,
                    format!("there is no time zone {shown}"),
                    &name.value,
                    known,
                );
            }
            Err(error) => {
                self.problems.add(name.span, format!("the time zone {shown} can't be looked up: {error}"));
            }
        }
        None
    }
}
