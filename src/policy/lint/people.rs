//! Findings about who is meant, and who can open which socket.

use super::{Found, Lint};
use crate::model::caller::Caller;
use crate::model::ids::ListenerId;
use crate::policy::decide::Decider;
use crate::policy::diagnostics::{Span, quoted};
use crate::policy::draft::Draft;
use crate::policy::grants::{Known, Person, opens};
use crate::policy::snapshot::Daemon;
use crate::policy::table::WhoId;

/// Logins of people have ids from here on (`login.defs(5)`), and up to the second.
const PEOPLE: std::ops::Range<u32> = 1_000..60_000;
/// Where there are fewer of them, all of them are not everyone.
const FEW: usize = 3;

pub(super) fn find(draft: &Draft, decider: &Decider, known: &Known, daemon: Daemon, found: &mut Found) {
    let policy = &draft.policy;
    let callers: Vec<(&Person, Caller)> =
        known.users.iter().map(|person| (person, person.caller())).collect();
    for (who, written) in policy.whos.iter().zip(&draft.written.whos) {
        for gid in who.groups.iter().flatten() {
            if !known.users.iter().any(|person| person.gid == *gid || person.groups.contains(gid)) {
                let message = format!("nobody is known to be in the group {}", quoted(&known.group(*gid)));
                found.add(Lint::EmptyGroup, written.name.span, message);
            }
        }
    }
    let people = || callers.iter().filter(|(person, _)| PEOPLE.contains(&person.uid.raw()));
    if people().count() >= FEW {
        for ((number, who), written) in (0..).zip(&policy.whos).zip(&draft.written.whos) {
            let id = WhoId(number);
            let allowed = policy.routes.iter().any(|route| route.allow.iter().any(|named| named.who == id));
            let everyone = people().all(|(_, caller)| decider.recognise(ListenerId(0), caller).holds.has(id));
            if allowed && everyone {
                let message = format!("every user of this machine is {}", quoted(&who.name));
                found.add(Lint::Everyone, written.name.span, message);
            }
        }
    }
    for ((number, listener), written) in (0..).zip(&policy.listeners).zip(&draft.written.listens) {
        let id = ListenerId(number);
        let span = written.name.span;
        if listener.browsers {
            let message = "pages that a browser shows can ask here in the name of whoever looks at them";
            found.add(Lint::Browsers, span, message);
        }
        let name = quoted(&listener.name);
        if listener.mode & 0o002 != 0 {
            let message = format!("everybody can open {name}, by its mode {:04o}", listener.mode);
            found.add(Lint::OpenSocket, span, message);
        }
        let (mut strangers, mut outside) = (Vec::new(), Vec::new());
        for (person, caller) in &callers {
            let stranger = decider.recognise(id, caller).is_stranger();
            let can_open = opens(listener, daemon, caller);
            // Root opens what it likes, and owns most sockets.
            let root = person.uid.raw() == 0;
            if stranger && can_open && !root && listener.mode & 0o002 == 0 {
                strangers.push(person.name.as_str());
            }
            if !stranger && !can_open {
                outside.push(person.name.as_str());
            }
        }
        add(
            found,
            Lint::OpenSocket,
            span,
            &format!("{name} can be opened by users who may nothing there"),
            &strangers,
        );
        add(
            found,
            Lint::ClosedSocket,
            span,
            &format!("{name} can't be opened by users who may something there"),
            &outside,
        );
    }
}

fn add(found: &mut Found, lint: Lint, span: Span, message: &str, names: &[&str]) {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return;
    }
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    found.add(lint, span, format!("{message}: {shown}{more}"));
}
