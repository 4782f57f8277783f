//! Whos: names become ids, others become places in the list, and each is made of what comes to an end.

use super::super::diagnostics::{At, Span, quoted};
use super::super::file::{File, Texts, Who as Written, WhoLimits as WrittenLimits};
use super::super::names::Names;
use super::super::sets::{DEEPEST, Order, Tangled};
use super::super::table::{Who, WhoId, WhoLimits};
use super::{Checker, find};
use crate::model::caller::{Gid, Uid};

/// The id that the kernel shows for users that it can't name here.
const OVERFLOW: u32 = 65_534;
/// Longer than the kernel gives any.
const LABEL_BYTES: usize = 4096;
/// The kinds of units that processes are of.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

impl<N: Names> Checker<'_, '_, N> {
    pub(super) fn whos(&mut self, file: &File) -> Vec<Who> {
        let whos: Vec<Who> = file.whos.iter().map(|who| self.who(who)).collect();
        if let Err(tangled) = Order::of(&whos) {
            self.tangled(file, &tangled);
        }
        whos
    }

    fn who(&mut self, written: &Written) -> Who {
        let uids = self.users(written, ("uid", written.uid.as_ref()), ("user", written.user.as_ref()));
        let login_uids =
            (("login_uid", written.login_uid.as_ref()), ("login_user", written.login_user.as_ref()));
        let login_uids = self.users(written, login_uids.0, login_uids.1);
        let gids = self.ids(written.gid.as_ref(), Gid::new);
        let groups = written.group.as_ref().map(|names| {
            let found = names.value.iter().filter_map(|name| {
                let gid = self.people.group(name, self.problems)?;
                self.check_overflow(gid.raw(), name.span).then_some(gid)
            });
            found.collect::<Vec<Gid>>()
        });
        Who {
            name: written.name.value.clone(),
            line: self.problems.line(written.name.span),
            uids: uids.map(sorted),
            groups: gids.into_iter().chain(groups).map(sorted).collect(),
            namespace: written.namespace.as_ref().map(|namespace| namespace.value),
            exe: written.exe.as_ref().map(|paths| self.programs(paths)),
            exe_trusted: written.exe_trusted.as_ref().is_some_and(|trusted| trusted.value),
            units: written.unit.as_ref().map(|units| self.units(units)),
            labels: written.label.as_ref().map(|labels| self.labels(labels)),
            login_uids: login_uids.map(sorted),
            any_of: written.any_of.as_ref().map(|others| self.others(others)),
            except: written.except.as_ref().map(|others| self.others(others)).unwrap_or_default(),
            limits: written.limits.as_ref().map(|limits| self.who_limits(limits)).unwrap_or_default(),
        }
    }

    /// The users of two keys, by id and by name.
    fn users(
        &mut self,
        who: &Written,
        (by_id, uids): (&str, Option<&At<Vec<At<u32>>>>),
        (by_name, names): (&str, Option<&Texts>),
    ) -> Option<Vec<Uid>> {
        let users = names.map(|names| {
            let found = names.value.iter().filter_map(|name| {
                let user = self.people.user(name, self.problems)?;
                self.check_overflow(user.uid.raw(), name.span).then_some(user.uid)
            });
            found.collect::<Vec<Uid>>()
        });
        match (self.ids(uids, Uid::new), users) {
            (Some(uids), Some(users)) => {
                // Keys are ANDed: both lists name the caller.
                let both: Vec<_> = uids.iter().filter(|uid| users.contains(uid)).copied().collect();
                if both.is_empty() && !uids.is_empty() && !users.is_empty() {
                    let help = "keys are ANDed, values ORed: write one of the two keys, or make two whos";
                    let message = format!("this who holds for nobody: no `{by_name}` has an id in `{by_id}`");
                    self.problems.add_help(who.name.span, message, help);
                }
                Some(both)
            }
            (uids, users) => uids.or(users),
        }
    }

    fn programs(&mut self, written: &Texts) -> Vec<String> {
        written.value.iter().filter_map(|path| self.path(path)).collect()
    }

    fn units(&mut self, written: &Texts) -> Vec<String> {
        let mut units = Vec::new();
        for At { value: name, span } in &written.value {
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte));
            if !UNITS.iter().any(|kind| name.ends_with(kind)) {
                let help = format!("write the whole name: `{name}.service`");
                let help = if plain { help } else { "write it as `systemctl` shows it".to_owned() };
                self.problems.add_help(
                    *span,
                    format!("{} is no unit that runs something", quoted(name)),
                    help,
                );
            } else if !plain || name.starts_with('.') {
                self.problems.add_help(
                    *span,
                    format!("{} is no unit's name", quoted(name)),
                    "write one unit as `systemctl` shows it; there are no patterns",
                );
            }
            units.push(name.clone());
        }
        units
    }

    fn labels(&mut self, written: &Texts) -> Vec<String> {
        for At { value: label, span } in &written.value {
            if label.is_empty() || label.len() > LABEL_BYTES || label.contains(char::is_control) {
                let help = "write it as `ps -Z` shows it, such as `\"docker-default (enforce)\"`";
                self.problems.add_help(*span, format!("{} is no security label", quoted(label)), help);
            }
        }
        written.value.iter().map(|label| label.value.clone()).collect()
    }

    fn others(&mut self, written: &Texts) -> Vec<WhoId> {
        let known = &self.whos;
        written.value.iter().filter_map(|name| find(self.problems, "who", name, known)).collect()
    }

    fn who_limits(&mut self, written: &At<WrittenLimits>) -> WhoLimits {
        let At { value: limits, span } = written;
        let count = |count: &Option<At<u64>>| count.as_ref().and_then(|at| u32::try_from(at.value).ok());
        let meant = WhoLimits {
            rate: limits.rate.as_ref().map(|at| at.value),
            burst: count(&limits.burst),
            concurrent: count(&limits.concurrent),
            connections: count(&limits.connections),
            body: limits.body.as_ref().map(|at| at.value),
            bytes: limits.bytes.as_ref().map(|at| at.value),
        };
        if meant.is_empty() && self.problems.is_empty() {
            let help =
                "write one of `rate`, `concurrent`, `connections`, `body` and `bytes`, or leave it out";
            self.problems.add_help(*span, "these `limits` limit nothing", help);
        }
        meant
    }

    /// Shows whos that are made of themselves, or of others too deep down.
    fn tangled(&mut self, file: &File, tangled: &Tangled) {
        let (path, message) = match tangled {
            Tangled::Cycle(path) => (path, "this who is made of itself".to_owned()),
            Tangled::Deep(path) => {
                (path, format!("this who is made of whos that are made of whos, more than {DEEPEST} deep"))
            }
        };
        let named = |id: &WhoId| file.whos.get(usize::from(id.0)).map(|who| &who.name);
        let names: Vec<String> = path.iter().filter_map(named).map(|name| quoted(&name.value)).collect();
        let Some(first) = path.first().and_then(named) else { return };
        self.problems.add_help(
            first.span,
            format!("{message}: {}", names.join(" -> ")),
            "take one of the names out of `any_of` or `except`",
        );
    }

    fn ids<I>(&mut self, written: Option<&At<Vec<At<u32>>>>, new: fn(u32) -> Option<I>) -> Option<Vec<I>> {
        let list = &written?.value;
        Some(
            list.iter()
                .filter(|id| self.check_overflow(id.value, id.span))
                .filter_map(|id| new(id.value))
                .collect(),
        )
    }

    /// An id that stands for "somebody else" can't say who somebody is.
    fn check_overflow(&mut self, id: u32, span: Span) -> bool {
        if id == OVERFLOW {
            let message = format!(
                "the id {OVERFLOW} names nobody: the kernel shows it for everyone it can't name here"
            );
            self.problems.add(span, message);
        }
        id != OVERFLOW
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
