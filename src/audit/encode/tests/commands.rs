//! What records say of commands.

use super::{ARGV, Digest, proper, reads, request};
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
fn argv_without_room_is_told_as_cut_with_how_many_and_the_hash_of_all() {
    let told = |argv: &[String]| {
        let run = Some(Run { argv, user: "root" });
        let (id, uid, backend, policy) = (request(), 1001, "restart", "9f2c1e77");
        proper(&Entry::Grant(Grant { id, uid, backend, policy, refused: None, via: None, run }))
    };
    // A list of quite some arguments, and one after another long one, are there whole.
    let long = "A".repeat(4 << 10);
    for argv in [vec!["x".to_owned(); 3_500], vec![long.clone(), long.clone(), format!("{long}; the rest")]] {
        let told = told(&argv);
        assert_eq!(told["argv"], serde_json::json!(argv));
        assert!(told["argv_len"].is_null() && told["argv_sha"].is_null(), "{told}");
    }
    let hash = |argv: &[String]| {
        let whole: String = argv.iter().map(|one| format!("{one}\0")).collect();
        Digest::of(whole.as_bytes()).0.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    // Within an argument, right behind one, and where the last one alone is too long.
    let most = "A".repeat(ARGV - 3);
    for (argv, shown) in [
        (vec!["/bin/x".to_owned(), most.clone(), "b".to_owned()], 2),
        (vec![most.clone(), "b".to_owned()], 1),
        (vec![format!("{most}; the part that matters")], 1),
    ] {
        let told = told(&argv);
        assert_eq!(told["argv"].as_array().unwrap().len(), shown);
        assert_eq!((&told["argv_len"], &told["argv_sha"]), (&argv.len().into(), &hash(&argv).into()));
    }
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
