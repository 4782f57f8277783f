//! A policy while it is written: as it is meant and as it is written, so that tools can point at what they mean.

use std::sync::Arc;

use super::check::Case;
use super::diagnostics::Diagnostics;
use super::file::File;
use super::include::{Includes, NoIncludes, Source};
use super::names::Names;
use super::table::Policy;
use super::{Own, cases, problems_of, read_files};

/// A policy that is in order, but for its tests, which may fail.
#[derive(Debug)]
pub struct Draft {
    /// As messages call it.
    pub file: String,
    /// As it is written.
    pub text: String,
    /// As it is meant.
    pub policy: Arc<Policy>,
    pub(crate) written: File,
    pub(crate) cases: Vec<Case>,
    included: Vec<Source>,
}

impl Draft {
    /// Reads a text as the loader does, without running its tests.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(file: &str, text: &str, names: &impl Names, own: &Own) -> Result<Draft, Diagnostics> {
        Draft::read_with(file, text, &NoIncludes, names, own)
    }

    /// As [`Draft::read`], with the files that it includes.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read_with(
        file: &str,
        text: &str,
        includes: &impl Includes,
        names: &impl Names,
        own: &Own,
    ) -> Result<Draft, Diagnostics> {
        let (policy, written, cases, included) = read_files(file, text, includes, names, own)?;
        Ok(Draft { file: file.to_owned(), text: text.to_owned(), policy, written, cases, included })
    }

    /// The files that it includes.
    pub(crate) fn included(&self) -> &[Source] {
        &self.included
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
        let mut problems = problems_of(&self.text, &self.included);
        cases::run(&self.policy, &self.cases, &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems.failed(&self.file)) }
    }
}
