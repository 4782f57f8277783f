//! One access in the words of a table, for the page and for the live view.

use crate::audit::query::{Access, Conn, Item, Repeat};
use crate::model::time::Timestamp;

/// Characters of a name that is counted by; a longer one was not written by us.
const NAME: usize = 300;

/// A row. Text is as it stands in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// When it was asked.
    pub(super) ts: Timestamp,
    /// The request's, or the connection's.
    pub(super) id: String,
    pub(super) denied: bool,
    /// How many: more than 1 where like ones were recorded together.
    pub(super) count: u64,
    /// `deploy (1001)`
    pub(super) caller: String,
    /// Program and unit.
    pub(super) program: String,
    /// Method and target.
    pub(super) request: String,
    pub(super) route: String,
    /// The rule, and where it stands.
    pub(super) rule: String,
    pub(super) status: String,
    /// Why it was refused, or how it ended.
    pub(super) result: String,
    /// Allowed, and came to no good end.
    pub(super) failed: bool,
    /// What does not fit together, by its codes.
    pub(super) doubts: String,
    /// Microseconds from head to end.
    pub(super) us: Option<u64>,
    /// One long exchange by its nature: its time says nothing of speed.
    pub(super) stream: bool,
}

impl Row {
    /// Of what is an access; `None` for other records.
    pub(super) fn of(item: &Item) -> Option<Row> {
        match item {
            Item::Access(access) | Item::Begun(access) => Some(Row::of_access(access)),
            Item::Shed(conn) => Some(Row::of_shed(conn)),
            Item::Repeat(repeat) => Some(Row::of_repeat(repeat)),
            Item::Event(_) | Item::Disbelieved(_) | Item::Garbage(_) => None,
        }
    }

    pub(in crate::cli::audit) fn empty(ts: Timestamp) -> Row {
        Row {
            ts,
            id: String::new(),
            denied: false,
            count: 1,
            caller: String::new(),
            program: String::new(),
            request: String::new(),
            route: "(none)".to_owned(),
            rule: String::new(),
            status: String::new(),
            result: String::new(),
            failed: false,
            doubts: String::new(),
            us: None,
            stream: false,
        }
    }

    pub(super) fn of_access(access: &Access) -> Row {
        let mut row = Row::empty(access.when());
        row.id = access.id.to_string();
        row.caller = caller(access.uid(), access.user());
        row.program = access.conn.as_deref().map(program).unwrap_or_default();
        row.status = access.status().map(|status| status.to_string()).unwrap_or_default();
        row.us = access.us();
        row.doubts = access.doubts().iter().map(|doubt| doubt.code()).collect::<Vec<_>>().join(", ");
        let ended = access.outcome.as_ref().map(|outcome| outcome.result().unwrap_or_default());
        row.result = ended.unwrap_or_default().to_owned();
        row.stream = row.status == "101" || row.result == "tunnel-closed";
        if let Some(decision) = &access.decision {
            row.denied = !decision.allowed;
            row.request = together([decision.method(), decision.target()], " ");
            row.rule = together([decision.by(), decision.place()], " at ");
            if let Some(route) = decision.route() {
                row.route = short(route);
            }
            if row.denied {
                row.result = short(decision.refusal().unwrap_or_default());
            }
        }
        let server_error = access.status().is_some_and(|status| status >= 500);
        let ended_badly = ended.is_some_and(|ended| !matches!(ended, "completed" | "tunnel-closed"));
        row.failed = !row.denied && (server_error || ended_badly);
        if access.is_open() {
            row.result = "no end on record".to_owned();
        }
        row
    }

    fn of_shed(conn: &Conn) -> Row {
        Row {
            id: conn.id.to_string(),
            denied: true,
            caller: caller(Some(conn.uid), conn.user()),
            program: program(conn),
            request: format!("connection to {}", conn.on().unwrap_or_default()),
            result: short(conn.shed().unwrap_or_default()),
            ..Row::empty(conn.held.ts)
        }
    }

    fn of_repeat(repeat: &Repeat) -> Row {
        Row {
            denied: true,
            count: repeat.count,
            caller: caller(Some(repeat.uid), repeat.user.as_deref()),
            request: format!("more of the same, at {}", repeat.on().unwrap_or_default()),
            route: repeat.route().map_or_else(|| "(none)".to_owned(), short),
            result: short(repeat.refusal().unwrap_or_default()),
            ..Row::empty(repeat.last)
        }
    }
}

/// `deploy (1001)`, or what is known of it.
fn caller(uid: Option<u32>, user: Option<&str>) -> String {
    match (uid, user) {
        (Some(uid), Some(user)) => format!("{} ({uid})", short(user)),
        (Some(uid), None) => format!("uid {uid}"),
        (None, _) => "unknown".to_owned(),
    }
}

fn program(conn: &Conn) -> String {
    together([conn.exe(), conn.unit()], ", ")
}

/// Those that are there, with something between.
fn together<const N: usize>(parts: [Option<&str>; N], between: &str) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(between)
}

fn short(name: &str) -> String {
    name.chars().take(NAME).collect()
}
