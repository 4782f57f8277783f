//! Output as an answer of HTTP/1.1: whole with the status that the end asks for, or in chunks as it comes.

use serde_json::json;

use crate::model::time::Timestamp;
use crate::policy::Command;
use crate::wire::runner::{Ended, Form, How, Why};

/// Which pipe bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        }
    }
}

/// An answer that is being made.
pub(super) struct Frames {
    form: Form,
    /// What is ready to be sent.
    ready: Vec<u8>,
    /// An answer as a whole, until its end is known.
    whole: Vec<u8>,
    /// The beginning of a letter whose end has not come yet, of either stream.
    begun: [Vec<u8>; 2],
    is_open: bool,
}

impl Frames {
    pub(super) fn new(form: Form) -> Frames {
        Frames { form, ready: Vec::new(), whole: Vec::new(), begun: [Vec::new(), Vec::new()], is_open: false }
    }

    /// What is ready to be sent.
    pub(super) fn ready(&self) -> &[u8] {
        &self.ready
    }

    /// So many bytes of it have been.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.ready.drain(..bytes.min(self.ready.len()));
    }

    /// The program runs: what needs no end begins.
    pub(super) fn begin(&mut self) {
        let kind = match self.form {
            Form::Whole => return,
            Form::Live => "text/plain; charset=utf-8",
            Form::Lines => "application/x-ndjson",
            Form::Events => "text/event-stream",
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        self.ready.extend_from_slice(head.as_bytes());
        self.is_open = true;
    }

    /// The program said something.
    pub(super) fn say(&mut self, stream: Stream, bytes: &[u8]) {
        match self.form {
            Form::Whole => self.whole.extend_from_slice(bytes),
            Form::Live => self.chunk(bytes),
            Form::Lines | Form::Events => {
                let place = usize::from(stream == Stream::Err);
                let mut all = self.begun.get_mut(place).map(std::mem::take).unwrap_or_default();
                all.extend_from_slice(bytes);
                let rest = all.split_off(letters(&all));
                if let Some(begun) = self.begun.get_mut(place) {
                    *begun = rest;
                }
                self.piece(stream, &all);
            }
        }
    }

    /// All that it said has been said, and this is how it ended.
    pub(super) fn end(&mut self, ended: &Ended, statuses: &[(u8, u16)]) {
        // Whoever was made to end has not done what was asked for, whatever code it ends with.
        let code = match (ended.how, ended.why) {
            (How::Code(code), Why::Done) => Some(code),
            _ => None,
        };
        match self.form {
            Form::Whole => self.answer(ended, Command::status(statuses, code)),
            // An answer that ends early says that it was no success; there is no other way to say it in plain text.
            Form::Live if code == Some(0) => self.last(),
            Form::Live => {}
            Form::Lines | Form::Events => {
                for (stream, place) in [(Stream::Out, 0), (Stream::Err, 1)] {
                    let rest = self.begun.get_mut(place).map(std::mem::take).unwrap_or_default();
                    self.piece(stream, &rest);
                }
                let mut end = json!({ "why": ended.why.word(), "ms": ended.us / 1_000 });
                if let Some(end) = end.as_object_mut() {
                    match ended.how {
                        How::Code(code) => end.insert("exit".to_owned(), code.into()),
                        How::Signal(signal) => end.insert("signal".to_owned(), signal.into()),
                    };
                }
                self.line("exit", &end.to_string());
                self.last();
            }
        }
    }

    fn answer(&mut self, ended: &Ended, status: u16) {
        let end = match ended.how {
            How::Code(code) => format!("Peergate-Exit: {code}"),
            How::Signal(signal) => format!("Peergate-Signal: {signal}"),
        };
        // 204 and 304 have no body (RFC 9110 §6.4.1); the policy's check takes neither.
        let head = format!(
            "HTTP/1.1 {status} Done\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n{end}\r\nPeergate-Ended: {}\r\nContent-Length: {}\r\n\r\n",
            ended.why.word(),
            self.whole.len()
        );
        self.ready.extend_from_slice(head.as_bytes());
        self.ready.append(&mut self.whole);
    }

    fn piece(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let time = Timestamp::now().to_string();
        let said = match std::str::from_utf8(bytes) {
            Ok(text) => json!({ "stream": stream.name(), "time": time, "text": text }),
            Err(_) => json!({ "stream": stream.name(), "time": time, "b64": base64(bytes) }),
        };
        self.line(stream.name(), &said.to_string());
    }

    fn line(&mut self, event: &str, json: &str) {
        let line = match self.form {
            Form::Events => format!("event: {event}\ndata: {json}\n\n"),
            _ => format!("{json}\n"),
        };
        self.chunk(line.as_bytes());
    }

    fn chunk(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            // An empty chunk would end the answer.
            return;
        }
        self.ready.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        self.ready.extend_from_slice(bytes);
        self.ready.extend_from_slice(b"\r\n");
    }

    fn last(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.ready.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

/// So many bytes of it are whole letters, or no letters at all.
fn letters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, at| word << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let letter = LETTERS.get((word >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if place > group.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{BootId, ConnectionId, RequestId};

    fn ended(how: How, why: Why) -> Ended {
        let id =
            RequestId { connection: ConnectionId { boot: BootId::from_random(1), number: 1 }, number: 1 };
        Ended { id, how, why, out: 0, err: 0, us: 2_000, cpu_us: 0, rss_kib: 0 }
    }

    fn made(form: Form, said: &[(Stream, &[u8])], how: How) -> String {
        made_to_end(form, said, how, Why::Done)
    }

    fn made_to_end(form: Form, said: &[(Stream, &[u8])], how: How, why: Why) -> String {
        let mut frames = Frames::new(form);
        frames.begin();
        for (stream, bytes) in said {
            frames.say(*stream, bytes);
        }
        frames.end(&ended(how, why), &[(3, 404)]);
        String::from_utf8(frames.ready().to_vec()).unwrap()
    }

    #[test]
    fn whole_answer_has_the_status_of_the_exit_code() {
        for (how, status, header) in [
            (How::Code(0), "200", "Peergate-Exit: 0"),
            (How::Code(3), "404", "Peergate-Exit: 3"),
            (How::Code(1), "502", "Peergate-Exit: 1"),
            (How::Signal(9), "502", "Peergate-Signal: 9"),
        ] {
            let answer = made(Form::Whole, &[(Stream::Out, b"a"), (Stream::Err, b"b")], how);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.contains(header) && answer.ends_with("Content-Length: 2\r\n\r\nab"), "{answer}");
        }
    }

    #[test]
    fn live_answer_is_cut_where_the_end_is_no_success() {
        assert!(made(Form::Live, &[(Stream::Out, b"a")], How::Code(0)).ends_with("1\r\na\r\n0\r\n\r\n"));
        assert!(made(Form::Live, &[(Stream::Out, b"a")], How::Code(1)).ends_with("1\r\na\r\n"));
    }

    #[test]
    fn command_that_was_made_to_end_is_no_success_whatever_its_code() {
        for why in [Why::Timeout, Why::Output, Why::CallerLeft] {
            for code in [0, 3] {
                let whole = made_to_end(Form::Whole, &[(Stream::Out, b"a")], How::Code(code), why);
                assert!(whole.starts_with("HTTP/1.1 502 "), "{whole}");
                let live = made_to_end(Form::Live, &[(Stream::Out, b"a")], How::Code(code), why);
                assert!(live.ends_with("1\r\na\r\n"), "{live}");
            }
        }
    }

    #[test]
    fn lines_keep_letters_whole_and_end_with_the_exit_code() {
        let said: [(Stream, &[u8]); 3] =
            [(Stream::Out, b"\xc3"), (Stream::Err, b"\xff"), (Stream::Out, b"\xa9")];
        let answer = made(Form::Lines, &said, How::Code(7));
        assert!(answer.contains("\"text\":\"é\"") && answer.contains("\"b64\":\"/w==\""), "{answer}");
        assert!(answer.contains("\"exit\":7") && answer.ends_with("0\r\n\r\n"), "{answer}");
    }

    #[test]
    fn base64_pads_as_rfc_4648_says() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
