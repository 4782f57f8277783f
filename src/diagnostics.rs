//! Lines for who runs the daemon: warnings, starts and ends, failures of ours. Never the record of an access,
//! and never a reason for a request to wait.
//!
//! Every role says what it has to say by `tracing`; one event is one line of printable ASCII, at most
//! [`LINE_MAX`] bytes, which one non-blocking `write(2)` puts into the diagnostics pipe whole (PIPE_BUF,
//! `pipe(7)`). Where the pipe is full the line is lost and counted, and the next one that gets through is
//! preceded by the count. The scribe's process reads the pipe in a thread of its own ([`collect`]) and writes
//! stderr or rolling files for all roles.

pub mod collect;
mod line;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};

/// Bytes of a line, its LF included: what a pipe takes whole or not at all.
pub const LINE_MAX: usize = 4096;

/// Begins a line of the pipe that only tells how many lines its writer lost; no other line holds this byte.
const LOSS: u8 = 0x01;

/// Lines that this process lost and has not told of yet.
static UNTOLD: AtomicU64 = AtomicU64::new(0);

/// How this process speaks now.
static VOICE: RwLock<Option<Voice>> = RwLock::new(None);

/// Changes the level of the one subscriber that a process has.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

#[derive(Debug)]
struct Voice {
    role: String,
    pipe: Option<OwnedFd>,
    json: bool,
}

/// Diagnostics can't be started.
#[derive(Debug)]
pub enum Unstartable {
    /// The level is none of `error`, `warn`, `info`, `debug`, `trace`, `off`.
    Level(String),
    /// The pipe can't be made non-blocking.
    Pipe(io::Error),
    /// Another subscriber is installed already.
    Taken,
}

impl fmt::Display for Unstartable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unstartable::Level(level) => {
                let levels = "write `error`, `warn`, `info`, `debug`, `trace` or `off`";
                write!(f, "the diagnostics level `{}` is not known: {levels}", level.escape_default())
            }
            Unstartable::Pipe(error) => write!(f, "the diagnostics pipe can't be used: {error}"),
            Unstartable::Taken => f.write_str("something else listens to this process's diagnostics already"),
        }
    }
}

impl std::error::Error for Unstartable {}

/// Speaks as `role` from now on, into `pipe` or, without one, to stderr. Called again it replaces what was:
/// the warden speaks to stderr until the scribe's process can listen.
///
/// # Errors
///
/// See [`Unstartable`]; what was in force stays.
pub fn start(role: &str, pipe: Option<OwnedFd>, level: &str, json: bool) -> Result<(), Unstartable> {
    let level: LevelFilter = level.parse().map_err(|_| Unstartable::Level(level.to_owned()))?;
    if let Some(pipe) = &pipe {
        never_block(pipe).map_err(Unstartable::Pipe)?;
    }
    match LEVEL.get() {
        Some(handle) => handle.reload(level).map_err(|_| Unstartable::Taken)?,
        None => {
            let (filter, handle) = reload::Layer::new(level);
            let subscriber = Registry::default().with(filter).with(Lines);
            tracing::subscriber::set_global_default(subscriber).map_err(|_| Unstartable::Taken)?;
            // Only the one call that got past the line above can be here.
            LEVEL.get_or_init(|| handle);
            std::panic::set_hook(Box::new(|panic| {
                let place = panic.location().map(ToString::to_string).unwrap_or_default();
                let payload = panic.payload();
                let text = payload.downcast_ref::<&str>().copied();
                let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
                tracing::error!(place, "panic: {}", text.unwrap_or("without a text"));
            }));
        }
    }
    let voice = Voice { role: role.to_owned(), pipe, json };
    *VOICE.write().unwrap_or_else(PoisonError::into_inner) = Some(voice);
    Ok(())
}

/// Speaks from now on as the policy asks: with this level, in this form.
///
/// # Errors
///
/// An unknown level; what was in force stays.
pub fn adjust(level: &str, json: bool) -> Result<(), Unstartable> {
    let level: LevelFilter = level.parse().map_err(|_| Unstartable::Level(level.to_owned()))?;
    if let Some(handle) = LEVEL.get() {
        handle.reload(level).map_err(|_| Unstartable::Taken)?;
    }
    if let Some(voice) = &mut *VOICE.write().unwrap_or_else(PoisonError::into_inner) {
        voice.json = json;
    }
    Ok(())
}

/// Sets O_NONBLOCK where it is not set yet; it belongs to the description that all writers share. The warden made
/// the pipe so: a role that is confined may look at the flags and not change them.
fn never_block(pipe: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(pipe, FcntlArg::F_GETFL)?);
    if !flags.contains(OFlag::O_NONBLOCK) {
        fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    }
    Ok(())
}

/// Turns each event into a line.
struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let voice = VOICE.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(voice) = &*voice {
            voice.say(&line::of(event, &voice.role, voice.json));
        }
    }
}

impl Voice {
    fn say(&self, line: &[u8]) {
        let Some(pipe) = &self.pipe else {
            // Nobody is left to be told.
            nix::unistd::write(io::stderr(), line).ok();
            return;
        };
        let untold = UNTOLD.swap(0, Ordering::Relaxed);
        if untold > 0 {
            let mut loss = vec![LOSS];
            loss.extend_from_slice(format!("{untold} {}\n", self.role).as_bytes());
            if !put(pipe, &loss) {
                UNTOLD.fetch_add(untold, Ordering::Relaxed);
            }
        }
        if !put(pipe, line) {
            UNTOLD.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether the pipe took it. At most PIPE_BUF bytes go whole or not at all.
fn put(pipe: &impl AsFd, line: &[u8]) -> bool {
    nix::unistd::write(pipe, line).is_ok_and(|written| written == line.len())
}

#[cfg(test)]
mod tests;
