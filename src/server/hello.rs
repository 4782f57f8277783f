//! Whether a program takes its roles: it is started again as one that only says what it declares, and has to answer
//! at once. Plain `peergated` is known to.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::model::app::Declared;
use crate::sys::process::{self, Exit, Spawn};
use crate::wire::channel::Channel;

/// A program says hello within this time: nothing lies between its start and that.
const LIMIT: Duration = Duration::from_secs(5);

const HOW: &str = "take roles first of all in `main`: `peergate::Server::run` or `take_role` comes before arguments \
                   are read, before threads and runtimes, in every branch (the manual's page `library`)";

/// What a process says that was started to say hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    version: String,
    apps: Vec<Declared>,
    threads: u32,
}

/// Plays the role: says what the program declares.
pub(super) fn say(apps: Vec<Declared>) -> ExitCode {
    let channel = process::inherited(1).ok().and_then(|given| given.into_iter().next()).map(Channel::from);
    let hello = Hello { version: env!("CARGO_PKG_VERSION").to_owned(), apps, threads: threads() };
    match channel.map(|channel| channel.send(&hello, &[])) {
        Some(Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// How many threads this process has; 0 where that can't be told, and then the role itself will find out.
pub(super) fn threads() -> u32 {
    let count = std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(0);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Starts the program again and hears whether it says hello.
///
/// # Errors
///
/// It does not, or says something else than this process would: in lines for people.
pub(super) fn expect(apps: &[Declared]) -> Result<(), String> {
    let said = |error: std::io::Error| format!("the program can't be started again: {error}");
    if threads() > 1 {
        return Err(format!("{} threads run already: {HOW}", threads()));
    }
    let executable = process::executable().map_err(said)?;
    let (ours, theirs) = Channel::pair().map_err(said)?;
    let child = Spawn::new(executable.as_fd(), c"peergated")
        .argument(CString::from(c"@hello"))
        .descriptor(theirs.as_fd())
        .mute()
        .start()
        .map_err(said)?;
    drop(theirs);
    let limit = PollTimeout::try_from(LIMIT).unwrap_or(PollTimeout::MAX);
    // Its word or its end, whichever comes first: the channel closes with it.
    let news = poll(&mut [PollFd::new(ours.as_fd(), PollFlags::POLLIN)], limit);
    let hello = ours.receive_bare::<Hello>();
    // Whatever it does by now, it is not waited for.
    child.signal(nix::libc::SIGKILL).ok();
    let exit = child.wait_for_end();
    match (news, hello) {
        (Ok(0), _) => Err(format!(
            "started again for a role, the program did not take it within {} s; {HOW}",
            LIMIT.as_secs()
        )),
        (Ok(_), Ok(Some(hello))) => judge(&hello, apps),
        (Ok(_), Ok(None)) => {
            let how = match exit {
                Ok(Exit::Code(code)) => format!("ended with code {code}"),
                Ok(Exit::Signal(signal)) => format!("was ended by signal {signal}"),
                Err(_) => "ended".to_owned(),
            };
            Err(format!("started again for a role, the program {how} instead of taking it; {HOW}"))
        }
        (Err(errno), _) => Err(format!("the program can't be started again: {}", errno.desc())),
        (_, Err(error)) => {
            Err(format!("started again for a role, the program says what no role says: {error}"))
        }
    }
}

fn judge(hello: &Hello, apps: &[Declared]) -> Result<(), String> {
    if hello.threads > 1 {
        return Err(format!("{} threads run before the program takes its role; {HOW}", hello.threads));
    }
    if hello.apps != apps {
        let why = "a role has neither the arguments nor the environment of the daemon, so that apps can't depend on \
                   them; what differs from place to place belongs into the policy";
        return Err(format!("started again for a role, the program declares other apps: {why}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_of_another_kind_is_refused() {
        let apps = vec![Declared { name: "files".to_owned(), ..Declared::default() }];
        let hello =
            |apps: &[Declared], threads| Hello { version: "0".to_owned(), apps: apps.to_vec(), threads };
        assert_eq!(judge(&hello(&apps, 1), &apps), Ok(()));
        assert!(judge(&hello(&apps, 2), &apps).unwrap_err().contains("2 threads"));
        assert!(judge(&hello(&[], 1), &apps).unwrap_err().contains("other apps"));
    }
}
