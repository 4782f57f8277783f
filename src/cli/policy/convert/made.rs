//! What came of a conversion.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::model::escape::Shown;

/// Routes, and what is to be said beside them.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// The socket behind.
    pub(super) socket: Option<String>,
    /// Whether paths count with and without a version.
    pub(super) versioned: bool,
    pub(super) routes: Vec<Route>,
    /// Patterns that nobody may ask for, and why.
    pub(super) forbids: Vec<(&'static str, String)>,
    /// What is not carried over.
    pub(super) left: Vec<String>,
    /// What is carried over otherwise than it was, and where the original is wider than it looks.
    pub(super) notes: Vec<String>,
}

/// One route.
#[derive(Debug, Default)]
pub(super) struct Route {
    pub(super) id: String,
    /// What it was there.
    pub(super) was: String,
    pub(super) matches: Vec<String>,
    pub(super) stream: bool,
    pub(super) upgrade: Vec<&'static str>,
    /// A request that must be allowed.
    pub(super) example: String,
}

impl Made {
    pub(super) fn left(&mut self, what: impl Into<String>) {
        self.left.push(what.into());
    }

    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// Notes in what little it is wider than it was.
    pub(super) fn note_wider(&mut self) {
        if self.versioned {
            self.note(
                "WIDER: a version before the path may hold letters and hyphens here (/v1.47-rc1), as Docker and Podman take it",
            );
        }
        let streams: Vec<&str> =
            self.routes.iter().filter(|route| route.stream).map(|route| route.id.as_str()).collect();
        if !streams.is_empty() {
            self.note(format!(
                "WIDER: `stream = true` lifts the limits of idle and total time, for {}: take it out where nothing waits or follows",
                streams.join(", ")
            ));
        }
    }

    /// As a policy, with its tests.
    pub(super) fn policy(&self, group: &str, listen: &str) -> String {
        let mut text =
            String::from("# Converted, and not in force: read it, then `peergate policy check` it.\n");
        for left in &self.left {
            writeln!(text, "# LEFT OUT: {}", comment(left)).ok();
        }
        for note in &self.notes {
            writeln!(text, "# {}", comment(note)).ok();
        }
        let socket = self.socket.as_deref().unwrap_or("/run/docker.sock");
        write!(text, "\nversion = 1\n\n[listen.docker]\npath = \"{listen}\"\ngroup = \"{group}\"\n").ok();
        write!(text, "\n[backend.docker]\nproxy = \"unix:{socket}\"\nowner = \"root\"\n").ok();
        if self.versioned {
            text.push_str("# Docker serves every path twice.\nversion_prefix = \"/v{api:version}\"\n");
        }
        text.push_str("\n# The proxy before did not know who asked. Here somebody has to be named.\n");
        write!(text, "[who.clients]\ngroup = [\"{group}\"]\n").ok();
        for route in &self.routes {
            write!(text, "\n# {}\n[[route]]\nid = \"{}\"\nmatch = [\n", comment(&route.was), route.id).ok();
            for pattern in &route.matches {
                writeln!(text, "  {},", quoted(pattern)).ok();
            }
            text.push_str("]\nto = \"docker\"\nallow = [\"clients\"]\n");
            if route.stream {
                text.push_str("stream = true\n");
            }
            if !route.upgrade.is_empty() {
                let protocols: Vec<_> = route.upgrade.iter().map(|name| format!("\"{name}\"")).collect();
                writeln!(text, "upgrade = [{}]", protocols.join(", ")).ok();
            }
        }
        if let Some((_, why)) = self.forbids.first() {
            let patterns: Vec<_> = self.forbids.iter().map(|(pattern, _)| quoted(pattern)).collect();
            let patterns = patterns.join(", ");
            write!(
                text,
                "\n# {}\n[[forbid]]\nid = \"not-carried-over\"\nmatch = [{patterns}]\n",
                comment(why)
            )
            .ok();
        }
        for route in self.routes.iter().filter(|route| !route.example.is_empty()) {
            let request = quoted(&route.example);
            write!(
                text,
                "\n[[test]]\nwho = {{ group = \"{group}\" }}\nrequest = {request}\nexpect = \"allow\"\n\
                 route = \"{}\"\n\n[[test]]\nwho = {{}}\nrequest = {request}\nexpect = \"deny\"\n",
                route.id
            )
            .ok();
        }
        text
    }

    /// The ids that are taken.
    pub(super) fn fresh_id(&self, wish: &str) -> String {
        let taken: BTreeSet<&str> = self.routes.iter().map(|route| route.id.as_str()).collect();
        let mut id = wish.to_owned();
        let mut number = 1;
        while taken.contains(id.as_str()) {
            number += 1;
            id = format!("{wish}-{number}");
        }
        id
    }
}

fn comment(text: &str) -> String {
    Shown(text.as_bytes()).to_string()
}

/// Patterns and requests hold printable ASCII alone.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
