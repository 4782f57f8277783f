//! A policy between two processes.

use super::{HEAD, load};
use crate::model::ids::BackendId;
use crate::policy::{Policy, WhoId};

const RULES: &str = r#"
[[route]]
id = "a"
match = ["GET /v{x:version}/{y...}/z", "OPTIONS *"]
query = []
to = "docker"
allow = ["ops"]
upgrade = "tcp"
[[forbid]]
id = "b"
match = "* /{x...}"
who = ["ci"]
"#;

fn policy() -> Policy {
    load(&format!("{HEAD}{RULES}")).unwrap()
}

#[test]
fn policy_bytes_read_back_whole() {
    let policy = policy();
    assert_eq!(Policy::from_bytes(&policy.to_bytes().unwrap()), Ok(policy));
}

#[test]
fn policy_bytes_that_end_early_or_late_are_refused() {
    let bytes = policy().to_bytes().unwrap();
    for length in 0..bytes.len() {
        assert!(Policy::from_bytes(&bytes[..length]).is_err(), "{length}");
    }
    assert!(Policy::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn policy_bytes_with_any_byte_changed_never_panic() {
    let bytes = policy().to_bytes().unwrap();
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xFF] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            if let Ok(policy) = Policy::from_bytes(&changed) {
                crate::policy::Decider::new(policy.into());
            }
        }
    }
}

#[test]
fn table_with_a_dangling_reference_is_no_policy() {
    type Change = fn(&mut crate::policy::Table);
    let changes: [Change; 9] = [
        |table| table.routes[0].to = BackendId(1),
        |table| table.routes[0].allow[0].who = WhoId(3),
        |table| table.routes[0].allow.clear(),
        |table| table.routes[0].on.clear(),
        |table| table.routes[0].on[0].0 = 1,
        |table| table.forbids[0].who.as_mut().unwrap()[0].who = WhoId(99),
        |table| table.forbids[0].to = Some(vec![BackendId(9)]),
        |table| table.whos[1].groups.clear(),
        |table| table.listeners.clear(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut table = (*policy()).clone();
        change(&mut table);
        assert!(Policy::new(table).is_err(), "{number}");
    }
}
