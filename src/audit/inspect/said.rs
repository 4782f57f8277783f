//! What a line says beside its kind, as far as anybody counts it or shows it to listeners.

/// Values of a line as they stand there, borrowed from it; `None` where the line has no such key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said<'a> {
    /// Of the request or connection.
    pub id: Option<&'a str>,
    /// Of the caller, or of a role.
    pub uid: Option<&'a str>,
    /// The listener.
    pub on: Option<&'a str>,
    /// The route that matched.
    pub route: Option<&'a str>,
    /// `allow` or `deny`.
    pub decision: Option<&'a str>,
    /// Why it was denied.
    pub refusal: Option<&'a str>,
    /// What a rule in shadow mode would have said.
    pub shadow: Option<&'a str>,
    /// Of the answer.
    pub status: Option<&'a str>,
    /// Microseconds that it took.
    pub us: Option<&'a str>,
    /// How it ended.
    pub result: Option<&'a str>,
    /// Bytes from the caller.
    pub bytes_in: Option<&'a str>,
    /// Bytes to the caller.
    pub bytes_out: Option<&'a str>,
    /// Why a connection was closed at once.
    pub shed: Option<&'a str>,
    /// What was asked for with a grant.
    pub backend: Option<&'a str>,
    /// Why a grant or a policy was refused.
    pub refused: Option<&'a str>,
    /// Of the process.
    pub role: Option<&'a str>,
    /// What happened to it.
    pub event: Option<&'a str>,
    /// How many a line stands for.
    pub count: Option<&'a str>,
}
