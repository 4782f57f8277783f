//! The tables that say how the daemon runs, where it listens and what stands behind it.

use super::super::diagnostics::At;
use super::super::keys::{LIMITS, Unit};
use super::super::quantity::{rate, show_size, show_time, size, size_rate, time};
use super::super::reader::Section;
use super::super::table::{Feed, Gates, IdentityDepth};
use super::Texts;
use super::command::Command;
use crate::model::keeping::Durability;

/// `[daemon]`.
#[derive(Debug, Default)]
pub(crate) struct Daemon {
    pub(crate) control: Option<At<String>>,
    pub(crate) gates: Option<At<Gates>>,
    pub(crate) lanes: Option<At<u64>>,
    pub(crate) gate_user: Option<At<String>>,
    pub(crate) scribe_user: Option<At<String>>,
    pub(crate) app_user: Option<At<String>>,
    pub(crate) methods: Option<Texts>,
}

impl Daemon {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Daemon {
        Daemon {
            control: section.text("control"),
            gates: section.word("gates", &[("per-uid", Gates::PerUid), ("shared", Gates::Shared)]),
            lanes: section.integer("lanes", 1, 256),
            gate_user: section.text("gate_user"),
            scribe_user: section.text("scribe_user"),
            app_user: section.text("app_user"),
            methods: section.texts("methods"),
        }
    }
}

/// `[limits]`: the place of each that was written, and its value.
pub(super) fn limits(section: &mut Section<'_, '_, '_>) -> Vec<(usize, u64)> {
    let mut written = Vec::new();
    for (place, limit) in LIMITS.iter().enumerate() {
        let bounds = (limit.least, limit.most);
        let show = |value| limit.show(value);
        let value = match limit.unit {
            Unit::Bytes => section.quantity(limit.name, "a size such as `\"64KiB\"`", size, bounds, &show),
            Unit::Time => section.quantity(limit.name, "a time such as `\"30s\"`", time, bounds, &show),
            Unit::Rate => section.quantity(limit.name, "a rate such as `\"200/s\"`", rate, bounds, &show),
            Unit::ByteRate => {
                section.quantity(limit.name, "a rate such as `\"64KiB/s\"`", size_rate, bounds, &show)
            }
            Unit::Count => section.integer(limit.name, limit.least, limit.most),
        };
        written.extend(value.map(|value| (place, value.value)));
    }
    written
}

/// `[audit]`.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) directory: Option<At<String>>,
    pub(crate) readers: Option<At<String>>,
    pub(crate) durability: Option<At<Durability>>,
    pub(crate) keep: Keep,
    pub(crate) shipped: Option<At<String>>,
    pub(crate) segment: Option<At<u64>>,
    pub(crate) segment_time: Option<At<u64>>,
    pub(crate) compress: Option<At<bool>>,
    pub(crate) identity: Option<At<IdentityDepth>>,
    pub(crate) witness: Option<Witness>,
}

/// `[audit.witness]`.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) journal: Option<At<bool>>,
    pub(crate) syslog: Option<At<String>>,
    pub(crate) file: Option<At<String>>,
    pub(crate) command: Option<At<Vec<String>>>,
    pub(crate) user: Option<At<String>>,
    /// In milliseconds.
    pub(crate) every: Option<At<u64>>,
}

impl Witness {
    fn read(section: &mut Section<'_, '_, '_>) -> Witness {
        let show = |ms: u64| format!("{}s", ms / 1_000);
        Witness {
            journal: section.boolean("journal"),
            syslog: section.text("syslog"),
            file: section.text("file"),
            command: section.words("command"),
            user: section.text("user"),
            every: section.quantity("every", "a time such as `\"1m\"`", time, (1_000, 3_600_000), &show),
        }
    }
}

/// `[audit] keep`.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    pub(crate) days: Option<At<u64>>,
    pub(crate) bytes: Option<At<u64>>,
    pub(crate) count: Option<At<u64>>,
    pub(crate) free: Option<At<u64>>,
}

/// How a durability is written.
pub(super) const DURABILITIES: [(&str, Durability); 2] =
    [("write", Durability::Write), ("sync", Durability::Sync)];

impl Audit {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Audit {
        const SIZE: &str = "a size such as `\"64MiB\"`";
        let keep = section.table("keep", "audit.keep", |keep| Keep {
            days: keep.integer("days", 1, 36_500),
            bytes: keep.quantity("bytes", SIZE, size, (1 << 20, 1 << 60), &show_size),
            count: keep.integer("count", 1, 1_000_000),
            free: keep.quantity("free", SIZE, size, (0, 1 << 60), &show_size),
        });
        let times = (60_000, 30 * 86_400_000);
        let depths = [("needed", IdentityDepth::Needed), ("full", IdentityDepth::Full)];
        Audit {
            directory: section.text("directory"),
            readers: section.text("readers"),
            durability: section.word("durability", &DURABILITIES),
            keep: keep.unwrap_or_default(),
            shipped: section.text("shipped"),
            segment: section.quantity("segment", SIZE, size, (64 << 10, 1 << 40), &show_size),
            segment_time: section.quantity(
                "segment_time",
                "a time such as `\"1d\"`",
                time,
                times,
                &show_time,
            ),
            compress: section.boolean("compress"),
            identity: section
                .table("record", "audit.record", |record| record.word("identity", &depths))
                .flatten(),
            witness: section.table("witness", "audit.witness", Witness::read),
        }
    }
}

/// `[diagnostics]`.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    pub(crate) directory: Option<At<String>>,
    pub(crate) json: Option<At<bool>>,
    pub(crate) level: Option<At<&'static str>>,
}

impl Diagnostics {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Diagnostics {
        let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
        Diagnostics {
            directory: section.text("directory"),
            json: section.word("format", &[("text", false), ("json", true)]),
            level: section.word("level", &levels),
        }
    }
}

/// `[listen.NAME]`.
#[derive(Debug)]
pub(crate) struct Listen {
    pub(crate) name: At<String>,
    pub(crate) path: Option<At<String>>,
    pub(crate) owner: Option<At<String>>,
    pub(crate) group: Option<At<String>>,
    pub(crate) mode: Option<At<u32>>,
    pub(crate) browsers: Option<At<bool>>,
}

impl Listen {
    pub(super) fn read(name: At<String>, section: &mut Section<'_, '_, '_>) -> Listen {
        let path = section.text("path");
        Listen {
            path: section.need("path", path, "\"/run/peergate/docker.sock\""),
            name,
            owner: section.text("owner"),
            group: section.text("group"),
            mode: section.mode("mode"),
            browsers: section.boolean("browsers"),
        }
    }
}

/// `[backend.NAME]`.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) name: At<String>,
    pub(crate) proxy: Option<At<String>>,
    pub(crate) builtin: Option<At<Builtin>>,
    pub(crate) app: Option<At<String>>,
    /// Where an app's directories lie: names and paths.
    pub(crate) directories: Vec<(At<String>, At<String>)>,
    pub(crate) only: Option<At<Only>>,
    pub(crate) owner: Option<At<String>>,
    pub(crate) version_prefix: Option<At<String>>,
    pub(crate) identity_headers: Option<At<bool>>,
    pub(crate) command: Option<Command>,
    /// None or more than one of what it can be was written.
    pub(crate) unclear: bool,
}

impl Backend {
    pub(super) fn read(name: At<String>, section: &mut Section<'_, '_, '_>) -> Backend {
        Backend {
            unclear: ["proxy", "command", "builtin", "app"].iter().filter(|key| section.has(key)).count()
                != 1,
            command: Command::read(section),
            name,
            proxy: section.text("proxy"),
            builtin: section.word("builtin", &BUILTINS),
            app: section.text("app"),
            directories: section.paths("directories"),
            only: section.table("only", "backend.only", Only::read),
            owner: section.text("owner"),
            version_prefix: section.text("version_prefix"),
            identity_headers: section.boolean("identity_headers"),
        }
    }
}

/// What of ours stands behind a backend.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Builtin {
    /// The gate's own API.
    Api,
    /// What the scribe tells.
    Feed(Feed),
}

const BUILTINS: [(&str, Builtin); 3] = [
    ("api", Builtin::Api),
    ("metrics", Builtin::Feed(Feed::Metrics)),
    ("decisions", Builtin::Feed(Feed::Decisions)),
];

/// `[backend.only]`: which decisions.
#[derive(Debug, Default)]
pub(crate) struct Only {
    /// `true` for allowed ones.
    pub(crate) decision: Option<At<bool>>,
    pub(crate) routes: Option<Texts>,
    pub(crate) users: Option<Texts>,
}

impl Only {
    fn read(section: &mut Section<'_, '_, '_>) -> At<Only> {
        let why = "leave it out to have all";
        let only = Only {
            decision: section.word("decision", &[("allow", true), ("deny", false)]),
            routes: section.some_texts("route", why),
            users: section.some_texts("user", why),
        };
        At { value: only, span: section.span }
    }
}
