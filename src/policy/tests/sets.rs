//! Whos that narrow, and whos made of others.

use super::{Asking, caller, house, mistakes, uid};
use crate::model::caller::{Attr, Caller, Exe, Namespace};
use crate::model::depth::Depth;
use crate::model::ids::ListenerId;

const ROUTES: &str = r#"
[[route]]
id = "get"
match = "GET /"
to = "docker"
allow = ["w"]
[[route]]
id = "delete"
match = "DELETE /"
to = "docker"
allow = ["ops", "users", "ci"]
[[forbid]]
id = "f"
match = "DELETE /"
who = "w"
"#;

/// Whether the who `w`, written so, allows this caller, and whether it forbids it.
fn judged(who: &str, caller: &Caller) -> (bool, bool) {
    let asking = house(&format!("{who}{ROUTES}"));
    let says = |request| asking.says_to(caller, ListenerId(0), request);
    (says("GET /").starts_with("allow"), says("DELETE /").starts_with("forbidden"))
}

const YES: (bool, bool) = (true, true);
const NO: (bool, bool) = (false, false);
/// Never allowed, always forbidden.
const UNKNOWN: (bool, bool) = (false, true);

fn running(path: &str, trusted: bool) -> Attr<Exe> {
    Attr::Known(Exe { path: path.into(), device: 1, inode: 2, trusted: Attr::Known(trusted) })
}

#[test]
fn program_narrows_by_its_path_and_by_who_could_have_written_it() {
    let mut ci = caller("ci");
    for (who, untrusted, trusted, other) in [
        ("exe = \"/usr/bin/docker\"", YES, YES, NO),
        ("exe = [\"/bin/a\", \"/usr/bin/docker\"]\nexe_trusted = true", NO, YES, NO),
        ("exe_trusted = true", NO, YES, YES),
    ] {
        let who = format!("[who.w]\nuser = \"ci\"\n{who}\n");
        for (program, wanted) in [
            (running("/usr/bin/docker", false), untrusted),
            (running("/usr/bin/docker", true), trusted),
            (running("/usr/bin/docker2", true), other),
            (Attr::Unknown, UNKNOWN),
        ] {
            ci.exe = program;
            assert_eq!(judged(&who, &ci), wanted, "{who} {:?}", ci.exe);
        }
        assert_eq!(judged(&who, &caller("bob")), NO, "another user, whatever it runs");
    }
}

#[test]
fn unit_label_and_login_narrow_and_unknown_ones_never_allow() {
    let mut ci = caller("ci");
    ci.unit = Attr::Known("ci.service".to_owned());
    ci.label = Attr::Known(b"ci (enforce)".to_vec());
    ci.login_uid = Attr::Known(uid(1000));
    for (key, holds, fails) in [
        ("unit", "[\"a.scope\", \"ci.service\"]", "\"ci2.service\""),
        ("label", "\"ci (enforce)\"", "\"ci (complain)\""),
        ("login_uid", "[7, 1000]", "1001"),
        ("login_user", "[\"bob\", \"alice\"]", "\"bob\""),
    ] {
        let who = |value: &str| format!("[who.w]\nuser = \"ci\"\n{key} = {value}\n");
        assert_eq!(judged(&who(holds), &ci), YES, "{key}");
        assert_eq!(judged(&who(fails), &ci), NO, "{key}");
        assert_eq!(judged(&who(holds), &caller("ci")), UNKNOWN, "{key}");
    }
}

#[test]
fn any_of_holds_where_one_does_and_except_where_none_does() {
    let any = "[who.w]\nany_of = [\"ops\", \"ci\"]\n";
    let except = "[who.w]\nany_of = \"users\"\nexcept = [\"ci\", \"ops\"]\n";
    for (user, any_holds, except_holds) in
        [("alice", YES, NO), ("ci", YES, NO), ("bob", NO, YES), ("mallory", NO, NO)]
    {
        assert_eq!(judged(any, &caller(user)), any_holds, "{user}");
        assert_eq!(judged(except, &caller(user)), except_holds, "{user}");
    }
}

#[test]
fn except_of_what_is_not_known_never_allows_and_always_forbids() {
    let who = "[who.w]\ngroup = \"docker-users\"\nexcept = \"shells\"\n\
               [who.shells]\ngroup = \"docker-users\"\nexe = \"/bin/sh\"\nnamespace = \"any\"\n";
    let mut bob = caller("bob");
    assert_eq!(judged(who, &bob), UNKNOWN);
    bob.exe = running("/bin/sh", true);
    assert_eq!(judged(who, &bob), NO);
    bob.exe = running("/bin/ls", true);
    assert_eq!(judged(who, &bob), YES);
}

#[test]
fn except_reads_an_unwritten_namespace_the_other_way_round() {
    // Nobody from a container is taken for one who is not `ci`, and none escapes a forbid by that name.
    let who = "[who.w]\ngroup = \"docker-users\"\nnamespace = \"any\"\nexcept = \"ci\"\n";
    let mut ci = caller("ci");
    assert_eq!(judged(who, &ci), NO);
    for namespace in [Attr::Known(Namespace::Other), Attr::Unknown] {
        ci.namespace = namespace;
        assert_eq!(judged(who, &ci), UNKNOWN, "{:?}", ci.namespace);
    }
}

#[test]
fn who_made_of_itself_is_refused_with_the_way_around() {
    let text = format!(
        "{}[who.a]\nany_of = [\"ci\", \"b\"]\n[who.b]\nuser = \"bob\"\nexcept = \"c\"\n[who.c]\nany_of = \"a\"\n{}",
        super::HEAD,
        ROUTES.replace("\"w\"", "\"a\"")
    );
    let shown = mistakes(&text);
    assert!(
        shown.contains("policy.toml:12:6: this who is made of itself: `a` -> `b` -> `c` -> `a`"),
        "{shown}"
    );
    let own = mistakes(&text.replace("any_of = \"a\"", "any_of = \"c\""));
    assert!(own.contains("made of itself: `c` -> `c`"), "{own}");
}

#[test]
fn whos_of_whos_have_a_bound() {
    let chain = |length: usize| {
        let links = (1..=length).map(|n| format!("[who.w{n}]\nany_of = \"w{}\"\n", n - 1));
        let first = "[who.w0]\nuser = \"ci\"\n".to_owned();
        std::iter::once(first).chain(links).chain([ROUTES.replace("\"w\"", "\"w0\"")]).collect::<String>()
    };
    assert!(house(&chain(16)).says("ci", "GET /").starts_with("allow"));
    // Whichever end the reading begins at.
    let deep = chain(17);
    assert!(mistakes(&format!("{}{deep}", super::HEAD)).contains("more than 16 deep"));
    let turned = deep.replace("[who.w", "[who.x").replace("[who.x17", "[who.w17");
    assert!(mistakes(&format!("{}{turned}", super::HEAD)).contains("there is no who"));
    let long = chain(4000);
    assert!(mistakes(&format!("{}{long}", super::HEAD)).contains("more than 16 deep"));
}

#[test]
fn who_without_any_naming_key_is_refused() {
    for narrowing in ["exe = \"/bin/x\"", "unit = \"a.service\"", "except = \"ci\"", "login_uid = 1"] {
        let shown = mistakes(&format!("{}[who.w]\n{narrowing}\n{ROUTES}", super::HEAD));
        assert!(shown.contains("this who names nobody") && shown.contains("`any_of`"), "{shown}");
    }
}

#[test]
fn mistakes_in_a_who_are_shown_with_what_to_write() {
    let shown = mistakes(&format!(
        "{}[who.w]\nuser = \"ci\"\nexe = \"docker\"\nunit = [\"ci\", \"c i.service\"]\nlabel = \"\"\nany_of = \"opps\"\n\
         exec = []\nlimits = {{ rate = \"50\", bytes = \"0B/h\", burst = 0 }}\n\
         [who.v]\nuser = \"ci\"\nlimits = {{ burst = 3, bodies = 1 }}\n{ROUTES}",
        super::HEAD
    ));
    for wanted in [
        "`docker` is no absolute path",
        "`ci` is no unit that runs something",
        "write the whole name: `ci.service`",
        "`c i.service` is no unit's name",
        "`` is no security label",
        "there is no who `opps`",
        "did you mean `ops`?",
        "has no key `exec`",
        "did you mean `exe`?",
        "`rate` is a rate such as `\"50/s\"`",
        "`bytes` is a size in a time",
        "`burst` lies between 1 and",
        "`burst` goes with `rate`",
        "a who's `limits` has no key `bodies`",
    ] {
        assert!(shown.contains(wanted), "{wanted}\n{shown}");
    }
}

#[test]
fn depth_is_what_the_rules_of_the_listener_ask() {
    let listeners = "version = 1\n[listen.a]\npath = \"/a\"\n[listen.b]\npath = \"/b\"\n[listen.c]\npath = \"/c\"\n\
                     [backend.x]\nproxy = \"unix:/x\"\n";
    let depths = |text: &str| {
        let asking: Asking = super::asking(&format!("{listeners}{text}"));
        [0, 1, 2].map(|listener| asking.decider.depth(ListenerId(listener)))
    };
    let text = r#"
[who.plain]
user = "ci"
[who.unit]
user = "ci"
unit = "ci.service"
[who.made]
any_of = "plain"
except = "unit"
[who.program]
user = "ci"
exe_trusted = true
[who.unused]
user = "ci"
label = "x"
login_uid = 7
[[route]]
id = "a"
on = "a"
match = "GET /"
to = "x"
allow = "plain"
[[route]]
id = "b"
on = ["b", "c"]
match = "GET /"
to = "x"
allow = "made"
[[forbid]]
id = "c"
on = "c"
match = "GET /"
who = "program"
"#;
    let unit = Depth { unit: true, ..Depth::CHEAP };
    assert_eq!(depths(text), [Depth::CHEAP, unit, Depth { program: true, ..unit }]);
    // A limit holds on every listener.
    let limited = text.replace("login_uid = 7", "limits = { concurrent = 1 }");
    assert!(depths(&limited).iter().all(|depth| depth.label));
    let forbidden = text.replace("on = \"c\"\nmatch", "match");
    assert!(depths(&forbidden).iter().all(|depth| depth.program));
}
