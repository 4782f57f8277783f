//! The environment of Tecnativa's and linuxserver's proxies. Both ask HAProxy whether a path *begins* like a section of
//! Docker's API, without regard to case, and let GET and HEAD through unless `POST` is set. (The rules stand in
//! `haproxy.cfg` of each.)

use std::collections::BTreeMap;

use super::made::{Made, Route};
use super::words::settings;

/// Whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    Tecnativa,
    Linuxserver,
}

/// Sections, whether each is on unless told otherwise, and a path that Docker serves there by GET.
const SECTIONS: [(&str, bool, &str); 23] = [
    ("AUTH", false, ""),
    ("BUILD", false, ""),
    ("COMMIT", false, ""),
    ("CONFIGS", false, "/configs"),
    ("CONTAINERS", false, "/containers/json"),
    ("DISTRIBUTION", false, "/distribution/busybox/json"),
    ("EVENTS", true, "/events"),
    ("EXEC", false, "/exec/1f/json"),
    ("GRPC", false, ""),
    ("IMAGES", false, "/images/json"),
    ("INFO", false, "/info"),
    ("NETWORKS", false, "/networks"),
    ("NODES", false, "/nodes"),
    ("PING", true, "/_ping"),
    ("PLUGINS", false, "/plugins"),
    ("SECRETS", false, "/secrets"),
    ("SERVICES", false, "/services"),
    ("SESSION", false, ""),
    ("SWARM", false, "/swarm"),
    ("SYSTEM", false, "/system/df"),
    ("TASKS", false, "/tasks"),
    ("VERSION", true, "/version"),
    ("VOLUMES", false, "/volumes"),
];

/// Single actions, and what they let do to a container.
const ACTIONS: [(&str, &[&str]); 5] = [
    ("ALLOW_RESTARTS", &["stop", "restart", "kill"]),
    ("ALLOW_START", &["start"]),
    ("ALLOW_STOP", &["stop"]),
    ("ALLOW_PAUSE", &["pause"]),
    ("ALLOW_UNPAUSE", &["unpause"]),
];

/// What says nothing about who may do what.
const ELSEWHERE: [&str; 3] = ["LOG_LEVEL", "DISABLE_IPV6", "TZ"];

/// What is wider than its name says.
const WIDER: [(&str, &str); 6] = [
    (
        "CONTAINERS",
        "by GET it also gives out files of containers (archive, export), their environment and their logs",
    ),
    ("IMAGES", "by GET it also gives out whole images (get), and with them every file in them"),
    ("SECRETS", "by GET it gives out the names of secrets; with POST it makes, changes and removes them"),
    ("SWARM", "by GET it gives out the tokens by which machines join the swarm"),
    ("INFO", "the setting takes every path that begins with /info"),
    ("SYSTEM", "it takes all of /system, not only /system/df"),
];

pub(super) fn convert(text: &str, flavour: Flavour) -> Option<Made> {
    let mut made = Made { versioned: true, ..Made::default() };
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    let mut any = false;
    for (name, value) in settings(text) {
        let section = SECTIONS.iter().any(|(known, ..)| *known == name);
        let action = ACTIONS.iter().any(|(known, _)| *known == name);
        if section || action || name == "POST" {
            any = true;
            given.insert(name, value);
        } else if name == "SOCKET_PATH" {
            socket(&value, &mut made);
        } else if is_toggle(&name, &value) && !ELSEWHERE.contains(&name.as_str()) {
            made.left(format!("{name}={value} is no setting that this program knows"));
        }
    }
    if !any {
        return None;
    }
    let mut on = |name: &str, default: bool, made: &mut Made| match given.get(name) {
        None => default,
        Some(value) => is_on(value).unwrap_or_else(|| {
            // HAProxy takes what is no number for off.
            made.left(format!("{name}={value}: only a number says on or off there; taken as off"));
            false
        }),
    };
    let post = on("POST", false, &mut made);
    sections(&mut made, post, &mut on);
    actions(&mut made, post, flavour, &mut on);
    made.note("there a path only has to begin like the setting says (/containersX too) and its case does not count: here segments are whole and exact");
    if flavour == Flavour::Tecnativa {
        made.note("there one more segment may stand before (/x/containers): here it may not; for Podman's /libpod write those routes by hand");
    }
    if post {
        made.note("POST=1 lets through EVERY method for every section that is on, DELETE and PUT too: with CONTAINERS that is root on the host, by creating a container");
    }
    Some(made)
}

fn sections(made: &mut Made, post: bool, on: &mut impl FnMut(&str, bool, &mut Made) -> bool) {
    for (name, default, example) in SECTIONS {
        if !on(name, default, made) {
            continue;
        }
        let path = format!("/{}", if name == "PING" { "_ping".to_owned() } else { name.to_lowercase() });
        let methods: &[&str] = if post { &["*"] } else { &["GET", "HEAD"] };
        let paths = [path.clone(), format!("{path}/"), format!("{path}/{{rest...}}")];
        let matches =
            methods.iter().flat_map(|method| paths.iter().map(move |path| format!("{method} {path}")));
        let upgrade: &[&str] = match name {
            "CONTAINERS" | "EXEC" if post => &["tcp"],
            "GRPC" | "SESSION" if post => &["h2c"],
            _ => &[],
        };
        if !post && example.is_empty() {
            made.note(format!("{name}=1 without POST=1 lets nothing through that Docker serves"));
        }
        if name == "CONTAINERS" {
            made.note("CONTAINERS=1 there also lets /containers/{id}/attach/ws take the connection over by GET, which is writing to a container: here no route upgrades to websocket");
        }
        if let Some((_, wider)) = WIDER.iter().find(|(known, _)| *known == name) {
            made.note(format!("{name}=1 is wider than its name: {wider}"));
        }
        made.routes.push(Route {
            id: name.to_lowercase(),
            was: format!("{name}=1{}", if post { " POST=1" } else { "" }),
            matches: matches.collect(),
            stream: matches!(
                name,
                "EVENTS" | "CONTAINERS" | "EXEC" | "BUILD" | "IMAGES" | "GRPC" | "SESSION"
            ),
            upgrade: upgrade.to_vec(),
            example: if example.is_empty() { String::new() } else { format!("GET {example}") },
        });
    }
}

fn actions(
    made: &mut Made,
    post: bool,
    flavour: Flavour,
    on: &mut impl FnMut(&str, bool, &mut Made) -> bool,
) {
    let mut allowed: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, verbs) in ACTIONS {
        if !on(name, false, made) {
            continue;
        }
        if flavour == Flavour::Tecnativa && matches!(name, "ALLOW_PAUSE" | "ALLOW_UNPAUSE") {
            made.left(format!("{name}=1 is no setting of that proxy"));
        } else if flavour == Flavour::Tecnativa && !post {
            made.left(format!("{name}=1 without POST=1: there it lets nothing through, so it does not here"));
        } else {
            if name == "ALLOW_RESTARTS" {
                made.note("ALLOW_RESTARTS=1 is wider than its name: it also stops and kills");
            }
            allowed.extend(verbs.iter().map(|verb| (*verb, name)));
        }
    }
    let all = made.routes.iter().any(|route| route.id == "containers") && post;
    if allowed.is_empty() || all {
        return;
    }
    let names: std::collections::BTreeSet<&str> = allowed.values().copied().collect();
    let mut matches: Vec<String> =
        allowed.keys().map(|verb| format!("POST /containers/{{id:text name}}/{verb}")).collect();
    matches.sort();
    let first = matches.first().map(|first| first.replace("{id:text name}", "web")).unwrap_or_default();
    made.routes.push(Route {
        id: made.fresh_id("container-actions"),
        was: names.into_iter().map(|name| format!("{name}=1")).collect::<Vec<_>>().join(" "),
        matches,
        // A container may take longer to stop than an exchange usually may.
        stream: true,
        upgrade: Vec::new(),
        example: first,
    });
}

fn socket(value: &str, made: &mut Made) {
    let path = value.strip_prefix("unix@").or_else(|| value.strip_prefix("unix:")).unwrap_or(value);
    let path = path.strip_prefix("/var/run/").map_or_else(|| path.to_owned(), |rest| format!("/run/{rest}"));
    if super::plain_path(&path).is_ok() {
        made.socket = Some(path);
    } else {
        made.left(format!("SOCKET_PATH={value} is no path of a socket"));
    }
}

/// `CONTAINERS_CREATE=1`: capital letters, and a number or a word that says yes or no.
fn is_toggle(name: &str, value: &str) -> bool {
    let capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let says = matches!(
        value.to_ascii_lowercase().as_str(),
        "0" | "1" | "true" | "false" | "yes" | "no" | "on" | "off"
    );
    !name.is_empty() && name.bytes().all(capital) && says
}

/// As HAProxy reads a number; `None` where it is none.
fn is_on(value: &str) -> Option<bool> {
    value.trim().parse::<i64>().ok().map(|number| number != 0)
}
