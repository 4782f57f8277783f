//! What a backend is told of a request beside the request: headers of ours, behind all that a caller sent.

use super::proxy::{self, Told};
use crate::gate::connection::Connection;
use crate::model::ids::RequestId;
use crate::policy::{BackendKind, Permit};
use crate::wire::app::{GRANT_HEADER, Granted};

/// A proxied API who calls, where its policy says so; an app which rule allowed it, on which terms: the caller it has
/// from the warden.
pub(in crate::gate) fn of(
    kind: &BackendKind,
    connection: &Connection,
    id: RequestId,
    policy: &str,
    permit: &Permit,
) -> Told {
    match kind {
        BackendKind::Proxy { identity_headers: true, .. } => proxy::identity_headers(connection),
        BackendKind::App { .. } => {
            let terms = permit.terms();
            let granted = Granted {
                id: id.to_string(),
                route: permit.route_id().to_owned(),
                by: permit.by().to_owned(),
                at: permit.at().to_owned(),
                policy: policy.to_owned(),
                stream: terms.stream,
                body_max: terms.body_max,
                durability: terms.durability,
            };
            vec![(GRANT_HEADER, granted.to_header())]
        }
        _ => Told::new(),
    }
}
