use super::gather::{captures, decoded, members};
use super::*;
use crate::model::target::Target;
use crate::policy::pattern::Pattern;
use crate::policy::value::Kind;

fn found(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    let (pattern, target) = (Pattern::parse(pattern).unwrap(), Target::parse(path.as_bytes()).unwrap());
    let captured = captures(&pattern, "POST", &target)?;
    Some(captured.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn captures_are_those_of_the_pattern_that_matches() {
    assert_eq!(found("POST /a/{b}", "/a/c"), Some(vec![pair("b", "c")]));
    assert_eq!(found("* /v{n:int}.x/{r}", "/v7.x/y"), Some(vec![pair("n", "7"), pair("r", "y")]));
    assert_eq!(found("POST /a/{r...}", "/a/b/c"), Some(vec![pair("r", "b/c")]));
    assert_eq!(found("POST /a/{r...}/end", "/a/b/c/end"), Some(vec![pair("r", "b/c")]));
    for (pattern, path) in [
        ("GET /a/{b}", "/a/c"),
        ("POST /a/{b}", "/a"),
        ("POST /a/{b}", "/a/b/c"),
        ("POST /a/{b:int}", "/a/b"),
        ("POST /a/{r...}/end", "/a/end"),
        ("POST /a/{r...}/end", "/a/b/other"),
    ] {
        assert_eq!(found(pattern, path), None, "{pattern} {path}");
    }
}

#[test]
fn decoded_is_what_the_triplets_say_and_a_plus_itself() {
    assert_eq!(decoded("a%20b%C3%A9+"), Ok("a bé+".to_owned()));
    assert_eq!(decoded("%FF"), Err(Refusal::Parameter));
}

#[test]
fn members_are_those_of_one_flat_object() {
    let wants = |name: &str| matches!(name, "a" | "b" | "c");
    let read = |body: &str| members(body.as_bytes(), &wants);
    let all = [pair("a", "x y"), pair("b", "7"), pair("c", "true")];
    assert_eq!(read(r#"{"a":"x y","b":7,"c":true}"#), Ok(all.into()));
    for body in [
        "[]",
        r#"{"a":"x","a":"y"}"#,
        r#"{"a":"x","A":"y"}"#,
        r#"{"d":"x"}"#,
        r#"{"a":["x"]}"#,
        r#"{"a":null}"#,
        r#"{"a":"x"} {}"#,
    ] {
        assert_eq!(read(body), Err(Refusal::Parameter), "{body}");
    }
}

fn parameter(name: &str, kind: Wanted) -> Parameter {
    let (optional, secret, dash, empty) = (false, false, false, false);
    Parameter { name: name.to_owned(), from: Origin::Query, kind, optional, secret, dash, empty }
}

fn command(parameters: Vec<Parameter>, arguments: Vec<Vec<Part>>) -> Command {
    use crate::model::caller::{Gid, Uid};
    use crate::policy::table::{Bounds, Cage, OnLeave, Template};
    Command {
        program: "/bin/x".to_owned(),
        arguments: arguments.into_iter().map(Template).collect(),
        parameters,
        cage: Cage {
            user: "root".to_owned(),
            uid: Uid::new(0).unwrap(),
            gid: Gid::new(0).unwrap(),
            groups: Vec::new(),
            environment: Vec::new(),
            directory: "/".to_owned(),
            umask: 0o077,
            rlimits: Vec::new(),
            new_privileges: false,
            sandbox: None,
        },
        bounds: Bounds { timeout_ms: 1, grace_ms: 1, output: 1, on_leave: OnLeave::Kill },
        stdin: None,
        statuses: Vec::new(),
        concurrent: 1,
        queue: 0,
    }
}

#[test]
fn filled_takes_each_value_once_and_of_its_kind() {
    let parameters = vec![
        parameter("any", Wanted::Value(Kind::Any)),
        Parameter { optional: true, secret: true, ..parameter("n", Wanted::Value(Kind::Int(None))) },
    ];
    let text = |text: &str| Part::Text(text.to_owned());
    let command = command(
        parameters,
        vec![vec![text("--x="), Part::Parameter(0)], vec![Part::Parameter(1)], vec![text("end")]],
    );
    let words = |given: &[(String, String)]| {
        let filled = command.filled(given).ok()?;
        let word = |argument: &Argument| match argument {
            Argument::Text(text) => text.clone(),
            Argument::Below { .. } => panic!("no path is wanted"),
        };
        Some(filled.iter().map(word).collect::<Vec<_>>())
    };
    assert_eq!(words(&[pair("any", "a b")]).unwrap(), ["--x=a b", "end"]);
    assert_eq!(words(&[pair("n", "7"), pair("any", "a")]).unwrap(), ["--x=a", "7", "end"]);
    for given in [
        vec![],
        vec![pair("n", "7")],
        vec![pair("any", "")],
        vec![pair("any", "-a")],
        vec![pair("any", "a\0b")],
        vec![pair("any", "a"), pair("n", "x")],
        vec![pair("any", "a"), pair("any", "b")],
        vec![pair("any", "a"), pair("more", "b")],
    ] {
        assert_eq!(words(&given), None, "{given:?}");
    }
    let told = command.told(&[pair("any", "a"), pair("n", "7")], |_| "~hash".to_owned());
    assert_eq!(told, ["/bin/x", "--x=a", "~hash", "end"]);
}

#[test]
fn gathered_takes_each_value_from_its_own_place_alone() {
    let from = |name: &str, from| Parameter { from, ..parameter(name, Wanted::Value(Kind::Any)) };
    let parameters =
        vec![from("path", Origin::Path), from("query", Origin::Query), from("body", Origin::Body)];
    let command = command(parameters, Vec::new());
    let policy = crate::policy::load_text(
        "t",
        "version = 1\n[listen.a]\npath = \"/run/a/s\"\n[backend.b]\nproxy = \"unix:/run/b\"\n[who.w]\nuid = [0]\n\
         [[route]]\nid = \"r\"\nmatch = [\"POST /{path}/{other}\"]\nto = \"b\"\nallow = [\"w\"]\n",
        &crate::policy::SystemNames,
        &crate::policy::Own::system(crate::model::caller::Uid::new(0).unwrap(), crate::model::caller::Gid::new(0).unwrap()),
    )
    .unwrap();
    let gathered = |target: &str, members: &[(String, String)]| {
        let target = Target::parse(target.as_bytes()).unwrap();
        gathered(&command, &policy.routes[0], "POST", &target, members)
    };
    let all = [pair("path", "a b"), pair("query", "c"), pair("body", "d")];
    assert_eq!(gathered("/a%20b/x?query=c", &[pair("body", "d")]), Ok(all.into()));
    assert_eq!(gathered("/a+b/x?query=a%2Bb", &[]), Ok(vec![pair("path", "a+b"), pair("query", "a+b")]));
    for (target, member) in [
        ("/a/x", "path"),
        ("/a/x", "query"),
        ("/a/x", "other"),
        ("/a/x?body=d", "body"),
        ("/a/x?path=d", "body"),
        // To some a space, to others itself: in a query it is neither.
        ("/a/x?query=a+b", "body"),
    ] {
        let refused = gathered(target, &[pair(member, "d")]);
        assert_eq!(refused, Err(Refusal::Parameter), "{target} {member}");
    }
}

#[test]
fn filled_path_names_something_below_and_nothing_else() {
    let kind = Wanted::Below { directory: "/srv".to_owned(), opened: true };
    let command = command(vec![parameter("p", kind)], vec![vec![Part::Parameter(0)]]);
    assert!(command.filled(&[pair("p", "a/b")]).is_ok());
    for path in ["", ".", "..", "a/../b", "/etc", "a//b", "a/", "-a", "a\nb"] {
        assert!(command.filled(&[pair("p", path)]).is_err(), "{path:?}");
    }
}
