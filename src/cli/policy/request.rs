//! A request as one writes it on a command line: `"POST /x?y=z"`.

use crate::cli::Failure;
use crate::model::method::Method;
use crate::model::refusal::Refusal;
use crate::model::target::Target;
use crate::policy::Policy;

/// Method and target as they were written, and the target as it is read, or why it is refused before any rule is asked.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) raw: String,
    pub(super) target: Result<Target, Refusal>,
}

impl Request {
    /// Reads `METHOD TARGET`.
    pub(super) fn parse(text: &str) -> Result<Request, Failure> {
        let none = || {
            let such =
                "a request is a method and a target as one argument, such as \"GET /containers/json?all=1\"";
            Failure::Because(format!("{such}, not \"{text}\""))
        };
        let (method, raw) = text.split_once(' ').ok_or_else(none)?;
        let method = Method::parse(method.as_bytes()).map_err(|_| none())?;
        let target = match raw {
            "*" if method == Method::OPTIONS => Ok(Target::star()),
            raw => Target::parse(raw.as_bytes()),
        };
        Ok(Request { method, raw: raw.to_owned(), target })
    }

    /// Why this policy refuses it before any rule is asked.
    pub(super) fn refused(&self, policy: &Policy) -> Option<Refusal> {
        let named = policy.methods.iter().any(|extra| extra == self.method.as_str());
        if !self.method.is_known() && !named {
            return Some(Refusal::MethodUnknown);
        }
        if u32::try_from(self.raw.len()).unwrap_or(u32::MAX) > policy.limits.target_bytes {
            return Some(Refusal::TargetTooLong);
        }
        self.target.as_ref().err().copied()
    }
}
