//! The calendar of the month: who is away, what is special. All of it innocent, and told so.

use super::cast::{self, Kind, Person, Zone};
use super::random::Random;
use super::{BEGIN, DAY, HOUR, Innocent, MINUTE};

#[derive(Debug)]
pub struct Days {
    /// By person: days away, from and to (left out).
    pub away: Vec<Vec<(u64, u64)>>,
    /// Day of the upgrade: a new route, and a new program for some.
    pub upgrade: u64,
    /// Everybody is busy until late.
    pub release: u64,
    /// An evening on which several look at the same thing; from when (UTC).
    pub incident: u64,
    pub in_incident: Vec<usize>,
    /// Night pages: who, from, to.
    pub pages: Vec<(usize, u64, u64)>,
    /// Spells in which the kiosk's network is bad.
    pub bad_spells: Vec<(u64, u64)>,
    pub innocent: Vec<Innocent>,
}

/// Day of a public holiday: Monday, 2026-11-02.
pub const HOLIDAY: u64 = 28;

impl Days {
    pub fn of(seed: u64, people: &[Person]) -> Days {
        let mut random = Random::new(seed, 2_000);
        let mut away = vec![Vec::new(); people.len()];
        let mut innocent = Vec::new();
        let at = |name: &str| cast::index(people, name);
        let mut quiet = |kind, who: Option<usize>, from: u64, to: u64| {
            innocent.push(Innocent { kind, who, from: BEGIN + from * DAY, to: BEGIN + to * DAY });
        };
        // Vacations: the return is on a Monday.
        away[at("bob")].push((7, 21));
        quiet("vacation and return", Some(at("bob")), 21, 22);
        away[at("carla")].push((14, 21));
        quiet("vacation and return", Some(at("carla")), 21, 22);
        away[at("farid")].push((16, 19));
        let hired = 15 + random.between(0, 3);
        away[at("nils")].push((0, hired));
        quiet("new employee", Some(at("nils")), hired, hired + 5);
        away[at("kurt")].push((3, 99));
        away[at("lena")].push((4, 99));
        let upgrade = 16 + random.between(0, 3);
        quiet("new route after an upgrade", None, upgrade, upgrade + 7);
        let release = 22 + random.between(0, 3);
        quiet("busy release day", None, release, release + 1);
        quiet("clocks go back", None, 20, 22);
        quiet("public holiday", None, HOLIDAY, HOLIDAY + 1);
        let day = 21 + random.between(0, 2);
        let incident = BEGIN + day * DAY + 20 * HOUR + random.between(0, 60) * MINUTE;
        let in_incident = vec![at("olga"), at("alice"), at("dmitri")];
        for who in &in_incident {
            quiet("incident in the evening", Some(*who), day, day + 1);
        }
        let mut pages = Vec::new();
        for day in 0..31 {
            let who = if day / 7 % 2 == 0 { at("olga") } else { at("omar") };
            if random.chance(0.16) {
                let from = BEGIN + day * DAY + random.between(60, 300) * MINUTE;
                pages.push((who, from, from + random.between(15, 60) * MINUTE));
                quiet("on call at night", Some(who), day, day + 1);
            }
        }
        let mut bad_spells = Vec::new();
        for day in 0..31 {
            if random.chance(0.3) {
                let from = BEGIN + day * DAY + random.between(7 * 60, 17 * 60) * MINUTE;
                bad_spells.push((from, from + random.between(10, 90) * MINUTE));
            }
        }
        quiet("flaky client", Some(at("kiosk")), 14, 31);
        quiet("monthly full backup", Some(at("backup")), 27, 28);
        Days { away, upgrade, release, incident, in_incident, pages, bad_spells, innocent }
    }

    pub fn is_away(&self, who: usize, day: u64) -> bool {
        self.away[who].iter().any(|(from, to)| (*from..*to).contains(&day))
    }

    pub fn works(&self, who: usize, kind: Kind, day: u64) -> bool {
        let holiday = day == HOLIDAY && matches!(kind, Kind::Human { zone: Zone::Berlin, .. });
        !weekend(day) && !holiday && !self.is_away(who, day)
    }
}

pub fn weekend(day: u64) -> bool {
    day % 7 >= 5
}

/// The instant of a local clock, in minutes after midnight.
pub fn local(zone: Zone, day: u64, minutes: f64) -> u64 {
    let ahead: i64 = match zone {
        Zone::Berlin => {
            if day < 20 {
                120
            } else {
                60
            }
        }
        Zone::Kolkata => 330,
        Zone::NewYork => {
            if day < 27 {
                -240
            } else {
                -300
            }
        }
    };
    let minutes = minutes - ahead as f64;
    (BEGIN as i64 + day as i64 * DAY as i64 + (minutes * MINUTE as f64) as i64) as u64
}

/// `day 16, 03:12`.
pub fn said(at: u64) -> String {
    let since = at - BEGIN;
    format!("day {}, {:02}:{:02}", since / DAY, since % DAY / HOUR, since % HOUR / MINUTE)
}
