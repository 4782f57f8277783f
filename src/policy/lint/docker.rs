//! Requests to Docker and Podman by which a caller becomes root of the host.

mod bodies;

use self::bodies::Tried;
use super::{Found, Lint, Note, Way};
use crate::model::method::Method;
use crate::model::target::Target;
use crate::policy::decide::Decider;
use crate::policy::diagnostics::quoted;
use crate::policy::draft::Draft;
use crate::policy::grants::{Ask, Class, Said, listener_of, say};
use crate::policy::table::{Address, Backend, BackendKind};

/// Method, path and why. Podman has the same below `/libpod`.
const ENDPOINTS: &[(Method, &str, &str)] = &[
    (
        Method::POST,
        "/containers/create",
        "a container can be privileged, and mount any directory of the host",
    ),
    (Method::POST, "/containers/x/exec", "whoever may enter a privileged container is root of the host"),
    (Method::POST, "/exec/0/start", "it runs what was prepared by exec, in a privileged container too"),
    (Method::POST, "/containers/x/attach", "it types into what runs in a container, a root shell too"),
    (
        Method::PUT,
        "/containers/x/archive",
        "it replaces files of a container, which may be the host's by a mount",
    ),
    (
        Method::GET,
        "/containers/x/archive",
        "it reads files of a container, which may be the host's by a mount",
    ),
    (Method::POST, "/containers/x/update", "it changes what a container may use of the host"),
    (Method::POST, "/build", "a build runs commands as root, and may ask for more"),
    (Method::POST, "/session", "it opens the builder, which runs commands as root"),
    (Method::POST, "/grpc", "it opens the builder, which runs commands as root"),
    (Method::POST, "/commit", "it makes an image of a container, with what others run as root later"),
    (Method::POST, "/images/load", "it replaces an image that others run as root later"),
    (Method::POST, "/volumes/create", "a volume can be any directory or device of the host"),
    (Method::POST, "/plugins/pull", "a plugin runs as root of the host"),
    (Method::POST, "/plugins/create", "a plugin runs as root of the host"),
    (Method::POST, "/plugins/x/enable", "a plugin runs as root of the host"),
    (Method::POST, "/swarm/init", "a service of a swarm can mount any directory of the host"),
    (Method::POST, "/swarm/join", "another host's swarm can then run anything here"),
    (Method::POST, "/services/create", "a service can mount any directory of the host"),
    (Method::POST, "/play/kube", "a pod can be privileged, and mount any directory of the host"),
    (Method::POST, "/kube/play", "a pod can be privileged, and mount any directory of the host"),
];

/// Whether a backend speaks Docker's API, as far as its place or its name tells.
fn is_engine(backend: &Backend) -> bool {
    let BackendKind::Proxy { address, .. } = &backend.kind else { return false };
    let path = match address {
        Address::Unix(path) => path.as_str(),
        Address::Tcp(_) => "",
    };
    ["docker", "podman"].iter().any(|engine| path.contains(engine) || backend.name.contains(engine))
}

pub(super) fn find(draft: &Draft, decider: &Decider, classes: &[Class], found: &mut Found) {
    let policy = &draft.policy;
    // By route: each endpoint once, why, and who.
    let mut told: Vec<(usize, String, String, Vec<String>)> = Vec::new();
    for listener in &policy.listeners {
        let Some(id) = listener_of(policy, &listener.name) else { continue };
        let subjects: Vec<_> =
            classes.iter().map(|class| (class, decider.recognise(id, &class.caller))).collect();
        for (method, path, why) in ENDPOINTS {
            for path in [(*path).to_owned(), format!("/libpod{path}")] {
                let Ok(target) = Target::parse(path.as_bytes()) else { continue };
                let ask = Ask { method: method.clone(), target, hits: Vec::new() };
                for (class, subject) in &subjects {
                    let Said::Granted { route, .. } = say(decider, id, subject, &ask) else { continue };
                    let Some(place) = policy.routes.iter().position(|known| known.id == route) else {
                        continue;
                    };
                    let to = policy.routes.get(place).and_then(|route| policy.backend(route.to));
                    if !to.is_some_and(is_engine) {
                        continue;
                    }
                    let judged = policy.routes.get(place).and_then(|route| route.reads.json.as_ref());
                    let why = match judged.map(|rule| bodies::first_taken(rule, &path)) {
                        None | Some(Tried::NoMatter) => (*why).to_owned(),
                        Some(Tried::Taken(body)) => format!("{why}; its `body.json` takes {}", quoted(body)),
                        Some(Tried::Refused) => continue,
                    };
                    match told
                        .iter_mut()
                        .find(|(known, shown, ..)| (*known, shown.as_str()) == (place, &ask.shown()))
                    {
                        Some((.., whos)) if whos.contains(&class.label) => {}
                        Some((.., whos)) => whos.push(class.label.clone()),
                        None => told.push((place, ask.shown(), why, vec![class.label.clone()])),
                    }
                }
            }
        }
    }
    for (place, shown, why, whos) in told {
        let Some(span) =
            draft.written.routes.get(place).and_then(|route| route.id.as_ref()).map(|id| id.span)
        else {
            continue;
        };
        let who = whos.join(", ");
        let message = format!("{} is allowed to {who}: {why}", quoted(&shown));
        let route = policy.routes.get(place).map(|route| route.id.clone()).unwrap_or_default();
        let way = Some(Way { route, who, request: shown, why });
        found.0.push(Note { lint: Lint::RootEquivalent, span, message, way });
    }
}
