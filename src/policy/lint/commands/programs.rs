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
    /// It has root start containers or machines, whoever asks.
    Engine,
}

impl How {
    /// For people.
    pub(super) fn why(self) -> &'static str {
        match self {
            How::Code => "what it is told is a program",
            How::Starts => "it starts what it is told",
            How::Escapes => "an option or a command of its own starts programs or opens files",
            How::Writes => "it changes what it is told",
            How::Engine => "whoever may start what it starts has the host",
        }
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
            "pwsh", "Rscript",
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
            "gdb",
            "psql",
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
        Breadth::Free,
        true,
    ),
    row(
        &[
            "tar",
            "bsdtar",
            "cpio",
            "zip",
            "unzip",
            "7z",
            "find",
            "git",
            "hg",
            "svn",
            "rsync",
            "scp",
            "ssh",
            "curl",
            "wget",
            "openssl",
            "tcpdump",
            "nmap",
            "make",
            "gcc",
            "cc",
            "ld",
            "cargo",
            "go",
            "npm",
            "yarn",
            "pip",
            "gem",
            "bundle",
            "cpan",
            "composer",
            "mvn",
            "gradle",
            "ansible",
            "ansible-playbook",
            "puppet",
            "apt",
            "apt-get",
            "aptitude",
            "dpkg",
            "yum",
            "dnf",
            "rpm",
            "zypper",
            "pacman",
            "apk",
            "snap",
            "flatpak",
            "systemctl",
            "journalctl",
            "loginctl",
            "busctl",
            "split",
            "sort",
            "logrotate",
            "ldconfig",
            "ip",
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
            "cp", "mv", "ln", "install", "dd", "tee", "truncate", "shred", "rm", "rmdir", "mkdir", "mkfifo",
            "mknod", "chmod", "chown", "chgrp", "chattr", "setfacl", "setcap", "mount", "umount", "losetup",
            "cat", "head", "tail", "base64", "xxd", "insmod", "kexec", "sysctl",
        ],
        How::Writes,
        Breadth::Free,
        false,
    ),
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
        false,
    ),
];

/// What an engine does that is no more than it looks: all else of it gives away the host.
pub(super) const HARMLESS: &[&str] = &[
    "ps", "ls", "list", "images", "inspect", "logs", "stats", "top", "port", "version", "info", "events",
    "wait", "start", "stop", "restart", "pause", "unpause", "kill", "pull", "history", "get", "describe",
    "dominfo", "reboot", "shutdown",
];

/// Options behind which code stands, or the file of it.
const CODE_OPTIONS: &[&str] = &["--eval", "--execute", "--command", "--print", "--file", "--source"];

/// Short options that take a word of their own, which is no code.
const VALUE_OPTIONS: &[u8] = b"oOWXIFv";

/// Programs for which `--` is a word like others.
const BLIND: &[&str] = &["find", "ffmpeg", "openssl", "java", "dd", "ip", "tc", "convert", "magick", "qemu"];

/// The row of a program, by its path or its name; versions and variants are no part of it (`python3.11`, `vim.basic`).
pub(super) fn known(program: &str) -> Option<(&str, &'static Program)> {
    let name = program.rsplit('/').next().unwrap_or(program);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let bare = bare.split('.').next().unwrap_or(bare).trim_end_matches('-');
    let bare = if bare.starts_with("qemu-system") { "qemu" } else { bare };
    let row = |wanted: &str| PROGRAMS.iter().find(|row| row.names.contains(&wanted));
    row(name).or_else(|| row(bare)).map(|row| (name, row))
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
    matches!(word.as_bytes(), [b'-' | b'+', letter] if VALUE_OPTIONS.contains(letter))
}
