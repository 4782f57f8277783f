//! The tables that say who calls: `[who.NAME]`, and the caller of a test.

use super::super::diagnostics::At;
use super::super::quantity::{per, show_size, size};
use super::super::reader::Section;
use super::super::table::{NamespaceRule, Rate};
use super::Texts;
use crate::model::caller::{Attr, Namespace};

/// A list of ids.
type Ids = At<Vec<At<u32>>>;

/// `[who.NAME]`.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) name: At<String>,
    pub(crate) uid: Option<Ids>,
    pub(crate) user: Option<Texts>,
    pub(crate) gid: Option<Ids>,
    pub(crate) group: Option<Texts>,
    pub(crate) namespace: Option<At<NamespaceRule>>,
    pub(crate) exe: Option<Texts>,
    pub(crate) exe_trusted: Option<At<bool>>,
    pub(crate) unit: Option<Texts>,
    pub(crate) label: Option<Texts>,
    pub(crate) login_uid: Option<Ids>,
    pub(crate) login_user: Option<Texts>,
    pub(crate) any_of: Option<Texts>,
    pub(crate) except: Option<Texts>,
    pub(crate) limits: Option<At<Limits>>,
}

/// `[who.NAME] limits`.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) rate: Option<At<Rate>>,
    pub(crate) burst: Option<At<u64>>,
    pub(crate) concurrent: Option<At<u64>>,
    pub(crate) connections: Option<At<u64>>,
    pub(crate) body: Option<At<u64>>,
    pub(crate) bytes: Option<At<Rate>>,
}

/// What an empty list of conditions would come to.
const NOBODY: &str = "leave the key out, or name someone: an empty list would hold for nobody";
const NAMESPACES: [(&str, NamespaceRule); 3] =
    [("host", NamespaceRule::Host), ("other", NamespaceRule::Other), ("any", NamespaceRule::Any)];
/// One of them says who it is; everything else only narrows.
const NAMING: [&str; 5] = ["uid", "user", "gid", "group", "any_of"];

impl Who {
    pub(super) fn read(name: At<String>, section: &mut Section<'_, '_, '_>) -> Who {
        let ids = |section: &mut Section<'_, '_, '_>, key| {
            let ids = section.ids(key)?;
            section.not_empty(key, &ids, NOBODY);
            Some(ids)
        };
        let who = Who {
            name,
            uid: ids(section, "uid"),
            user: section.some_texts("user", NOBODY),
            gid: ids(section, "gid"),
            group: section.some_texts("group", NOBODY),
            namespace: section.word("namespace", &NAMESPACES),
            exe: section.some_texts("exe", NOBODY),
            exe_trusted: section.boolean("exe_trusted"),
            unit: section.some_texts("unit", NOBODY),
            label: section.some_texts("label", NOBODY),
            login_uid: ids(section, "login_uid"),
            login_user: section.some_texts("login_user", NOBODY),
            any_of: section.some_texts("any_of", NOBODY),
            except: section.some_texts("except", "leave the key out: an empty list takes nobody away"),
            limits: section.table("limits", "who.limits", Limits::read),
        };
        if !NAMING.iter().any(|key| section.has(key)) {
            section.problems.add_help(
                section.span,
                "this who names nobody",
                "write one of `user`, `group`, `uid`, `gid` and `any_of`; everything else only narrows",
            );
        }
        who
    }
}

impl Limits {
    fn read(section: &mut Section<'_, '_, '_>) -> At<Limits> {
        const MOST: u64 = 4_000_000_000;
        const SIZE: &str = "a size such as `\"1MiB\"`";
        let count = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let limits = Limits {
            rate: rate(section, "rate", "a rate such as `\"50/s\"`", count),
            burst: section.integer("burst", 1, MOST),
            concurrent: section.integer("concurrent", 1, MOST),
            connections: section.integer("connections", 1, MOST),
            body: section.quantity("body", SIZE, size, (0, 1 << 50), &show_size),
            bytes: rate(section, "bytes", "a size in a time such as `\"1GiB/h\"`", size),
        };
        if let (Some(burst), false) = (&limits.burst, section.has("rate")) {
            section.problems.add_help(burst.span, "`burst` goes with `rate`", "write `rate = \"50/s\"` too");
        }
        At { value: limits, span: section.span }
    }
}

/// So many in a time; never none.
fn rate(
    section: &mut Section<'_, '_, '_>,
    key: &str,
    such_as: &str,
    amount: impl Fn(&str) -> Option<u64>,
) -> Option<At<Rate>> {
    let At { value, span } = section.text(key)?;
    match per(&value, amount).filter(|(amount, _)| (1..=1 << 50).contains(amount)) {
        Some((amount, per_ms)) => Some(At { value: Rate { amount, per_ms }, span }),
        None => {
            let help = "write how much, more than nothing, then `/s`, `/m`, `/h` or `/d`, in one string";
            section.problems.add_help(span, format!("`{key}` is {such_as}"), help);
            None
        }
    }
}

/// `who` of a test: one caller.
#[derive(Debug, Default)]
pub(crate) struct TestWho {
    pub(crate) user: Option<At<String>>,
    pub(crate) uid: Option<At<u64>>,
    pub(crate) group: Option<Texts>,
    pub(crate) gid: Option<Ids>,
    pub(crate) namespace: Option<At<usize>>,
    pub(crate) exe: Option<At<String>>,
    pub(crate) exe_trusted: Option<At<bool>>,
    pub(crate) unit: Option<At<String>>,
    pub(crate) label: Option<At<String>>,
    pub(crate) login_uid: Option<At<u64>>,
    pub(crate) login_user: Option<At<String>>,
}

impl TestWho {
    pub(super) fn read(who: &mut Section<'_, '_, '_>) -> TestWho {
        let ids = (0, u64::from(u32::MAX) - 1);
        let read = TestWho {
            user: who.text("user"),
            uid: who.integer("uid", ids.0, ids.1),
            group: who.texts("group"),
            gid: who.ids("gid"),
            namespace: who.word("namespace", &[("host", 0), ("other", 1), ("unknown", 2)]),
            exe: who.text("exe"),
            exe_trusted: who.boolean("exe_trusted"),
            unit: who.text("unit"),
            label: who.text("label"),
            login_uid: who.integer("login_uid", ids.0, ids.1),
            login_user: who.text("login_user"),
        };
        if let (Some(at), false) = (&read.exe_trusted, who.has("exe")) {
            let help = "write `exe = \"/usr/bin/docker\"` too";
            who.problems.add_help(at.span, "`exe_trusted` says something of an `exe`", help);
        }
        read
    }

    /// Where the test's caller lives.
    pub(crate) fn lives(&self) -> Attr<Namespace> {
        match self.namespace.as_ref().map(|namespace| namespace.value) {
            None | Some(0) => Attr::Known(Namespace::Host),
            Some(1) => Attr::Known(Namespace::Other),
            Some(_) => Attr::Unknown,
        }
    }
}
