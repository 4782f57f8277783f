//! `peergate status` and `peergate reload`: what a running daemon says of itself, and its policy loaded again.

mod reload;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sha2::{Digest as _, Sha256};

use super::term::Term;
use super::{Answer, Failure, Format};
use crate::audit::chain::Digest;
use crate::model::time::Timestamp;
use crate::policy;
use crate::warden::Environment;
use crate::wire::channel::Channel;
use crate::wire::message::{ControlReply, ControlRequest, GateStatus, ScribeStatus, Status};
use crate::wire::told::{Lag, WitnessStatus};

/// A warden answers at once; a reload also waits for the loader and its name service.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) use reload::Arguments as ReloadArguments;
pub use reload::reload;

/// Which daemon.
#[derive(Debug, Args)]
pub struct Socket {
    /// The daemon's control socket [default: as root /run/peergate/control.sock, else
    /// $XDG_RUNTIME_DIR/peergate/control.sock]
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

/// Which daemon, and how its answer is printed.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    daemon: Socket,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

impl Arguments {
    /// Where it is asked.
    pub(super) fn socket(&self) -> PathBuf {
        self.daemon.path()
    }
}

impl Socket {
    /// Where it is asked.
    pub(super) fn path(&self) -> PathBuf {
        let uid = nix::unistd::geteuid();
        let home =
            if uid.is_root() { "/run".to_owned() } else { Environment::read().runtime_home(uid.as_raw()) };
        self.control.clone().unwrap_or_else(|| Path::new(&home).join("peergate/control.sock"))
    }
}

/// Prints what is running. No: it runs, but can't record, so that every request is refused, or its roles die again
/// and again.
///
/// # Errors
///
/// There is no daemon, it does not answer us, or the output can't be written.
pub fn status(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let status = match ask(&arguments.socket(), &ControlRequest::Status)? {
        ControlReply::Status(status) => status,
        _ => return Err(strange()),
    };
    match arguments.format {
        Format::Text => show(&status, term)?,
        Format::Json => term.line(json(&status))?,
    }
    Ok(if status.recordable && !status.failing { Answer::Yes } else { Answer::No })
}

/// Asks the daemon one thing.
pub(super) fn ask(socket: &Path, request: &ControlRequest) -> Result<ControlReply, Failure> {
    ask_whole(socket, request).map(|(reply, _)| reply)
}

/// The same, with the descriptors that come with the answer.
fn ask_whole(socket: &Path, request: &ControlRequest) -> Result<(ControlReply, Vec<OwnedFd>), Failure> {
    let what = || format!("can't ask the daemon at {}", socket.display());
    let channel = Channel::connect(socket).map_err(Failure::at(what()))?;
    channel.send(request, &[]).map_err(Failure::at(what()))?;
    let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    if poll(&mut fds, patience).map_err(|errno| Failure::at(what())(errno.into()))? == 0 {
        return Err(Failure::Because(format!("{}: it does not answer", what())));
    }
    match channel.receive().map_err(Failure::at(what()))? {
        Some(reply) => Ok(reply),
        None => Err(Failure::Because(format!("{}: it does not answer this user", what()))),
    }
}

pub(super) fn strange() -> Failure {
    Failure::Because("the daemon answers something else than was asked".to_owned())
}

fn show(status: &Status, term: &mut Term) -> Result<(), Failure> {
    let Status { version, pid, boot, up_s, .. } = status;
    term.line(format!("peergated {version}, pid {pid}, start {boot}, up {up_s} s"))?;
    let (generation, since) = status.policy_since;
    let since = Timestamp::from_micros(since);
    term.line(format!("policy    {} {}", status.policy_file, status.policy_hash))?;
    term.line(format!("          number {} of this start, since {since}", generation.0))?;
    term.line(format!("          {}", OnDisk::of(status).in_words()))?;
    let missing = if status.missing.is_empty() { "nothing".to_owned() } else { status.missing.join(", ") };
    term.line(format!("missing   {missing}"))?;
    let record = if status.recordable { "written" } else { "NOT written: requests are refused" };
    term.line(format!("record    {record}"))?;
    if status.failing {
        term.line(format!("roles     {} died within a minute: see `peergate doctor`", status.deaths_lately))?;
    }
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
    for witness in &status.witness {
        term.line(format!("witness   {}", witness_line(witness)))?;
    }
    let scribe = &status.scribe;
    term.line(format!(
        "scribe    pid {}, {} deaths, {} bytes not synced, {} diagnostic lines lost",
        scribe.pid, scribe.deaths, scribe.unsynced, scribe.lost_lines
    ))?;
    term.line(format!("          {}", lag_line(scribe)))?;
    if let Some(sealed) = scribe.sealed {
        let at = Timestamp::from_micros(sealed.at);
        let stuck = if scribe.stuck { "; the disk does not let it seal" } else { "" };
        term.line(format!("sealed    epoch {}, seal {}, at {at}{stuck}", sealed.epoch, sealed.i))?;
    }
    let new = if status.genesis_is_new { ", made at this start: pin it elsewhere" } else { "" };
    term.line(format!("genesis   {}{new}", status.genesis))?;
    status.genesis_before.as_ref().map_or(Ok(()), |before| {
        term.line(format!(
            "          THE AUDIT DIRECTORY WAS REPLACED, and this is another chain. The one before: {before}"
        ))
    })
}

/// The file that the policy in force came from, as it is now.
enum OnDisk {
    Same,
    Differs,
    Unreadable(std::io::Error),
}

impl OnDisk {
    fn of(status: &Status) -> OnDisk {
        let mut bytes = Vec::new();
        let read = File::open(&status.policy_file)
            .and_then(|file| file.take(policy::LONGEST as u64 + 1).read_to_end(&mut bytes));
        match read {
            Err(error) => OnDisk::Unreadable(error),
            Ok(_) => {
                let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                if hash == status.policy_hash { OnDisk::Same } else { OnDisk::Differs }
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            OnDisk::Same => "same",
            OnDisk::Differs => "differs",
            OnDisk::Unreadable(_) => "unreadable",
        }
    }

    fn in_words(&self) -> String {
        match self {
            OnDisk::Same => "the file says the same".to_owned(),
            OnDisk::Differs => {
                "the file DIFFERS from what is in force: `peergate reload --dry-run` shows in what".to_owned()
            }
            OnDisk::Unreadable(error) => format!("the file can't be read now: {error}"),
        }
    }
}

fn gate_line(gate: &GateStatus) -> String {
    let whose = gate.uid.map_or_else(|| "shared".to_owned(), |uid| format!("of uid {uid}"));
    let process = if gate.pid == 0 { "not running".to_owned() } else { format!("pid {}", gate.pid) };
    format!("{whose}: {process}, {} connections, {} deaths", gate.connections, gate.deaths)
}

fn lag_line(scribe: &ScribeStatus) -> String {
    let sealed = match &scribe.sealed {
        Some(seal) => {
            let age = Timestamp::now().micros().saturating_sub(seal.at) / 1_000_000;
            format!("sealed {age} s ago")
        }
        None => "no seal yet".to_owned(),
    };
    let Lag { unsealed, sync_p99_us } = scribe.lag;
    let (whole, tenth) = (sync_p99_us / 1_000, sync_p99_us / 100 % 10);
    format!("{sealed}, {unsealed} bytes not sealed, a sync takes {whole}.{tenth} ms (p99)")
}

pub(super) fn witness_line(witness: &WitnessStatus) -> String {
    let WitnessStatus { sink, taken, failed, why, .. } = witness;
    let last = match witness.age_s {
        Some(age) => format!("last head {age} s ago"),
        None => "no head yet".to_owned(),
    };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("{sink}: {last}, {taken} taken, {failed} failed{why}")
}

fn json(status: &Status) -> serde_json::Value {
    let (generation, since) = status.policy_since;
    serde_json::json!({
        "version": status.version,
        "pid": status.pid,
        "boot": status.boot.as_str(),
        "up_s": status.up_s,
        "policy": {
            "file": status.policy_file,
            "hash": status.policy_hash,
            "generation": generation.0,
            "since": Timestamp::from_micros(since).to_string(),
            "on_disk": OnDisk::of(status).code(),
        },
        "missing": status.missing,
        "recordable": status.recordable,
        "deaths_lately": status.deaths_lately,
        "failing": status.failing,
        "listeners": status.listeners,
        "gates": status.gates,
        "witness": status.witness,
        "scribe": {
            "pid": status.scribe.pid,
            "deaths": status.scribe.deaths,
            "unsynced": status.scribe.unsynced,
            "lost_lines": status.scribe.lost_lines,
            "unsealed": status.scribe.lag.unsealed,
            "sync_p99_us": status.scribe.lag.sync_p99_us,
            "stuck": status.scribe.stuck,
            "epoch": status.scribe.epoch,
            "sealed": status.scribe.sealed.map(|sealed| serde_json::json!({
                "epoch": sealed.epoch,
                "i": sealed.i,
                "at": Timestamp::from_micros(sealed.at).to_string(),
                "hash": Digest(sealed.hash).to_string(),
            })),
        },
        "genesis": status.genesis,
        "genesis_is_new": status.genesis_is_new,
        "genesis_before": status.genesis_before,
    })
}
