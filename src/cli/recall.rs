//! What is on record, as the rules would see it again: a caller, a method, a target.

use crate::audit::plain::decoded;
use crate::audit::query::{Access, Conn, Decision};
use crate::model::caller::{Attr, Caller, Credentials, Exe, Gid, Namespace, Peer, Uid};
use crate::model::method::Method;
use crate::model::refusal::Refusal;
use crate::model::target::Target;
use crate::model::time::Timestamp;

/// The id of whoever has none here (`/proc/sys/kernel/overflowuid`): it never authorises.
const OVERFLOW: u32 = 65_534;

/// Why a request was denied by the rules of a policy, and not by what came before or behind them.
const BY_RULES: [Refusal; 24] = [
    Refusal::NoRoute,
    Refusal::NotAllowed,
    Refusal::Forbidden,
    Refusal::Expired,
    Refusal::OutOfHours,
    Refusal::QueryName,
    Refusal::QueryTwice,
    Refusal::QuerySyntax,
    Refusal::UpgradeRefused,
    Refusal::EncodedSlash,
    Refusal::PathParameter,
    Refusal::QueryValue,
    Refusal::QueryLacks,
    Refusal::HeaderRule,
    Refusal::ContentType,
    Refusal::ContentEncoding,
    Refusal::BodyMissing,
    Refusal::JsonSyntax,
    Refusal::JsonTwice,
    Refusal::JsonBounds,
    Refusal::BodyMember,
    Refusal::BodyValue,
    Refusal::BodyLacks,
    Refusal::Parameter,
];

/// One request that the rules can be asked about again.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) caller: Caller,
    /// The listener's name.
    pub(super) on: String,
    /// Whether it was allowed.
    pub(super) allowed: bool,
    /// Whether it wanted to change to another protocol. Which one is not on record.
    pub(super) upgrade: bool,
    /// When it was asked.
    pub(super) at: Timestamp,
    /// Bytes that came behind its head.
    pub(super) body: Option<u64>,
}

/// Why the rules can't be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lost {
    /// It was refused for this, whatever the rules say.
    Otherwise(Refusal),
    /// The record lacks something of it: in words.
    Lacking(&'static str),
}

impl Request {
    /// The request of this access, or why there is none to be judged.
    pub(super) fn of(access: &Access) -> Result<Request, Lost> {
        let decision =
            access.decision.as_ref().ok_or(Lost::Lacking("no gate recorded what was asked for"))?;
        let conn = access.conn.as_ref().ok_or(Lost::Lacking("the caller is not on record"))?;
        let code = decision.refusal().unwrap_or_default();
        let refusal = Refusal::ALL.iter().copied().find(|refusal| refusal.code() == code);
        match refusal {
            Some(refusal) if !BY_RULES.contains(&refusal) => return Err(Lost::Otherwise(refusal)),
            None if !decision.allowed => {
                return Err(Lost::Lacking("it was refused for what this program does not know"));
            }
            _ => {}
        }
        if is_cut(decision) {
            return Err(Lost::Lacking("its target is cut short on record"));
        }
        let [method, target] =
            [decision.method(), decision.target()].map(|text| decoded(text.unwrap_or_default()));
        let unreadable = Lost::Lacking("its method or target can't be read from the record");
        let target = parsed(&method, &target).map_err(|_| unreadable)?;
        let method = Method::parse(method.as_bytes()).map_err(|_| unreadable)?;
        Ok(Request {
            method,
            target,
            caller: caller(conn),
            on: conn.on().map(decoded).unwrap_or_default().into_owned(),
            allowed: decision.allowed,
            upgrade: refusal == Some(Refusal::UpgradeRefused) || access.status() == Some(101),
            at: access.when(),
            // What goes through a tunnel is no body.
            body: access.outcome.as_ref().filter(|_| access.status() != Some(101)).map(|it| it.bytes_in),
        })
    }
}

/// Whether it was refused for what no record holds: its header lines or its body.
pub(super) fn hangs_on_message(refusal: &str) -> bool {
    let of_message = [
        Refusal::HeaderRule,
        Refusal::ContentType,
        Refusal::ContentEncoding,
        Refusal::BodyMissing,
        Refusal::JsonSyntax,
        Refusal::JsonTwice,
        Refusal::JsonBounds,
        Refusal::BodyMember,
        Refusal::BodyValue,
        Refusal::BodyLacks,
    ];
    of_message.iter().any(|known| known.code() == refusal)
}

/// Whether its record holds less of the target than there was.
pub(super) fn is_cut(decision: &Decision) -> bool {
    ["target_len", "target_b64"].iter().any(|key| decision.held.record().field(key).is_some())
}

/// As a gate reads it.
pub(super) fn parsed(method: &str, target: &str) -> Result<Target, Refusal> {
    if method == "OPTIONS" && target == "*" { Ok(Target::star()) } else { Target::parse(target.as_bytes()) }
}

/// The caller as far as the record has it: what authorises is whole.
pub(super) fn caller(conn: &Conn) -> Caller {
    let gids = |groups: Vec<u32>| groups.into_iter().map(Gid::new).collect::<Option<Vec<Gid>>>();
    let namespace = [Namespace::Host, Namespace::Other].into_iter().find(|it| conn.ns() == Some(it.name()));
    // A value that is cut, or that was no text, is not the value.
    let whole = |name: &str, text: Option<&str>| {
        let spoilt =
            ["_len", "_b64"].iter().any(|end| conn.held.record().field(&format!("{name}{end}")).is_some());
        text.filter(|_| !spoilt).map(|text| decoded(text).into_owned())
    };
    let exe = whole("exe", conn.exe()).map(|path| Exe {
        path: path.into_bytes(),
        device: 0,
        inode: 0,
        trusted: Attr::Unknown,
    });
    Caller {
        peer: Peer {
            uid: conn.uid,
            gid: conn.gid,
            pid: i32::try_from(conn.pid).unwrap_or(0),
            real_uid: None,
        },
        credentials: Credentials {
            uid: Uid::new(conn.uid).filter(|_| conn.uid != OVERFLOW).into(),
            gid: Gid::new(conn.gid).filter(|_| conn.gid != OVERFLOW).into(),
            groups: conn.groups().and_then(|groups| gids(groups.collect())).into(),
        },
        user: conn.user().map(str::to_owned),
        namespace: namespace.into(),
        start_time: Attr::Unknown,
        exe: exe.into(),
        unit: whole("unit", conn.unit()).into(),
        login_uid: conn.login().and_then(|login| login.parse().ok()).and_then(Uid::new).into(),
        label: whole("label", conn.label()).map(String::into_bytes).into(),
    }
}
