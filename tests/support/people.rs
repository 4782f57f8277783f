//! Users and groups made for the tests (`pg-…`), and commands run as them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use nix::unistd::{Gid, Group, Uid, User};

// useradd takes the lock of /etc/passwd without waiting.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Somebody to call as.
#[derive(Debug, Clone)]
pub struct Person {
    pub name: String,
    pub uid: Uid,
    pub gid: Gid,
}

/// The user of this name with exactly these supplementary groups; made where it is missing.
pub fn person(name: &str, groups: &[&str]) -> Person {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let lock = std::fs::File::create(std::env::temp_dir().join("peergate-tests-people.lock")).unwrap();
    let _across_processes = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).unwrap();
    for group in groups {
        make_group(group);
    }
    if User::from_name(name).unwrap().is_none() {
        make_group(name);
        let mut useradd = Command::new("useradd");
        useradd.args(["--system", "--no-create-home", "--home-dir", "/nonexistent"]);
        super::run(useradd.args(["--shell", "/usr/sbin/nologin", "--gid", name, name]));
    }
    super::run(Command::new("usermod").args(["--groups", &groups.join(","), name]));
    let user = User::from_name(name).unwrap().unwrap();
    Person { name: user.name, uid: user.uid, gid: user.gid }
}

fn make_group(name: &str) {
    if Group::from_name(name).unwrap().is_none() {
        super::run(Command::new("groupadd").args(["--system", name]));
    }
}

impl Person {
    /// Root itself.
    pub fn root() -> Person {
        Person { name: "root".into(), uid: Uid::from_raw(0), gid: Gid::from_raw(0) }
    }

    /// `program` to be run as this person, with their groups as the system knows them.
    pub fn command(&self, program: &str) -> Command {
        if self.uid.is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={}", self.uid)).arg(format!("--regid={}", self.gid));
        command.args(["--init-groups", "--inh-caps=-all", "--", program]).current_dir("/");
        command.env("HOME", "/nonexistent").stdin(Stdio::null());
        command
    }

    /// curl's answer: status, and what came with it.
    pub fn curl(&self, socket: &Path, target: &str, more: &[&str]) -> (u16, String) {
        let mut curl = self.command("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--path-as-is",
            "--write-out",
            "\n%{http_code}",
        ]);
        curl.arg("--unix-socket").arg(socket).args(more).arg(format!("http://localhost{target}"));
        let output = curl.output().unwrap();
        let text = super::said(&output);
        let (body, status) =
            super::out(&output).rsplit_once('\n').map(|(b, s)| (b.to_owned(), s.to_owned())).unwrap();
        (
            status.parse().unwrap_or_else(|_| panic!("curl said: {text}")),
            if body.is_empty() { text } else { body },
        )
    }
}
