//! Users and groups made for the tests (`pg-…`), and commands run as them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;

use nix::unistd::{Gid, Group, Uid, User};

/// Everybody, with their groups; nobody is in more or other ones in any test.
const EVERYBODY: [(&str, &[&str]); 7] = [
    ("pg-alice", &[]),
    ("pg-bob", &[]),
    ("pg-carol", &[]),
    ("pg-erin", &["pg-docker-ops"]),
    ("pg-mallory", &[]),
    ("pg-olga", &["pg-docker-ops"]),
    ("pg-reader", &["pg-podman-readers"]),
];

/// Somebody to call as.
#[derive(Debug, Clone)]
pub struct Person {
    pub name: String,
    pub uid: Uid,
    pub gid: Gid,
}

/// One of [`EVERYBODY`].
pub fn person(name: &str) -> Person {
    everybody();
    let user =
        User::from_name(name).unwrap().unwrap_or_else(|| panic!("{name} is not one of the tests' people"));
    Person { name: user.name, uid: user.uid, gid: user.gid }
}

/// Makes them all, where they are missing; only root can.
pub fn everybody() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        // useradd takes the lock of /etc/passwd without waiting, and other tests may run beside this one.
        let lock = std::fs::File::create(std::env::temp_dir().join("peergate-tests-people.lock")).unwrap();
        let _one_at_a_time = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).unwrap();
        for (name, groups) in EVERYBODY {
            for group in groups.iter().chain([&name]) {
                if Group::from_name(group).unwrap().is_none() {
                    super::run(Command::new("groupadd").args(["--system", group]));
                }
            }
            if User::from_name(name).unwrap().is_none() {
                let mut useradd = Command::new("useradd");
                useradd.args(["--system", "--no-create-home", "--home-dir", "/nonexistent", "--no-log-init"]);
                useradd.args([
                    "--shell",
                    "/usr/sbin/nologin",
                    "--groups",
                    &groups.join(","),
                    "--gid",
                    name,
                    name,
                ]);
                super::run(&mut useradd);
            }
        }
    });
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
            "60",
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
