//! What should be found: attacks and accidents, each labelled. Some are easy, some are made to look ordinary.

use super::cast::{ELSEWHERE, Job, Kind, Person, by_id, index, program};
use super::days::{self, Days};
use super::life::{Session, container};
use super::machines::at_home;
use super::random::Random;
use super::{Asked, BEGIN, Case, DAY, DAYS, HOUR, LEARNED, MINUTE};

/// Every kind, by name.
pub const KINDS: [&str; 16] = [
    "stolen at night",
    "stolen by day",
    "night, same program",
    "slow exfiltration",
    "bulk exfiltration",
    "privilege probing",
    "slow probing",
    "service used by hand",
    "burst of deletes",
    "dormant account",
    "cron job changed",
    "slow enumeration",
    "fast enumeration",
    "unknown account",
    "from a container",
    "gone silent",
];

struct Planter<'a> {
    people: &'a [Person],
    days: &'a Days,
    asked: &'a mut Vec<Asked>,
    cases: Vec<Case>,
    /// Who is used on which days already.
    taken: Vec<(usize, u64, u64)>,
}

pub fn plant(
    each: usize,
    people: &[Person],
    days: &Days,
    random: &mut Random,
    asked: &mut Vec<Asked>,
) -> Vec<Case> {
    let mut planter = Planter { people, days, asked, cases: Vec::new(), taken: Vec::new() };
    for _ in 0..each {
        for kind in KINDS {
            planter.one(kind, random);
        }
    }
    planter.cases
}

impl Planter<'_> {
    fn one(&mut self, kind: &'static str, random: &mut Random) {
        match kind {
            "stolen at night" => self.stolen_at_night(kind, random),
            "stolen by day" => self.stolen_by_day(kind, random),
            "night, same program" => self.night(kind, random),
            "slow exfiltration" => self.slow_exfiltration(kind, random),
            "bulk exfiltration" => self.bulk(kind, random),
            "privilege probing" => self.probing(kind, random),
            "slow probing" => self.slow_probing(kind, random),
            "service used by hand" => self.by_hand(kind, random),
            "burst of deletes" => self.deletes(kind, random),
            "dormant account" => self.dormant(kind, random),
            "cron job changed" => self.cron(kind, random),
            "slow enumeration" => self.slow_enumeration(kind, random),
            "fast enumeration" => self.fast_enumeration(kind, random),
            "unknown account" => self.unknown(kind, random),
            "from a container" => self.container(kind, random),
            _ => self.silent(kind, random),
        }
    }

    /// Someone who is there and a day for it, on which nothing else was planted near.
    fn choose(
        &mut self,
        names: &[&str],
        length: u64,
        at_work: bool,
        random: &mut Random,
    ) -> Option<(usize, u64)> {
        for _ in 0..400 {
            let who = index(self.people, random.one_of(names));
            let day = random.between(LEARNED + 1, DAYS - length - 1);
            let free = self
                .taken
                .iter()
                .all(|(other, from, to)| *other != who || day > to + 2 || day + length + 2 < *from);
            let there = (day..day + length).all(|day| !self.days.is_away(who, day));
            let works = !at_work || self.days.works(who, self.people[who].kind, day);
            if free && there && works {
                self.taken.push((who, day, day + length));
                return Some((who, day));
            }
        }
        None
    }

    /// Everything that `what` asks is labelled.
    fn case(
        &mut self,
        kind: &'static str,
        who: usize,
        at: u64,
        file: &str,
        random: &mut Random,
        what: impl FnOnce(&mut Session<'_>, &mut Random),
    ) {
        let human = matches!(self.people[who].kind, Kind::Human { .. });
        let unit = match self.people[who].kind {
            Kind::Machine(job) if at_home(job).0 == file => Some(at_home(job).1),
            _ => None,
        };
        let label = self.cases.len() as u16;
        let first = self.asked.len();
        let mut session = Session {
            who,
            program: program(file),
            unit,
            login: human,
            inside: false,
            connection: 1_000_000 + u32::from(label) * 10_000,
            at,
            case: Some(label),
            asked: self.asked,
        };
        what(&mut session, random);
        let times = || self.asked[first..].iter().map(|asked| asked.at);
        let (from, to) = (times().min().unwrap_or(at), times().max().unwrap_or(at));
        self.cases.push(Case { kind, who, from, to });
    }

    fn stolen_at_night(&mut self, kind: &'static str, random: &mut Random) {
        let Some((who, day)) = self.choose(&HUMANS, 1, false, random) else { return };
        let at = self.night_of(who, day, random);
        let file = random.one_of(&["curl", "python3.13", "socat"]);
        self.case(kind, who, at, file, random, look_and_enter);
    }

    fn stolen_by_day(&mut self, kind: &'static str, random: &mut Random) {
        let Some((who, day)) = self.choose(&HUMANS, 1, true, random) else { return };
        let at = self.noon_of(who, day, random);
        let file = random.one_of(&["python3.13", "socat", "agent"]);
        self.case(kind, who, at, file, random, look_and_enter);
    }

    fn night(&mut self, kind: &'static str, random: &mut Random) {
        let Some((who, day)) = self.choose(&DEVELOPERS, 1, false, random) else { return };
        let at = self.night_of(who, day, random);
        self.case(kind, who, at, "docker", random, |session, random| {
            for _ in 0..12 + random.below(20) {
                session.reconnect();
                let route = by_id(random.one_of(&[
                    "containers-list",
                    "containers-inspect",
                    "containers-logs",
                    "images-list",
                ]));
                let name = container(random, session.who);
                session.ask(route, name, random);
                session.wait(random.around(30.0, 0.8));
            }
        });
    }

    /// Each hour of several days a little, by a program that it always uses, on a route that it may use.
    fn slow_exfiltration(&mut self, kind: &'static str, random: &mut Random) {
        let length = 4 + random.between(0, 3);
        let names = ["alice", "dmitri", "henk", "esha", "olga", "report", "mirror"];
        let Some((who, day)) = self.choose(&names, length, true, random) else { return };
        let (route, file, size) = match self.people[who].kind {
            Kind::Machine(Job::Mirror) => ("images-get", "mirror", 90_000_000.0),
            Kind::Machine(_) => ("images-list", "reporter", 900_000.0),
            Kind::Human { .. } | Kind::Nobody => ("containers-archive", "docker", 4_000_000.0),
        };
        let at = self.noon_of(who, day, random);
        let always = matches!(self.people[who].kind, Kind::Machine(_));
        self.case(kind, who, at, file, random, |session, random| {
            for _ in 0..length {
                let begin = session.at;
                for _ in 0..if always { 20 } else { 9 } {
                    session.reconnect();
                    let name = container(random, session.who);
                    let out = random.around(size, 0.3) as u64;
                    session.record(by_id(route), name, None, 200, out);
                    session.wait(random.around(2_400.0, 0.4));
                }
                session.at = begin + DAY;
            }
        });
    }

    fn bulk(&mut self, kind: &'static str, random: &mut Random) {
        let Some((who, day)) = self.choose(&HUMANS, 1, true, random) else { return };
        let at = self.noon_of(who, day, random);
        self.case(kind, who, at, "docker", random, |session, random| {
            for _ in 0..4 + random.below(5) {
                session.reconnect();
                let name = container(random, session.who);
                session.ask(by_id("containers-export"), name, random);
                session.wait(random.around(60.0, 0.5));
            }
        });
    }

    fn probing(&mut self, kind: &'static str, random: &mut Random) {
        let names = ["alice", "bob", "grace", "farid", "lena", "ci", "kiosk", "report"];
        let Some((who, day)) = self.choose_any(&names, random) else { return };
        let at = BEGIN + day * DAY + random.between(7 * 60, 16 * 60) * MINUTE;
        let file = self.usual(who);
        self.case(kind, who, at, file, random, |session, random| {
            let from = random.below(ELSEWHERE.len());
            for i in 0..8 + random.below(8) {
                session.reconnect();
                let name = container(random, session.who);
                session.denied(&ELSEWHERE[(from + i) % ELSEWHERE.len()], name);
                session.wait(random.around(8.0, 0.9));
            }
        });
    }

    /// Two or three a day, for a week.
    fn slow_probing(&mut self, kind: &'static str, random: &mut Random) {
        let names = ["carla", "dmitri", "henk", "esha", "kiosk", "metrics"];
        let Some((who, day)) = self.choose(&names, 6, true, random) else { return };
        let at = self.noon_of(who, day, random);
        let file = self.usual(who);
        self.case(kind, who, at, file, random, |session, random| {
            let from = random.below(ELSEWHERE.len());
            for i in 0..15 {
                session.reconnect();
                let name = container(random, session.who);
                session.denied(&ELSEWHERE[(from + i) % ELSEWHERE.len()], name);
                session.wait(if i % 3 == 2 { 18.0 } else { 3.0 } * 3_600.0 * random.around(1.0, 0.08));
            }
        });
    }

    fn by_hand(&mut self, kind: &'static str, random: &mut Random) {
        let names = ["backup", "housekeeping", "report", "deploy", "mirror"];
        let Some((who, day)) = self.choose(&names, 1, false, random) else { return };
        let at = BEGIN + day * DAY + random.between(7 * 60, 20 * 60) * MINUTE;
        let file = random.one_of(&["docker", "curl", "bash"]);
        self.case(kind, who, at, file, random, |session, random| {
            session.login = true;
            for route in
                ["ping", "containers-list", "containers-inspect", "containers-logs", "containers-list"]
            {
                session.reconnect();
                let name = container(random, session.who);
                session.ask(by_id(route), name, random);
                session.wait(random.around(25.0, 0.8));
            }
        });
    }

    fn deletes(&mut self, kind: &'static str, random: &mut Random) {
        let Some((who, day)) =
            self.choose(&["alice", "bob", "henk", "esha", "olga", "omar", "deploy"], 1, true, random)
        else {
            return;
        };
        let at = self.noon_of(who, day, random);
        let file = self.usual(who);
        self.case(kind, who, at, file, random, |session, random| {
            for _ in 0..60 + random.below(80) {
                let name = container(random, session.who);
                session.ask(by_id("containers-remove"), name, random);
                session.wait(random.around(0.8, 0.5));
            }
        });
    }

    fn dormant(&mut self, kind: &'static str, random: &mut Random) {
        // Each account only once.
        let used = self.cases.iter().filter(|case| case.kind == kind).count();
        let Some(name) = ["kurt", "lena"].get(used) else { return };
        let who = index(self.people, name);
        let day = random.between(19, DAYS - 2);
        self.taken.push((who, 0, DAYS));
        let at = BEGIN + day * DAY + random.between(0, 23 * 60) * MINUTE;
        let file = random.one_of(&["docker", "curl", "python3.13"]);
        self.case(kind, who, at, file, random, look_and_enter);
    }

    /// The same time, the same program, something else.
    fn cron(&mut self, kind: &'static str, random: &mut Random) {
        let Some((who, day)) = self.choose(&["backup", "housekeeping", "report", "mirror"], 3, false, random)
        else {
            return;
        };
        let (start, file) = match self.people[who].kind {
            Kind::Machine(Job::Backup) => (150, "restic"),
            Kind::Machine(Job::Housekeeping) => (240, "housekeeping"),
            Kind::Machine(Job::Mirror) => (40, "mirror"),
            _ => (5, "reporter"),
        };
        let at = BEGIN + day * DAY + start * MINUTE;
        self.case(kind, who, at, file, random, |session, random| {
            for _ in 0..3 {
                session.reconnect();
                session.ask(by_id("containers-create"), "", random);
                session.wait(0.5);
                session.ask(by_id("containers-start"), "helper", random);
                session.ask(by_id("exec-create"), "helper", random);
                session.at += DAY;
            }
        });
    }

    /// One name after the other, every quarter of an hour or so.
    fn slow_enumeration(&mut self, kind: &'static str, random: &mut Random) {
        let names = ["alice", "carla", "henk", "esha", "report", "metrics"];
        let Some((who, day)) = self.choose(&names, 3, true, random) else { return };
        let at = self.noon_of(who, day, random);
        let file = self.usual(who);
        self.case(kind, who, at, file, random, |session, random| {
            for i in 0..150 {
                session.reconnect();
                let found = random.chance(0.2);
                let status = if found { 200 } else { 404 };
                session.record(
                    by_id("containers-inspect"),
                    format!("c{:04}", 17 * i),
                    None,
                    status,
                    if found { 7_000 } else { 60 },
                );
                session.wait(random.around(900.0, 0.5));
            }
        });
    }

    fn fast_enumeration(&mut self, kind: &'static str, random: &mut Random) {
        let Some((who, day)) =
            self.choose(&["bob", "dmitri", "grace", "farid", "omar", "backup"], 1, true, random)
        else {
            return;
        };
        let at = self.noon_of(who, day, random);
        let file = self.usual(who);
        self.case(kind, who, at, file, random, |session, random| {
            for i in 0..250 {
                session.record(
                    by_id("images-inspect"),
                    format!("sha256:{:016x}", random.next() + i),
                    None,
                    404,
                    60,
                );
                session.wait(random.around(1.5, 0.5));
            }
        });
    }

    fn unknown(&mut self, kind: &'static str, random: &mut Random) {
        // An account that nobody has seen before, in nobody's company. It borrows a uid of its own by name.
        let used = self.cases.iter().filter(|case| case.kind == kind).count();
        let Some(name) = ["svc-a", "svc-b"].get(used) else { return };
        let Some(who) = self.people.iter().position(|person| person.name == *name) else { return };
        let day = random.between(LEARNED + 1, DAYS - 1);
        let at = BEGIN + day * DAY + random.between(0, 23 * 60) * MINUTE;
        let file = random.one_of(&["agent", "python3.13", "curl"]);
        self.case(kind, who, at, file, random, look_and_enter);
    }

    fn container(&mut self, kind: &'static str, random: &mut Random) {
        let Some((who, day)) =
            self.choose(&["ci", "deploy", "kiosk", "dmitri", "grace", "mirror"], 1, true, random)
        else {
            return;
        };
        let at = self.noon_of(who, day, random);
        let file = random.one_of(&["docker", "curl", "python3.13"]);
        self.case(kind, who, at, file, random, |session, random| {
            session.inside = true;
            session.login = false;
            for route in ["version", "containers-list", "containers-create", "containers-start"] {
                session.ask(by_id(route), "x", random);
                session.wait(random.around(2.0, 0.5));
            }
        });
    }

    /// What always came, comes no more.
    fn silent(&mut self, kind: &'static str, random: &mut Random) {
        let Some((who, day)) =
            self.choose(&["report", "monitor", "metrics", "backup", "mirror"], 3, false, random)
        else {
            return;
        };
        let (from, to) = (BEGIN + day * DAY, BEGIN + (day + 2) * DAY + 12 * HOUR);
        self.asked
            .retain(|asked| asked.who != who || !(from..to).contains(&asked.at) || asked.case.is_some());
        self.cases.push(Case { kind, who, from, to });
    }

    fn choose_any(&mut self, names: &[&str], random: &mut Random) -> Option<(usize, u64)> {
        let people: Vec<&str> = names.iter().copied().filter(|name| *name != "lena").collect();
        self.choose(&people, 1, true, random)
    }

    fn usual(&self, who: usize) -> &'static str {
        match self.people[who].kind {
            Kind::Machine(job) => at_home(job).0,
            Kind::Human { .. } | Kind::Nobody => "docker",
        }
    }

    fn night_of(&self, who: usize, day: u64, random: &mut Random) -> u64 {
        match self.people[who].kind {
            Kind::Human { zone, .. } => days::local(zone, day, 60.0 + random.unit() * 240.0),
            Kind::Machine(_) | Kind::Nobody => BEGIN + day * DAY + 2 * HOUR,
        }
    }

    fn noon_of(&self, who: usize, day: u64, random: &mut Random) -> u64 {
        match self.people[who].kind {
            Kind::Human { zone, .. } => days::local(zone, day, 600.0 + random.unit() * 240.0),
            Kind::Machine(_) | Kind::Nobody => {
                BEGIN + day * DAY + 10 * HOUR + random.between(0, 240) * MINUTE
            }
        }
    }
}

const DEVELOPERS: [&str; 8] = ["alice", "bob", "carla", "dmitri", "esha", "farid", "grace", "henk"];
const HUMANS: [&str; 10] =
    ["alice", "bob", "carla", "dmitri", "esha", "farid", "grace", "henk", "olga", "omar"];

/// A look around, then a way in.
fn look_and_enter(session: &mut Session<'_>, random: &mut Random) {
    for route in ["version", "info", "containers-list", "images-list"] {
        session.ask(by_id(route), "", random);
        session.wait(random.around(6.0, 0.8));
    }
    for _ in 0..2 + random.below(5) {
        session.reconnect();
        let name = container(random, session.who);
        session.ask(by_id("containers-inspect"), name, random);
        session.wait(random.around(10.0, 0.8));
    }
    session.ask(by_id("containers-create"), "", random);
    session.ask(by_id("containers-start"), "helper", random);
    session.ask(by_id("exec-create"), "helper", random);
    let id = format!("{:016x}", random.next());
    session.ask(by_id("exec-start"), id, random);
}
