//! Callers narrowed by their unit, as a service manager of its own starts them.

use crate::house::House;
use crate::need_machine;
use crate::support::{out, records};

const BY_UNIT: &str = r#"
version = 1

[listen.api]
path  = "/run/peergate/api.sock"
group = "peergate"

[backend.peergate]
builtin = "api"

[who.alice]
user = "alice"

[who.deploy]
user = "alice"
unit = "deploy.service"

[[route]]
id    = "deploys"
match = "GET /_peergate/health"
to    = "peergate"
allow = "deploy"

[[route]]
id    = "but-deploy"
match = "GET /_peergate/whoami"
to    = "peergate"
allow = "alice"

[[forbid]]
id    = "no-deploy"
match = "GET /_peergate/whoami"
who   = "deploy"
"#;

/// Asks for what the unit alone may, and for what it alone may not; prints both statuses.
const ASK: &str = "for target in health whoami; do curl --silent --max-time 30 --output /dev/null --write-out '%{http_code} ' \
     --unix-socket /run/peergate/api.sock http://localhost/_peergate/$target; done";

/// The same from a group of the caller's own that is called like the unit, below what a service was given.
const BELOW: &str = "own=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); mkdir $own/deploy.service && \
     echo $$ >$own/deploy.service/cgroup.procs";

fn asked(house: &House, how: &str, before: &str) -> String {
    let mut command = house.machine.command("systemd-run");
    command.args(["--quiet", "--wait", "--pipe", "--collect"]).args(how.split(' '));
    let output = command.args(["sh", "-c", &format!("set -e; {before}; {ASK}")]).output().unwrap();
    assert!(output.status.success(), "{how}: {}", crate::support::said(&output));
    out(&output).trim().to_owned()
}

#[test]
fn unit_allows_its_own_process_and_no_other_of_the_same_user() {
    need_machine!();
    let house = House::installed();
    let mut write = house.machine.command("sh");
    write.args(["-c", "printf '%s' \"$1\" > /etc/peergate/policy.toml", "sh", BY_UNIT]);
    assert!(write.status().unwrap().success());
    house.machine.sh("systemctl restart peergated.service");

    assert_eq!(asked(&house, "--uid=alice --unit=deploy", ":"), "200 403");
    assert_eq!(asked(&house, "--uid=alice --unit=other", ":"), "403 200");
    // It is not in the unit whose name it gave a group of its own.
    assert_eq!(asked(&house, "--uid=alice --unit=lent --property=Delegate=yes", BELOW), "403 200");
    // Nobody but its user, whatever its unit.
    assert_eq!(asked(&house, "--uid=bob --unit=deploy", ":"), "403 403");
    // In a session's slice there is no unit that counts: unknown allows nothing, and forbids.
    assert_eq!(asked(&house, "--uid=alice --slice=user.slice --unit=deploy", ":"), "403 403");
    let session = house.machine.command_as("alice", "sh").args(["-c", ASK]).output().unwrap();
    assert_eq!(out(&session).trim(), "403 403");

    // The record names the unit, and who asks why is told both.
    let audit = house.audit();
    let why = |unit: Option<&str>, decision: &str| {
        let told = records::wait(&audit, |all| {
            let id = |record: &serde_json::Value| record["id"].as_str().unwrap().to_owned();
            let conn = all.iter().find(|record| record["t"] == "conn" && record["unit"].as_str() == unit)?;
            all.iter().find_map(|record| {
                let is_its = record["t"] == "decision" && id(record).starts_with(&format!("{}-", id(conn)));
                (is_its && record["decision"] == decision && record["route"] == "deploys").then(|| id(record))
            })
        });
        out(&house
            .machine
            .try_sh(&format!("peergate policy explain /etc/peergate/policy.toml --record {told}")))
    };
    let allowed = why(Some("deploy.service"), "allow");
    assert!(allowed.contains("who.deploy") || allowed.contains("`deploy`"), "{allowed}");
    let denied = why(Some("other.service"), "deny");
    assert!(denied.contains("deploy.service") && denied.contains("other.service"), "{denied}");
    let unknown = why(None, "deny");
    assert!(unknown.contains("deploy.service") && unknown.contains("unit"), "{unknown}");
}
