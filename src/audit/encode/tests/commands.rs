//! What records say of commands.

use super::{reads, request};
use crate::audit::entry::{Entry, Exit, Grant, Run};

#[test]
fn grant_of_a_command_golden() {
    let argv = ["/usr/bin/systemctl".to_owned(), "restart\n".to_owned()];
    let run = Some(Run { argv: &argv, user: "root" });
    reads(
        &Entry::Grant(Grant {
            id: request(),
            uid: 1001,
            backend: "restart",
            policy: "9f2c1e77",
            refused: None,
            via: None,
            run,
        }),
        "grant",
        r#""id":"7k3qzd-41-1","uid":1001,"backend":"restart","policy":"9f2c1e77","user":"root","argv":["/usr/bin/systemctl","restart\u000a"]"#,
    );
}

#[test]
fn grant_to_an_app_golden() {
    let grant = Grant {
        id: request(),
        uid: 1001,
        backend: "docker",
        policy: "9f2c1e77",
        refused: None,
        via: Some("files"),
        run: None,
    };
    reads(
        &Entry::Grant(grant),
        "grant",
        r#""id":"7k3qzd-41-1","uid":1001,"backend":"docker","policy":"9f2c1e77","via":"files""#,
    );
}

#[test]
fn exit_golden() {
    let (what, code, signal) = (None, Some(3), None);
    let exit =
        Exit { id: request(), why: "done", what, code, signal, out: 1, err: 2, us: 3, cpu_us: 4, rss_kib: 5 };
    reads(
        &Entry::Exit(exit),
        "exit",
        r#""id":"7k3qzd-41-1","why":"done","code":3,"out":1,"err":2,"us":3,"cpu_us":4,"rss_kib":5"#,
    );
    reads(
        &Entry::Exit(Exit { why: "lost", what: Some("x"), code: None, signal: Some(9), ..exit }),
        "exit",
        r#""id":"7k3qzd-41-1","why":"lost","what":"x","signal":9,"out":1,"err":2,"us":3,"cpu_us":4,"rss_kib":5"#,
    );
}
