//! What a route would have taken, where it did not take something of a query, a head or a body.

use super::place;
use crate::model::json::folded;
use crate::model::refusal::Refusal;
use crate::policy::body::{JsonRule, Others, Pointer, Token};
use crate::policy::near::nearest;
use crate::policy::table::{BackendKind, Field, Origin, Policy, Route, Wanted, Wants};

/// Pointers that are told.
const TOLD: usize = 8;

/// Says of a denial by this route what it would have taken; `part` is what the record has of it.
pub fn explain_part(policy: &Policy, route: &str, refusal: Refusal, part: &str) -> Option<String> {
    let route = policy.routes.iter().find(|known| known.id == route)?;
    let what =
        if refusal == Refusal::Parameter { parameters(policy, route)? } else { told(route, refusal, part)? };
    Some(format!("route {} ({}) {what}", route.id, place(policy, route.line)))
}

fn told(route: &Route, refusal: Refusal, part: &str) -> Option<String> {
    let reads = &route.reads;
    let (_, name) = part.split_once(' ').unwrap_or((part, ""));
    Some(match refusal {
        Refusal::QueryValue | Refusal::QuerySyntax => {
            let field = field(&reads.query, name)?;
            format!("wants \"{name}\" in its query to be {}", field.kind)
        }
        Refusal::QueryLacks => format!("needs \"{name}\" in its query"),
        Refusal::HeaderRule => {
            let field = field(&reads.headers, name)?;
            match field.wants {
                Wants::Absent => format!("takes no header line {name}"),
                Wants::Maybe => format!("takes at most one header line {name}, which is {}", field.kind),
                Wants::Required => format!("needs one header line {name}, which is {}", field.kind),
            }
        }
        Refusal::ContentType => format!("takes a body of {} only", reads.content_type.join(", ")),
        Refusal::ContentEncoding => "judges the body, so it takes none that is encoded".to_owned(),
        Refusal::BodyMissing => "judges the body, and there was none".to_owned(),
        Refusal::JsonSyntax => format!("judges the body, which is no JSON in one reading ({name})"),
        Refusal::JsonTwice => format!("judges the body, where a key is twice, case apart ({name})"),
        Refusal::JsonBounds => format!("judges the body, which is too deep or has too many values ({name})"),
        Refusal::BodyMember => member(reads.json.as_ref()?, name),
        Refusal::BodyValue => {
            let json = reads.json.as_ref()?;
            let kinds = json.values.iter().filter(|(pointer, _)| takes(pointer, name));
            let kinds: Vec<_> = kinds.map(|(_, kind)| kind.to_string()).collect();
            format!("wants {name} in the body to be {}", kinds.join(" and "))
        }
        Refusal::BodyLacks => format!("needs {name} in the body"),
        _ => return None,
    })
}

/// What the command behind a route takes.
fn parameters(policy: &Policy, route: &Route) -> Option<String> {
    let BackendKind::Command(command) = &policy.backend(route.to)?.kind else { return None };
    let each = command.parameters.iter().map(|wanted| {
        let kind = match &wanted.kind {
            Wanted::Value(kind) => kind.to_string(),
            Wanted::Below { directory, .. } => format!("a path below {directory}"),
        };
        let from = match wanted.from {
            Origin::Path => "path",
            Origin::Query => "query",
            Origin::Body => "body",
        };
        let needed = if wanted.optional { ", or not" } else { "" };
        format!("{} from the {from} ({kind}{needed})", wanted.name)
    });
    let each: Vec<String> = each.collect();
    Some(match each.as_slice() {
        [] => "leads to a command that takes no values".to_owned(),
        each => format!("leads to a command that takes {}", each.join(", ")),
    })
}

fn field<'f>(fields: &'f [Field], name: &str) -> Option<&'f Field> {
    fields.iter().find(|field| field.name == name)
}

fn member(json: &JsonRule, name: &str) -> String {
    if json.null.iter().any(|pointer| takes(pointer, name)) {
        return format!("takes {name} in the body as null only");
    }
    let unless = match json.others {
        Others::Zero => " unless it is null, false, 0 or empty",
        Others::Refuse => "",
    };
    let known = json.allow.iter().map(Pointer::as_str);
    if let Some(near) = nearest(name, known.clone()) {
        return format!("does not take {name} in the body{unless}, but {near}");
    }
    let mut shown: Vec<_> = known.take(TOLD).map(str::to_owned).collect();
    if let Some(more @ 1..) = json.allow.len().checked_sub(TOLD) {
        shown.push(format!("{more} more"));
    }
    match shown.as_slice() {
        [] => format!("does not take {name} in the body{unless}, and nothing else"),
        _ => format!("does not take {name} in the body{unless}, but {}", shown.join(", ")),
    }
}

/// Whether a pointer of the rule means this place, which a record names.
fn takes(pointer: &Pointer, name: &str) -> bool {
    let Ok(place) = Pointer::parse(name) else { return false };
    let alike = |(token, step): (&Token, &Token)| match (token, step) {
        (Token::Name(token), Token::Name(step)) => folded(token) == folded(step),
        (token, _) => *token == Token::Any,
    };
    let (tokens, steps) = (pointer.tokens(), place.tokens());
    tokens.len() == steps.len() && tokens.iter().zip(steps).all(alike)
}
