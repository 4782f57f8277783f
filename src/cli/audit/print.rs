//! Accesses on paper: a line, a sentence, a JSON object, a row.
//!
//! All text of a record is spelt out again here, whatever the file holds: [`shown`] and [`Term`] leave nothing that
//! draws.

mod json;
mod row;
mod sentence;
mod text;

use std::fmt;

use clap::{Args, ValueEnum};

use super::proper;
use crate::audit::plain::decoded;
use crate::audit::query::{Held, Item, Recorded};
use crate::cli::Failure;
use crate::cli::term::Term;
use crate::model::escape::{Escaped, Shown};

pub(super) use row::cell;

/// How accesses are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Form {
    /// A line each, for people who know it
    #[default]
    Text,
    /// A sentence each, for people who don't
    Sentence,
    /// For programs: one JSON value a line
    Json,
    /// For spreadsheets (RFC 4180): a cell that would begin a formula gets `'` before it
    Csv,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct How {
    /// For people, for programs, or for spreadsheets
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Form,
}

/// Prints items in one form.
#[derive(Debug)]
pub(super) struct Printer {
    form: Form,
    headed: bool,
}

impl Printer {
    pub(super) fn new(form: Form) -> Printer {
        Printer { form, headed: false }
    }

    /// Prints what stands above the items, once: the names of a table's columns.
    pub(super) fn head(&mut self, term: &mut Term) -> Result<(), Failure> {
        if self.form == Form::Csv && !std::mem::replace(&mut self.headed, true) {
            term.row(row::head())?;
        }
        Ok(())
    }

    /// Prints one record as it stands: readable where a line is asked for, else itself.
    pub(super) fn record(&self, recorded: &Recorded, term: &mut Term) -> Result<(), Failure> {
        match (self.form, recorded) {
            (Form::Json, Recorded::Told(told)) => term.line(proper::record(told.held.line())),
            // It would be no JSON.
            (Form::Json, Recorded::Garbage(line)) => {
                term.complain(text::no_record(line));
                Ok(())
            }
            _ => text::record(recorded, term),
        }
    }

    /// Prints one item.
    pub(super) fn item(&mut self, item: &Item, term: &mut Term) -> Result<(), Failure> {
        self.head(term)?;
        match self.form {
            Form::Text => text::item(item, term),
            Form::Sentence => term.line(sentence::of(item)),
            Form::Csv => term.row(row::of(item)),
            Form::Json => match json::of(item) {
                Some(object) => term.line(object),
                // It would be no JSON.
                None => {
                    if let Item::Garbage(line) = item {
                        term.complain(text::no_record(line));
                    }
                    Ok(())
                }
            },
        }
    }
}

/// What a record says that is about no access, as a sentence.
pub(super) fn event_in_words(held: &Held) -> String {
    sentence::of_event(held)
}

/// A record's text as a person reads it: decoded, and whatever could draw spelt out.
pub(super) fn shown(text: &str) -> String {
    Shown(decoded(text).as_bytes()).to_string()
}

/// The same as one word of a line: in quotes where a space in it could imitate something else, and the quotes in it
/// spelt `\"`, or it ended there.
pub(super) fn word(text: &str) -> String {
    let text = decoded(text);
    let word = Escaped(text.as_bytes()).to_string();
    if word.is_empty() || text.contains([' ', '"']) { format!("\"{word}\"") } else { word }
}

/// `deploy (uid 1001)`.
struct Whom<'a> {
    user: Option<&'a str>,
    uid: Option<u32>,
}

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.user, self.uid) {
            (Some(user), Some(uid)) => write!(f, "{} (uid {uid})", word(user)),
            (None, Some(uid)) => write!(f, "uid {uid}"),
            (_, None) => f.write_str("somebody unknown"),
        }
    }
}

#[cfg(test)]
mod tests;
