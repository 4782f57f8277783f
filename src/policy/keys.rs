//! Every key that a policy file may hold. The reader knows no other, and the manual lists them all; a test
//! holds the two together.

use super::quantity::{show_size, show_time};
use crate::model::limits::Limits;

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its table as the manual writes it; empty for the top of the file.
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    /// What holds where it is left out, as the manual writes it.
    pub(crate) default: &'static str,
}

/// It can't be left out.
const NEEDED: &str = "needed";

/// What somebody may mean by a key that a table does not have.
pub(crate) const MEANT: &[(&str, &str, &str)] = &[
    (
        "forbid",
        "until",
        "a forbid does not end by itself, since what it forbids would be open from then on and nobody would see it; \
         leave it out once it is over, or write its hours by `when`",
    ),
    (
        "forbid",
        "allow",
        "a forbid only subtracts; write whom it binds by `who`, and make that one with `except`",
    ),
];

macro_rules! keys {
    ($($section:literal { $($name:literal = $default:expr,)* })*) => {
        /// All of them but those of `[limits]`, which [`LIMITS`] has.
        pub(crate) const KEYS: &[Key] =
            &[$($(Key { section: $section, name: $name, default: $default },)*)*];
    };
}

keys! {
    "" {
        "version" = NEEDED,
        "include" = "none",
        "daemon" = "",
        "limits" = "",
        "audit" = "",
        "diagnostics" = "",
        "listen" = NEEDED,
        "backend" = "",
        "who" = "",
        "route" = "",
        "forbid" = "",
        "test" = "",
    }
    "included" {
        "listen" = "",
        "backend" = "",
        "who" = "",
        "route" = "",
        "forbid" = "",
        "test" = "",
    }
    "daemon" {
        "control" = "`/run/peergate/control.sock`",
        "gates" = "`\"per-uid\"`",
        "lanes" = "one less than the cores",
        "gate_user" = "`\"peergate-gate\"`",
        "scribe_user" = "`\"peergate-scribe\"`",
        "app_user" = "`\"peergate-app\"`",
        "methods" = "none",
    }
    "audit" {
        "directory" = "`/var/log/peergate`",
        "readers" = "`\"adm\"`",
        "durability" = "`\"write\"`",
        "keep" = "",
        "shipped" = "nobody ships",
        "segment" = "`\"64MiB\"`",
        "segment_time" = "`\"1d\"`",
        "compress" = "true",
        "record" = "",
        "witness" = "",
    }
    "audit.keep" {
        "days" = "90",
        "bytes" = "`\"20GiB\"`",
        "count" = "any number",
        "free" = "`\"256MiB\"`",
    }
    "audit.witness" {
        "journal" = "false",
        "syslog" = "none",
        "file" = "none",
        "command" = "none",
        "user" = "`\"peergate-witness\"`",
        "every" = "`\"1m\"`",
    }
    "audit.record" {
        "identity" = "`\"needed\"`",
    }
    "diagnostics" {
        "directory" = "none",
        "format" = "`\"text\"`",
        "level" = "`\"info\"`",
    }
    "listen.NAME" {
        "path" = NEEDED,
        "owner" = "the daemon's user",
        "group" = "the daemon's group",
        "mode" = "`\"0660\"` with `group`, else `\"0600\"`",
        "browsers" = "false",
    }
    "backend.NAME" {
        "proxy" = "one of these",
        "command" = "one of these",
        "builtin" = "one of these",
        "app" = "one of these",
        "directories" = "none",
        "only" = "",
        "owner" = "anyone",
        "version_prefix" = "none",
        "identity_headers" = "false",
        "user" = "needed with `command`",
        "groups" = "the user's",
        "env" = "",
        "chdir" = "`\"/\"`",
        "umask" = "`\"0077\"`",
        "timeout" = "`\"1m\"`",
        "grace" = "`\"5s\"`",
        "output" = "`\"1MiB\"`",
        "concurrent" = "4",
        "one_at_a_time" = "false",
        "queue" = "0",
        "rlimits" = "",
        "new_privileges" = "false",
        "sandbox" = "none",
        "on_leave" = "`\"kill\"`",
        "stdin" = "none",
        "status" = "",
        "params" = "",
    }
    "backend.params.NAME" {
        "type" = "one of the six",
        "one_of" = "one of the six",
        "int" = "one of the six",
        "hex" = "one of the six",
        "text" = "one of the six",
        "below" = "one of the six",
        "max" = "255",
        "empty" = "false",
        "opened" = "true",
        "from" = "`\"path\"`",
        "optional" = "false",
        "secret" = "false",
        "dash" = "false",
    }
    "backend.sandbox" {
        "read" = "nothing",
        "write" = "nothing",
        "exec" = "`[\"/usr\"]`",
        "tcp" = "none",
        "any_tcp" = "false",
    }
    "backend.rlimits" {
        "memory" = "the daemon's",
        "cpu" = "the daemon's",
        "file_size" = "the daemon's",
        "files" = "the daemon's",
        "processes" = "the daemon's",
        "core" = "the daemon's",
    }
    "backend.only" {
        "decision" = "any",
        "route" = "any",
        "user" = "any",
    }
    "who.NAME" {
        "uid" = "any",
        "user" = "any",
        "gid" = "any",
        "group" = "any",
        "namespace" = "`\"host\"`",
        "exe" = "any",
        "exe_trusted" = "false",
        "unit" = "any",
        "label" = "any",
        "login_uid" = "any",
        "login_user" = "any",
        "any_of" = "none",
        "except" = "none",
        "limits" = "",
    }
    "who.limits" {
        "rate" = "`decisions` of `[limits]`",
        "burst" = "what `rate` counts",
        "concurrent" = "any number",
        "connections" = "`connections` of `[limits]`",
        "body" = "`body_bytes` of `[limits]`",
        "bytes" = "any number",
    }
    "route" {
        "id" = NEEDED,
        "on" = "the only listener",
        "match" = NEEDED,
        "query" = "any",
        "header" = "any",
        "to" = NEEDED,
        "allow" = NEEDED,
        "body" = "",
        "audit" = "",
        "help" = "none",
        "stream" = "false",
        "upgrade" = "none",
        "encoded_slash" = "none",
        "path_parameter" = "none",
        "mode" = "`\"enforce\"`",
        "until" = "never",
        "when" = "",
        "reason" = "none",
    }
    "when" {
        "days" = "every day",
        "from" = "`\"00:00\"`",
        "to" = "`\"24:00\"`",
        "zone" = NEEDED,
    }
    "route.body" {
        "max" = "`body_bytes` of `[limits]`; at most `\"1MiB\"` with `json`",
        "content_type" = "any; `\"application/json\"` with `json`",
        "json" = "anything",
    }
    "route.body.json" {
        "allow" = "nothing",
        "others" = "`\"refuse\"`",
        "values" = "none",
        "required" = "none",
        "null" = "none",
        "maps" = "none",
    }
    "VALUE" {
        "one_of" = "one of the four",
        "int" = "one of the four",
        "hex" = "one of the four",
        "text" = "one of the four",
        "max" = "255",
        "empty" = "false",
        "required" = "false",
    }
    "route.audit" {
        "durability" = "`durability` of `[audit]`",
        "on_failure" = "`\"deny\"`",
        "record" = "nothing",
    }
    "route.audit.record" {
        "query" = "none",
        "headers" = "none",
        "body" = "none",
        "plain" = "none",
    }
    "forbid" {
        "id" = NEEDED,
        "match" = NEEDED,
        "on" = "every listener",
        "to" = "every backend",
        "who" = "everyone",
        "when" = "",
        "mode" = "`\"enforce\"`",
    }
    "test" {
        "who" = NEEDED,
        "on" = "the only listener",
        "request" = NEEDED,
        "upgrade" = "none",
        "at" = "whenever every rule holds",
        "headers" = "none",
        "body" = "none",
        "expect" = NEEDED,
        "route" = "any",
    }
    "test.who" {
        "user" = "a user that the policy does not name",
        "uid" = "a user that the policy does not name",
        "group" = "none",
        "gid" = "none",
        "namespace" = "`\"host\"`",
        "exe" = "not known",
        "exe_trusted" = "false",
        "unit" = "not known",
        "label" = "not known",
        "login_uid" = "not known",
        "login_user" = "not known",
    }
}

/// How a limit is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A size such as `64KiB`.
    Bytes,
    /// A time such as `30s`.
    Time,
    /// A plain number.
    Count,
    /// `200/s`.
    Rate,
    /// `64KiB/s`.
    ByteRate,
}

/// One key of `[limits]`.
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    /// The least and the most that can be meant.
    pub(crate) least: u64,
    pub(crate) most: u64,
    /// Sets the limit; the value lies between the two and so fits.
    pub(crate) set: fn(&mut Limits, u64),
}

macro_rules! limits {
    ($($name:literal $field:ident: $type:ty, $unit:ident $least:expr, $most:expr;)*) => {
        /// All keys of `[limits]`.
        pub(crate) const LIMITS: &[Limit] = &[$(Limit {
            name: $name,
            unit: Unit::$unit,
            least: $least,
            most: $most,
            set: |limits, value| limits.$field = <$type>::try_from(value).unwrap_or(<$type>::MAX),
        },)*];
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

limits! {
    "head_bytes" head_bytes: u32, Bytes KIB, MIB;
    "headers" headers: u16, Count 1, 10_000;
    "target_bytes" target_bytes: u32, Bytes 64, 60 * KIB;
    "body_bytes" body_bytes: u64, Bytes 1, 1 << 50;
    "head_time" head_ms: u32, Time 10, HOUR;
    "body_idle_time" body_idle_ms: u32, Time 10, DAY;
    "idle_time" idle_ms: u32, Time 10, DAY;
    "total_time" total_ms: u32, Time 10, 30 * DAY;
    "write_time" write_ms: u32, Time 10, DAY;
    "connect_time" connect_ms: u32, Time 10, HOUR;
    "response_time" response_ms: u32, Time 10, DAY;
    "requests" requests: u32, Count 1, 4_000_000_000;
    "connections" connections: u32, Count 1, 1_000_000;
    "stranger_connections" stranger_connections: u32, Count 1, 1_000_000;
    "decisions" decisions_per_s: u32, Rate 1, 4_000_000_000;
    "stranger_decisions" stranger_decisions_per_s: u32, Rate 1, 4_000_000_000;
    "log_bytes" log_bytes_per_s: u64, ByteRate 16 * KIB, 1 << 40;
    "denials" denials_per_s: u32, Rate 1, 4_000_000_000;
    "gates" gates: u16, Count 1, 10_000;
    "gate_idle_time" gate_idle_ms: u32, Time SECOND, 30 * DAY;
    "drain_time" drain_ms: u32, Time 10, DAY;
    "sync_time" sync_ms: u32, Time 10, HOUR;
}

impl Limit {
    /// A value as one would write it in the file.
    pub(crate) fn show(&self, value: u64) -> String {
        match self.unit {
            Unit::Bytes => format!("\"{}\"", show_size(value)),
            Unit::Time => format!("\"{}\"", show_time(value)),
            Unit::Count => value.to_string(),
            Unit::Rate => format!("\"{value}/s\""),
            Unit::ByteRate => format!("\"{}/s\"", show_size(value)),
        }
    }
}

/// The keys that a table may hold.
pub(crate) fn of(section: &'static str) -> impl Iterator<Item = &'static str> {
    let limits = LIMITS.iter().map(|limit| limit.name).filter(move |_| section == "limits");
    KEYS.iter().filter(move |key| key.section == section).map(|key| key.name).chain(limits)
}
