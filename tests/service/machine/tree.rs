//! The file tree of a machine: a small Debian, made once by `debootstrap` and kept below target/.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::support::{have, out, run};

/// What it holds beyond the smallest system: the service manager, and what calls and looks.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,curl,python3-minimal";

/// Everybody in it. Who may call comes by `usermod` in the tests.
const PEOPLE: [&str; 3] = ["alice", "bob", "mallory"];

/// What is missing to start a machine, if anything.
pub(crate) fn lacking() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root, to start a machine of its own".to_owned());
    }
    for program in ["systemd-nspawn", "debootstrap", "nsenter", "setpriv", "unshare", "dpkg-deb", "apt-get"] {
        if !have(program) && !Path::new("/usr/sbin").join(program).exists() {
            return Some(format!("`{program}` is not installed"));
        }
    }
    (release("ID").as_deref() != Some("debian"))
        .then(|| "the tree is made from Debian's own mirror".to_owned())
}

/// The finished tree.
pub(super) fn ready() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tests");
    std::fs::create_dir_all(&folder).unwrap();
    let tree = folder.join("machine");
    let lock = std::fs::File::create(folder.join("machine.lock")).unwrap();
    let _one_at_a_time = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
    let recipe = format!("{PACKAGES} {PEOPLE:?}");
    let made_by = folder.join("machine.recipe");
    if std::fs::read_to_string(&made_by).is_ok_and(|made_by| made_by == recipe) {
        return tree;
    }
    make(&folder, &tree);
    std::fs::write(made_by, recipe).unwrap();
    tree
}

fn make(folder: &Path, tree: &Path) {
    for path in [tree, &folder.join("machine.part")] {
        if path.exists() {
            run(Command::new("rm").args(["-rf", "--one-file-system"]).arg(path));
        }
    }
    let part = folder.join("machine.part");
    let mut bootstrap = Command::new("debootstrap");
    bootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}")]);
    bootstrap.arg(release("VERSION_CODENAME").expect("a code name")).arg(&part).arg(mirror());
    let path = std::env::var("PATH").unwrap_or_default();
    run(bootstrap.env("PATH", format!("{path}:/usr/sbin:/sbin")));
    for name in PEOPLE {
        run(Command::new("chroot").arg(&part).args(["useradd", "--create-home", "--user-group", name]));
    }
    // The units' own users come with the package; `adm` is there.
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(part, tree).unwrap();
}

/// Where this machine's own packages come from.
fn mirror() -> String {
    let format = "$(CREATED_BY) $(CODENAME) $(LABEL) $(COMPONENT) $(REPO_URI)";
    let targets = out(&run(Command::new("apt-get").args(["indextargets", "--format", format])));
    let wanted = format!("Packages {} Debian main ", release("VERSION_CODENAME").expect("a code name"));
    let found = targets.lines().find_map(|line| line.strip_prefix(&wanted));
    found.unwrap_or_else(|| panic!("no mirror among apt's sources:\n{targets}")).to_owned()
}

/// A line of `os-release(5)`.
fn release(key: &str) -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}
