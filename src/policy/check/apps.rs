//! Apps of the program that the policy is for: that they are there, and that each directory which one needs has a place.

use super::super::diagnostics::{At, quoted};
use super::super::file::{Backend as Written, File};
use super::super::names::Names;
use super::super::table::BackendKind;
use super::Checker;
use crate::model::app::Declared;

impl<N: Names> Checker<'_, '_, N> {
    pub(super) fn app(&mut self, app: &At<String>, written: &Written, file: &File) -> Option<BackendKind> {
        self.check_name(app);
        let first =
            file.backends.iter().find(|other| other.app.as_ref().is_some_and(|at| at.value == app.value));
        if let Some(first) = first.filter(|first| first.name.value != written.name.value) {
            let message = format!("the backend {} leads to this app already", quoted(&first.name.value));
            self.problems.add_help(app.span, message, "have both routes lead `to` that one");
        }
        let mut directories = Vec::new();
        for (name, path) in &written.directories {
            let place = self.path(path)?;
            directories.push((name.value.clone(), place));
        }
        // `peergate` checks policies of any program, and knows none of their apps.
        let own = self.own;
        if let Some(apps) = &own.apps {
            match apps.iter().find(|declared| declared.name == app.value) {
                Some(declared) => {
                    self.check_backends(declared, app, file);
                    self.check_directories(declared, app, written);
                }
                None => self.unknown_app(apps, app),
            }
        }
        Some(BackendKind::App { app: app.value.clone(), directories })
    }

    fn unknown_app(&mut self, apps: &[Declared], app: &At<String>) {
        let message = format!("this program has no app {}", quoted(&app.value));
        if apps.is_empty() {
            let help = "only a program that embeds the library has apps: start that one with this policy";
            self.problems.add_help(app.span, message, help);
        } else {
            let names = apps.iter().map(|declared| declared.name.as_str());
            self.problems.add_unknown(app.span, message, &app.value, names);
        }
    }

    /// A handler gets a connection to a backend, and only a proxy has one to give: what else there is, a command first of
    /// all, is behind routes alone.
    fn check_backends(&mut self, declared: &Declared, app: &At<String>, file: &File) {
        for name in &declared.backends {
            let (needs, name) =
                (format!("the app {} needs a backend {}", quoted(&app.value), quoted(name)), name);
            match file.backends.iter().find(|backend| backend.name.value == *name) {
                None => self.problems.add_help(app.span, needs, format!("write `[backend.{name}]`")),
                Some(backend) if backend.proxy.is_some() => {}
                Some(backend) => {
                    let message = format!("{needs} that it can connect to, and this is none");
                    let help = if backend.command.is_some() {
                        "a command is run for a route: lead one `to` it, or give the app a `proxy`"
                    } else {
                        "give the app a `proxy`"
                    };
                    self.problems.add_help(backend.name.span, message, help);
                }
            }
        }
    }

    fn check_directories(&mut self, declared: &Declared, app: &At<String>, written: &Written) {
        let needed = || declared.directories.iter().filter(|directory| directory.is_placed_by_policy());
        for (name, _) in &written.directories {
            if !needed().any(|directory| directory.name == name.value) {
                let message =
                    format!("the app {} asks for no directory {}", quoted(&app.value), quoted(&name.value));
                self.problems.add_unknown(name.span, message, &name.value, needed().map(|d| d.name.as_str()));
            }
        }
        for directory in needed() {
            if !written.directories.iter().any(|(name, _)| name.value == directory.name) {
                let name = &directory.name;
                self.problems.add_help(
                    app.span,
                    format!("the app {} needs a directory {}", quoted(&app.value), quoted(name)),
                    format!("write `directories.{name} = \"/its/path\"`"),
                );
            }
        }
    }
}
