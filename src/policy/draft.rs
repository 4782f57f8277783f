//! A policy while it is written: as it is meant and as it is written, so that tools can point at what they mean.

use std::sync::Arc;

use super::check::Case;
use super::diagnostics::{Diagnostics, Problems};
use super::names::Names;
use super::table::Policy;
use super::{Own, cases, read_text};

/// A policy that is in order, but for its tests, which may fail.
#[derive(Debug)]
pub struct Draft {
    /// As messages call it.
    pub file: String,
    /// As it is written.
    pub text: String,
    /// As it is meant.
    pub policy: Arc<Policy>,
    pub(crate) cases: Vec<Case>,
}

impl Draft {
    /// Reads a text as the loader does, without running its tests.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(file: &str, text: &str, names: &impl Names, own: &Own) -> Result<Draft, Diagnostics> {
        let (policy, _, cases) = read_text(file, text, names, own)?;
        Ok(Draft { file: file.to_owned(), text: text.to_owned(), policy, cases })
    }

    /// How many tests it has.
    pub fn tests(&self) -> usize {
        self.cases.len()
    }

    /// Runs its tests; those that fail, each in place.
    ///
    /// # Errors
    /// All that fail.
    pub fn run_tests(&self) -> Result<(), Diagnostics> {
        let mut problems = Problems::new(&self.text);
        cases::run(&self.policy, &self.cases, &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems.failed(&self.file)) }
    }
}
