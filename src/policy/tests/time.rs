//! Grants that end, and rules that hold at some hours.

use std::sync::Arc;

use super::{HEAD, house, load, mistakes};
use crate::model::clock::Clock;
use crate::model::ids::ListenerId;
use crate::model::time::Timestamp;
use crate::policy::{Decider, Policy, Verdict};

const ROUTE: &str = "[[route]]\nid = \"r\"\nmatch = [\"GET /r\"]\nto = \"docker\"\nallow = [\"ops\"]\n";

#[test]
fn grant_ends_at_its_instant_in_any_offset() {
    for until in ["2026-12-31T17:00:00Z", "2026-12-31T18:00:00+01:00", "2026-12-31 11:30:00-05:30"] {
        let asking = house(&format!("{ROUTE}until = {until}\n"));
        let says = |instant| asking.says_at("alice", "GET /r", instant);
        assert_eq!(says(Some("2026-12-31T16:59:59.999999Z")), "allow r by who.ops", "{until}");
        assert_eq!(says(Some("2026-12-31T17:00:00Z")), "expired r by route.r", "{until}");
        assert_eq!(says(None), "allow r by who.ops");
        // Who may not is told nothing of the time.
        assert_eq!(asking.says_at("bob", "GET /r", Some("2027-01-01")), "not-allowed r by route.r");
    }
}

#[test]
fn expired_grant_stays_so_when_the_clock_steps_back() {
    let now = Timestamp::now();
    let in_an_hour = Timestamp::from_micros(now.micros() + 3_600_000_000);
    let policy: Arc<Policy> = load(&format!("{HEAD}{ROUTE}until = {in_an_hour}\n")).unwrap().into();
    let clock = Arc::<Clock>::default();
    let allows = |decider: Decider| {
        let asking = super::Asking { decider };
        asking.says("alice", "GET /r").starts_with("allow")
    };
    let decider = || Decider::with_clock(Arc::clone(&policy), Arc::clone(&clock));
    assert!(allows(decider()));
    // Somebody has seen a later time than it is now.
    clock.see(in_an_hour);
    assert!(!allows(decider()), "another policy of the same start knows it too");
}

#[test]
fn backend_is_out_of_reach_once_every_grant_to_it_has_ended() {
    let both = |until: &str| {
        let text = format!("{HEAD}{ROUTE}until = {until}\naudit = {{ on_failure = \"journal\" }}\n");
        let decider = Decider::new(Arc::new(load(&text).unwrap()));
        let subject = decider.recognise(ListenerId(0), &super::caller("alice"));
        let backend = crate::model::ids::BackendId(0);
        assert!(!subject.is_stranger(), "it has a grant, if an ended one");
        (
            decider.may_reach(ListenerId(0), &subject, backend),
            decider.may_by_journal(ListenerId(0), &subject, "r", backend),
            decider.what_may(ListenerId(0), &subject).len(),
        )
    };
    assert_eq!(both("2001-01-01T00:00:00Z"), (false, false, 0));
    assert_eq!(both("9999-01-01T00:00:00Z"), (true, true, 1));
}

#[test]
fn hours_are_those_of_the_zone_in_summer_and_in_winter() {
    let asking = house(&format!(
        "{ROUTE}when = {{ days = [\"mon-fri\"], from = \"08:00\", to = \"18:00\", zone = \"Europe/Berlin\" }}\n"
    ));
    for (instant, open) in [
        // A Monday, one hour ahead of UTC.
        ("2026-11-23T06:59:59Z", false),
        ("2026-11-23T07:00:00Z", true),
        ("2026-11-23T16:59:59Z", true),
        ("2026-11-23T17:00:00Z", false),
        // Another, two hours ahead.
        ("2026-07-20T05:59:59Z", false),
        ("2026-07-20T06:00:00Z", true),
        ("2026-07-20T16:00:00Z", false),
        // A Saturday; and far beyond the table of the file, by its rule.
        ("2026-11-28T10:00:00Z", false),
        ("2150-07-20T06:00:00Z", true),
        ("2150-07-20T05:59:59Z", false),
    ] {
        let said = asking.says_at("alice", "GET /r", Some(instant));
        assert_eq!(said == "allow r by who.ops", open, "{instant}: {said}");
        assert!(open || said == "out-of-hours r by route.r", "{said}");
    }
}

#[test]
fn of_several_windows_one_has_to_hold() {
    let windows = "when = [{ days = [\"mon-fri\"], from = \"08:00\", to = \"18:00\", zone = \"Europe/Berlin\" }, \
                   { days = \"sat\", to = \"12:00\", zone = \"UTC\" }]\n";
    let asking = house(&format!(
        "{ROUTE}{windows}[[forbid]]\nid = \"f\"\nmatch = \"GET /f\"\n{windows}[[route]]\nid = \"g\"\nmatch = \"GET /f\"\nto = \"docker\"\nallow = \"ops\"\n"
    ));
    for (instant, open) in [
        ("2026-11-23T07:00:00Z", true),
        ("2026-11-23T18:00:00Z", false),
        ("2026-11-28T11:59:59Z", true),
        ("2026-11-28T12:00:00Z", false),
        ("2026-11-29T09:00:00Z", false),
    ] {
        let said = asking.says_at("alice", "GET /r", Some(instant));
        assert_eq!(said == "allow r by who.ops", open, "{instant}: {said}");
        let said = asking.says_at("alice", "GET /f", Some(instant));
        assert_eq!(said == "forbidden g by forbid.f", open, "{instant}: {said}");
    }
}

#[test]
fn forbid_that_ends_is_a_mistake_and_said_why() {
    let shown = mistakes(&format!(
        "{HEAD}{ROUTE}[[forbid]]\nid = \"f\"\nmatch = \"GET /r\"\nuntil = 2026-12-31T17:00:00Z\n"
    ));
    assert!(shown.contains("has no key `until`") && shown.contains("would be open from then on"), "{shown}");
}

#[test]
fn forbid_holds_at_its_hours_and_takes_nothing_at_others() {
    let asking = house(&format!(
        "{ROUTE}[[forbid]]\nid = \"freeze\"\nmatch = \"GET /r\"\n\
         when = {{ days = [\"fri-mon\"], from = \"18:00\", to = \"06:00\", zone = \"UTC\" }}\n"
    ));
    for (instant, frozen) in [
        ("2026-11-26T19:00:00Z", false),
        ("2026-11-27T18:00:00Z", true),
        ("2026-11-30T05:59:59Z", true),
        ("2026-12-01T05:59:59Z", true),
        ("2026-12-01T06:00:00Z", false),
    ] {
        let said = asking.says_at("alice", "GET /r", Some(instant));
        assert_eq!(said.starts_with("forbidden"), frozen, "{instant}: {said}");
    }
    assert!(asking.says_at("alice", "GET /r", None).starts_with("forbidden"), "whenever it holds");
}

#[test]
fn permit_says_whether_time_can_take_it_back() {
    let timed = "until = 9999-01-01T00:00:00Z\n";
    let forbid = "[[forbid]]\nid = \"f\"\nmatch = \"GET /f\"\n\
                  when = { days = [\"sun\"], zone = \"UTC\" }\n";
    for (rules, may_end) in
        [(ROUTE.to_owned(), false), (format!("{ROUTE}{timed}"), true), (format!("{ROUTE}{forbid}"), true)]
    {
        let asking = house(&rules);
        let (method, target) = (
            crate::model::method::Method::parse(b"GET").unwrap(),
            crate::model::target::Target::parse(b"/r").unwrap(),
        );
        let asked = crate::model::target::Asked { method: &method, target: &target, upgrade: None };
        let Verdict::Allow(permit) = asking.decider.decide(ListenerId(0), &asking.subject("alice"), &asked)
        else {
            panic!("{rules}");
        };
        assert_eq!(permit.may_end(), may_end, "{rules}");
    }
}

#[test]
fn tests_of_the_file_may_say_when() {
    let test = |at: &str, expect: &str| {
        load(&format!(
            "{HEAD}{ROUTE}until = 2026-12-31T17:00:00Z\n[[test]]\nwho = {{ user = \"alice\" }}\n\
             request = \"GET /r\"\n{at}expect = \"{expect}\"\n"
        ))
        .is_ok()
    };
    assert!(test("at = 2026-12-31T16:00:00Z\n", "allow"));
    assert!(test("at = 2027-01-01T00:00:00Z\n", "expired"));
    assert!(!test("at = 2027-01-01T00:00:00Z\n", "allow"));
    assert!(test("", "allow"), "without a time, it does not matter when the file is loaded");
}

#[test]
fn mistakes_about_time_are_shown_with_what_to_write() {
    let when = |inner: &str| format!("when = {{ {inner} }}");
    for (line, wanted) in [
        ("until = \"2026-12-31\"".to_owned(), "`until` is an instant such as"),
        ("until = 2026-12-31".to_owned(), "`until` says no instant"),
        ("until = 2026-12-31T10:00:00".to_owned(), "write date, time and offset from UTC"),
        (when("days = [\"fri\"]"), "needs `zone`"),
        (when("days = [\"Friday\"], zone = \"UTC\""), "did you mean `fri`?"),
        (when("days = [\"mon-xyz\"], zone = \"UTC\""), "`xyz` is no day"),
        (when("days = [], zone = \"UTC\""), "`days` is empty"),
        (when("from = \"8:00\", zone = \"UTC\""), "`from` is a time of day, not `8:00`"),
        (when("from = \"24:00\", zone = \"UTC\""), "`from` is a time of day"),
        (when("to = \"00:00\", zone = \"UTC\""), "`to` is a time of day"),
        (when("from = \"08:00\", to = \"08:00\", zone = \"UTC\""), "this window has no minute"),
        (when("zone = \"UTC\""), "this is always"),
        ("when = []".to_owned(), "`when` is empty"),
        ("when = [1]".to_owned(), "`when` is a list of tables, not"),
        ("when = [{ days = [\"fri\"] }]".to_owned(), "needs `zone`"),
        (when("from = \"08:00\", zone = \"Europe/Berlim\""), "did you mean `Europe/Berlin`?"),
        (when("from = \"08:00\", zone = \"../passwd\""), "there is no time zone `../passwd`"),
        (when("from = \"08:00\", zones = \"UTC\""), "a rule's `when` has no key `zones`"),
        ("reason = \"a\\nb\"".to_owned(), "`reason` is one line"),
    ] {
        let shown = mistakes(&format!("{HEAD}{ROUTE}{line}\n"));
        assert!(shown.contains(wanted), "{line}: {wanted}\n{shown}");
    }
}

#[test]
fn policy_with_zones_travels_as_bytes() {
    let text = format!(
        "{HEAD}{ROUTE}until = 2026-12-31T17:00:00Z\nreason = \"audit 7\"\n\
         when = {{ days = [\"sun\"], zone = \"Pacific/Chatham\" }}\n"
    );
    let policy = load(&text).unwrap();
    let other = Policy::from_bytes(&policy.to_bytes().unwrap()).unwrap();
    assert_eq!(policy, other);
    assert_eq!(other.routes[0].reason.as_deref(), Some("audit 7"));
    assert_eq!(other.zones[0].name, "Pacific/Chatham");
}
