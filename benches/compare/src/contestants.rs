//! Who is measured, each with everything on that it is fair to have on.

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Something that answers on a socket.
pub struct Contestant {
    pub name: &'static str,
    pub socket: PathBuf,
    pub target: &'static str,
}

/// All of them, running; ended when dropped.
pub struct Field {
    pub contestants: Vec<Contestant>,
    children: Vec<Child>,
    peergated: u32,
    ready_after: Duration,
    place: PathBuf,
}

const POLICY: &str = r#"version = 1

[audit]
directory = "@DIR@/audit"

[daemon]
control = "@DIR@/run/control.sock"

[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"

# The same two routes, each decision on the disk before its effect.
[listen.sync]
path = "@DIR@/run/sync.sock"
mode = "0666"

[backend.up]
proxy = "unix:@DIR@/up.sock"

[backend.self]
builtin = "api"

[who.me]
user = ["@self"]

[[route]]
id = "proxy"
on = "api"
match = ["GET /health"]
to = "up"
allow = ["me"]

[[route]]
id = "builtin"
on = "api"
match = ["GET /_peergate/health"]
to = "self"
allow = ["me"]

[[route]]
id = "proxy-sync"
on = "sync"
match = ["GET /health"]
to = "up"
allow = ["me"]
audit = { durability = "sync" }

[[route]]
id = "builtin-sync"
on = "sync"
match = ["GET /_peergate/health"]
to = "self"
allow = ["me"]
audit = { durability = "sync" }
"#;

const NGINX: &str = r#"daemon off;
worker_processes auto;
worker_rlimit_nofile 8192;
pid @DIR@/nginx.pid;
error_log @DIR@/nginx-error.log;
@USER@
events { worker_connections 2048; }
http {
  access_log @DIR@/nginx-access.log combined;
  client_body_temp_path @DIR@/nginx-tmp; proxy_temp_path @DIR@/nginx-tmp; fastcgi_temp_path @DIR@/nginx-tmp;
  uwsgi_temp_path @DIR@/nginx-tmp; scgi_temp_path @DIR@/nginx-tmp;
  upstream up { server unix:@DIR@/up.sock; keepalive 256; keepalive_requests 100000000; }
  server {
    listen unix:@DIR@/nginx.sock backlog=4096;
    keepalive_requests 100000000;
    location = /health { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }
    location / { return 403; }
  }
}
"#;

const HAPROXY: &str = r#"global
  log @DIR@/haproxy-log.sock local0 info
  maxconn 1024
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend api
  bind unix@@DIR@/haproxy.sock mode 666 backlog 4096
  acl may path /health
  acl reads method GET
  http-request deny unless may reads
  default_backend up
backend up
  http-reuse always
  server up unix@@DIR@/up.sock
"#;

impl Field {
    /// Starts everybody in a new directory on disk, so that logs cost what logs cost.
    pub fn start(peergated: &str, unguarded: &str) -> Field {
        let place = std::env::current_dir().expect("a directory").join("target/side-by-side");
        clear(&place);
        fs::create_dir_all(place.join("nginx-tmp")).expect("a directory for the sockets");
        let dir = place.to_str().expect("a plain path").to_owned();
        let configured = |name: &str, text: &str| {
            let file = place.join(name);
            fs::write(&file, text.replace("@DIR@", &dir)).expect("a configuration");
            file
        };
        let mut field = Field {
            contestants: Vec::new(),
            children: Vec::new(),
            peergated: 0,
            ready_after: Duration::ZERO,
            place: place.clone(),
        };

        let up = place.join("up.sock");
        field.spawn(Command::new(unguarded).arg(&up));
        wait(&up);
        field.add("axum", up.clone(), "/health");

        let began = Instant::now();
        let policy = configured("policy.toml", POLICY);
        field.peergated = field.spawn(Command::new(peergated).arg("--policy").arg(policy));
        let api = place.join("run/api.sock");
        wait(&api);
        field.ready_after = began.elapsed();
        field.add("peergate builtin", api.clone(), "/_peergate/health");
        field.add("peergate proxy", api, "/health");
        let sync = place.join("run/sync.sock");
        field.add("builtin, sync", sync.clone(), "/_peergate/health");
        field.add("proxy, sync", sync, "/health");

        if installed("python3") {
            field.add_bare(peergated, &place);
        }
        if installed("nginx") {
            let user = if fs::metadata("/root").is_ok_and(|_| fs::read_dir("/root").is_ok()) {
                "user root;"
            } else {
                ""
            };
            let file = configured("nginx.conf", &NGINX.replace("@USER@", user));
            field.spawn(Command::new("nginx").arg("-c").arg(file).arg("-p").arg(&place));
            let socket = place.join("nginx.sock");
            wait(&socket);
            field.add("nginx", socket, "/health");
        }
        if installed("haproxy") {
            // Its log has a reader, as it has on a real machine.
            let log = UnixDatagram::bind(place.join("haproxy-log.sock")).expect("a place for its log");
            let mut file = fs::File::create(place.join("haproxy.log")).expect("its log");
            std::thread::spawn(move || {
                let mut line = [0; 8192];
                while let Ok(length) = log.recv(&mut line) {
                    if std::io::Write::write_all(&mut file, line.get(..length).unwrap_or_default()).is_err() {
                        break;
                    }
                }
            });
            let file = configured("haproxy.cfg", HAPROXY);
            field.spawn(Command::new("haproxy").arg("-db").arg("-f").arg(file));
            let socket = place.join("haproxy.sock");
            wait(&socket);
            field.add("haproxy", socket, "/health");
        }
        field
    }

    /// The same daemon without Landlock and seccomp, by a filter that hides both from it: what they cost.
    fn add_bare(&mut self, peergated: &str, place: &Path) {
        let bare = place.join("bare");
        fs::create_dir(&bare).expect("a directory for its sockets");
        let text = POLICY.replace("unix:@DIR@", &format!("unix:{}", place.display()));
        let policy = bare.join("policy.toml");
        fs::write(&policy, text.replace("@DIR@", &bare.display().to_string())).expect("a policy");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/without.py");
        let mut daemon = Command::new("python3");
        daemon.arg(script).args(["seccomp=EINVAL", "landlock_create_ruleset=ENOSYS", "--", peergated]);
        daemon.args(["--accept-missing=seccomp", "--accept-missing=landlock", "--policy"]).arg(policy);
        self.spawn(&mut daemon);
        let api = bare.join("run/api.sock");
        wait(&api);
        self.add("bare builtin", api.clone(), "/_peergate/health");
        self.add("bare proxy", api, "/health");
    }

    fn add(&mut self, name: &'static str, socket: PathBuf, target: &'static str) {
        self.contestants.push(Contestant { name, socket, target });
    }

    fn spawn(&mut self, command: &mut Command) -> u32 {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let child = command.env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|why| panic!("{command:?}: {why}"));
        let pid = child.id();
        self.children.push(child);
        pid
    }

    /// What the daemon took to start and takes in memory, and the versions of the others.
    pub fn footprint(&self) -> String {
        let mut lines = vec![format!("peergate: ready after {:.0} ms", self.ready_after.as_secs_f64() * 1e3)];
        let mut roles = vec![self.peergated];
        roles.extend(children(self.peergated));
        for pid in roles {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let role = command
                .split(|byte| *byte == 0)
                .nth(1)
                .map(String::from_utf8_lossy)
                .unwrap_or_default()
                .into_owned();
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let kib = |what: &str| {
                let line = rollup.lines().find(|line| line.starts_with(what)).unwrap_or_default();
                line.split_whitespace().nth(1).unwrap_or("?").to_owned()
            };
            let role = if role.starts_with('@') { role } else { "warden".to_owned() };
            lines.push(format!("peergate {role}: {} KiB resident, {} KiB its own", kib("Rss:"), kib("Pss:")));
        }
        for (program, option) in [("nginx", "-v"), ("haproxy", "-v"), ("h2load", "--version")] {
            let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
            if let Ok(output) = Command::new(program).arg(option).env("PATH", path).output() {
                let said = [output.stdout, output.stderr].concat();
                lines.push(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned());
            }
        }
        lines.join("\n")
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // SIGTERM, so that nginx ends its workers and the daemon closes its record.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
        clear(&self.place);
    }
}

/// Takes away what was left there. A daemon that was killed leaves segments that are append-only.
fn clear(place: &Path) {
    let _ = Command::new("chattr").args(["-R", "-f", "-a"]).arg(place).status();
    match fs::remove_dir_all(place) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            eprintln!("{} can't be removed, and the next run wants it empty: {why}", place.display());
        }
        _ => {}
    }
}

fn children(parent: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    folders.iter().any(|folder| folder.join(program).is_file())
}

/// Until it can be connected to.
fn wait(socket: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while UnixStream::connect(socket).is_err() {
        assert!(Instant::now() < deadline, "nobody listens on {}", socket.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}
