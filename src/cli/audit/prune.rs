//! `peergate audit prune --dry-run`: what the daemon would remove, and why. Nothing is ever removed from here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use nix::sys::statvfs::statvfs;

use super::Where;
use super::print::{Form, How, cell};
use crate::audit::query::stock::Stock;
use crate::audit::retention::{self, Plan, Terms};
use crate::cli::policy;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};
use crate::model::keeping::Keep;
use crate::model::time::Timestamp;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    how: How,
    /// Only says what would go. The daemon alone removes anything: it records that first
    #[arg(long, required = true)]
    dry_run: bool,
    /// Takes `keep` and `shipped` of `[audit]` from this policy, as the daemon does [default: what a policy without
    /// them means]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// As if it said so: days since a segment's last record
    #[arg(long)]
    days: Option<u32>,
    /// As if it said so: bytes of closed segments
    #[arg(long)]
    bytes: Option<u64>,
    /// As if it said so: number of closed segments
    #[arg(long)]
    count: Option<u32>,
    /// As if it said so: bytes that are to stay free on the file system
    #[arg(long)]
    free: Option<u64>,
}

/// Yes: something would go. No: nothing would.
pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let unreadable = || format!("can't read {}", directory.display());
    let now = Timestamp::now();
    let stock = Stock::of(&directory, now).map_err(Failure::at(unreadable()))?;
    let system = statvfs(&directory).map_err(|errno| Failure::at(unreadable())(errno.into()))?;
    let audit = arguments.policy.as_deref().map(policy::load).transpose()?.map(|policy| policy.audit.clone());
    let written = audit.as_ref().map_or_else(Keep::default, |audit| audit.keep.clone());
    let shipped = audit.and_then(|audit| audit.shipped).map(|file| {
        retention::shipped(&file).unwrap_or_else(|error| {
            // As the daemon has it: who can't know what was shipped removes nothing.
            term.complain(format!("can't read what was shipped, in {file}: {error}"));
            BTreeSet::new()
        })
    });
    let keep = Keep {
        days: arguments.days.unwrap_or(written.days),
        bytes: arguments.bytes.unwrap_or(written.bytes),
        count: arguments.count.or(written.count),
        free: arguments.free.unwrap_or(written.free),
    };
    let terms = Terms {
        keep: &keep,
        now,
        free: system.blocks_available() * system.fragment_size(),
        whole: system.blocks() * system.fragment_size(),
        shipped: shipped.as_ref(),
        ripe: None,
    };
    let plan = retention::plan(&stock.segments, &terms);
    match arguments.how.format {
        Form::Json => tell_json(&plan, term)?,
        Form::Csv => tell_rows(&plan, term)?,
        Form::Text | Form::Sentence => tell(&plan, &stock, term)?,
    }
    Ok(if plan.going.is_empty() { Answer::No } else { Answer::Yes })
}

fn tell(plan: &Plan, stock: &Stock, term: &mut Term) -> Result<(), Failure> {
    for going in &plan.going {
        term.line(format_args!("{:>12} bytes  {}  ({})", going.bytes, going.name, going.why.code()))?;
    }
    for (name, held) in &plan.held {
        term.line(format_args!("       stays        {name}  ({})", held.why()))?;
    }
    let bytes: u64 = plan.going.iter().map(|going| going.bytes).sum();
    let (going, all) = (plan.going.len(), stock.segments.len());
    term.line(format_args!("{going} of {all} segments would go, {bytes} of {} bytes", stock.bytes()))
}

fn tell_json(plan: &Plan, term: &mut Term) -> Result<(), Failure> {
    for going in &plan.going {
        let why = going.why.code();
        term.line(
            serde_json::json!({ "segment": going.name, "goes": true, "bytes": going.bytes, "why": why }),
        )?;
    }
    for (name, held) in &plan.held {
        term.line(serde_json::json!({ "segment": name, "goes": false, "why": held.why() }))?;
    }
    Ok(())
}

fn tell_rows(plan: &Plan, term: &mut Term) -> Result<(), Failure> {
    term.row("segment,goes,bytes,why")?;
    for going in &plan.going {
        term.row(format_args!("{},true,{},{}", cell(&going.name), going.bytes, going.why.code()))?;
    }
    for (name, held) in &plan.held {
        term.row(format_args!("{},false,,{}", cell(name), cell(held.why())))?;
    }
    Ok(())
}
