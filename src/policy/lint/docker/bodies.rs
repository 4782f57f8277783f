//! Bodies by which a caller becomes root of the host: what a route that judges them has to refuse.

use crate::policy::body::JsonRule;

/// What a rule makes of the bodies that are known.
pub(super) enum Tried {
    /// Whatever the body says, it is root's.
    NoMatter,
    /// It takes this one.
    Taken(&'static str),
    /// It takes none of them.
    Refused,
}

const CREATE: &[&str] = &[
    r#"{"HostConfig":{"Privileged":true}}"#,
    r#"{"HostConfig":{"Binds":["/:/host"]}}"#,
    r#"{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/","Target":"/host"}]}}"#,
    r#"{"HostConfig":{"Mounts":[{"Type":"volume","Target":"/host","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","device":"/","o":"bind"}}}}]}}"#,
    r#"{"HostConfig":{"VolumesFrom":["other"]}}"#,
    r#"{"HostConfig":{"Devices":[{"PathOnHost":"/dev/sda","PathInContainer":"/dev/sda","CgroupPermissions":"rwm"}]}}"#,
    r#"{"HostConfig":{"DeviceCgroupRules":["a *:* rwm"]}}"#,
    r#"{"HostConfig":{"CapAdd":["SYS_ADMIN"]}}"#,
    r#"{"HostConfig":{"CapAdd":["ALL"]}}"#,
    r#"{"HostConfig":{"Capabilities":["CAP_SYS_ADMIN"]}}"#,
    r#"{"HostConfig":{"PidMode":"host"}}"#,
    r#"{"HostConfig":{"PidMode":"container:other"}}"#,
    r#"{"HostConfig":{"IpcMode":"host"}}"#,
    r#"{"HostConfig":{"NetworkMode":"host"}}"#,
    r#"{"HostConfig":{"UsernsMode":"host"}}"#,
    r#"{"HostConfig":{"CgroupnsMode":"host"}}"#,
    r#"{"HostConfig":{"CgroupParent":"/"}}"#,
    r#"{"HostConfig":{"SecurityOpt":["seccomp=unconfined"]}}"#,
    r#"{"HostConfig":{"SecurityOpt":["systempaths=unconfined"]}}"#,
    r#"{"HostConfig":{"MaskedPaths":[]}}"#,
    r#"{"HostConfig":{"ReadonlyPaths":[]}}"#,
    r#"{"HostConfig":{"Runtime":"other"}}"#,
    r#"{"HostConfig":{"Sysctls":{"kernel.core_pattern":"|/x"}}}"#,
];

/// What Podman calls the same.
const LIBPOD_CREATE: &[&str] = &[
    r#"{"privileged":true}"#,
    r#"{"mounts":[{"type":"bind","source":"/","destination":"/host"}]}"#,
    r#"{"volumes_from":["other"]}"#,
    r#"{"devices":[{"path":"/dev/sda"}]}"#,
    r#"{"device_cgroup_rule":[{"allow":true,"access":"rwm"}]}"#,
    r#"{"cap_add":["SYS_ADMIN"]}"#,
    r#"{"cap_add":["ALL"]}"#,
    r#"{"pidns":{"nsmode":"host"}}"#,
    r#"{"ipcns":{"nsmode":"host"}}"#,
    r#"{"netns":{"nsmode":"host"}}"#,
    r#"{"userns":{"nsmode":"host"}}"#,
    r#"{"cgroupns":{"nsmode":"host"}}"#,
    r#"{"cgroup_parent":"/"}"#,
    r#"{"seccomp_policy":"empty"}"#,
    r#"{"seccomp_profile_path":"unconfined"}"#,
    r#"{"apparmor_profile":"unconfined"}"#,
    r#"{"unmask":["ALL"]}"#,
    r#"{"oci_runtime":"other"}"#,
    r#"{"rootfs":"/"}"#,
    r#"{"sysctl":{"kernel.core_pattern":"|/x"}}"#,
];

const EXEC: &[&str] =
    &[r#"{"Cmd":["sh"]}"#, r#"{"Cmd":["/bin/sh","-c","id"]}"#, r#"{"Cmd":"sh"}"#, r#"{"Privileged":true}"#];

const UPDATE: &[&str] = &[
    r#"{"Devices":[{"PathOnHost":"/dev/sda","PathInContainer":"/dev/sda","CgroupPermissions":"rwm"}]}"#,
    r#"{"DeviceCgroupRules":["a *:* rwm"]}"#,
    r#"{"CgroupParent":"/"}"#,
];

const VOLUME: &[&str] = &[
    r#"{"DriverOpts":{"type":"none","device":"/","o":"bind"}}"#,
    r#"{"Options":{"type":"none","device":"/","o":"bind"}}"#,
    r#"{"Driver":"other"}"#,
];

const SERVICE: &[&str] = &[
    r#"{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"bind","Source":"/","Target":"/host"}]}}}"#,
    r#"{"TaskTemplate":{"ContainerSpec":{"CapabilityAdd":["ALL"]}}}"#,
    r#"{"TaskTemplate":{"ContainerSpec":{"Privileges":{"Seccomp":{"Mode":"unconfined"}}}}}"#,
    r#"{"TaskTemplate":{"PluginSpec":{"Remote":"x"}}}"#,
    r#"{"TaskTemplate":{"Networks":[{"Target":"host"}]}}"#,
];

/// Tries those that are known for a path on a rule. What it requires besides is no obstacle: whoever asks can send that.
pub(super) fn first_taken(rule: &JsonRule, path: &str) -> Tried {
    let known = match path {
        "/containers/create" => CREATE,
        "/libpod/containers/create" => LIBPOD_CREATE,
        "/containers/x/exec" | "/libpod/containers/x/exec" => EXEC,
        "/containers/x/update" | "/libpod/containers/x/update" => UPDATE,
        "/volumes/create" | "/libpod/volumes/create" => VOLUME,
        "/services/create" => SERVICE,
        _ => return Tried::NoMatter,
    };
    let rule = JsonRule { required: Vec::new(), ..rule.clone() };
    match known.iter().find(|body| rule.judge(body.as_bytes()).is_ok()) {
        Some(body) => Tried::Taken(body),
        None => Tried::Refused,
    }
}
