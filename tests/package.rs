//! The package holds what the sources hold now: files, man pages, completions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{out, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The package's content, unpacked; `None` where there is no package.
fn unpacked() -> Option<tempfile::TempDir> {
    let entries = std::fs::read_dir(root().join("target/debian")).ok()?;
    let mut packages = entries.map(|entry| entry.unwrap().path());
    let package = packages.find(|path| path.extension().is_some_and(|ending| ending == "deb"))?;
    let content = tempfile::tempdir().unwrap();
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(content.path()));
    run(Command::new("dpkg-deb").arg("--control").arg(package).arg(content.path().join("DEBIAN")));
    Some(content)
}

macro_rules! unpacked {
    () => {{
        need_programs!("dpkg-deb");
        match unpacked() {
            Some(content) => content,
            None => skip!("there is no package, `deploy/package` makes it"),
        }
    }};
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[test]
fn package_files_are_those_of_the_sources() {
    let content = unpacked!();
    let pairs = [
        ("deploy/policy.toml", "etc/peergate/policy.toml"),
        ("deploy/systemd/peergated.service", "usr/lib/systemd/system/peergated.service"),
        ("deploy/systemd/peergated.socket", "usr/lib/systemd/system/peergated.socket"),
        ("deploy/systemd/peergate-runner.socket", "usr/lib/systemd/system/peergate-runner.socket"),
        ("deploy/systemd/peergate-runner@.service", "usr/lib/systemd/system/peergate-runner@.service"),
        ("deploy/systemd/peergated-tcp.conf", "usr/share/doc/peergate/peergated-tcp.conf"),
        (
            "deploy/systemd/peergated-foreign-sockets.conf",
            "usr/share/doc/peergate/peergated-foreign-sockets.conf",
        ),
        ("deploy/systemd/peergated-witness.conf", "usr/share/doc/peergate/peergated-witness.conf"),
        ("deploy/grafana/peergate.json", "usr/share/doc/peergate/grafana/peergate.json"),
        ("deploy/sysusers.d/peergate.conf", "usr/lib/sysusers.d/peergate.conf"),
        ("deploy/tmpfiles.d/peergate.conf", "usr/lib/tmpfiles.d/peergate.conf"),
        ("deploy/apparmor/usr.bin.peergated", "usr/share/apparmor/extra-profiles/usr.bin.peergated"),
        ("deploy/debian/postinst", "DEBIAN/postinst"),
        ("deploy/debian/prerm", "DEBIAN/prerm"),
        ("deploy/debian/postrm", "DEBIAN/postrm"),
    ];
    for (source, there) in pairs {
        assert_eq!(
            bytes(&content.path().join(there)),
            bytes(&root().join(source)),
            "{there}: `deploy/package`"
        );
    }
    for (folder, there) in [
        ("policy", "policy"),
        ("src/manual", "manual"),
        ("deploy/fleet", "fleet"),
        ("deploy/embedded", "embedded"),
        ("deploy/prometheus", "prometheus"),
    ] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let source = entry.unwrap().path();
            if source.extension().is_some_and(|ending| ending == "txt") {
                continue;
            }
            let installed =
                content.path().join("usr/share/doc/peergate").join(there).join(source.file_name().unwrap());
            assert_eq!(bytes(&installed), bytes(&source), "{}", installed.display());
        }
    }
    let conffiles = String::from_utf8(bytes(&content.path().join("DEBIAN/conffiles"))).unwrap();
    assert_eq!(conffiles.trim(), "/etc/peergate/policy.toml");
}

#[cfg(feature = "cli")]
#[test]
fn package_man_pages_and_completions_are_those_of_the_programs() {
    let content = unpacked!();
    let now = tempfile::tempdir().unwrap();
    run(Command::new(env!("CARGO_BIN_EXE_peergate")).arg("man").arg(now.path()));
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    let mut pages = BTreeSet::new();
    for section in ["man1", "man8"] {
        let folder = content.path().join("usr/share/man").join(section);
        for name in names(&folder) {
            let name = name.strip_suffix(".gz").expect("packed").to_owned();
            let page = unzipped(&folder.join(format!("{name}.gz")));
            assert_eq!(page, bytes(&now.path().join(&name)), "{name}: `deploy/package`");
            pages.insert(name);
        }
    }
    assert_eq!(pages, names(now.path()));
    for (shell, there) in [
        ("bash", "bash-completion/completions/peergate"),
        ("zsh", "zsh/vendor-completions/_peergate"),
        ("fish", "fish/vendor_completions.d/peergate.fish"),
    ] {
        let completions =
            run(Command::new(env!("CARGO_BIN_EXE_peergate")).args(["completions", shell])).stdout;
        assert_eq!(bytes(&content.path().join("usr/share").join(there)), completions, "{shell}");
    }
}

#[cfg(feature = "cli")]
fn unzipped(path: &Path) -> Vec<u8> {
    run(Command::new("gzip").args(["--decompress", "--stdout"]).arg(path)).stdout
}

/// Every command of `peergate` that its help names, as words.
#[cfg(feature = "cli")]
fn commands(words: &[String]) -> Vec<Vec<String>> {
    let help = out(&run(Command::new(env!("CARGO_BIN_EXE_peergate")).args(words).arg("--help")));
    let Some(listed) = help.split("Commands:\n").nth(1) else { return vec![words.to_vec()] };
    let mut all = vec![words.to_vec()];
    for line in listed.lines().take_while(|line| !line.is_empty()) {
        let Some(name) = line.split_whitespace().next().filter(|name| *name != "help") else { continue };
        all.extend(commands(&[words, &[name.to_owned()]].concat()));
    }
    all
}

#[cfg(feature = "cli")]
#[test]
fn man_pages_are_there_for_every_command_and_say_every_option() {
    let now = tempfile::tempdir().unwrap();
    run(Command::new(env!("CARGO_BIN_EXE_peergate")).arg("man").arg(now.path()));
    let commands = commands(&[]);
    assert!(commands.len() > 5, "{commands:?}");
    for words in &commands {
        let name = [&["peergate".to_owned()], words.as_slice()].concat().join("-");
        let page = String::from_utf8(bytes(&now.path().join(format!("{name}.1")))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    let page = String::from_utf8(bytes(&now.path().join("peergated.8"))).unwrap();
    let help = out(&run(Command::new(env!("CARGO_BIN_EXE_peergated")).arg("--help")));
    for option in help.split_whitespace().filter(|word| word.starts_with("--")) {
        assert!(page.contains(&option.replace('-', "\\-")), "{option} is not in peergated(8)");
    }
    for section in ["NAME", "SYNOPSIS", "OPTIONS", "SIGNALS", "EXIT STATUS", "SEE ALSO"] {
        assert!(page.contains(&format!("\n.SH {section}\n")), "{section}: {page}");
    }
}

#[cfg(feature = "cli")]
#[test]
fn man_pages_are_well_formed() {
    need_programs!("groff");
    let now = tempfile::tempdir().unwrap();
    run(Command::new(env!("CARGO_BIN_EXE_peergate")).arg("man").arg(now.path()));
    for entry in std::fs::read_dir(now.path()).unwrap() {
        let page: PathBuf = entry.unwrap().path();
        let groff = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&page).output().unwrap();
        assert!(
            groff.status.success() && groff.stderr.is_empty(),
            "{}: {}",
            page.display(),
            support::said(&groff)
        );
    }
}

#[cfg(feature = "cli")]
#[test]
fn completions_are_understood_by_their_shell() {
    need_programs!("bash");
    let completions = run(Command::new(env!("CARGO_BIN_EXE_peergate")).args(["completions", "bash"])).stdout;
    let mut bash =
        Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), &completions).unwrap();
    let mut said = String::new();
    bash.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(bash.wait().unwrap().success() && said.is_empty(), "{said}");
}
