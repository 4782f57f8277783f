//! What machines do: CI, deployments, cron jobs, monitoring, a client with a bad network.

use super::cast::{Job, by_id, program};
use super::days::{self, Days};
use super::life::Session;
use super::random::Random;
use super::{Asked, BEGIN, DAY, DAYS, HOUR, MINUTE, SECOND, Scale};

pub fn machine(who: usize, job: Job, days: &Days, scale: Scale, random: &mut Random, asked: &mut Vec<Asked>) {
    let (file, unit) = at_home(job);
    let mut session = Session {
        who,
        program: program(file),
        unit: Some(unit),
        login: false,
        inside: false,
        connection: 0,
        at: BEGIN,
        case: None,
        asked,
    };
    match job {
        Job::Ci => ci(&mut session, days, random),
        Job::Deploy => deploy(&mut session, days, random),
        Job::Backup => backup(&mut session, random),
        Job::Housekeeping => housekeeping(&mut session, random),
        Job::Report => report(&mut session, random),
        Job::Monitor => steady(&mut session, scale.monitor, random),
        Job::Metrics => steady(&mut session, scale.monitor * 4, random),
        Job::Kiosk => kiosk(&mut session, days, random),
        Job::Mirror => mirror(&mut session, random),
    }
}

/// The program and the unit that a job runs as.
pub fn at_home(job: Job) -> (&'static str, &'static str) {
    match job {
        Job::Ci => ("gitlab-runner", "gitlab-runner.service"),
        Job::Deploy => ("deployer", "deployer.service"),
        Job::Backup => ("restic", "backup.service"),
        Job::Housekeeping => ("housekeeping", "housekeeping.service"),
        Job::Report => ("reporter", "report.service"),
        Job::Monitor => ("telegraf", "telegraf.service"),
        Job::Metrics => ("prometheus", "prometheus.service"),
        Job::Kiosk => ("kiosk", "kiosk.service"),
        Job::Mirror => ("mirror", "mirror.service"),
    }
}

/// Pipelines: many on workdays, few at night, with bursts and retries; each run has containers of its own.
fn ci(session: &mut Session<'_>, days: &Days, random: &mut Random) {
    let mut at = BEGIN;
    while at < BEGIN + DAYS * DAY {
        let day = (at - BEGIN) / DAY;
        let hour = at % DAY / HOUR;
        let busy = (5..19).contains(&hour) && !days::weekend(day) && day != days::HOLIDAY;
        let mean = match (busy, day == days.release) {
            (true, true) => 7.0,
            (true, false) => 16.0,
            (false, _) => 110.0,
        };
        at += (random.waiting(mean * 60.0) * SECOND as f64) as u64;
        session.at = at;
        session.reconnect();
        session.ask(by_id("ping"), "", random);
        for job in 0..1 + random.below(4) {
            let name = format!("run-{:08x}-{job}", random.next() as u32);
            let tries = if random.chance(0.06) { 2 + random.below(4) } else { 1 };
            for attempt in 0..tries {
                session.wait(0.4 + attempt as f64 * 5.0);
                if attempt + 1 < tries {
                    session.record(by_id("images-pull"), String::new(), None, 500, 200);
                } else {
                    session.ask(by_id("images-pull"), "", random);
                }
            }
            session.ask(by_id("containers-create"), "", random);
            session.wait(0.2);
            session.ask(by_id("containers-start"), name.clone(), random);
            session.wait(random.around(40.0, 0.8));
            session.ask(by_id("containers-logs"), name.clone(), random);
            if random.chance(0.3) {
                session.ask(by_id("containers-inspect"), name.clone(), random);
            }
            session.wait(0.2);
            session.ask(by_id("containers-remove"), name, random);
        }
    }
}

/// Tuesdays and Thursdays; often on a release day.
fn deploy(session: &mut Session<'_>, days: &Days, random: &mut Random) {
    for day in 0..DAYS {
        let runs = match day {
            day if day == days.release => 9,
            day if day % 7 == 1 || day % 7 == 3 => 1 + random.below(2),
            day if !days::weekend(day) && random.chance(0.1) => 1,
            _ => 0,
        };
        for _ in 0..runs {
            session.at = BEGIN + day * DAY + random.between(8 * 60, 15 * 60) * MINUTE;
            session.reconnect();
            session.ask(by_id("containers-list"), "", random);
            for service in ["web", "api", "worker", "mail"] {
                session.ask(by_id("images-pull"), "", random);
                session.wait(random.around(15.0, 0.5));
                for number in 1..3 {
                    let name = format!("{service}-{number}");
                    session.ask(by_id("containers-stop"), name.clone(), random);
                    session.wait(2.0);
                    session.ask(by_id("containers-remove"), name.clone(), random);
                    session.ask(by_id("containers-create"), "", random);
                    session.ask(by_id("containers-start"), name.clone(), random);
                    session.wait(4.0);
                    session.ask(by_id("containers-inspect"), name, random);
                }
            }
        }
    }
}

/// Each night at half past two, with jitter; on the first of the month all of it, which nobody has seen yet.
fn backup(session: &mut Session<'_>, random: &mut Random) {
    for day in 0..DAYS {
        session.at = BEGIN + day * DAY + 150 * MINUTE + random.between(0, 600) * SECOND;
        session.reconnect();
        session.ask(by_id("containers-list"), "", random);
        for service in ["db", "mail", "docs", "auth"] {
            session.wait(random.around(20.0, 0.3));
            let full = if day == 27 { 6.0 } else { 1.0 };
            let out = random.around(25_000_000.0 * full, 0.2) as u64;
            session.record(by_id("containers-archive"), format!("{service}-1"), None, 200, out);
        }
    }
}

/// Prunes, each night at four; on Sundays more.
fn housekeeping(session: &mut Session<'_>, random: &mut Random) {
    for day in 0..DAYS {
        session.at = BEGIN + day * DAY + 4 * HOUR + random.between(0, 300) * SECOND;
        session.reconnect();
        session.ask(by_id("system-df"), "", random);
        session.ask(by_id("containers-prune"), "", random);
        session.wait(3.0);
        session.ask(by_id("images-prune"), "", random);
        if day % 7 == 6 {
            session.ask(by_id("volumes-list"), "", random);
            for _ in 0..2 + random.below(4) {
                let name = format!("{:012x}", random.next() >> 16);
                session.ask(by_id("volumes-remove"), name, random);
            }
        }
    }
}

/// Each hour, a few minutes past.
fn report(session: &mut Session<'_>, random: &mut Random) {
    for hour in 0..DAYS * 24 {
        session.at = BEGIN + hour * HOUR + 5 * MINUTE + random.between(0, 90) * SECOND;
        session.reconnect();
        session.ask(by_id("containers-list"), "", random);
        session.ask(by_id("images-list"), "", random);
    }
}

fn steady(session: &mut Session<'_>, every: u64, random: &mut Random) {
    let offset = random.between(0, every);
    for round in 0..DAYS * DAY / every {
        session.at = BEGIN + offset + round * every + random.between(0, 200_000);
        if round % 240 == 0 {
            session.reconnect();
        }
        if round % 8 == 0 {
            session.ask(by_id("info"), "", random);
        } else {
            session.ask(by_id("containers-list"), "", random);
        }
    }
}

/// Asks for what may not be there any more, and often hears nothing.
fn kiosk(session: &mut Session<'_>, days: &Days, random: &mut Random) {
    let mut at = BEGIN;
    while at < BEGIN + DAYS * DAY {
        let bad = days.bad_spells.iter().any(|(from, to)| (*from..*to).contains(&at));
        let open = (6..20).contains(&(at % DAY / HOUR));
        let mean = match (bad, open) {
            (true, _) => 12.0,
            (false, true) => 240.0,
            (false, false) => 3_600.0,
        };
        at += (random.waiting(mean) * SECOND as f64) as u64;
        session.at = at;
        session.reconnect();
        let name = format!("kiosk-{}", random.below(6));
        let route = by_id(random.one_of(&["containers-inspect", "containers-inspect", "containers-logs"]));
        if random.chance(if bad { 0.7 } else { 0.06 }) {
            if random.chance(0.5) {
                session.record(route, name, None, 404, 60);
            } else {
                session.record(route, name, None, 504, 0);
                if let Some(last) = session.asked.last_mut() {
                    last.late = true;
                }
            }
        } else {
            session.ask(route, name, random);
        }
    }
}

/// Every six hours: what is new?
fn mirror(session: &mut Session<'_>, random: &mut Random) {
    for turn in 0..DAYS * 4 {
        session.at = BEGIN + turn * 6 * HOUR + 40 * MINUTE + random.between(0, 900) * SECOND;
        session.reconnect();
        session.ask(by_id("images-list"), "", random);
        for _ in 0..1 + random.below(3) {
            let name = format!("base-{}", random.below(12));
            session.ask(by_id("images-inspect"), name.clone(), random);
            session.ask(by_id("images-get"), name, random);
            session.wait(30.0);
        }
    }
}
