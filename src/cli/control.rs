//! `peergate status` and `peergate reload`: what a running daemon says of itself, and its policy loaded again.

use std::path::{Path, PathBuf};

use clap::Args;

use super::term::Term;
use super::{Answer, Failure};
use crate::model::time::Timestamp;
use crate::warden::Environment;
use crate::wire::channel::Channel;
use crate::wire::message::{ControlReply, ControlRequest, GateStatus, Status};

/// Which daemon.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The daemon's control socket [default: as root /run/peergate/control.sock, else
    /// $XDG_RUNTIME_DIR/peergate/control.sock]
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

impl Arguments {
    fn socket(&self) -> PathBuf {
        let uid = nix::unistd::geteuid();
        let home =
            if uid.is_root() { "/run".to_owned() } else { Environment::read().runtime_home(uid.as_raw()) };
        self.control.clone().unwrap_or_else(|| Path::new(&home).join("peergate/control.sock"))
    }
}

/// Prints what is running. No: it runs, but can't record, so that every request is refused.
///
/// # Errors
///
/// There is no daemon, it does not answer us, or the output can't be written.
pub fn status(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let status = match ask(&arguments.socket(), &ControlRequest::Status)? {
        ControlReply::Status(status) => status,
        _ => return Err(strange()),
    };
    show(&status, term)?;
    Ok(if status.recordable { Answer::Yes } else { Answer::No })
}

/// Has the policy loaded again, and waits for how it ends. No: the old one stays in force.
///
/// # Errors
///
/// There is no daemon, it does not answer us, or the output can't be written.
pub fn reload(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    match ask(&arguments.socket(), &ControlRequest::Reload)? {
        ControlReply::Reloaded { old, new } if old == new => {
            term.line(format!("loaded again, and the same: {new}"))?;
            Ok(Answer::Yes)
        }
        ControlReply::Reloaded { old, new } => {
            term.line(format!("in force: {new} (before: {old})"))?;
            Ok(Answer::Yes)
        }
        ControlReply::Refused { why } => {
            term.complain(why);
            Ok(Answer::No)
        }
        ControlReply::Status(_) => Err(strange()),
    }
}

fn ask(socket: &Path, request: &ControlRequest) -> Result<ControlReply, Failure> {
    let what = || format!("can't ask the daemon at {}", socket.display());
    let channel = Channel::connect(socket).map_err(Failure::at(what()))?;
    channel.send(request, &[]).map_err(Failure::at(what()))?;
    match channel.receive_waiting().map_err(Failure::at(what()))? {
        Some((reply, _none)) => Ok(reply),
        None => Err(Failure::Because(format!("{}: it does not answer this user", what()))),
    }
}

fn strange() -> Failure {
    Failure::Because("the daemon answers something else than was asked".to_owned())
}

fn show(status: &Status, term: &mut Term) -> Result<(), Failure> {
    let Status { version, pid, boot, up_s, .. } = status;
    term.line(format!("peergated {version}, pid {pid}, start {boot}, up {up_s} s"))?;
    let (generation, since) = status.policy_since;
    let since = Timestamp::from_micros(since);
    term.line(format!("policy    {} {}", status.policy_file, status.policy_hash))?;
    term.line(format!("          number {} of this start, since {since}", generation.0))?;
    let missing = if status.missing.is_empty() { "nothing".to_owned() } else { status.missing.join(", ") };
    term.line(format!("missing   {missing}"))?;
    let record = if status.recordable { "written" } else { "NOT written: every request is refused" };
    term.line(format!("record    {record}"))?;
    for listener in &status.listeners {
        let (open, accepted, shed) = (listener.open, listener.accepted, listener.shed);
        term.line(format!(
            "listener  {} {}: {open} open, {accepted} accepted, {shed} shed",
            listener.name, listener.path
        ))?;
    }
    for gate in &status.gates {
        term.line(format!("gate      {}", gate_line(gate)))?;
    }
    let scribe = &status.scribe;
    term.line(format!(
        "scribe    pid {}, {} deaths, {} bytes not synced, {} diagnostic lines lost",
        scribe.pid, scribe.deaths, scribe.unsynced, scribe.lost_lines
    ))
}

fn gate_line(gate: &GateStatus) -> String {
    let whose = gate.uid.map_or_else(|| "shared".to_owned(), |uid| format!("of uid {uid}"));
    let process = if gate.pid == 0 { "not running".to_owned() } else { format!("pid {}", gate.pid) };
    format!("{whose}: {process}, {} connections, {} deaths", gate.connections, gate.deaths)
}
