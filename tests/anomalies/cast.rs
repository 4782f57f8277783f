//! Who is there, what can be called, and by which programs.

/// A route of the policy.
#[derive(Debug)]
pub struct Route {
    pub id: &'static str,
    pub method: &'static str,
    /// `{}` stands for a name.
    pub path: &'static str,
    /// Bytes of an ordinary answer.
    pub out: u64,
}

const fn route(id: &'static str, method: &'static str, path: &'static str, out: u64) -> Route {
    Route { id, method, path, out }
}

pub static ROUTES: [Route; 30] = [
    route("ping", "GET", "/_ping", 2),
    route("version", "GET", "/version", 800),
    route("info", "GET", "/info", 3_000),
    route("containers-list", "GET", "/containers/json", 6_000),
    route("containers-inspect", "GET", "/containers/{}/json", 7_000),
    route("containers-logs", "GET", "/containers/{}/logs", 20_000),
    route("containers-stats", "GET", "/containers/{}/stats", 2_500),
    route("containers-top", "GET", "/containers/{}/top", 1_500),
    route("containers-archive", "GET", "/containers/{}/archive", 400_000),
    route("containers-export", "GET", "/containers/{}/export", 30_000_000),
    route("containers-create", "POST", "/containers/create", 120),
    route("containers-start", "POST", "/containers/{}/start", 0),
    route("containers-stop", "POST", "/containers/{}/stop", 0),
    route("containers-restart", "POST", "/containers/{}/restart", 0),
    route("containers-remove", "DELETE", "/containers/{}", 0),
    route("containers-prune", "POST", "/containers/prune", 200),
    route("exec-create", "POST", "/containers/{}/exec", 90),
    route("exec-start", "POST", "/exec/{}/start", 5_000),
    route("images-list", "GET", "/images/json", 9_000),
    route("images-inspect", "GET", "/images/{}/json", 5_000),
    route("images-pull", "POST", "/images/create", 40_000),
    route("images-get", "GET", "/images/{}/get", 60_000_000),
    route("images-remove", "DELETE", "/images/{}", 300),
    route("images-prune", "POST", "/images/prune", 500),
    route("volumes-list", "GET", "/volumes", 2_000),
    route("volumes-remove", "DELETE", "/volumes/{}", 0),
    route("networks-list", "GET", "/networks", 2_500),
    route("events", "GET", "/events", 15_000),
    route("system-df", "GET", "/system/df", 12_000),
    // Comes with an upgrade in the month.
    route("containers-insights", "GET", "/containers/{}/insights", 8_000),
];

/// What no route allows: asked for by who probes, and now and then by mistake.
pub static ELSEWHERE: [Route; 16] = [
    route("", "GET", "/secrets", 0),
    route("", "GET", "/configs", 0),
    route("", "GET", "/swarm", 0),
    route("", "POST", "/swarm/init", 0),
    route("", "GET", "/nodes", 0),
    route("", "GET", "/plugins", 0),
    route("", "POST", "/plugins/pull", 0),
    route("", "POST", "/build", 0),
    route("", "POST", "/commit", 0),
    route("", "POST", "/auth", 0),
    route("", "GET", "/services", 0),
    route("", "GET", "/tasks", 0),
    route("", "POST", "/session", 0),
    route("", "GET", "/distribution/{}/json", 0),
    route("", "PUT", "/containers/{}/archive", 0),
    route("", "POST", "/containers/{}/update", 0),
];

pub fn by_id(id: &str) -> &'static Route {
    ROUTES.iter().find(|route| route.id == id).unwrap()
}

pub static PROGRAMS: [&str; 20] = [
    "/usr/bin/docker",
    "/usr/libexec/docker/cli-plugins/docker-compose",
    "/usr/bin/curl",
    "/usr/bin/python3.13",
    "/usr/share/code/code",
    "/usr/bin/lazydocker",
    "/usr/bin/ctop",
    "/usr/bin/dive",
    "/usr/bin/gitlab-runner",
    "/usr/local/bin/deployer",
    "/usr/bin/restic",
    "/usr/bin/telegraf",
    "/usr/local/bin/reporter",
    "/usr/local/bin/housekeeping",
    "/opt/kiosk/kiosk",
    "/usr/local/bin/mirror",
    "/usr/bin/prometheus",
    "/usr/bin/socat",
    "/tmp/.x/agent",
    "/usr/bin/bash",
];

pub fn program(end: &str) -> usize {
    PROGRAMS.iter().position(|path| path.ends_with(end)).unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    Berlin,
    Kolkata,
    NewYork,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    Ci,
    Deploy,
    Backup,
    Housekeeping,
    Report,
    Monitor,
    Metrics,
    Kiosk,
    Mirror,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Human { zone: Zone, operator: bool },
    Machine(Job),
    Nobody,
}

#[derive(Debug, Clone)]
pub struct Person {
    pub name: &'static str,
    pub uid: u32,
    /// The rule of the policy that allows it.
    pub rule: &'static str,
    pub kind: Kind,
}

pub fn people() -> Vec<Person> {
    use Job::{Backup, Ci, Deploy, Housekeeping, Kiosk, Metrics, Mirror, Monitor, Report};
    use Zone::{Berlin, Kolkata, NewYork};
    let human = |name, uid, zone, operator| Person {
        name,
        uid,
        rule: if operator { "who.operators" } else { "who.developers" },
        kind: Kind::Human { zone, operator },
    };
    let machine = |name, uid, rule, job| Person { name, uid, rule, kind: Kind::Machine(job) };
    vec![
        human("alice", 1001, Berlin, false),
        human("bob", 1002, Berlin, false),
        human("carla", 1003, Berlin, false),
        human("dmitri", 1004, Berlin, false),
        human("esha", 1005, Kolkata, false),
        human("farid", 1006, Kolkata, false),
        human("grace", 1007, NewYork, false),
        human("henk", 1008, Berlin, false),
        human("olga", 1020, Berlin, true),
        human("omar", 1021, Berlin, true),
        // New in the month.
        human("nils", 1030, Berlin, false),
        // Left after the first days; the account stayed.
        human("kurt", 1031, Berlin, false),
        human("lena", 1032, Berlin, false),
        machine("ci", 990, "who.ci", Ci),
        machine("deploy", 991, "who.deploy", Deploy),
        machine("backup", 992, "who.backup", Backup),
        machine("housekeeping", 993, "who.housekeeping", Housekeeping),
        machine("report", 994, "who.report", Report),
        machine("monitor", 995, "who.monitoring", Monitor),
        machine("metrics", 996, "who.monitoring", Metrics),
        machine("kiosk", 997, "who.kiosk", Kiosk),
        machine("mirror", 998, "who.mirror", Mirror),
        // Nobody uses these, unless something is planted.
        Person { name: "svc-a", uid: 1_201, rule: "who.local", kind: Kind::Nobody },
        Person { name: "svc-b", uid: 1_202, rule: "who.local", kind: Kind::Nobody },
    ]
}

pub fn index(people: &[Person], name: &str) -> usize {
    people.iter().position(|person| person.name == name).unwrap()
}
