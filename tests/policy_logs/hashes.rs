//! What a record keeps as a hash alone.

use super::{ALLOWED, Record, json, policy, run};

#[test]
fn replay_and_suggest_say_where_a_value_is_kept_as_a_hash() {
    let mut record = Record::new();
    let hash = "/containers/json?token=~0123456789abcdef";
    record.asked(1001, "GET", hash, ALLOWED);
    record.asked(1001, "GET", hash, ALLOWED);
    record.asked(1001, "GET", "/containers/json?token=a", ALLOWED);
    let told = "the value of token is kept as a hash, and route list judges it";
    // Whether the hash itself would be taken, or not.
    for rule in ["\"int 1..9\"", "\"text printable\""] {
        let typed = format!(
            "[[route]]\nid = \"list\"\nmatch = \"GET /containers/json\"\nto = \"docker\"\nallow = \"ci\"\nquery = {{ token = {rule} }}\n"
        );
        let file = record.policy("typed.toml", &policy(&typed));
        let file = file.to_str().unwrap();
        let (lines, code) = json("replay", &record.audit(), &["--policy", file, "--accept", "lost"]);
        let sum = lines.last().unwrap();
        assert_eq!((&sum["unjudged"]["lacking"][told], code), (&2.into(), 0), "{sum:#}");
        assert_eq!(sum["same"].as_u64().unwrap() + sum["lost"].as_u64().unwrap(), 1, "{sum:#}");
        let (_, code) = json("replay", &record.audit(), &["--policy", file, "--accept", "lost", "--strict"]);
        assert_eq!(code, 1);
        let (_, err, code) = run("suggest", &record.audit(), &["--policy", file]);
        assert!(code == 1 && err.contains(told), "{err}");
    }
}
