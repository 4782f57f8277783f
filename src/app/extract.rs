//! What a handler learns of the request beside the request itself.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use super::backend::{Asking, Backend, Unreachable};
use crate::model::caller::{self, Gid, Namespace};
use crate::model::keeping::Durability;
use crate::wire::app::Granted;

/// Who calls, as the kernel said it at `connect()` and the warden told it: no byte of the request has a part in it.
///
/// Effective uid and gid and the supplementary groups are frozen at `connect()` (`unix(7)`); all else is about a
/// process that lives on, was read once right after it connected, and is `None` where the policy did not ask for it
/// (`[audit] record = { identity = "full" }`), the kernel does not tell it, or the process had ended by then.
///
/// ```
/// use axum::{Router, routing::get};
/// use peergate::Caller;
///
/// async fn hello(caller: Caller) -> String {
///     format!("uid {:?} is {}\n", caller.uid(), caller.user().unwrap_or("nobody by name"))
/// }
///
/// let router: Router = Router::new().route("/hello", get(hello));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    known: Arc<caller::Caller>,
    on: Arc<str>,
}

impl Caller {
    /// What is known of a caller, and the listener that it came in on.
    pub(crate) fn new(known: caller::Caller, on: &str) -> Caller {
        Caller { known: Arc::new(known), on: Arc::from(on) }
    }

    /// The effective user id; `None` where it has none here (another user namespace's).
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        self.known.credentials.uid.known().map(|uid| uid.raw())
    }

    /// The effective group id; `None` likewise.
    #[must_use]
    pub fn gid(&self) -> Option<u32> {
        self.known.credentials.gid.known().map(|gid| gid.raw())
    }

    /// The supplementary groups, whole; `None` where they could not be read whole.
    #[must_use]
    pub fn groups(&self) -> Option<Vec<u32>> {
        self.known.credentials.groups.known().map(|groups| groups.iter().map(|gid| gid.raw()).collect())
    }

    /// Whether it certainly was in this group, by primary or supplementary group. What is not known is no.
    #[must_use]
    pub fn is_in_group(&self, gid: u32) -> bool {
        Gid::new(gid).is_some_and(|gid| self.known.credentials.in_group(gid).allows())
    }

    /// The user's name, from the table that was resolved when the policy was loaded, which has the users that it names:
    /// to be shown, never compared.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.known.user.as_deref()
    }

    /// The process id; `None` where it lives in another pid namespace. It may have ended, and be another's by now.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        u32::try_from(self.known.peer.pid).ok().filter(|pid| *pid != 0)
    }

    /// Whether it certainly shares the daemon's user and pid namespaces, and so is no container's.
    #[must_use]
    pub fn is_of_the_host(&self) -> bool {
        self.known.namespace.known() == Some(&Namespace::Host)
    }

    /// The program, where the kernel says that it lies.
    #[must_use]
    pub fn exe(&self) -> Option<&Path> {
        use std::os::unix::ffi::OsStrExt;
        self.known.exe.known().map(|exe| Path::new(std::ffi::OsStr::from_bytes(&exe.path)))
    }

    /// The systemd unit, where that lies in the system's slice.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.known.unit.known().map(String::as_str)
    }

    /// The user who logged in, whoever it became since.
    #[must_use]
    pub fn login_uid(&self) -> Option<u32> {
        self.known.login_uid.known().map(|uid| uid.raw())
    }

    /// All that is known, and what is unknown as such: what the policy engine takes
    /// ([`Decider::recognise`](crate::policy::Decider::recognise)).
    #[must_use]
    pub fn details(&self) -> &caller::Caller {
        &self.known
    }

    /// The listener that it came in on, by its name in the policy; empty where there was none.
    #[must_use]
    pub fn listener(&self) -> &str {
        &self.on
    }
}

/// Which rule allowed the request, on which terms. It is on record by then: [`Grant::id`] finds it
/// (`peergate audit show`).
///
/// ```
/// use peergate::Grant;
///
/// async fn remove(grant: Grant) -> String {
///     format!("{}: allowed by {} ({})\n", grant.id(), grant.by(), grant.at())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Grant {
    granted: Arc<Granted>,
    asking: Asking,
}

impl Grant {
    pub(super) fn new(granted: Granted, asking: Asking) -> Grant {
        Grant { granted: Arc::new(granted), asking }
    }

    /// The request's id in the record, such as `7k3qzd-41-1`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.granted.id
    }

    /// The id of the route that matched.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.granted.route
    }

    /// The rule that allowed it: `who.operators`.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.granted.by
    }

    /// Where that rule stands: `policy.toml:42`.
    #[must_use]
    pub fn at(&self) -> &str {
        &self.granted.at
    }

    /// The hash of the policy that it was judged by, eight hex digits.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.granted.policy
    }

    /// Whether idle and total time are lifted (`stream = true`).
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.granted.stream
    }

    /// The largest body in bytes, where the route has a limit of its own.
    #[must_use]
    pub fn body_max(&self) -> Option<u64> {
        self.granted.body_max
    }

    /// Whether the decision was on the disk before the handler saw the request (`durability = "sync"`).
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.granted.durability == Durability::Sync
    }

    /// A connection to a backend of the policy, made by the warden for this request and on record with it. The app has
    /// to declare that backend ([`App::backend`](crate::server::App::backend)).
    ///
    /// # Errors
    ///
    /// [`Unreachable`]: it is not declared, the caller has left, or the backend can't be reached.
    pub async fn open(&self, backend: &str) -> Result<Backend, Unreachable> {
        self.asking.open(backend).await
    }
}

/// The router does not run behind a gate, or a layer took what the gate said: nobody is known to have called.
///
/// As a response it is 500: a handler that wants to know its caller answers nobody unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unguarded;

impl fmt::Display for Unguarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this request did not come through peergate")
    }
}

impl std::error::Error for Unguarded {}

impl IntoResponse for Unguarded {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, "this request did not come through peergate\n").into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Unguarded;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Caller, Unguarded> {
        parts.extensions.get::<Caller>().cloned().ok_or(Unguarded)
    }
}

impl<S: Sync> FromRequestParts<S> for Grant {
    type Rejection = Unguarded;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Grant, Unguarded> {
        parts.extensions.get::<Grant>().cloned().ok_or(Unguarded)
    }
}
