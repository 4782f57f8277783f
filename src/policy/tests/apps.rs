//! Backends that are apps of an embedding program.

use super::{House, own};
use crate::model::app::{Access, Declared, Directory};
use crate::policy::{BackendKind, Own, Policy, load_text};

const HEAD: &str = "version = 1\n[listen.a]\npath = \"/run/a\"\n[who.w]\nuid = 1000\n\
                    [[route]]\nid = \"r\"\nmatch = \"GET /\"\nto = \"f\"\nallow = \"w\"\n";

fn program() -> Own {
    let directories = vec![
        Directory { name: "pages".to_owned(), access: Access::Read },
        Directory { name: "/usr/share/x".to_owned(), access: Access::Read },
    ];
    let backends = vec!["up".to_owned()];
    own().with_apps(vec![Declared { name: "files".to_owned(), directories, ports: Vec::new(), backends }])
}

fn load(backends: &str, own: &Own) -> Result<Policy, String> {
    load_text("p.toml", &format!("{HEAD}{backends}"), &House, own).map_err(|wrong| wrong.to_string())
}

fn wrong(backends: &str, own: &Own) -> String {
    load(backends, own).expect_err("a mistake")
}

const GOOD: &str = "[backend.up]\nproxy = \"unix:/run/up\"\n\
                    [backend.f]\napp = \"files\"\ndirectories.pages = \"/srv/pages\"\n";

#[test]
fn app_is_named_and_its_directories_are_placed() {
    let policy = load(GOOD, &program()).unwrap();
    let placed = vec![("pages".to_owned(), "/srv/pages".to_owned())];
    let kind = BackendKind::App { app: "files".to_owned(), directories: placed };
    assert_eq!(policy.backends[1].kind, kind);
    // A tool that knows no program takes any.
    load("[backend.f]\napp = \"whatever\"\n", &own()).unwrap();
}

#[test]
fn app_that_is_not_there_or_lacks_something_is_shown_in_place() {
    let own = program();
    let all = wrong("[backend.f]\napp = \"file\"\n", &own);
    assert!(all.contains("this program has no app `file`") && all.contains("did you mean `files`?"), "{all}");
    let all = wrong("[backend.f]\napp = \"files\"\ndirectories.page = \"/srv\"\n", &own);
    assert!(all.contains("the app `files` asks for no directory `page`"), "{all}");
    assert!(all.contains("write `directories.pages = \"/its/path\"`"), "{all}");
    assert!(all.contains("write `[backend.up]`"), "{all}");
    let all = wrong("[backend.f]\napp = \"files\"\n", &own.with_apps(Vec::new()));
    assert!(all.contains("only a program that embeds the library has apps"), "{all}");
}

#[test]
fn app_that_declares_what_nobody_can_connect_to_is_shown_that_backend() {
    let app = "[backend.f]\napp = \"files\"\ndirectories.pages = \"/srv/pages\"\n[backend.up]\n";
    let all = wrong(&format!("{app}command = [\"/bin/true\"]\nuser = \"root\"\n"), &program());
    let message = "the app `files` needs a backend `up` that it can connect to, and this is none";
    assert!(all.contains(message) && all.contains("a command is run for a route"), "{all}");
    let all = wrong(&format!("{app}builtin = \"api\"\n"), &program());
    assert!(all.contains(message) && all.contains("give the app a `proxy`"), "{all}");
}

#[test]
fn app_keys_go_with_app_alone_and_an_app_stands_behind_one_backend() {
    let all = wrong(&format!("{GOOD}[backend.g]\napp = \"files\"\ndirectories.pages = \"/x\"\n"), &program());
    assert!(all.contains("the backend `f` leads to this app already"), "{all}");
    let all = wrong("[backend.f]\nbuiltin = \"api\"\ndirectories.pages = \"/x\"\n", &own());
    assert!(all.contains("`directories` goes with `app`"), "{all}");
    let all = wrong("[backend.f]\napp = \"files\"\nowner = \"root\"\n", &own());
    assert!(all.contains("`owner` goes with `proxy`, not with `app`"), "{all}");
    let all = wrong("[backend.f]\napp = \"files\"\nproxy = \"unix:/x\"\n", &own());
    assert!(all.contains("a backend is one of `proxy`, `command`, `builtin` and `app`"), "{all}");
    let all = wrong("[backend.f]\napp = \"files\"\ntimeout = \"1s\"\n", &own());
    assert!(all.contains("`timeout` goes with `command`"), "{all}");
    let all = wrong("[backend.f]\napp = \"files\"\ndirectories.pages = \"srv\"\n", &own());
    assert!(all.contains("`srv` is no absolute path"), "{all}");
}
