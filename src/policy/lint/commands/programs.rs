//! Programs by which whoever may choose their words may do anything: what <https://gtfobins.github.io> collects, as far
//! as it stands in a policy.

/// How a program comes to do what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Its words or its input are a program, or name the file of one.
    Code,
    /// It starts the program that stands among its words.
    Starts,
    /// One of its options or inner commands starts any program, or reads and writes any file.
    Escapes,
    /// It writes or changes what it is told: enough where it is root.
    Writes,
    /// A file that it is told is a program, or what it is told to fetch is one.
    Loads,
    /// What it is told to unpack or to load becomes a part of the system: enough where it is root.
    Unpacks,
    /// It has root start containers or machines, whoever asks.
    Engine,
    /// It has the service manager act on the unit that it is told: enough where it is root.
    Manages,
}

impl How {
    /// For people.
    pub(super) fn why(self) -> &'static str {
        match self {
            How::Code => "what it is told is a program",
            How::Starts => "it starts what it is told",
            How::Escapes => "an option or a command of its own starts programs or opens files",
            How::Writes => "it changes what it is told",
            How::Loads => "a file or a package that it is told is a program",
            How::Unpacks => "what it unpacks or loads becomes a part of the system",
            How::Engine => "whoever may start what it starts has the host",
            How::Manages => "it starts, stops or changes any unit",
        }
    }

    /// Whether it is no more than its user's own files, where that is not root.
    pub(super) fn is_of_root_alone(self) -> bool {
        matches!(self, How::Writes | How::Unpacks | How::Manages)
    }
}

/// How much a caller can say by one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Breadth {
    /// One of a list, a number, digits.
    Listed,
    /// A name of the caller's choice, which begins with a letter or a digit.
    Name,
    /// A file of the caller's choice, below a directory.
    Path,
    /// A path that begins with a letter or a digit, and so any file where the command begins in `/`.
    Reference,
    /// Any text.
    Free,
}

/// Some programs that are alike.
pub(super) struct Program {
    names: &'static [&'static str],
    pub(super) how: How,
    /// From which breadth on a value is too much.
    pub(super) least: Breadth,
    /// What it reads from its input are commands too.
    pub(super) input: bool,
}

const fn row(names: &'static [&'static str], how: How, least: Breadth, input: bool) -> Program {
    Program { names, how, least, input }
}

const PROGRAMS: &[Program] = &[
    row(
        &[
            "sh", "bash", "rbash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "python",
            "perl", "ruby", "irb", "node", "nodejs", "deno", "bun", "lua", "luajit", "php", "tclsh", "wish",
            "expect", "guile", "julia", "java", "jjs", "awk", "gawk", "mawk", "nawk", "sed", "bc", "jq",
            "pwsh", "Rscript", "dc", "m4", "gnuplot", "octave",
        ],
        How::Code,
        Breadth::Name,
        true,
    ),
    row(
        &[
            "busybox",
            "toybox",
            "env",
            "nice",
            "ionice",
            "chrt",
            "taskset",
            "nohup",
            "timeout",
            "setsid",
            "stdbuf",
            "unbuffer",
            "flock",
            "watch",
            "time",
            "strace",
            "ltrace",
            "script",
            "chroot",
            "nsenter",
            "unshare",
            "setpriv",
            "setarch",
            "capsh",
            "sudo",
            "su",
            "doas",
            "runuser",
            "pkexec",
            "runcon",
            "systemd-run",
            "systemd-nspawn",
            "machinectl",
            "start-stop-daemon",
            "run-parts",
            "ssh-agent",
            "dbus-run-session",
            "bwrap",
            "firejail",
            "daemonize",
            "screen",
            "tmux",
            "valgrind",
            "rlwrap",
            "openvt",
            "ld-linux",
            "ld.so",
            "sg",
            "service",
        ],
        How::Starts,
        Breadth::Name,
        false,
    ),
    row(&["xargs", "parallel", "at", "batch", "crontab"], How::Starts, Breadth::Name, true),
    row(
        &[
            "vi",
            "vim",
            "view",
            "rvim",
            "nvim",
            "ex",
            "ed",
            "emacs",
            "nano",
            "pico",
            "less",
            "more",
            "most",
            "man",
            "mysql",
            "mariadb",
            "sqlite3",
            "redis-cli",
            "mongosh",
            "ftp",
            "sftp",
            "telnet",
            "socat",
            "nc",
            "ncat",
            "nft",
            "iptables-restore",
        ],
        How::Escapes,
        Breadth::Reference,
        true,
    ),
    row(&["make", "ansible-playbook", "logrotate", "psql", "gdb"], How::Loads, Breadth::Path, true),
    row(&["pip", "npm", "gem", "cargo", "snap"], How::Loads, Breadth::Name, false),
    row(
        &[
            "tar",
            "bsdtar",
            "cpio",
            "dpkg",
            "rpm",
            "apt",
            "apt-get",
            "aptitude",
            "yum",
            "dnf",
            "zypper",
            "pacman",
            "apk",
            "insmod",
            "kexec",
            "systemctl",
        ],
        How::Unpacks,
        Breadth::Path,
        true,
    ),
    row(&["ip", "ssh"], How::Escapes, Breadth::Free, true),
    row(
        &[
            "zip",
            "unzip",
            "7z",
            "find",
            "git",
            "hg",
            "svn",
            "rsync",
            "scp",
            "curl",
            "wget",
            "openssl",
            "tcpdump",
            "nmap",
            "gcc",
            "cc",
            "ld",
            "go",
            "yarn",
            "bundle",
            "cpan",
            "composer",
            "mvn",
            "gradle",
            "ansible",
            "puppet",
            "flatpak",
            "journalctl",
            "loginctl",
            "busctl",
            "split",
            "sort",
            "ldconfig",
            "tc",
            "dmesg",
            "mail",
            "sendmail",
            "exim4",
            "restic",
            "borg",
            "rclone",
            "ffmpeg",
            "gs",
            "convert",
            "magick",
            "pdftex",
            "tex",
            "latex",
            "pandoc",
        ],
        How::Escapes,
        Breadth::Free,
        false,
    ),
    row(
        &[
            "mv", "ln", "truncate", "shred", "rm", "rmdir", "mkdir", "mkfifo", "mknod", "chmod", "chown",
            "chgrp", "chattr", "setfacl", "setcap", "mount", "umount", "losetup", "cat", "head", "tail",
            "base64", "xxd",
        ],
        How::Writes,
        Breadth::Reference,
        false,
    ),
    row(&["tee", "dd", "cp", "install", "patch", "sysctl"], How::Writes, Breadth::Reference, true),
    row(
        &[
            "modprobe", "useradd", "usermod", "groupadd", "groupmod", "gpasswd", "adduser", "addgroup",
            "userdel", "passwd", "chsh", "vipw", "visudo",
        ],
        How::Writes,
        Breadth::Name,
        false,
    ),
    row(&["chpasswd", "newusers", "debconf-set-selections"], How::Writes, Breadth::Name, true),
    row(
        &[
            "docker",
            "docker-compose",
            "podman",
            "podman-compose",
            "nerdctl",
            "ctr",
            "crictl",
            "lxc",
            "lxc-start",
            "lxc-attach",
            "incus",
            "kubectl",
            "helm",
            "virsh",
            "buildah",
            "qemu",
        ],
        How::Engine,
        Breadth::Name,
        true,
    ),
];

/// What an engine does that is no more than it looks: all else of it gives away the host.
pub(super) const HARMLESS: &[&str] = &[
    "ps", "ls", "list", "images", "inspect", "logs", "stats", "top", "port", "version", "info", "events",
    "wait", "start", "stop", "restart", "pause", "unpause", "kill", "pull", "history", "get", "describe",
    "dominfo", "reboot", "shutdown",
];

/// Programs that have a service manager act on units or services.
const MANAGERS: &[&str] =
    &["systemctl", "rc-service", "rc-update", "invoke-rc.d", "update-rc.d", "initctl", "sv"];

/// What they do that is no more than it looks.
const LOOKS: &[&str] = &[
    "status",
    "show",
    "cat",
    "help",
    "is-active",
    "is-enabled",
    "is-failed",
    "list-units",
    "list-unit-files",
    "list-dependencies",
    "list-sockets",
    "list-timers",
    "list-jobs",
];

/// Programs that call others over the bus, which says what can be called there.
const BUS: &[&str] = &["busctl", "dbus-send", "gdbus", "qdbus"];

/// Services of the bus by which units and machines are started and stopped.
const BUS_MANAGERS: &[&str] = &["org.freedesktop.systemd1", "org.freedesktop.machine1"];

/// Options behind which code stands, or the file of it.
const CODE_OPTIONS: &[&str] =
    &["--eval", "--execute", "--command", "--print", "--file", "--source", "--expression"];

/// Short options that take a word of their own, which is no code.
const VALUE_OPTIONS: &[u8] = b"oOWXIFv";

/// Programs for which `--` is a word like others.
const BLIND: &[&str] = &["find", "ffmpeg", "openssl", "java", "dd", "ip", "tc", "convert", "magick", "qemu"];

/// Interpreters that read their words as a shell does: `-c` is an option like others, and what is run is the first word
/// that is none.
const SHELLS: &[&str] = &["sh", "bash", "rbash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh"];

/// Interpreters that take code more than once.
const COLLECTORS: &[&str] = &[
    "perl", "ruby", "sed", "awk", "gawk", "mawk", "nawk", "lua", "luajit", "node", "nodejs", "Rscript", "dc",
    "gnuplot", "julia", "guile",
];

/// The row of a program, by its path or its name; versions and variants are no part of it (`python3.11`, `vim.basic`).
pub(super) fn known(program: &str) -> Option<(&str, &'static Program)> {
    let (name, bare) = names(program);
    let row = |wanted: &str| PROGRAMS.iter().find(|row| row.names.contains(&wanted));
    row(name).or_else(|| row(bare)).map(|row| (name, row))
}

/// How a program is called, and how without its version.
fn names(program: &str) -> (&str, &str) {
    let name = program.rsplit('/').next().unwrap_or(program);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let bare = bare.split('.').next().unwrap_or(bare).trim_end_matches('-');
    let families = [("qemu-system", "qemu"), ("ld-linux", "ld-linux"), ("ld-musl", "ld-linux")];
    (name, families.iter().find(|(begins, _)| bare.starts_with(begins)).map_or(bare, |(_, family)| family))
}

/// Whether it has a service manager act on what these fixed words are followed by.
pub(super) fn manages<'c>(program: &str, mut fixed: impl Iterator<Item = Option<&'c str>>) -> Managed {
    let (name, bare) = names(program);
    if MANAGERS.contains(&name) || MANAGERS.contains(&bare) {
        let verb = fixed.find(|word| word.is_none_or(|word| !word.starts_with('-')));
        let looks = verb.flatten().is_some_and(|verb| LOOKS.contains(&verb));
        return if looks { Managed::No } else { Managed::ByName };
    }
    let manager = |word: &str| BUS_MANAGERS.iter().any(|manager| word.contains(manager));
    if BUS.contains(&name) && fixed.flatten().any(manager) { Managed::ByCall } else { Managed::No }
}

/// How a caller's value gets to a service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Managed {
    No,
    /// As a word that is or begins a unit's name.
    ByName,
    /// As any word of a call.
    ByCall,
}

/// Whether it reads its words as a shell does.
pub(super) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&names(program).1)
}

/// Whether it takes code more than once.
pub(super) fn is_collector(program: &str) -> bool {
    let (name, bare) = names(program);
    COLLECTORS.contains(&name) || COLLECTORS.contains(&bare)
}

/// Whether what stands behind a `--` is taken for no option.
pub(super) fn knows_dashes(program: &str) -> bool {
    known(program).is_none_or(|(name, row)| row.how != How::Starts && !BLIND.contains(&name))
}

/// Whether this word of an interpreter says that the next one is code.
pub(super) fn introduces_code(word: &str) -> bool {
    match word.as_bytes() {
        [b'-', b'-', ..] => CODE_OPTIONS.contains(&word),
        [b'-', letters @ ..] => letters.last().is_some_and(|last| b"cefrpPEm".contains(last)),
        _ => false,
    }
}

/// Whether this word of an interpreter takes the next one, which is no code.
pub(super) fn takes_a_value(word: &str) -> bool {
    matches!(word, "--rcfile" | "--init-file")
        || matches!(word.as_bytes(), [b'-' | b'+', letter] if VALUE_OPTIONS.contains(letter))
}

/// Whether this code of a shell runs the words behind it: `eval "$1"`, `exec "$@"`, `$1`.
pub(super) fn runs_its_words(code: &str) -> bool {
    let is_word = |text: &str| {
        let text = text.trim_start_matches(['"', '{']);
        text.strip_prefix('$').is_some_and(|name| {
            name.trim_start_matches('{').starts_with(|c: char| c.is_ascii_digit() || "@*".contains(c))
        })
    };
    let runs = |piece: &str| {
        let mut words = piece.split_whitespace();
        let mut all = piece.split_whitespace();
        all.any(|word| matches!(word, "eval" | "source" | "." | "-c"))
            || words.find(|word| !BEFORE_COMMANDS.contains(word)).is_some_and(is_word)
    };
    code.split([';', '|', '&', '\n', '(', '`']).any(runs)
}

/// Words of a shell behind which a command stands.
const BEFORE_COMMANDS: &[&str] =
    &["exec", "command", "then", "do", "else", "if", "while", "!", "{", "time", "env", "nohup", "sudo"];
