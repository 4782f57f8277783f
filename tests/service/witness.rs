//! The journal as a witness: a real journald, asked by `journalctl`.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::machine::{Machine, lacking};
use crate::support::{heads, run};

const POLICY: &str = r#"
version = 1
[daemon]
control = "/run/peergate/control.sock"
[audit]
directory = "/var/log/peergate"
witness = { journal = true, syslog = "unix:/dev/log", every = "1s" }
[listen.api]
path = "/run/peergate/api.sock"
[backend.own]
builtin = "api"
[who.root]
uid = [0]
[[route]]
id = "health"
match = ["GET /_peergate/health"]
to = "own"
allow = ["root"]
"#;

/// By the id that the manual names.
const BY_ID: &str = "journalctl --quiet --no-pager --output=cat MESSAGE_ID=37041db90f37e7e133f1fd37180da69e";
/// What came by /dev/log, which journald reads too, has no such id.
const BY_SYSLOG: &str =
    "journalctl --quiet --no-pager --output=cat _TRANSPORT=syslog SYSLOG_IDENTIFIER=peergated";

#[test]
fn journal_keeps_heads_to_the_last() {
    if let Some(why) = lacking() {
        crate::skip!("{why}");
    }
    let shared = tempfile::tempdir().unwrap();
    run(Command::new("cp").arg(env!("CARGO_BIN_EXE_peergated")).arg(shared.path()));
    std::fs::write(shared.path().join("policy.toml"), POLICY).unwrap();
    std::fs::set_permissions(shared.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let machine = Machine::boot(shared.path());
    machine.sh("mkdir -p /run/peergate && systemd-run --quiet --unit=peergated --service-type=notify \
                /shared/peergated --policy /shared/policy.toml");
    assert_eq!(machine.call("root", "/_peergate/health").0, 200);
    for query in [BY_ID, BY_SYSLOG] {
        heads::until("two heads in the journal", || {
            (heads::find(&machine.sh(query)).len() > 1).then_some(())
        });
    }
    let told = machine
        .sh("journalctl --quiet --no-pager --output=export MESSAGE_ID=37041db90f37e7e133f1fd37180da69e");
    for field in ["SYSLOG_IDENTIFIER=peergated", "PRIORITY=5", "_UID=0", "_SYSTEMD_UNIT=peergated.service"] {
        assert!(told.lines().any(|line| line == field), "{field} is not in\n{told}");
    }
    machine.sh("systemctl stop peergated");
    let audit = machine.path("/var/log/peergate");
    let last = *heads::seals(&audit).keys().last().unwrap();
    for query in [BY_ID, BY_SYSLOG] {
        heads::until("the last head", || {
            heads::find(&machine.sh(query)).last().filter(|head| (head.epoch, head.i) == last).map(drop)
        });
        heads::prove(&heads::find(&machine.sh(query)), &audit);
    }
}
