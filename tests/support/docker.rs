//! Debian's real Docker daemon on a socket of its own, a busybox image in it, and the gate before it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::daemon::{self, Daemon, Place};
use super::people::{Person, person};

pub const IMAGE: &str = "pg-busybox";

/// A running dockerd, the gate before it, and the people who call.
pub struct Docker {
    pub daemon: Daemon,
    dockerd: Child,
    /// In `pg-docker-ops`, and named nowhere.
    pub olga: Person,
    /// May look.
    pub bob: Person,
    /// May run.
    pub carol: Person,
    /// Nobody.
    pub mallory: Person,
    place: Place,
}

static SHARED: Mutex<Weak<Docker>> = Mutex::new(Weak::new());

/// The one that runs now, or a new one; it ends with the last test that holds it.
pub fn shared(policy: &str) -> Arc<Docker> {
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let docker = Arc::new(Docker::start(policy));
    *shared = Arc::downgrade(&docker);
    docker
}

/// Every different `docker` of the PATH: client versions differ in what they send.
pub fn clients() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    for client in std::env::split_paths(&path).map(|folder| folder.join("docker")) {
        let Ok(real) = client.canonicalize() else { continue };
        if !found.iter().any(|known| known.canonicalize().is_ok_and(|known| known == real)) {
            found.push(client);
        }
    }
    found
}

impl Docker {
    fn start(policy: &str) -> Docker {
        let place = daemon::place();
        let socket = place.path().join("docker.sock");
        let log = std::fs::File::create(place.path().join("dockerd.log")).unwrap();
        let mut dockerd = Command::new(if super::have("dockerd") { "dockerd" } else { "/usr/sbin/dockerd" });
        dockerd.arg("--host").arg(format!("unix://{}", socket.display()));
        for (option, below) in
            [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "dockerd.pid")]
        {
            dockerd.arg(option).arg(place.path().join(below));
        }
        dockerd.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--group=root"]);
        let path = std::env::var("PATH").unwrap_or_default();
        dockerd.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        dockerd.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut dockerd = dockerd.spawn().unwrap();
        wait_for_dockerd(&mut dockerd, &socket, place.path());
        import(&socket, place.path());

        let docker_people = (person("pg-olga"), person("pg-bob"), person("pg-carol"), person("pg-mallory"));
        let gate_place = daemon::place();
        let policy = policy.replace("@DIR@/docker.sock", socket.to_str().unwrap());
        let daemon = Daemon::start_in(gate_place, &policy);
        let (olga, bob, carol, mallory) = docker_people;
        Docker { daemon, dockerd, olga, bob, carol, mallory, place }
    }

    /// dockerd's own socket, for what a test prepares or checks behind the gate's back.
    pub fn behind(&self) -> PathBuf {
        self.place.path().join("docker.sock")
    }

    /// A `docker` command of this person through the gate.
    pub fn command(&self, client: &Path, who: &Person, arguments: &[&str]) -> Command {
        let mut docker = who.command(client.to_str().unwrap());
        docker.env("DOCKER_HOST", format!("unix://{}", self.daemon.socket().display()));
        docker.env("DOCKER_CONFIG", "/nonexistent").args(arguments).stdin(Stdio::null());
        docker
    }

    /// The same, run to its end.
    pub fn docker(&self, client: &Path, who: &Person, arguments: &[&str]) -> Output {
        self.command(client, who, arguments).output().unwrap()
    }

    /// A command as root, straight to dockerd.
    pub fn straight(&self, arguments: &[&str]) -> String {
        let client = clients().pop().unwrap();
        let mut docker = Command::new(client);
        docker.env("DOCKER_HOST", format!("unix://{}", self.behind().display()));
        super::out(&super::run(docker.args(arguments))).trim().to_owned()
    }

    /// A running container that prints `tick` now and then and ends at once when it is told.
    pub fn container(&self, name: &str) -> String {
        let script = "trap 'exit 0' TERM; while :; do echo tick; sleep 0.1; done";
        self.straight(&["run", "--detach", "--network", "none", "--name", name, IMAGE, "sh", "-c", script])
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let client = clients().pop().unwrap();
        let all = |arguments: &[&str]| {
            let mut docker = Command::new(&client);
            docker.env("DOCKER_HOST", format!("unix://{}", self.behind().display())).args(arguments).output()
        };
        if let Ok(running) = all(&["ps", "--all", "--quiet"]) {
            for id in super::out(&running).lines() {
                let _ = all(&["rm", "--force", id]);
            }
        }
        let pid = nix::unistd::Pid::from_raw(self.dockerd.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.dockerd.wait();
    }
}

fn wait_for_dockerd(dockerd: &mut Child, socket: &Path, place: &Path) {
    let log = || std::fs::read_to_string(place.join("dockerd.log")).unwrap_or_default();
    let inotify = nix::sys::inotify::Inotify::init(nix::sys::inotify::InitFlags::IN_CLOEXEC).unwrap();
    // It says so in its log when it listens.
    inotify.add_watch(&place.join("dockerd.log"), nix::sys::inotify::AddWatchFlags::IN_MODIFY).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !log().contains("API listen on") {
        assert!(dockerd.try_wait().unwrap().is_none(), "dockerd ended:\n{}", log());
        assert!(Instant::now() < deadline, "dockerd does not get ready:\n{}", log());
        use std::os::fd::AsFd;
        let timeout = nix::poll::PollTimeout::from(500_u16);
        let mut poll = [nix::poll::PollFd::new(inotify.as_fd(), nix::poll::PollFlags::POLLIN)];
        if nix::poll::poll(&mut poll, timeout).unwrap() > 0 {
            inotify.read_events().unwrap();
        }
    }
    assert!(socket.exists());
}

/// Makes an image of nothing but busybox.
fn import(socket: &Path, place: &Path) {
    let root = place.join("image");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    let busybox =
        ["/usr/bin/busybox", "/bin/busybox"].into_iter().find(|path| Path::new(path).exists()).unwrap();
    std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "echo", "ls", "sleep", "true", "head", "sha256sum", "wc"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let tar = place.join("image.tar");
    super::run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg("."));
    let mut docker = Command::new(clients().pop().unwrap());
    docker.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    super::run(docker.arg("import").arg(&tar).arg(IMAGE));
}

/// A command whose output is read line by line while it runs.
pub struct Following {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Following {
    pub fn start(mut command: Command) -> Following {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Following { child, lines }
    }

    /// The next line that holds this text.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            let line =
                self.lines.next().unwrap_or_else(|| panic!("it ended before it said {text:?}")).unwrap();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Ends it as Ctrl-C does not: at once.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its own end; whether it was content.
    pub fn end(mut self) -> bool {
        for line in &mut self.lines {
            drop(line);
        }
        self.child.wait().unwrap().success()
    }
}
