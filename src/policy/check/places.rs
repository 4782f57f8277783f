//! Where the daemon listens and where it leads: paths, addresses, owners.

use std::net::SocketAddr;

use super::super::diagnostics::{At, quoted};
use super::super::file::{Backend as Written, Builtin, File};
use super::super::names::Names;
use super::super::pattern::VersionPrefix;
use super::super::table::{Address, Backend, BackendKind, Listener};
use super::{Checker, show_bad_pattern};

/// `sun_path` with its final NUL (`unix(7)`).
const SOCKET_PATH: usize = 107;

impl<N: Names> Checker<'_, '_, N> {
    pub(super) fn listeners(&mut self, file: &File, control: &str) -> Vec<Listener> {
        let mut listeners: Vec<Listener> = Vec::new();
        for listen in &file.listens {
            let path = listen.path.as_ref().and_then(|path| self.socket_path(path));
            if let (Some(path), Some(at)) = (&path, &listen.path) {
                if let Some(other) = listeners.iter().find(|other| other.path == *path) {
                    let message = format!("the listener {} has this path already", quoted(&other.name));
                    self.problems.add(at.span, message);
                } else if path == control {
                    self.problems.add(at.span, "this is the path of the control socket");
                }
            }
            let owner_uid = listen.owner.as_ref().and_then(|name| self.people.user(name, self.problems));
            let owner_gid = listen.group.as_ref().and_then(|name| self.people.group(name, self.problems));
            let default = if listen.group.is_some() { 0o660 } else { 0o600 };
            let mode = listen.mode.as_ref().map_or(default, |mode| mode.value);
            if let Some(at) = &listen.mode
                && (mode & !0o666 != 0 || mode & 0o600 != 0o600)
            {
                let help = "write `\"0600\"`, `\"0660\"` or `\"0666\"`; who can write can connect";
                self.problems.add_help(at.span, "a socket has no such mode", help);
            }
            listeners.push(Listener {
                name: listen.name.value.clone(),
                path: path.unwrap_or_default(),
                owner_uid: owner_uid.map(|user| user.uid),
                owner_gid,
                mode,
                browsers: listen.browsers.as_ref().is_some_and(|browsers| browsers.value),
            });
        }
        listeners
    }

    pub(super) fn backends(&mut self, file: &File, listeners: &[Listener]) -> Vec<Backend> {
        let mut backends = Vec::new();
        for written in &file.backends {
            let kind = self.backend_kind(written, listeners, file);
            let version_prefix = written.version_prefix.as_ref().and_then(|text| {
                VersionPrefix::parse(&text.value)
                    .map_err(|bad| show_bad_pattern(self.problems, text, bad))
                    .ok()
            });
            // A backend that is wrong keeps its place; the table is dropped anyway.
            let kind = kind.unwrap_or(BackendKind::Builtin);
            backends.push(Backend { name: written.name.value.clone(), kind, version_prefix });
        }
        backends
    }

    fn backend_kind(
        &mut self,
        written: &Written,
        listeners: &[Listener],
        file: &File,
    ) -> Option<BackendKind> {
        if written.unclear {
            let help = "write `proxy = \"unix:/path\"`, `command = [\"/path\"]`, `builtin = \"api\"` or `app = \"NAME\"`";
            let message = "a backend is one of `proxy`, `command`, `builtin` and `app`";
            self.problems.add_help(written.name.span, message, help);
            return None;
        }
        if let (None, Some((name, _))) = (&written.app, written.directories.first()) {
            self.problems.add(name.span, "`directories` goes with `app`");
        }
        if let (Some(at), false) =
            (&written.only, matches!(written.builtin, Some(At { value: Builtin::Feed(_), .. })))
        {
            self.problems.add(at.span, "`only` goes with `builtin = \"decisions\"`");
        }
        if let Some(app) = &written.app {
            self.proxy_only(written, &["owner", "identity_headers"], "app");
            return self.app(app, written, file);
        }
        if let Some(builtin) = &written.builtin {
            self.proxy_only(written, &["owner", "version_prefix", "identity_headers"], "builtin");
            return Some(match builtin.value {
                Builtin::Api => BackendKind::Builtin,
                Builtin::Feed(feed) => self.feed(feed, written, file),
            });
        }
        if let Some(command) = &written.command {
            return self.command(command, written).map(|command| BackendKind::Command(Box::new(command)));
        }
        let proxy = written.proxy.as_ref()?;
        let address = self.address(proxy)?;
        if let Address::Unix(path) = &address
            && let Some(own) = listeners.iter().find(|listener| listener.path == *path)
        {
            let message =
                format!("this is the listener {} itself: requests would go round", quoted(&own.name));
            self.problems.add(proxy.span, message);
        }
        let owner = written.owner.as_ref().and_then(|name| self.people.user(name, self.problems));
        if let (Address::Tcp(_), Some(at)) = (&address, &written.owner) {
            self.problems.add(at.span, "who listens on TCP can't be told: `owner` goes with `unix:` only");
        }
        Some(BackendKind::Proxy {
            address,
            owner: owner.map(|user| user.uid),
            identity_headers: written.identity_headers.as_ref().is_some_and(|yes| yes.value),
        })
    }

    /// Notes keys that mean something with `proxy` alone.
    fn proxy_only(&mut self, written: &Written, keys: &[&str], with: &str) {
        let wrong = [
            ("owner", written.owner.as_ref().map(|at| at.span)),
            ("version_prefix", written.version_prefix.as_ref().map(|at| at.span)),
            ("identity_headers", written.identity_headers.as_ref().map(|at| at.span)),
        ];
        for (key, span) in wrong.into_iter().filter(|(key, _)| keys.contains(key)) {
            if let Some(span) = span {
                self.problems.add(span, format!("`{key}` goes with `proxy`, not with `{with}`"));
            }
        }
    }

    fn address(&mut self, proxy: &At<String>) -> Option<Address> {
        if let Some(path) = proxy.value.strip_prefix("unix:") {
            let path = At { value: path.to_owned(), span: proxy.span };
            return self.socket_path(&path).map(Address::Unix);
        }
        let tcp = proxy.value.strip_prefix("tcp:").or_else(|| proxy.value.strip_prefix("http://"));
        let Some(address) = tcp else {
            let help = "write `\"unix:/path\"`, `\"tcp:127.0.0.1:PORT\"` or `\"http://127.0.0.1:PORT\"`";
            self.problems.add_help(proxy.span, "this is no address of a local API", help);
            return None;
        };
        match address.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() && address.port() != 0 => Some(Address::Tcp(address)),
            Ok(_) => {
                let message = "only the loopback is local: `127.0.0.1` or `[::1]`, and a port";
                self.problems.add(proxy.span, message);
                None
            }
            Err(_) => {
                let help =
                    "write a loopback address and a port, such as `127.0.0.1:8080`; names are not resolved";
                self.problems.add_help(
                    proxy.span,
                    format!("{} is no address and port", quoted(address)),
                    help,
                );
                None
            }
        }
    }

    /// A path that a socket can have.
    pub(super) fn socket_path(&mut self, at: &At<String>) -> Option<String> {
        let path = self.path(at)?;
        if path.len() > SOCKET_PATH {
            let message =
                format!("a socket's path has at most {SOCKET_PATH} bytes; this one has {}", path.len());
            self.problems.add(at.span, message);
            return None;
        }
        Some(path)
    }

    /// An absolute path in one spelling.
    pub(super) fn path(&mut self, at: &At<String>) -> Option<String> {
        let path = match at.value.strip_prefix("@runtime/") {
            None => at.value.clone(),
            Some(below) => match &self.own.runtime {
                Some(runtime) => format!("{runtime}/{below}"),
                None => {
                    let help = "write an absolute path";
                    self.problems.add_help(at.span, "`@runtime` stands for a directory in a demo only", help);
                    return None;
                }
            },
        };
        let one_spelling = path
            .strip_prefix('/')
            .is_some_and(|inner| inner.split('/').all(|name| !matches!(name, "" | "." | "..")));
        if !one_spelling || path.contains(char::is_control) {
            let help = "write it from `/` on, without `//`, `.`, `..` and a slash at its end";
            self.problems.add_help(at.span, format!("{} is no absolute path", quoted(&at.value)), help);
            return None;
        }
        Some(path)
    }
}
