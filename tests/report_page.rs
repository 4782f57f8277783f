//! `peergate audit report --html`: what the page holds, and what a real browser makes of it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/support.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use peergate::audit::entry::Decided;
use peergate::model::refusal::Refusal;
use sealed::Record;
use serde_json::{Value, json};
use support::browser::Browser;
use support::stage::{Asked, Stage};

const DENY: Decided = Decided::Deny(Refusal::NotAllowed);

/// What tries to become markup, to leave an attribute, to run, to draw.
const HOSTILE: [&str; 8] = [
    "/<script>window.hacked=1</script>",
    "/</script></style><script>window.hacked=1</script>",
    "/\" autofocus onfocus=\"window.hacked=1\" x=\"",
    "/' onmouseover='window.hacked=1",
    "/<img src=x onerror=window.hacked=1>",
    "/<svg/onload=window.hacked=1>",
    "/\u{202e}gnp.exe\u{2066}\u{200b}\u{1b}[2J\u{0}\u{9b}",
    "/&lt;script&gt;&#60;script&#62;`${window.hacked=1}`",
];

/// A page made of a stage.
struct Made {
    _directory: tempfile::TempDir,
    file: PathBuf,
    text: String,
}

fn page(stage: &Stage, more: &[&str]) -> Made {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.html");
    let mut arguments = vec!["report", "--html", file.to_str().unwrap()];
    arguments.extend_from_slice(more);
    let output = stage.run(&arguments);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", support::said(&output));
    let text = std::fs::read_to_string(&file).unwrap();
    Made { _directory: directory, file, text }
}

/// Callers, routes and verdicts of several kinds.
fn ordinary() -> Stage {
    let mut stage = Stage::new();
    for at in 0..120_u32 {
        let asked = Asked { us: u64::from(at * 37 % 101) * 1_000, ..Asked::default() };
        stage.access(asked);
        stage.clock += 20_000_000;
        if at % 4 == 0 {
            let (method, target) = ("POST", "/containers/create");
            let other = Asked { uid: 1002, user: "alice", exe: "/usr/bin/curl", route: "", ..asked };
            stage.access(Asked { method, target, verdict: DENY, ..other });
        }
        if at % 3 == 0 {
            stage.access(Asked { route: "images-list", target: "/images/json", ..asked });
        }
    }
    stage
}

fn hostile() -> Stage {
    let mut stage = Stage::new();
    for text in HOSTILE {
        for verdict in [Decided::Allow, DENY] {
            let all = Asked { user: text, exe: text, target: text, route: text, verdict, ..Asked::default() };
            stage.access(all);
        }
    }
    // A gate that was taken over writes what it likes into its own segment.
    stage.raw(
        "gate-1001-0-2",
        "{\"v\":1,\"t\":\"decision\",\"n\":99,\"ts\":\"2026-11-23T03:46:30.000000Z\",\"id\":\"7k3qzd-1-9\",\"uid\":1001,\
         \"pid\":1,\"method\":\"<s>\",\"target\":\"'><script>window.hacked=1</script>\",\"decision\":\"deny\",\
         \"refusal\":\"<script>window.hacked=1</script>\",\"by\":\"<i>\",\"at\":\"<u>\",\"policy\":\"x\",\"status\":403}",
    );
    stage.raw("gate-1001-0-2", "<script>window.hacked=1</script>");
    stage
}

#[test]
fn page_hostile_records_stay_text() {
    let made = page(&hostile(), &[]);
    assert!(made.text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "not printable ASCII");
    let count = |what: &str| made.text.matches(what).count();
    assert_eq!((count("<script"), count("</script"), count("<style"), count("</style")), (1, 1, 1, 1));
    for markup in ["<img", "<svg/", "<s>", "<u>", "\" autofocus", "' onmouse", "`${"] {
        assert!(!made.text.contains(markup), "{markup}");
    }
    assert!(made.text.contains("&lt;script&gt;window.hacked=1&lt;/script&gt;"));
    assert!(made.text.contains("\\u202egnp.exe\\u2066\\u200b\\u001b[2J\\u0000\\u009b"));
    assert!(
        made.text.contains("Not to be trusted.")
            && made.text.contains("lines that are no records of ours: 1.")
    );
}

#[test]
fn page_says_what_it_left_out() {
    let stage = ordinary();
    let whole = page(&stage, &[]).text;
    assert!(whole.contains("Nothing is left out.") && whole.matches("<tr class=\"d\">").count() == 30);
    let short = page(&stage, &["--rows", "20"]).text;
    assert_eq!(short.matches("<tr class=\"d\">").count(), 10);
    assert!(short.contains("Left out for length: 20 denied and 150 allowed"), "{short}");
    // What the table leaves out is counted all the same.
    assert!(short.contains("<b>30</b> denied") && short.contains("<b>160</b> allowed"));
}

#[test]
fn page_filters_are_those_of_every_command() {
    let made = page(&ordinary(), &["--user", "alice"]);
    assert!(made.text.contains("<b>30</b> denied") && made.text.contains("<b>0</b> allowed"));
    assert!(made.text.contains("<dd>--user alice</dd>"));
    assert!(!made.text.contains("images-list"));
    let none = page(&Stage::new(), &[]).text;
    assert!(none.contains("There are none.") && !none.contains("<svg"), "{none}");
}

#[test]
fn page_is_private_and_follows_no_link() {
    let (stage, made) = (Stage::new(), page(&Stage::new(), &[]));
    assert_eq!(std::fs::metadata(&made.file).unwrap().permissions().mode() & 0o777, 0o600);
    let link = made.file.with_file_name("link.html");
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    let output = stage.run(&["report", "--html", link.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(support::said(&output).starts_with("peergate: can't write "), "{}", support::said(&output));
    assert!(!made.file.with_file_name("elsewhere").exists());
    let output = stage.run(&["report", "--html", "-"]);
    assert!(support::out(&output).starts_with("<!doctype html>"));
    assert_eq!(output.status.code(), Some(1), "nothing was asked in an empty record");
}

/// A sealed record, and the page of it with these options.
fn sealed_page(harm: impl FnOnce(&Path), more: &[&str]) -> (tempfile::TempDir, PathBuf, String, Record) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    std::fs::create_dir(&log).unwrap();
    let mut record = Record::begin(&log, 1);
    let gate = record.writer("gate-1001-0");
    for number in 1..5 {
        record.access(&gate, number, "/things");
        record.seal();
    }
    std::fs::write(directory.path().join("heads"), format!("{}\n", record.head())).unwrap();
    harm(&log.join(gate));
    let file = directory.path().join("report.html");
    let output = Command::new(env!("CARGO_BIN_EXE_peergate"))
        .args(["audit", "report", "--dir", "log", "--html", "report.html"])
        .args(more)
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", support::said(&output));
    let text = std::fs::read_to_string(&file).unwrap();
    (directory, file, text, record)
}

const KEY: [&str; 2] = ["--key", "log/genesis.pub"];

/// Changes one byte of a record.
fn harm(segment: &Path) {
    let mut bytes = std::fs::read(segment).unwrap();
    let at = bytes.windows(7).position(|text| text == b"/things").unwrap();
    bytes[at + 1] = b'T';
    std::fs::write(segment, bytes).unwrap();
}

#[test]
fn page_says_whether_its_record_is_verified() {
    let slot = |class: &str, verdict: &str| {
        format!(
            "<section class=\"trust {class}\" aria-label=\"Trust in the record\"><strong>{verdict}</strong>"
        )
    };
    let (_kept, _, plain, _) = sealed_page(|_| (), &[]);
    assert!(plain.contains(&slot("unverified", "Not verified.")), "{plain}");
    assert!(plain.contains("the page was made without --key"), "{plain}");

    let (kept, _, whole, record) = sealed_page(|_| (), &KEY);
    let last = record.seals.last().unwrap();
    let verified =
        whole.split(&slot("verified", "Verified through ").replace("</strong>", "")).nth(1).unwrap();
    let through = &verified[..27];
    assert!(verified[27..].starts_with(".</strong>"), "{verified}");
    assert!(whole.contains("The end is not proven") && whole.contains("<li>"), "{whole}");
    // By the command that a reviewer would run.
    let said = Command::new(env!("CARGO_BIN_EXE_peergate"))
        .args(["audit", "verify", "log", "--key", "log/genesis.pub", "--format", "json"])
        .current_dir(kept.path())
        .output()
        .unwrap();
    let sum: Value = serde_json::from_str(support::out(&said).lines().last().unwrap()).unwrap();
    assert_eq!((&sum["trusted_through"], &sum["seal"]), (&through.into(), &last.i.into()));

    let (_kept, _, proven, _) = sealed_page(|_| (), &[&KEY[..], &["--witness", "heads"]].concat());
    assert!(proven.contains("The end is proven by a witness, through "), "{proven}");
    assert!(!proven.contains("--witness") && proven.contains("<dd>everything</dd>"), "{proven}");

    let (_kept, _, damaged, _) = sealed_page(harm, &KEY);
    assert!(damaged.contains(&slot("damaged", "Damaged: not to be trusted.")), "{damaged}");
    assert!(damaged.contains("<li>changed: 2"), "{damaged}");
    let output = Stage::new().run(&["report", "--html", "-", "--key", "nothing"]);
    assert_eq!(output.status.code(), Some(3), "{}", support::said(&output));
}

#[test]
fn browser_verdicts_stand_out_under_the_policy_in_light_and_dark() {
    need_programs!("chromium-headless-shell");
    let mut colours = std::collections::BTreeSet::new();
    for (made, class) in [
        (sealed_page(|_| (), &KEY), "verified"),
        (sealed_page(harm, &KEY), "damaged"),
        (sealed_page(|_| (), &[]), "unverified"),
    ] {
        let mut browser = Browser::open(&made.1);
        assert_eq!(browser.ask("document.querySelector('.trust').classList[1]"), class);
        for scheme in ["light", "dark"] {
            browser.look(scheme, "", 1_280);
            let edge = browser.ask("getComputedStyle(document.querySelector('.trust')).borderLeftColor");
            assert!(colours.insert(format!("{scheme} {edge}")), "{class} looks like another in {scheme}");
            let worst = browser.ask(CONTRAST);
            assert!(worst[0].as_f64().unwrap() >= 4.5, "{class} {scheme}: {worst}");
        }
        assert_eq!(browser.complaints(), Vec::<&Value>::new());
    }
}

fn rows(browser: &mut Browser) -> u64 {
    browser
        .ask("[...document.querySelectorAll('#log tbody tr')].filter((row) => row.offsetHeight > 0).length")
        .as_u64()
        .unwrap()
}

fn column(browser: &mut Browser, at: usize) -> Vec<String> {
    let cells = format!(
        "[...document.querySelectorAll('#log tbody tr')].filter((row) => row.offsetHeight > 0).map((row) => row.cells[{at}].innerText)"
    );
    serde_json::from_value(browser.ask(&cells)).unwrap()
}

#[test]
fn browser_finds_nothing_to_complain_of() {
    need_programs!("chromium-headless-shell");
    for stage in [ordinary(), hostile(), Stage::new()] {
        let made = page(&stage, &[]);
        let mut browser = Browser::open(&made.file);
        assert_eq!(browser.ask("typeof window.hacked"), "undefined");
        assert_eq!(browser.ask("document.querySelectorAll('script, style, link, img, iframe').length"), 2);
        browser.print();
        assert_eq!(browser.complaints(), Vec::<&Value>::new());
        assert_eq!(browser.requests(), [format!("file://{}", made.file.display())]);
    }
}

#[test]
fn browser_policy_holds_where_escaping_would_not() {
    need_programs!("chromium-headless-shell");
    let made = page(&ordinary(), &[]);
    let wrong = "<script>window.hacked=1</script><img src=\"http://127.0.0.1:9/\" onerror=\"window.hacked=1\">\
                 <p style=\"display:none\" id=\"styled\">";
    std::fs::write(
        &made.file,
        made.text.replace("<h2 id=\"log-title\">", &format!("{wrong}<h2 id=\"log-title\">")),
    )
    .unwrap();
    let mut browser = Browser::open(&made.file);
    assert_eq!(browser.ask("typeof window.hacked"), "undefined");
    assert_eq!(browser.ask("getComputedStyle(document.getElementById('styled')).display"), "block");
    // And a complaint is heard here.
    assert!(browser.complaints().len() >= 3, "{:?}", browser.complaints());
}

#[test]
fn browser_filters_and_sorts_by_keyboard() {
    need_programs!("chromium-headless-shell");
    let made = page(&ordinary(), &[]);
    let mut browser = Browser::open(&made.file);
    assert_eq!(rows(&mut browser), 190);
    browser.press("/");
    browser.write("CREATE alice");
    assert_eq!(rows(&mut browser), 30);
    assert_eq!(browser.ask("document.getElementById('filter-said').textContent"), "30 of 190 rows");
    browser.press("Escape");
    assert_eq!(rows(&mut browser), 190);
    for (control, choice, shown) in
        [("verdict", "allowed", 160), ("route", "images-list", 40), ("caller", "alice (1002)", 0)]
    {
        let choose = format!(
            "{{ const it = document.getElementById('filter-{control}'); it.value = '{choice}'; \
             it.dispatchEvent(new Event('input')); it.value }}"
        );
        assert_eq!(browser.ask(&choose), choice);
        assert_eq!(rows(&mut browser), shown, "{control}");
    }
    browser.press("Escape");
    browser.press("/");
    browser.press("Escape");
    // From the filter on: verdict, caller, route, clear, the table, then its heads; the eighth is Took.
    for _ in 0..13 {
        browser.press("Tab");
    }
    assert_eq!(browser.ask("document.activeElement.textContent"), "Took");
    for (sort, first) in [("descending", "100.0 ms"), ("ascending", "0 us")] {
        browser.press("Enter");
        assert_eq!(browser.ask("document.activeElement.closest('th').getAttribute('aria-sort')"), sort);
        assert_eq!(column(&mut browser, 7)[0], first);
    }
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}

#[test]
fn browser_without_script_shows_everything_but_the_filter() {
    need_programs!("chromium-headless-shell");
    let made = page(&ordinary(), &[]);
    let mut browser = Browser::open(&made.file);
    browser.call("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.load(&made.file);
    assert_eq!(rows(&mut browser), 190);
    assert_eq!(browser.ask("document.getElementById('filter').offsetHeight"), 0);
    assert_eq!(browser.ask("document.querySelectorAll('#log button').length"), 0);
}

/// The lowest contrast of any text with what is behind it (WCAG 2.2, 1.4.3), and where.
const CONTRAST: &str = "(() => {
  const lum = (rgb) => { const c = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]; };
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (el) => { for (; el; el = el.parentElement) { const c = parse(getComputedStyle(el).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  let worst = [99, ''];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) { const el = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !el.getClientRects().length) continue;
    const style = getComputedStyle(el); const svg = el instanceof SVGElement;
    const [a, b] = [lum(parse(svg ? style.fill : style.color)), lum(behind(el))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, el.outerHTML.slice(0, 200)]; }
  return worst; })()";

#[test]
fn browser_light_dark_and_paper_can_be_read() {
    need_programs!("chromium-headless-shell");
    let made = page(&ordinary(), &[]);
    let mut browser = Browser::open(&made.file);
    let paper = "getComputedStyle(document.body).backgroundColor";
    for (scheme, media, light) in
        [("light", "", true), ("dark", "", false), ("dark", "print", true), ("light", "print", true)]
    {
        browser.look(scheme, media, 1_280);
        assert_eq!(browser.ask(paper) == "rgb(255, 255, 255)", light, "{scheme} {media}");
        let worst = browser.ask(CONTRAST);
        assert!(worst[0].as_f64().unwrap() >= 4.5, "{scheme} {media}: {worst}");
    }
    // On paper every row is there, as wide as the page, and nothing that can only be clicked.
    assert_eq!(rows(&mut browser), 190);
    let wide = "(() => { const it = document.querySelector('#log'); return it.scrollWidth <= it.parentElement.clientWidth; })()";
    assert_eq!(browser.ask(wide), true);
    assert_eq!(
        browser
            .ask("[...document.querySelectorAll('button, input, select')].every((it) => !it.offsetHeight)"),
        true
    );
    assert_eq!(column(&mut browser, 0).len(), 190);
    for width in [360, 800, 1_280, 2_560] {
        browser.look("light", "", width);
        let narrow = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(browser.ask(narrow), true, "{width} pixels: the page itself scrolls sideways");
    }
    assert!(browser.print().starts_with(b"%PDF-"));
}

#[test]
fn browser_everything_has_a_name() {
    need_programs!("chromium-headless-shell");
    let made = page(&ordinary(), &[]);
    let mut browser = Browser::open(&made.file);
    browser.call("Accessibility.enable", json!({}));
    let tree = browser.call("Accessibility.getFullAXTree", json!({}));
    let mut roles = std::collections::BTreeMap::<&str, usize>::new();
    for node in tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false) {
        let role = node["role"]["value"].as_str().unwrap_or_default();
        *roles.entry(role).or_default() += 1;
        let named = [
            "image",
            "searchbox",
            "combobox",
            "button",
            "columnheader",
            "rowheader",
            "region",
            "form",
            "heading",
            "link",
        ];
        if named.contains(&role) {
            assert_ne!(node["name"]["value"].as_str().unwrap_or_default().trim(), "", "{role}: {node}");
        }
    }
    for (role, least) in
        [("image", 1), ("searchbox", 1), ("combobox", 3), ("columnheader", 20), ("rowheader", 6), ("main", 1)]
    {
        assert!(roles.get(role).is_some_and(|there| *there >= least), "{role}: {roles:?}");
    }
    assert_eq!(browser.ask("(() => { const ids = [...document.querySelectorAll('[id]')].map((it) => it.id); return ids.length - new Set(ids).size; })()"), 0);
    assert_eq!(browser.ask("document.querySelectorAll('th:not([scope])').length"), 0);
}
