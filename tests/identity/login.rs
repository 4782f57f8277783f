//! Who logged in, whatever it became since.

use std::process::Command;

use crate::support::daemon::{self, Daemon};
use crate::support::people::person;
use crate::{need_programs, need_root, support};

/// Root, in a login of alice's: what she did after `sudo`.
const BY_LOGIN: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"

[backend.api]
builtin = "api"

[who.alice-as-root]
user = "root"
login_user = "pg-alice"

[who.root]
user = "root"

[[route]]
id = "hers"
match = "GET /_peergate/health"
to = "api"
allow = "alice-as-root"

[[route]]
id = "everyones"
match = "GET /_peergate/whoami"
to = "api"
allow = "root"

[[forbid]]
id = "not-hers"
match = "GET /_peergate/whoami"
who = "alice-as-root"
"#;

#[test]
fn login_uid_is_whoever_logged_in_and_nobody_is_none() {
    need_root!();
    need_programs!("curl");
    let [alice, erin] = ["pg-alice", "pg-erin"].map(|name| person(name).uid.as_raw());
    let daemon = Daemon::start_in(daemon::place(), BY_LOGIN);
    let ask = |login: u32, path: &str| {
        let script = "echo \"$1\" > /proc/self/loginuid && shift && exec curl \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", &login.to_string(), "-s", "-o", "/dev/null", "-w", "%{http_code}"]);
        command.arg("--unix-socket").arg(daemon.socket()).arg(format!("http://h/_peergate/{path}"));
        support::out(&support::run(&mut command)).trim().to_owned()
    };
    // Nobody logged in where a process has none.
    const NOBODY: u32 = u32::MAX;
    for (login, allowed, forbidden) in
        [(alice, "200", "403"), (erin, "403", "200"), (0, "403", "200"), (NOBODY, "403", "403")]
    {
        assert_eq!((ask(login, "health").as_str(), login), (allowed, login));
        assert_eq!((ask(login, "whoami").as_str(), login), (forbidden, login));
    }
    let all = daemon.stop();
    let logins: Vec<_> =
        all.iter().filter(|record| record["t"] == "conn").map(|conn| conn["login"].as_u64()).collect();
    let logins: Vec<_> = logins.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    let told = [Some(alice), Some(erin), Some(0), None].map(|uid| uid.map(u64::from));
    assert_eq!(logins, told.map(|uid| (uid, uid)));
}
