//! `peergate audit rekey`.

use crate::cli::control::{Arguments, ask, strange};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::wire::message::{ControlReply, ControlRequest};

/// Asks, and waits until the key before is erased. No: there is no scribe that could.
pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    match ask(&arguments.socket(), &ControlRequest::Rekey)? {
        ControlReply::Rekeyed { epoch } => {
            match arguments.format {
                Format::Text => term.line(format!("epoch {epoch} has begun; the key before it is erased"))?,
                Format::Json => term.line(serde_json::json!({ "rekeyed": true, "epoch": epoch }))?,
            }
            Ok(Answer::Yes)
        }
        ControlReply::Refused { why } => {
            match arguments.format {
                Format::Text => term.complain(why),
                Format::Json => term.line(serde_json::json!({ "rekeyed": false, "why": why }))?,
            }
            Ok(Answer::No)
        }
        _ => Err(strange()),
    }
}
