//! From the first message to a scribe that serves: what it is given, and what it gives up.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use super::keys::Keys;
use super::own::{Own, Start};
use super::{Scribe, invalid};
use crate::confine::{self, Plan, Terms};
use crate::diagnostics::{self, collect};
use crate::model::posture::Confinement;
use crate::sys;
use crate::wire::channel::{Channel, exactly};
use crate::wire::message::{Damage, FromScribe, ToScribe};

/// Runs the scribe: descriptor 3 is the channel to the warden, 4 the diagnostics pipe's writing end, 5 its
/// reading end.
pub fn run(terms: &Terms) -> ExitCode {
    match serve(terms) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the scribe ends");
            ExitCode::FAILURE
        }
    }
}

fn serve(terms: &Terms) -> io::Result<()> {
    // To stderr, until what is said can go the way of all roles.
    diagnostics::start("scribe", None, "info", false).map_err(io::Error::other)?;
    let [channel, speak, listen] = exactly(sys::process::inherited(3)?)?;
    let channel = Channel::from(channel);
    let (start, descriptors) = channel.receive_waiting()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let ToScribe::Start { boot, segment, reserved, size, policy, missing, diagnostics, level, json, seals } =
        start
    else {
        return Err(invalid("the first message is not the start"));
    };
    let given = Given::from(descriptors, seals)?;
    let confined = confine(&given.directory, diagnostics.as_deref(), terms)?;
    let posture = confined.clone();
    channel.send(&FromScribe::Confined(Box::new(confined)), &[])?;
    let collector = collect::Collector::start(listen, sink(diagnostics.as_deref()))?;
    diagnostics::start("scribe", Some(speak), &level, json).map_err(io::Error::other)?;
    let start = Start { boot, policy, missing, posture };
    let own = Own::begin(segment, given.segment, reserved, &start)?;
    let mut scribe = Scribe::new(channel, own, given.directory, start, size)?;
    if let Some((keys, on_damage)) = given.keys {
        scribe.begin(keys, on_damage)?;
    }
    let result = scribe.serve(|| collector.lost());
    if let Err(error) = &result {
        // While there still is someone who reads it.
        tracing::error!(%error, "the scribe can't go on");
    }
    collector.finish();
    result
}

/// The descriptors of the first message.
struct Given {
    directory: OwnedFd,
    segment: OwnedFd,
    keys: Option<(Keys, Damage)>,
}

impl Given {
    fn from(descriptors: Vec<OwnedFd>, seals: Option<Damage>) -> io::Result<Given> {
        let Some(on_damage) = seals else {
            let [directory, segment] = exactly(descriptors)?;
            return Ok(Given { directory, segment, keys: None });
        };
        let [directory, segment, store, epochs] = exactly(descriptors)?;
        Ok(Given { directory, segment, keys: Some((Keys::new(store, epochs), on_damage)) })
    }
}

/// Gives up every right but to the audit directory and the diagnostics directory. Here, and nowhere later:
/// threads inherit only what was given up before they began.
fn confine(directory: &OwnedFd, diagnostics: Option<&str>, terms: &Terms) -> io::Result<Confinement> {
    let plan = Plan::scribe(None, diagnostics.is_some());
    let rolling = diagnostics.map(confine::directory).transpose().map_err(io::Error::other)?;
    let mut reach = vec![directory.as_fd()];
    reach.extend(rolling.as_ref().map(AsFd::as_fd));
    confine::enter(&plan, terms, &reach).map_err(io::Error::other)
}

/// A directory that can't be used is no reason to be silent, nor to stop.
fn sink(directory: Option<&str>) -> collect::Sink {
    let Some(directory) = directory else { return collect::Sink::Stderr };
    collect::Sink::rolling(Path::new(directory)).unwrap_or_else(|error| {
        tracing::warn!(%error, directory, "diagnostics go to stderr: there is no writing to their directory");
        collect::Sink::Stderr
    })
}
