//! What people do.

use super::cast::{ELSEWHERE, Kind, Person, Route, by_id, program};
use super::days::{self, Days};
use super::random::Random;
use super::{Asked, BEGIN, DAYS, SECOND};
use peergate::model::refusal::Refusal;

/// Someone who is connected, and what has been asked so far.
#[derive(Debug)]
pub struct Session<'a> {
    pub who: usize,
    pub program: usize,
    pub unit: Option<&'static str>,
    pub login: bool,
    pub inside: bool,
    pub connection: u32,
    pub at: u64,
    pub case: Option<u16>,
    pub asked: &'a mut Vec<Asked>,
}

impl Session<'_> {
    /// Asks, and gets an ordinary answer.
    pub fn ask(&mut self, route: &'static Route, name: impl Into<String>, random: &mut Random) {
        let out = if route.out == 0 { 0 } else { random.around(route.out as f64, 0.5) as u64 };
        self.record(route, name.into(), None, 200, out);
    }

    /// Asks for what is not allowed.
    pub fn denied(&mut self, route: &'static Route, name: impl Into<String>) {
        let refusal = if route.id.is_empty() { Refusal::NoRoute } else { Refusal::NotAllowed };
        self.record(route, name.into(), Some(refusal), 403, 0);
    }

    pub fn record(
        &mut self,
        route: &'static Route,
        name: String,
        refusal: Option<Refusal>,
        status: u16,
        out: u64,
    ) {
        self.asked.push(Asked {
            at: self.at,
            who: self.who,
            program: self.program,
            unit: self.unit,
            login: self.login,
            inside: self.inside,
            connection: self.connection,
            route,
            name,
            refusal,
            status,
            late: false,
            out,
            case: self.case,
        });
    }

    pub fn wait(&mut self, seconds: f64) {
        self.at += (seconds * SECOND as f64) as u64;
    }

    /// Each command of a client is a process and a connection of its own.
    pub fn reconnect(&mut self) {
        self.connection += 1;
    }
}

/// Containers have names of services, and a developer has favourites among them.
pub fn container(random: &mut Random, who: usize) -> String {
    const SERVICES: [&str; 18] = [
        "web", "api", "worker", "db", "cache", "queue", "mail", "search", "auth", "billing", "cron", "proxy",
        "docs", "metrics", "admin", "import", "export", "stage",
    ];
    let at = if random.chance(0.7) { who * 3 + random.below(4) } else { random.below(SERVICES.len()) };
    format!("{}-{}", SERVICES[at % SERVICES.len()], 1 + random.below(2))
}

/// What a developer calls, and how often; operators more to the right.
const HABITS: [(&str, f64, f64); 18] = [
    ("containers-list", 30.0, 25.0),
    ("containers-inspect", 12.0, 14.0),
    ("containers-logs", 22.0, 20.0),
    ("containers-stats", 3.0, 6.0),
    ("containers-top", 1.0, 3.0),
    ("containers-create", 4.0, 2.0),
    ("containers-start", 4.0, 3.0),
    ("containers-stop", 3.0, 3.0),
    ("containers-restart", 3.0, 6.0),
    ("containers-remove", 3.0, 3.0),
    ("exec-create", 6.0, 6.0),
    ("images-list", 5.0, 4.0),
    ("images-pull", 3.0, 2.0),
    ("volumes-list", 1.0, 2.0),
    ("networks-list", 1.0, 2.0),
    ("containers-archive", 0.6, 0.6),
    ("images-inspect", 1.0, 1.0),
    ("system-df", 0.3, 2.0),
];

pub fn human(who: usize, people: &[Person], days: &Days, random: &mut Random, asked: &mut Vec<Asked>) {
    let Kind::Human { zone, operator } = people[who].kind else { return };
    // Everybody has tastes.
    let tastes: Vec<f64> = HABITS
        .iter()
        .map(|(_, dev, op)| if operator { *op } else { *dev } * random.around(1.0, 0.6))
        .collect();
    let mut programs = vec![(program("docker"), 10.0), (program("docker-compose"), random.around(2.0, 0.7))];
    if random.chance(0.4) {
        programs.push((program("code"), 3.0));
    }
    if random.chance(0.3) {
        programs.push((program("curl"), 0.6));
    }
    let starts = 8.6 * 60.0 + random.normal() * 35.0;
    let mut connection = 0;
    let mut spell =
        |from: u64, commands: usize, urgent: bool, random: &mut Random, day: u64, asked: &mut Vec<Asked>| {
            let weights: Vec<f64> = programs.iter().map(|(_, weight)| *weight).collect();
            let mut session = Session {
                who,
                program: programs[random.weighted(&weights)].0,
                unit: None,
                login: true,
                inside: false,
                connection,
                at: from,
                case: None,
                asked,
            };
            // Someone tries a new tool.
            if random.chance(0.004) {
                session.program = program(random.one_of(&["lazydocker", "ctop", "dive"]));
            }
            for _ in 0..commands {
                session.reconnect();
                if random.chance(0.35) {
                    session.ask(by_id("ping"), "", random);
                    session.wait(0.01);
                }
                command(&mut session, &tastes, urgent, operator, random);
                if day >= days.upgrade && random.chance(0.05) {
                    let name = container(random, who);
                    session.ask(by_id("containers-insights"), name, random);
                }
                session.wait(random.around(if urgent { 20.0 } else { 45.0 }, 1.1));
                if random.chance(0.15) {
                    session.program = programs[random.weighted(&weights)].0;
                }
            }
            connection = session.connection;
        };
    for day in 0..DAYS {
        if days.is_away(who, day) {
            continue;
        }
        if days.works(who, people[who].kind, day) && random.chance(0.94) {
            let begin = starts + random.normal() * 25.0;
            let busy = if day == days.release { 2.5 } else { 1.0 };
            let spells = 3 + random.below(5) + if day == days.release { 3 } else { 0 };
            let length = if day == days.release { 12.5 * 60.0 } else { 8.7 * 60.0 };
            for _ in 0..spells {
                let from = days::local(zone, day, begin + random.unit() * length);
                let commands = (random.around(7.0, 0.7) * busy) as usize + 1;
                spell(from, commands, day == days.release, random, day, asked);
            }
            if random.chance(0.05) {
                let from = days::local(zone, day, 20.0 * 60.0 + random.unit() * 150.0);
                spell(from, 3 + random.below(8), false, random, day, asked);
            }
        } else if days::weekend(day) && random.chance(0.05) {
            let from = days::local(zone, day, 10.0 * 60.0 + random.unit() * 600.0);
            spell(from, 3 + random.below(12), false, random, day, asked);
        }
        if days.in_incident.contains(&who) && (days.incident - BEGIN) / super::DAY == day {
            for part in 0..4 {
                let from = days.incident + (part * 35 * 60 + random.below(900) as u64) * SECOND;
                spell(from, 10 + random.below(15), true, random, day, asked);
            }
        }
        for (_, from, _) in
            days.pages.iter().filter(|(on, from, _)| *on == who && (from - BEGIN) / super::DAY == day)
        {
            spell(*from, 12 + random.below(25), true, random, day, asked);
        }
    }
}

fn command(session: &mut Session<'_>, tastes: &[f64], urgent: bool, operator: bool, random: &mut Random) {
    let who = session.who;
    if random.chance(0.008) {
        let route = &ELSEWHERE[random.below(ELSEWHERE.len())];
        let name = container(random, who);
        session.denied(route, name);
        return;
    }
    if !operator && random.chance(0.006) {
        let route = by_id(random.one_of(&["containers-prune", "images-prune", "volumes-remove"]));
        let name = container(random, who);
        session.denied(route, name);
        return;
    }
    let mut habit = random.weighted(tastes);
    if urgent && random.chance(0.4) {
        habit = random.one_of(&[0, 1, 2, 2, 3, 8, 10]);
    }
    let route = by_id(HABITS[habit].0);
    let name = container(random, who);
    match route.id {
        "exec-create" => {
            session.ask(route, name, random);
            session.wait(0.02);
            let id = format!("{:016x}", random.next());
            session.ask(by_id("exec-start"), id, random);
        }
        "containers-remove" if random.chance(0.25) => {
            // Tidies up.
            for _ in 0..2 + random.below(9) {
                let name = container(random, who);
                session.ask(route, name, random);
                session.wait(0.3);
            }
        }
        "containers-create" => {
            session.ask(route, "", random);
            session.wait(0.1);
            session.ask(by_id("containers-start"), name, random);
        }
        _ if random.chance(0.02) => session.record(route, name, None, 404, 60),
        _ => session.ask(route, name, random),
    }
}
