//! A machine with the package installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::machine::{Machine, lacking};
use crate::support::{records, run};

/// Skips where no machine can be started or there is no package.
#[macro_export]
macro_rules! need_machine {
    () => {
        if let Some(why) = $crate::house::missing() {
            $crate::skip!("{why}");
        }
    };
}

/// What is missing for these tests, if anything.
pub(crate) fn missing() -> Option<String> {
    lacking()
        .or_else(|| package().is_none().then(|| "there is no package, `deploy/package` makes it".to_owned()))
}

/// The package that `deploy/package` made.
pub(crate) fn package() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian");
    let entries = std::fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "deb"))
}

/// A machine, and what it shares with us.
pub(crate) struct House {
    pub(crate) machine: Machine,
    _shared: tempfile::TempDir,
}

impl House {
    /// With the package installed; `alice` may call, `bob` too, `mallory` may not.
    pub(crate) fn installed() -> House {
        let house = House::bare();
        house.machine.sh("dpkg --install /shared/peergate.deb");
        house
            .machine
            .sh("usermod --append --groups peergate alice && usermod --append --groups peergate bob");
        house
    }

    /// Without it. At `/shared` lie the package, its next version, and the caller.
    pub(crate) fn bare() -> House {
        let shared = tempfile::tempdir().unwrap();
        std::fs::copy(package().unwrap(), shared.path().join("peergate.deb")).unwrap();
        std::fs::write(shared.path().join("caller.py"), include_str!("caller.py")).unwrap();
        std::fs::write(shared.path().join("backend.py"), include_str!("backend.py")).unwrap();
        run(Command::new("chmod").args(["-R", "a+rX"]).arg(shared.path()));
        House { machine: Machine::boot(shared.path()), _shared: shared }
    }

    /// Puts the same package with a newer version number beside it; its name in the machine.
    pub(crate) fn newer(&self) -> &'static str {
        let work = tempfile::tempdir().unwrap();
        let content = work.path().join("content");
        run(Command::new("dpkg-deb").arg("--raw-extract").arg(package().unwrap()).arg(&content));
        let control = content.join("DEBIAN/control");
        let text = std::fs::read_to_string(&control).unwrap();
        let line = text.lines().find(|line| line.starts_with("Version: ")).unwrap();
        std::fs::write(&control, text.replace(line, &format!("{line}+newer"))).unwrap();
        run(Command::new("dpkg-deb")
            .args(["-Zgzip", "-z1", "--root-owner-group", "--build"])
            .arg(content)
            .arg(self._shared.path().join("newer.deb")));
        "/shared/newer.deb"
    }

    /// The records of its audit directory.
    pub(crate) fn records(&self) -> Vec<Value> {
        records::read(&self.audit())
    }

    pub(crate) fn audit(&self) -> PathBuf {
        self.machine.path("/var/log/peergate")
    }

    /// What `systemctl show` says of a property of the service.
    pub(crate) fn property(&self, name: &str) -> String {
        self.machine
            .sh(&format!("systemctl show --property={name} --value peergated.service"))
            .trim()
            .to_owned()
    }

    /// The uid of somebody in it.
    pub(crate) fn uid(&self, user: &str) -> u32 {
        self.machine.sh(&format!("id --user {user}")).trim().parse().unwrap()
    }
}
