//! What a security module says of callers, and what holds where none says anything.

use std::os::unix::net::{UnixListener, UnixStream};

use crate::need_root;
use crate::support::client::Client;
use crate::support::daemon::{self, Daemon};

const BY_LABEL: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"

[backend.api]
builtin = "api"

[who.root]
user = "root"

[who.mine]
user = "root"
label = "@LABEL@"

[who.others]
user = "root"
label = "pg-nobodys"

[[route]]
id = "mine"
match = "GET /_peergate/health"
to = "api"
allow = "mine"

[[route]]
id = "but-others"
match = "GET /_peergate/whoami"
to = "api"
allow = "root"

[[forbid]]
id = "others"
match = "GET /_peergate/whoami"
who = "others"
"#;

/// What this kernel says of whoever connects here: nothing where no security module labels sockets, as where the
/// kernel was built without one.
fn own_label() -> Option<String> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    let (server, _) = listener.accept().unwrap();
    peergate::sys::peer::label(&server).ok().map(|label| String::from_utf8(label).unwrap())
}

#[test]
fn label_allows_whom_it_names_and_where_there_is_none_it_allows_nobody_and_forbids() {
    need_root!();
    let label = own_label();
    let policy = BY_LABEL.replace("@LABEL@", label.as_deref().unwrap_or("unconfined"));
    let daemon = Daemon::start_in(daemon::place(), &policy);
    let ask = |path: &str| {
        let mut client = Client::connect(&daemon.socket());
        client.ask("GET", &format!("/_peergate/{path}")).answer().status()
    };
    let expected = if label.is_some() { (200, 200) } else { (403, 403) };
    assert_eq!((ask("health"), ask("whoami")), expected, "{label:?}");
    let all = daemon.stop();
    let conns: Vec<_> = all.iter().filter(|record| record["t"] == "conn").collect();
    assert!(!conns.is_empty());
    for conn in conns {
        assert_eq!(conn["label"].as_str(), label.as_deref(), "{conn}");
    }
    let forbidden = all.iter().any(|record| record["by"] == "forbid.others");
    assert_eq!(forbidden, label.is_none(), "{all:#?}");
}
