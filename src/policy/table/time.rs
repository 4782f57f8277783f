//! When a rule holds.

use serde::{Deserialize, Serialize};

/// Hours of some days of the week, in a zone. From later than to: it goes over midnight, and belongs to the day on which
/// it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// One bit a day, Monday the lowest.
    pub days: u8,
    /// The minute of the day that it begins with.
    pub from: u16,
    /// The minute of the day that it ends before, at most 1440.
    pub to: u16,
    /// A place in the policy's list of zones.
    pub zone: u16,
}

/// A time zone, as the loader found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its name: `Europe/Berlin`.
    pub name: String,
    /// Its rules (TZif, RFC 9636); empty: UTC.
    pub tzif: Vec<u8>,
}

/// The days of the week as the language names them.
pub(in crate::policy) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Window {
    /// Whether it is one, with a zone among so many.
    pub(super) fn is_sound(&self, zones: usize) -> bool {
        let hours = self.from < 1440 && (1..=1440).contains(&self.to) && self.from != self.to;
        hours && (1..128).contains(&self.days) && usize::from(self.zone) < zones
    }

    /// As people write it, but for the zone: `mon, tue from 08:00 to 18:00`.
    pub(in crate::policy) fn hours(&self) -> String {
        let days: Vec<&str> =
            (0..).zip(DAYS).filter(|(bit, _)| self.days >> bit & 1 == 1).map(|(_, day)| day).collect();
        let days = if days.len() == DAYS.len() { "every day".to_owned() } else { days.join(", ") };
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        format!("{days} from {} to {}", clock(self.from), clock(self.to))
    }
}
