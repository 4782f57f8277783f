//! What each command of a policy keeps, in words for people: printed before anything runs.

use std::fmt::Write;

use crate::policy::{BackendKind, Command, OnLeave, Part, Policy, Rlimit, Template, Wanted};

/// What the launcher keeps, which starts runners where no service manager does: nothing could be taken from it that its
/// runners and their commands would not miss.
pub const LAUNCHER: &str = "\
launcher
  runs as       whom the daemon was started as
  capabilities  all that the daemon was started with: what it starts becomes other users
  no_new_privs  not set; not dumpable
  Landlock      none: what it starts inherits walls, and what a command needs is its policy's to say
  seccomp       none: likewise
  descriptors   the program's own file, and the channel on which it hears one word of the warden
";

/// What Landlock leaves to a command in a sandbox.
const UNSTOPPED: &str = "whatever its user may: change mode, owner and times of any file, ask for its size and owner, send UDP; \
                         before Linux 7.1 connect to named Unix sockets (for root: docker.sock, and so all)";

/// One text a command, in the order of the file.
#[must_use]
pub fn plans(policy: &Policy) -> Vec<String> {
    let commands = policy.backends.iter().filter_map(|backend| match &backend.kind {
        BackendKind::Command(command) => Some((backend.name.as_str(), command)),
        _ => None,
    });
    commands.map(|(name, command)| plan(name, command)).collect()
}

fn plan(name: &str, command: &Command) -> String {
    let mut lines = vec![("runs", words(command))];
    let cage = &command.cage;
    let groups: Vec<String> = cage.groups.iter().map(|group| group.raw().to_string()).collect();
    let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(" ") };
    let (user, uid, gid) = (&cage.user, cage.uid.raw(), cage.gid.raw());
    lines.push(("runs as", format!("{user} (uid {uid}), gid {gid}, supplementary groups: {groups}")));
    for parameter in &command.parameters {
        let what = match &parameter.kind {
            Wanted::Value(kind) => kind.to_string(),
            Wanted::Below { directory, opened: true } => format!("below {directory}, as an open descriptor"),
            Wanted::Below { directory, opened: false } => format!("below {directory}, by its path"),
        };
        let mut what = format!("{{{}}} {what}", parameter.name);
        for (is, word) in [
            (parameter.optional, ", optional"),
            (parameter.dash, ", may begin with `-`"),
            (parameter.secret, ", hashed in records"),
        ] {
            what.push_str(if is { word } else { "" });
        }
        lines.push(("parameter", what));
    }
    lines.push(("begins in", cage.directory.clone()));
    lines.push(("umask", format!("{:04o}", cage.umask)));
    for (name, value) in &cage.environment {
        lines.push(("environment", format!("{name}={}", word(value))));
    }
    lines.push(("new rights", if cage.new_privileges { "yes" } else { "no (no_new_privs)" }.to_owned()));
    match &cage.sandbox {
        None => lines.push(("files", "whatever its user may reach".to_owned())),
        Some(sandbox) => {
            lines.push(("executes", format!("its own program {}", command.program)));
            for (what, places) in
                [("reads", &sandbox.read), ("writes", &sandbox.write), ("executes", &sandbox.exec)]
            {
                if !places.is_empty() {
                    lines.push((what, places.join(" ")));
                }
            }
            lines.push(("does not stop", UNSTOPPED.to_owned()));
            lines.push((
                "TCP",
                match &sandbox.tcp {
                    None => "any port".to_owned(),
                    Some(ports) if ports.is_empty() => "none".to_owned(),
                    Some(ports) => {
                        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                        format!("connects to {}", ports.join(" "))
                    }
                },
            ));
        }
    }
    for (limit, most) in &cage.rlimits {
        let name = Rlimit::NAMES.iter().find(|(_, known)| known == limit).map_or("", |(name, _)| name);
        lines.push(("limit", format!("{name} {most}")));
    }
    let bounds = &command.bounds;
    lines.push((
        "time",
        format!("{} ms, then SIGTERM, {} ms later SIGKILL", bounds.timeout_ms, bounds.grace_ms),
    ));
    lines.push(("output", format!("at most {} bytes", bounds.output)));
    lines.push((
        "input",
        match command.stdin {
            None => "none".to_owned(),
            Some(most) => format!("the request's body, at most {most} bytes"),
        },
    ));
    lines.push(("at a time", format!("{}, and {} wait", command.concurrent, command.queue)));
    lines.push((
        "caller left",
        match bounds.on_leave {
            OnLeave::Kill => "it is ended".to_owned(),
            OnLeave::Finish => "it runs to its end, as it does where the daemon ends".to_owned(),
        },
    ));
    let mut text = format!("command {name}\n");
    for (what, how) in lines {
        // Writing to a String can't fail.
        writeln!(text, "  {what:<13} {how}").ok();
    }
    text
}

fn words(command: &Command) -> String {
    let argument = |Template(parts): &Template| -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Parameter(place) => {
                let name =
                    command.parameters.get(usize::from(*place)).map_or("", |known| known.name.as_str());
                format!("{{{name}}}")
            }
        };
        parts.iter().map(part).collect()
    };
    let shown = std::iter::once(command.program.clone()).chain(command.arguments.iter().map(argument));
    shown.map(|shown| word(&shown)).collect::<Vec<_>>().join(" ")
}

/// In quotes where it would not read as one word on one line.
fn word(text: &str) -> String {
    let is_odd =
        text.is_empty() || text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if is_odd { format!("{text:?}") } else { text.to_owned() }
}
