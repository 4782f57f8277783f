//! What stands between a verdict by method, path, query and caller and a [`Permit`]: a head and a body that the route
//! reads. Nothing here can be recorded as an allow, and no backend takes it.

use std::fmt;

use super::{Denial, Permit, differing};
use crate::model::message::{Coming, Lines};
use crate::model::refusal::Refusal;
use crate::policy::reads::Noted;
use crate::policy::rules::{Found, Terms};

/// What rules in shadow mode say so far, where there are any.
type Tried = Option<Result<Found, Denial>>;

/// A request whose header lines, and perhaps its body, are still to be judged.
pub struct Unread {
    pub(super) found: Found,
    pub(super) tried: Tried,
    pub(super) may_end: bool,
}

/// What the head says.
#[must_use]
#[derive(Debug)]
pub enum Headed {
    /// It may go on.
    Permit(Permit),
    /// Its body is still to be judged.
    Body(Unjudged),
}

/// A request whose body is still to be judged.
pub struct Unjudged {
    found: Found,
    tried: Tried,
    may_end: bool,
    noted: Vec<Noted>,
}

impl Unread {
    /// The route's id.
    pub fn route_id(&self) -> &str {
        &self.found.rule.told.id
    }

    /// The rule that allows the caller: `who.ci`.
    pub fn by(&self) -> &str {
        self.found.grant().map_or("", |grant| &grant.by)
    }

    /// Where that rule stands.
    pub fn at(&self) -> &str {
        self.found.grant().map_or("", |grant| &grant.at)
    }

    /// On which terms it may go on, once it may.
    pub fn terms(&self) -> &Terms {
        &self.found.rule.told.terms
    }

    /// Judges the header lines, which are those that will be forwarded.
    ///
    /// # Errors
    ///
    /// The denial: a line that the route does not take, or a body that it does not.
    pub fn head(self, lines: &dyn Lines, coming: Coming) -> Result<Headed, Denial> {
        let Unread { found, tried, may_end } = self;
        let tried = tried.map(|tried| tried.and_then(|tried| headed(tried, lines, coming)));
        let found = match headed(found, lines, coming) {
            Ok(found) => found,
            Err(denial) => return Err(denied(denial, tried.as_ref())),
        };
        let noted = found.reads().map(|reads| reads.note_head(lines)).unwrap_or_default();
        // What a rule in shadow mode alone reads is read where that changes nothing: its length is known, and nobody
        // means to take his time.
        let most = tried.as_ref().and_then(|tried| tried.as_ref().ok()).filter(|tried| tried.reads_body());
        let for_shadow = match (most, coming) {
            (Some(tried), Coming::Length(length)) if !found.rule.told.terms.stream => {
                tried.rule.told.terms.body_max.is_some_and(|max| length <= max)
            }
            _ => false,
        };
        if found.reads_body() || for_shadow {
            return Ok(Headed::Body(Unjudged { found, tried, may_end, noted }));
        }
        let shadow = tried.as_ref().and_then(|tried| differing(Ok(&found), tried.as_ref()));
        Ok(Headed::Permit(Permit { found, shadow, may_end, noted }))
    }
}

impl Headed {
    /// On which terms it may go on, once it may.
    pub fn terms(&self) -> &Terms {
        match self {
            Headed::Permit(permit) => permit.terms(),
            Headed::Body(unjudged) => unjudged.terms(),
        }
    }

    /// Gives it up, where something outside the policy's rules forbids it.
    pub fn deny(self, refusal: Refusal) -> Denial {
        match self {
            Headed::Permit(permit) => permit.deny(refusal),
            Headed::Body(unjudged) => unjudged.deny(refusal),
        }
    }
}

impl Unjudged {
    /// On which terms it may go on, once it may.
    pub fn terms(&self) -> &Terms {
        &self.found.rule.told.terms
    }

    /// Judges the whole body: exactly these bytes may be forwarded then.
    ///
    /// # Errors
    ///
    /// The denial, with the place of what the route does not take.
    pub fn body(self, body: &[u8]) -> Result<Permit, Denial> {
        let Unjudged { found, tried, may_end, mut noted } = self;
        let tried = tried.map(|tried| tried.and_then(|tried| judged(tried, body, &mut Vec::new())));
        match judged(found, body, &mut noted) {
            Ok(found) => {
                let shadow = tried.as_ref().and_then(|tried| differing(Ok(&found), tried.as_ref()));
                Ok(Permit { found, shadow, may_end, noted })
            }
            Err(denial) => Err(denied(denial, tried.as_ref())),
        }
    }

    /// Gives it up, where something outside the policy's rules forbids it.
    pub fn deny(self, refusal: Refusal) -> Denial {
        self.found.rule.denial(refusal)
    }
}

fn headed(found: Found, lines: &dyn Lines, coming: Coming) -> Result<Found, Denial> {
    let judged = found.reads().map_or(Ok(()), |reads| reads.judge_head(lines, coming));
    judged.map_err(|offence| found.rule.offended(offence))?;
    match (coming, found.rule.told.terms.body_max) {
        (Coming::Length(length), Some(max)) if length > max => Err(found.rule.denial(Refusal::BodyTooLarge)),
        _ => Ok(found),
    }
}

fn judged(mut found: Found, body: &[u8], noted: &mut Vec<Noted>) -> Result<Found, Denial> {
    let rule = found.rule.clone();
    let Some(reads) = rule.reads() else { return Ok(found) };
    let Some(json) = &reads.json else { return Ok(found) };
    match json.judge(body) {
        Ok(json) => {
            noted.extend(reads.note_body(&json));
            found.judged = true;
            Ok(found)
        }
        Err(offence) => Err(rule.offended(offence)),
    }
}

/// A denial, with what rules in shadow mode say instead.
fn denied(denial: Denial, tried: Option<&Result<Found, Denial>>) -> Denial {
    let shadow = tried.and_then(|tried| differing(Err(&denial), tried.as_ref()));
    Denial { shadow, ..denial }
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unread").field("route", &self.found.rule.told.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Unjudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unjudged").field("route", &self.found.rule.told.id).finish_non_exhaustive()
    }
}
