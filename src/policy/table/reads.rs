//! What a route reads of a request beyond method and path: values of the query, header lines, the body.

use serde::{Deserialize, Serialize};

use crate::policy::body::{JsonRule, Pointer};
use crate::policy::value::Kind;

/// What a route reads beyond the names of its query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// Names of the query that need a type, or to be there.
    pub query: Vec<Field>,
    /// Header lines, by names that are compared without case.
    pub headers: Vec<Field>,
    /// Media types that a body may have, in lower case; empty: any.
    pub content_type: Vec<String>,
    /// What a body may hold.
    pub json: Option<JsonRule>,
    /// What of it is recorded.
    pub record: Recorded,
}

/// One name, and what it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The name, as it is written.
    pub name: String,
    /// Whether it is there.
    pub wants: Wants,
    /// What its value is.
    pub kind: Kind,
}

/// Whether something has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wants {
    /// It may be.
    Maybe,
    /// It has to be.
    Required,
    /// It may not be.
    Absent,
}

/// `audit.record` of a route: what a record says of query, headers and body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Names of the query whose values stand in the record as keyed hashes.
    pub query: Vec<String>,
    /// Header lines that are recorded.
    pub headers: Vec<String>,
    /// Members of the body that are recorded.
    pub body: Vec<Pointer>,
    /// Those of the last two that stand there as they are; the others as keyed hashes.
    pub plain: Vec<String>,
}

impl Reads {
    /// Whether the query's values are read.
    pub fn is_of_query(&self) -> bool {
        !self.query.is_empty()
    }

    /// Whether head or body have to be judged before the request can go on.
    pub fn is_of_message(&self) -> bool {
        !self.headers.is_empty()
            || !self.content_type.is_empty()
            || self.json.is_some()
            || !self.record.headers.is_empty()
    }
}
