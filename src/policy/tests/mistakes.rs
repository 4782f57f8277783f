//! What is wrong is shown in place, all of it, with what to write instead.

use super::{HEAD, mistakes};

/// A route in order, to be spoilt.
const ROUTE: &str = "[[route]]\nid = \"r\"\nmatch = \"GET /r\"\nto = \"docker\"\nallow = \"ops\"\n";

/// [`HEAD`] and [`ROUTE`] with one text in place of another; what is shown, without the gutter.
#[track_caller]
fn spoilt(from: &str, to: &str) -> String {
    let text = format!("{HEAD}{ROUTE}");
    assert!(text.contains(from), "{from:?} is not there");
    mistakes(&text.replacen(from, to, 1))
}

#[test]
fn mistake_is_shown_with_line_caret_and_what_to_write() {
    let expected = r#"
policy.toml:12:1: a route needs `allow`
12 | [[route]]
   | ^^^^^^^^^
   = write `allow = ["operators"]`
policy.toml:16:1: a route has no key `alow`
16 | alow = "ops"
   | ^^^^
   = did you mean `allow`?
"#;
    assert_eq!(format!("\n{}", spoilt("allow =", "alow =")), expected);
}

#[test]
fn mistakes_in_every_table_are_named() {
    for (from, to, said) in [
        // References.
        ("allow = \"ops\"", "allow = \"op\"", "there is no who `op`"),
        ("allow = \"ops\"", "allow = []", "`allow` is empty"),
        ("allow = \"ops\"", "allow = [\"ops\", \"ops\"]", "`allow` names this twice"),
        ("to = \"docker\"", "to = \"dokcer\"", "did you mean `docker`?"),
        ("to = \"docker\"", "on = \"podman\"\nto = \"docker\"", "there is no listener `podman`"),
        ("id = \"r\"\n", "", "a route needs `id`"),
        ("id = \"r\"", "id = \"a b\"", "`a b` is no name"),
        ("id = \"r\"", "id = 7", "`id` is a string, not a number"),
        ("match = \"GET /r\"", "match = []", "`match` is empty"),
        ("match = \"GET /r\"", "match = \"GTE /r\"", "did you mean `GET`?"),
        ("match = \"GET /r\"", "match = \"PROPFIND /r\"", "to take it, name it: `methods = [\"PROPFIND\"]`"),
        ("match = \"GET /r\"", "match = [\"GET /r\", \"GET /{x\"]", "policy.toml:14:26: `{` without `}`"),
        (
            "match = \"GET /r\"",
            "match = [\"GET /{x}\", \"GET /{y}\"]",
            "this route matches the same by `GET /{x}`",
        ),
        // Route keys.
        ("allow =", "query = \"a%b\"\nallow =", "`a%b` can't be read in one way"),
        ("allow =", "body = { max = 64 }\nallow =", "`max` is a size such as `\"64KiB\"`"),
        ("allow =", "body = {}\nallow =", "this `body` says nothing"),
        // What routes read.
        ("allow =", "query = { a = \"itn\" }\nallow =", "did you mean `int`?"),
        ("allow =", "query = { a = \"absent\" }\nallow =", "this type is not known"),
        ("allow =", "query = { \"a%b\" = {} }\nallow =", "`a%b` can't be read in one way"),
        ("allow =", "header = { Host = \"absent\" }\nallow =", "no rule is made about `Host`"),
        ("allow =", "header = { \"A B\" = {} }\nallow =", "`A B` is no header's name"),
        ("allow =", "header = { X-A = {}, x-a = {} }\nallow =", "`header` names this twice"),
        ("allow =", "header = [\"X-A\"]\nallow =", "`header` is a table of names and types, not a list"),
        ("allow =", "body = { content_type = [\"json\"] }\nallow =", "`json` is no media type in lower case"),
        ("allow =", "body = { json = {} }\nallow =", "`json` needs `allow` or `values`"),
        ("allow =", "body = { json = { allow = [\"Image\"] } }\nallow =", "write `/Image`"),
        ("allow =", "body = { json = { alow = [\"/Image\"] } }\nallow =", "did you mean `allow`?"),
        (
            "allow =",
            "body = { json = { allow = [], others = \"alow\" } }\nallow =",
            "write `\"refuse\"` or `\"zero\"`",
        ),
        ("allow =", "body = { json = { values = { \"/a/**\" = \"int\" } } }\nallow =", "`**` has no type"),
        (
            "allow =",
            "body = { json = { values = { \"/a\" = { int = \"1..2\", required = true } } } }\nallow =",
            "`required` goes with names",
        ),
        ("allow =", "body = { json = { allow = [], required = [\"/*\"] } }\nallow =", "write it without `*`"),
        (
            "allow =",
            "body = { max = \"17MiB\", json = { allow = [] } }\nallow =",
            "a body that is judged has at most 16MiB",
        ),
        (
            "allow =",
            "audit = { record = { body = [\"/a\"] } }\nallow =",
            "a member is recorded of a body that is judged",
        ),
        (
            "allow =",
            "audit = { record = { headers = [\"X-A\"], plain = [\"X-B\"] } }\nallow =",
            "did you mean `X-A`?",
        ),
        ("allow =", "audit = { record = { bdy = [] } }\nallow =", "did you mean `body`?"),
        ("allow =", "encoded_slash = \"x\"\nallow =", "`encoded_slash` names `x`, which no `match`"),
        ("allow =", "path_parameter = [\"x\"]\nallow =", "`path_parameter` names `x`, which no `match`"),
        ("allow =", "upgrade = \"TCP\"\nallow =", "`TCP` is no protocol in lower case"),
        ("allow =", "mode = \"shadwo\"\nallow =", "`mode` can't be `shadwo`"),
        ("allow =", "stream = 1\nallow =", "`stream` is `true` or `false`, not a number"),
        ("allow =", "help = \"a\\nb\"\nallow =", "`help` is one line"),
        // Whos.
        ("user = \"ci\"", "user = \"cj\"", "there is no user `cj`"),
        ("user = \"ci\"", "user = \"unanswered\"", "can't be looked up: the name service does not answer"),
        ("user = \"ci\"", "user = []", "`user` is empty"),
        ("user = \"ci\"", "namespace = \"host\"", "this who names nobody"),
        ("user = \"ci\"", "uid = -1", "`uid` is a number below 4294967295"),
        ("user = \"ci\"", "uid = 4294967295", "`uid` is a number below 4294967295"),
        ("user = \"ci\"", "uid = 65534", "the id 65534 names nobody"),
        ("user = \"ci\"", "user = \"ci\"\nuid = 7", "this who holds for nobody"),
        ("group = \"docker-ops\"", "group = \"docker-op\"", "did you mean `docker-ops`?"),
        ("group = \"docker-ops\"", "pid = 1", "`[who.NAME]` has no key `pid`"),
        // Listeners.
        ("path = \"/run/peergate/docker.sock\"", "path = \"run/x\"", "`run/x` is no absolute path"),
        ("path = \"/run/peergate/docker.sock\"", "path = \"/run/../x\"", "`/run/../x` is no absolute path"),
        ("path = \"/run/peergate/docker.sock\"", "path = \"@runtime/x\"", "in a demo only"),
        ("path = \"/run/peergate/docker.sock\"", "path = \"@abstract\"", "`@abstract` is no absolute path"),
        (
            "path = \"/run/peergate/docker.sock\"",
            "path = \"/run/peergate/control.sock\"",
            "the control socket",
        ),
        ("path = \"/run/peergate/docker.sock\"", "mode = \"0660\"", "`[listen.NAME]` needs `path`"),
        ("path = \"/run/peergate/docker.sock\"", "path = \"/a\"\nmode = 660", "`mode` is permission bits"),
        (
            "path = \"/run/peergate/docker.sock\"",
            "path = \"/a\"\nmode = \"0770\"",
            "a socket has no such mode",
        ),
        (
            "[backend.docker]",
            "[listen.other]\npath = \"/b\"\n[backend.docker]",
            "does not say which listener",
        ),
        // Backends.
        ("unix:/run/docker.sock", "/run/docker.sock", "this is no address of a local API"),
        ("unix:/run/docker.sock", "unix:run/docker.sock", "`run/docker.sock` is no absolute path"),
        ("unix:/run/docker.sock", "unix:/run/peergate/docker.sock", "this is the listener `docker` itself"),
        ("unix:/run/docker.sock", "tcp:10.0.0.1:80", "only the loopback is local"),
        ("unix:/run/docker.sock", "http://localhost:80", "names are not resolved"),
        ("unix:/run/docker.sock", "http://127.0.0.1:80/x", "`127.0.0.1:80/x` is no address and port"),
        (
            "proxy = \"unix:/run/docker.sock\"",
            "",
            "a backend is one of `proxy`, `command`, `builtin` and `app`",
        ),
        (
            "proxy = ",
            "builtin = \"api\"\nproxy = ",
            "a backend is one of `proxy`, `command`, `builtin` and `app`",
        ),
        ("proxy = \"unix:/run/docker.sock\"", "builtin = \"api\"\nowner = \"root\"", "goes with `proxy`"),
        (
            "proxy = \"unix:/run/docker.sock\"",
            "proxy = \"tcp:127.0.0.1:1\"\nowner = \"root\"",
            "with `unix:` only",
        ),
        ("proxy = ", "version_prefix = \"/v{x}\"\nproxy = ", "needs a type"),
        // The rest.
        ("version = 1", "version = 2", "this version of the language is not known"),
        ("version = 1", "", "a policy needs `version`"),
        ("version = 1", "version = 1\nroutes = []", "did you mean `route`?"),
        ("version = 1", "version = 1\n[daemon]\ngate_user = \"root\"", "it can't be root"),
        ("version = 1", "version = 1\n[daemon]\ngate_user = \"ci\"\nscribe_user = \"ci\"", "need two users"),
        ("version = 1", "version = 1\n[limits]\nheaders = 0", "`headers` lies between 1 and 10000"),
        ("version = 1", "version = 1\n[limits]\nhead_ms = \"1s\"", "`[limits]` has no key `head_ms`"),
        ("version = 1", "version = 1\n[limits]\nhead_time = \"1ms\"", "lies between \"10ms\" and \"1h\""),
        ("version = 1", "version = 1\n[limits]\ndecisions = 5", "a rate such as `\"200/s\"`"),
        (
            "version = 1",
            "version = 1\n[audit]\nrecord.identity = \"all\"",
            "write `\"needed\"` or `\"full\"`",
        ),
        ("version = 1", "version = 1\n[audit]\nkeep = { count = 0 }", "`count` lies between 1 and 1000000"),
        (
            "allow = \"ops\"",
            "allow = \"ops\"\naudit = { durability = \"disk\" }",
            "write `\"write\"` or `\"sync\"`",
        ),
        (
            "proxy = \"unix:/run/docker.sock\"",
            "builtin = \"api\"\n[[route]]\nid = \"j\"\nmatch = \"GET /j\"\nto = \"docker\"\n\
          allow = \"ops\"\naudit = { on_failure = \"journal\" }",
            "stands in for a `proxy` only",
        ),
        ("version = 1", "version = 1\nversion = 1", "duplicate key"),
        ("version = 1", "version = 1\nmode = 0660", "write a mode in quotes: `\"0660\"`"),
        ("version = 1", "version = 1\nx = [", "policy.toml:"),
    ] {
        let shown = spoilt(from, to);
        assert!(shown.contains(said), "{to}: {shown}");
    }
}

#[test]
fn durability_is_raised_by_a_route_and_never_lowered() {
    let lowered = ROUTE.replace("allow =", "audit = { durability = \"write\" }\nallow =");
    let all = HEAD.replace("version = 1", "version = 1\n[audit]\ndurability = \"sync\"");
    let shown = mistakes(&format!("{all}{lowered}"));
    assert!(shown.contains("a route may raise the durability"), "{shown}");
    super::load(&format!("{HEAD}{lowered}")).unwrap();
}

#[test]
fn mistakes_come_all_at_once() {
    let shown =
        spoilt("to = \"docker\"\nallow = \"ops\"", "to = \"podman\"\nallow = \"opps\"\nhelp = 1\nfoo = 2");
    for said in ["no backend `podman`", "no who `opps`", "`help` is a string", "no key `foo`"] {
        assert!(shown.contains(said), "{shown}");
    }
}

#[test]
fn ids_that_stand_twice_are_shown_with_both_lines() {
    let again = ROUTE.replace("GET", "PUT");
    let shown = mistakes(&format!("{HEAD}{ROUTE}{again}"));
    assert!(shown.starts_with("policy.toml:18:6: the id `r` stands on line 13 already\n"), "{shown}");
}

#[test]
fn routes_that_tie_are_a_mistake_and_others_are_not() {
    let prefix = "proxy = \"unix:/run/docker.sock\"\nversion_prefix = \"/v{api:version}\"";
    let head = HEAD.replace("proxy = \"unix:/run/docker.sock\"", prefix);
    let pair = |a: &str, b: &str| {
        let second = ROUTE.replace("\"r\"", "\"s\"").replace("GET /r", b);
        super::load(&format!("{head}{}{second}", ROUTE.replace("GET /r", a)))
    };
    for (a, b) in [
        ("GET /a", "GET /a"),
        ("GET /{x}", "GET /{y}"),
        ("GET /{x}", "GET /{y:hex}"),
        ("GET /{x:int}", "GET /{y:hex}"),
        ("GET /a{x}", "GET /{x}b"),
        ("GET /a/{x...}", "GET /a/{y...}"),
        ("GET /{x...}/a", "GET /{y...}/a"),
        ("* /a/{x}", "* /a/{y}"),
        ("OPTIONS *", "OPTIONS *"),
        ("GET /v{n:version}/a", "GET /a"),
    ] {
        let shown = pair(a, b).expect_err(&format!("{a} and {b}")).to_string();
        assert!(shown.contains("this is as specific as"), "{shown}");
    }
    for (a, b) in [
        ("GET /a", "POST /a"),
        ("GET /a", "* /a"),
        ("GET /{x}/a", "GET /{x}/b"),
        ("GET /a{x}", "GET /b{x}"),
        ("GET /a{x}", "GET /{x}bc"),
        ("GET /{x:int}", "GET /{x:uuid}"),
        ("GET /{x...}/a", "GET /{x...}"),
        ("GET /a", "GET /a/"),
    ] {
        pair(a, b).unwrap_or_else(|shown| panic!("{a} and {b}: {shown}"));
    }
}

#[test]
fn listener_that_no_route_is_on_is_a_mistake() {
    let two = HEAD.replace("[backend", "[listen.idle]\npath = \"/run/idle\"\n[backend");
    let shown = mistakes(&format!("{two}{}", ROUTE.replace("to =", "on = \"docker\"\nto =")));
    assert!(shown.contains("no route is on the listener `idle`"), "{shown}");
}

#[test]
fn failing_test_of_a_policy_is_shown_and_keeps_it_from_loading() {
    let case = |test: &str| mistakes(&format!("{HEAD}{ROUTE}[[test]]\n{test}"));
    for (test, said) in [
        (
            "who = { user = \"alice\" }\nrequest = \"GET /r\"\nexpect = \"deny\"",
            "policy.toml:20:10: this test fails: the route `r` allows it, by `who.ops` at policy.toml:16",
        ),
        (
            "who = { user = \"bob\" }\nrequest = \"GET /r\"\nexpect = \"allow\"",
            "this test fails: it is refused as `not-allowed`, by `route.r` at policy.toml:13",
        ),
        (
            "who = { user = \"bob\" }\nrequest = \"GET /x\"\nexpect = \"not-allowed\"",
            "this test fails: it is refused as `no-route`",
        ),
        (
            "who = {}\nrequest = \"GET /x\"\nexpect = \"deny\"\nroute = \"r\"",
            "this test expects the route `r`, but no route matches",
        ),
        ("who = {}\nrequest = \"GET /x\"\nexpect = \"deny\"\nroute = \"q\"", "there is no route `q`"),
        ("who = {}\nrequest = \"GET\"\nexpect = \"deny\"", "`GET` is no request"),
        ("who = {}\nrequest = \"GET /\"\nexpect = \"no-rout\"", "did you mean `no-route`?"),
        ("who = {}\nrequest = \"GET /\"\nexpect = \"maybe\"", "`maybe` is neither `allow`, `deny`"),
        ("who = { user = \"x\" }\nrequest = \"GET /\"\nexpect = \"deny\"", "there is no user `x`"),
        (
            "who = { user = \"bob\", uid = 7 }\nrequest = \"GET /\"\nexpect = \"deny\"",
            "not the id of that user",
        ),
        ("request = \"GET /\"\nexpect = \"deny\"", "a test needs `who`"),
    ] {
        assert!(case(test).contains(said), "{test}: {}", case(test));
    }
}

#[test]
fn text_of_any_size_or_bytes_is_refused_in_words() {
    use crate::policy::{LONGEST, load_bytes};
    let load =
        |bytes: &[u8]| load_bytes("p.toml", bytes, &super::House, &super::own()).unwrap_err().to_string();
    assert_eq!(
        load(&vec![b'\n'; LONGEST + 1]),
        "p.toml: the policy has 4194305 bytes; at most 4194304 are read\n"
    );
    assert_eq!(
        load(b"a = 1\n\xff"),
        "p.toml: line 2 holds bytes that are no UTF-8\n  = write the file in UTF-8\n"
    );
    for bytes in
        [&b""[..], b"[[[[", b"a.b.c = {", b"\0", b"[route]", b"route = 1", b"listen = []", b"listen.a = 1"]
    {
        assert!(load(bytes).starts_with("p.toml:"), "{bytes:?}");
    }
}
