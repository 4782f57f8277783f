use super::*;
use crate::model::refusal::Refusal;

mod answers;
mod requests;

/// Feeds `bytes` at most `step` at a time, for as long as the guard wants more; then the client ends.
struct Feed<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Feed<'_> {
    fn fill(&mut self, spare: &mut [u8]) -> usize {
        let count = self.rest.len().min(self.step).min(spare.len());
        spare[..count].copy_from_slice(&self.rest[..count]);
        self.rest = &self.rest[count..];
        count
    }
}

/// What one message came to.
#[derive(Debug, PartialEq, Eq, Clone, Default)]
struct Message {
    head: String,
    body: String,
    whole: bool,
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The messages that a client's bytes hold, and why it stopped.
fn requests(limits: &HeadLimits, bytes: &[u8], step: usize) -> (Vec<Message>, Option<Refusal>) {
    let mut guard = RequestGuard::new(limits.clone());
    let mut feed = Feed { rest: bytes, step };
    let mut found: Vec<Message> = Vec::new();
    loop {
        match guard.step() {
            Err(why) => return (found, Some(why)),
            Ok(Event::Closed) => return (found, None),
            Ok(Event::NeedMore) => match feed.fill(guard.spare()) {
                0 => guard.closed(),
                count => guard.filled(count),
            },
            Ok(Event::Head(head)) => {
                let mut out = Vec::new();
                head.write_as_read(&mut out);
                found.push(Message { head: lossy(&out), ..Message::default() });
            }
            Ok(Event::Body(count)) => {
                found.last_mut().unwrap().body += &lossy(guard.body());
                guard.consume(count);
            }
            Ok(Event::End) => {
                found.last_mut().unwrap().whole = true;
                guard.next();
            }
        }
    }
}

/// The same of a backend's bytes, each answer to a request as expected.
fn answers(
    expected: Expected,
    bytes: &[u8],
    step: usize,
) -> (Vec<Message>, Option<Refusal>, Option<Refusal>) {
    let mut guard = ResponseGuard::new(HeadLimits::default(), expected);
    let mut feed = Feed { rest: bytes, step };
    let mut found: Vec<Message> = Vec::new();
    loop {
        match guard.step() {
            Err(why) => return (found, Some(why), guard.cause()),
            Ok(Event::Closed) => return (found, None, None),
            Ok(Event::NeedMore) => match feed.fill(guard.spare()) {
                0 => guard.closed(),
                count => guard.filled(count),
            },
            Ok(Event::Head(answer)) => {
                let mut out = Vec::new();
                answer.write_as_read(&mut out);
                found.push(Message { head: lossy(&out), ..Message::default() });
            }
            Ok(Event::Body(count)) => {
                found.last_mut().unwrap().body += &lossy(guard.body());
                guard.consume(count);
            }
            Ok(Event::End) => {
                found.last_mut().unwrap().whole = true;
                return (found, None, None);
            }
        }
    }
}
