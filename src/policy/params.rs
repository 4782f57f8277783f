//! What callers fill into a command: gathered from the request by the gate, judged and filled in by whoever holds the
//! policy. The warden gathers from the target for itself once more, and takes nothing but the members of a body from a
//! gate, which alone has read it.
//!
//! A value never becomes more than the one argument, or part of an argument, that the policy names it in: there is no
//! shell, and no splitting (CVE-2023-22809). It never begins with `-`, which would make it an option, and is never
//! empty, which would make programs take the next argument for it, unless the policy says so.

mod gather;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::table::{Command, Origin, Parameter, Part, Wanted};
use crate::model::refusal::Refusal;

pub(crate) use gather::judge_values;
pub use gather::{gathered, members_of};

/// Values by the names of their parameters.
pub type Given = Vec<(String, String)>;

/// One argument, filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Argument {
    /// This text.
    Text(String),
    /// A thing below a directory, judged as the command's user when it starts.
    Below {
        /// What stands before it in the argument.
        before: String,
        /// The directory.
        directory: String,
        /// The path from there.
        path: String,
        /// What stands behind it.
        after: String,
        /// Whether it is handed over as an open descriptor.
        opened: bool,
    },
}

/// The longest path below a directory, in bytes.
const LONGEST_PATH: usize = 4_000;
/// The most bytes of a body that holds parameters.
const PARAMETERS_MAX: u64 = 64 << 10;

impl Command {
    /// The most bytes of a request's body, and what a longer one is refused as; `judged` where the route's own rules
    /// judge the body: what they take is taken.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAllowed`] for a method by which no command runs.
    pub(crate) fn room(&self, method: &str, judged: bool) -> Result<(u64, Refusal), Refusal> {
        // Nobody runs a command to see how its answer would begin.
        if method == "HEAD" {
            return Err(Refusal::NotAllowed);
        }
        let holds = self.parameters.iter().any(|wanted| wanted.from == Origin::Body);
        Ok(match self.stdin {
            Some(max) => (max, Refusal::BodyTooLarge),
            None if judged => (u64::MAX, Refusal::BodyTooLarge),
            None if holds => (PARAMETERS_MAX, Refusal::BodyTooLarge),
            None => (0, Refusal::Parameter),
        })
    }

    /// Whether a parameter of that name is looked for there.
    fn wants(&self, origin: Origin, name: &str) -> bool {
        self.parameters.iter().any(|wanted| wanted.from == origin && wanted.name == name)
    }

    /// The program's arguments with these values filled in: each value of a parameter that there is, none twice, each
    /// of its kind, none that is needed missing.
    ///
    /// # Errors
    ///
    /// [`Refusal::Parameter`].
    pub fn filled(&self, given: &[(String, String)]) -> Result<Vec<Argument>, Refusal> {
        let values = self.values(given)?;
        let mut arguments = Vec::new();
        'arguments: for template in &self.arguments {
            let mut argument = Argument::Text(String::new());
            for part in &template.0 {
                match part {
                    Part::Text(text) => argument.tail().push_str(text),
                    Part::Parameter(place) => {
                        let place = usize::from(*place);
                        let value = values.get(place).copied().flatten();
                        let (Some(wanted), Some(value)) = (self.parameters.get(place), value) else {
                            // It may be left out, and so is the argument.
                            continue 'arguments;
                        };
                        argument.fill(wanted, value);
                    }
                }
            }
            arguments.push(argument);
        }
        Ok(arguments)
    }

    /// The values in the order of the parameters.
    fn values<'g>(&self, given: &'g [(String, String)]) -> Result<Vec<Option<&'g str>>, Refusal> {
        let known = |name: &str| self.parameters.iter().any(|wanted| wanted.name == name);
        let twice = |at: usize, name: &str| given.iter().take(at).any(|(other, _)| other == name);
        if given.iter().enumerate().any(|(at, (name, _))| !known(name) || twice(at, name)) {
            return Err(Refusal::Parameter);
        }
        let value = |wanted: &Parameter| match given.iter().find(|(name, _)| *name == wanted.name) {
            Some((_, value)) if wanted.takes(value) => Ok(Some(value.as_str())),
            None if wanted.optional => Ok(None),
            _ => Err(Refusal::Parameter),
        };
        self.parameters.iter().map(value).collect()
    }

    /// What a record says of the arguments: secrets as `hash` makes them.
    pub fn told(&self, given: &[(String, String)], hash: impl Fn(&[u8]) -> String) -> Vec<String> {
        let told: Given = given
            .iter()
            .map(|(name, value)| {
                let secret = self.parameters.iter().any(|wanted| wanted.name == *name && wanted.secret);
                (name.clone(), if secret { hash(value.as_bytes()) } else { value.clone() })
            })
            .collect();
        let value = |place: &u16| {
            let name = &self.parameters.get(usize::from(*place))?.name;
            told.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let shown = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Parameter(place) => value(place).map(str::to_owned),
        };
        let argument =
            |template: &super::table::Template| template.0.iter().map(shown).collect::<Option<String>>();
        std::iter::once(self.program.clone()).chain(self.arguments.iter().filter_map(argument)).collect()
    }
}

impl Argument {
    /// What follows a path in it, or all of it.
    fn tail(&mut self) -> &mut String {
        match self {
            Argument::Text(text) | Argument::Below { after: text, .. } => text,
        }
    }

    fn fill(&mut self, wanted: &Parameter, value: &str) {
        match &wanted.kind {
            Wanted::Value(_) => self.tail().push_str(value),
            Wanted::Below { directory, opened } => {
                let before = std::mem::take(self.tail());
                *self = Argument::Below {
                    before,
                    directory: directory.clone(),
                    path: value.to_owned(),
                    after: String::new(),
                    opened: *opened,
                };
            }
        }
    }
}

impl Parameter {
    /// Whether a value is one.
    fn takes(&self, value: &str) -> bool {
        if value.contains('\0') || value.starts_with('-') && !self.dash || value.is_empty() && !self.empty {
            return false;
        }
        match &self.kind {
            Wanted::Value(kind) => kind.takes(value),
            // That no link leads out of it is seen when it is opened.
            Wanted::Below { .. } => {
                value.len() <= LONGEST_PATH
                    && !value.contains(char::is_control)
                    && value.split('/').all(|name| !matches!(name, "" | "." | ".."))
            }
        }
    }
}
