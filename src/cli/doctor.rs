//! `peergate doctor`: how each role of a running daemon is confined, as the kernel says it now.

use super::control::{Arguments, ask, strange};
use super::term::Term;
use super::{Answer, Failure, Format};
use crate::model::posture::{Confinement, Finding, Grade, ProcStatus};
use crate::wire::message::{ControlReply, ControlRequest};
use crate::wire::report::{Report, RoleReport};

/// Prints the posture. No: something that is promised is not there, roles die again and again, or nothing can be
/// recorded.
///
/// # Errors
///
/// There is no daemon, it does not answer us, or the output can't be written.
pub fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let report = match ask(&arguments.socket(), &ControlRequest::Doctor)? {
        ControlReply::Doctor(report) => report,
        _ => return Err(strange()),
    };
    match arguments.format {
        Format::Text => show(&report, term)?,
        Format::Json => term.line(json(&report))?,
    }
    Ok(if report.grade() == Grade::Red { Answer::No } else { Answer::Yes })
}

fn show(report: &Report, term: &mut Term) -> Result<(), Failure> {
    let Report { version, kernel, deaths_lately, .. } = report;
    term.line(format!("{}  peergated {version} on Linux {kernel}", word(report.grade())))?;
    for role in &report.roles {
        show_role(role, term)?;
    }
    if report.more_gates > 0 {
        term.line(format!("       and {} more gates", report.more_gates))?;
    }
    term.line("sockets")?;
    for socket in &report.sockets {
        let owner = match (socket.uid, socket.gid) {
            (Some(uid), Some(gid)) => format!(", uid {uid}, gid {gid}"),
            _ => String::new(),
        };
        let (grade, name, path, what) = (word(socket.grade), &socket.name, &socket.path, &socket.what);
        term.line(format!("{grade}  {name} {path}: {what}{owner}"))?;
    }
    if let Some(commands) = &report.commands {
        term.line(format!("commands, of which {} run now", commands.running))?;
        term.line(format!("{}  {}", word(commands.grade), commands.what))?;
        for line in commands.plans.iter().flat_map(|plan| plan.lines()) {
            term.line(format!("       {line}"))?;
        }
        if commands.more > 0 {
            term.line(format!("       and {} more", commands.more))?;
        }
    }
    term.line("daemon")?;
    let record = if report.recordable { Grade::Green } else { Grade::Red };
    let said = if report.recordable { "is written" } else { "can't be written: requests are refused" };
    term.line(format!("{}  the record {said}", word(record)))?;
    let deaths = if report.failing { Grade::Red } else { Grade::Green };
    let many =
        if report.failing { ": something kills them again and again, see the `gate` records" } else { "" };
    term.line(format!("{}  {deaths_lately} roles died within a minute{many}", word(deaths)))?;
    for missing in &report.missing {
        term.line(format!("{}  missing: {missing}", word(Grade::Amber)))?;
    }
    Ok(())
}

fn show_role(role: &RoleReport, term: &mut Term) -> Result<(), Failure> {
    let whose = match role.serves {
        Some(uid) => format!(" of uid {uid}"),
        None => String::new(),
    };
    let held = role.descriptors.map_or_else(String::new, |count| format!(", {count} descriptors"));
    term.line(format!("{}{whose}, pid {}{held}", role.role, role.pid))?;
    for Finding { layer, grade, what } in &role.findings {
        term.line(format!("{}  {:<13} {what}", word(*grade), layer.name()))?;
    }
    let Some(told) = &role.told else { return Ok(()) };
    let (calls, absent) = told.seccomp_rows;
    term.line(format!("       {:<13} {calls} calls allowed, {absent} answer ENOSYS", ""))
}

fn word(grade: Grade) -> &'static str {
    match grade {
        Grade::Green => "green",
        Grade::Amber => "AMBER",
        Grade::Red => "RED  ",
    }
}

fn json(report: &Report) -> serde_json::Value {
    let roles: Vec<_> = report.roles.iter().map(role_json).collect();
    serde_json::json!({
        "grade": report.grade(),
        "version": report.version,
        "kernel": report.kernel,
        "missing": report.missing,
        "recordable": report.recordable,
        "deaths_lately": report.deaths_lately,
        "failing": report.failing,
        "roles": roles,
        "more_gates": report.more_gates,
        "sockets": report.sockets,
        "commands": report.commands,
    })
}

fn role_json(role: &RoleReport) -> serde_json::Value {
    serde_json::json!({
        "role": role.role,
        "serves": role.serves,
        "pid": role.pid,
        "descriptors": role.descriptors,
        "status": role.now.as_ref().map(status_json),
        "held": role.told.as_ref().map(held_json),
        "findings": role.findings,
    })
}

fn status_json(status: &ProcStatus) -> serde_json::Value {
    let sets = &status.capabilities;
    let mask = |set: u64| format!("{set:016x}");
    serde_json::json!({
        "uids": status.uids,
        "gids": status.gids,
        "groups": status.groups,
        "capabilities": {
            "inheritable": mask(sets.inheritable),
            "permitted": mask(sets.permitted),
            "effective": mask(sets.effective),
            "bounding": mask(sets.bounding),
            "ambient": mask(sets.ambient),
        },
        "no_new_privs": status.no_new_privs,
        "seccomp_mode": status.seccomp_mode,
        "seccomp_filters": status.seccomp_filters,
        "threads": status.threads,
    })
}

fn held_json(held: &Confinement) -> serde_json::Value {
    let (calls, enosys) = held.seccomp_rows;
    serde_json::json!({
        "securebits": held.securebits,
        "dumpable": held.dumpable,
        "limits": held.limits,
        "landlock": held.landlock,
        "seccomp": { "calls": calls, "enosys": enosys, "logs_only": held.seccomp_logs },
        "missing": held.missing,
    })
}
