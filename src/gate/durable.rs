//! Asks the scribe how far the disk has come: eight bytes each way over a socket that belongs to one segment, and one
//! question at a time. Whoever comes while it is on its way is served by the next.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::audit::log::Log;
use crate::sys::{datagram, reactor};
use crate::wire::durable::{Said, WORD};

/// Asks for `segment` until nobody needs it any more, or the scribe at the other end of `socket` is gone.
pub(super) async fn ask(log: Log, segment: u32, socket: OwnedFd) {
    if let Err(error) = ask_on(&log, segment, socket).await {
        // Another scribe comes with another socket; who waits meanwhile waits for as long as it may.
        tracing::debug!(%error, segment, "there is no asking the scribe any more");
    }
}

async fn ask_on(log: &Log, segment: u32, socket: OwnedFd) -> io::Result<()> {
    let socket = reactor::watch(socket, Interest::READABLE | Interest::WRITABLE)?;
    while let Some(wanted) = log.wanted(segment).await {
        let asked = socket
            .async_io(Interest::WRITABLE, |socket| {
                datagram::transmit(socket.as_fd(), &wanted.to_le_bytes(), &[])
            })
            .await;
        // A scribe that has closed the segment said its last word before it closed the socket too.
        let ended = asked.is_err();
        loop {
            match next(&socket).await? {
                Said::Durable(upto) => log.synced(segment, upto),
                Said::Lost => {
                    log.unsyncable(segment, Errno::EIO as i32);
                    return Ok(());
                }
            }
            if !ended {
                break;
            }
        }
    }
    Ok(())
}

async fn next(socket: &AsyncFd<OwnedFd>) -> io::Result<Said> {
    let mut word = [0; WORD];
    let read = |socket: &OwnedFd| Ok(nix::unistd::read(socket, &mut word)?);
    match socket.async_io(Interest::READABLE, read).await? {
        WORD => Ok(Said::read(word)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
