//! What the operator said about confinement on the command line; every role is told the same.

use std::fmt;

use crate::model::posture::Layer;

/// What happens to a role that makes a call which its table does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Violation {
    /// The kernel ends the process.
    #[default]
    Kills,
    /// The kernel's log says so, and the call is made: for finding what a new C library needs.
    IsLogged,
}

/// The terms under which roles confine themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Layers that may be missing.
    pub accepted: Vec<Layer>,
    /// What a violation does.
    pub violation: Violation,
    /// The daemon runs as root: no set may hold any capability beyond the plan, the bounding one included.
    pub root: bool,
    /// No file of a gate or the scribe grows beyond this many bytes (RLIMIT_FSIZE).
    pub file_size: Option<u64>,
}

impl Terms {
    /// Reads what [`Terms`] prints.
    ///
    /// # Errors
    ///
    /// The word that means nothing.
    pub fn parse(text: &str) -> Result<Terms, String> {
        let mut terms = Terms::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            if word == "root" {
                terms.root = true;
            } else if word == "log" {
                terms.violation = Violation::IsLogged;
            } else if let Some(bytes) = word.strip_prefix("file=") {
                terms.file_size = Some(bytes.parse().map_err(|_| word.to_owned())?);
            } else {
                terms.accepted.push(Layer::named(word).ok_or_else(|| word.to_owned())?);
            }
        }
        Ok(terms)
    }

    /// One more layer that may be missing.
    pub fn accept(&mut self, layer: Layer) {
        if !self.accepts(layer) {
            self.accepted.push(layer);
            self.accepted.sort_unstable();
        }
    }

    /// Whether this layer may be missing.
    #[must_use]
    pub fn accepts(&self, layer: Layer) -> bool {
        self.accepted.contains(&layer)
    }

    /// What was accepted and is no full confinement, by name, for records and status.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let accepted = self.accepted.iter().map(|layer| format!("accepted-{layer}"));
        let logs = (self.violation == Violation::IsLogged).then(|| "seccomp-logs".to_owned());
        accepted.chain(logs).collect()
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = self.accepted.iter().map(ToString::to_string).collect();
        words.extend(self.root.then(|| "root".to_owned()));
        words.extend((self.violation == Violation::IsLogged).then(|| "log".to_owned()));
        words.extend(self.file_size.map(|bytes| format!("file={bytes}")));
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_printed_are_read_again() {
        for terms in [
            Terms::default(),
            Terms { file_size: Some(7), ..Terms::default() },
            Terms {
                accepted: vec![Layer::Landlock, Layer::Seccomp],
                violation: Violation::IsLogged,
                root: true,
                file_size: Some(u64::MAX),
            },
        ] {
            assert_eq!(Terms::parse(&terms.to_string()), Ok(terms));
        }
        assert_eq!(Terms::parse("landlock,walls"), Err("walls".to_owned()));
    }
}
