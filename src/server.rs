//! The daemon as a value: which apps a program has, what its command line asks for, and which role this process is.
//!
//! A [`Server`] is declared first, then takes its role: [`Server::take_role`] plays the role that this process was
//! started for and ends it, or gives back a [`Daemon`], and only that can serve. What a role is and why the order
//! matters stands below.
#![doc = include_str!("manual/library.md")]

mod command;
mod hello;
mod role;

use std::process::ExitCode;

use crate::app::{IntoRouter, Make, Setup};
use crate::model::app::{Access, Declared, Directory};

pub use command::Daemon;

/// A program's daemon, as it is declared: the same in each of its processes.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use peergate::{App, Caller, Server};
///
/// async fn hello(caller: Caller) -> String {
///     format!("you are {:?}\n", caller.uid())
/// }
///
/// fn main() -> std::process::ExitCode {
///     Server::new().app("hello", App::new(|_setup| Router::new().route("/hello", get(hello)))).run()
/// }
/// ```
#[derive(Default)]
pub struct Server {
    apps: Vec<(String, App)>,
    known: bool,
}

impl Server {
    /// Without any app: what `peergated` is.
    #[must_use]
    pub fn new() -> Server {
        Server::default()
    }

    /// `peergated` itself, which is known to take its roles.
    #[doc(hidden)]
    #[must_use]
    pub fn peergated() -> Server {
        Server { apps: Vec::new(), known: true }
    }

    /// One more app. A policy leads to it by `[backend.NAME] app = "name"`.
    #[must_use]
    pub fn app(mut self, name: &str, app: App) -> Server {
        self.apps.push((name.to_owned(), app));
        self
    }

    /// Takes this process's role, and does what the command line asks for where it has none: all of a program's `main`.
    #[must_use]
    pub fn run(self) -> ExitCode {
        self.take_role().run_command_line()
    }

    /// Plays the role that this process was started for, and ends it; where it was started for none, gives back what
    /// can serve.
    ///
    /// It has to be the first thing in `main`: before arguments are read, since a role has arguments of its own; before
    /// any thread, an async runtime's for one, since the role confines the one thread that there is; before any
    /// descriptor is opened, since the role's own lie at known numbers. [`Daemon::serve`] finds out when it is not, and
    /// says so.
    ///
    /// ```no_run
    /// # use peergate::{App, Server};
    /// # use peergate::axum::Router;
    /// fn main() -> std::process::ExitCode {
    ///     let daemon = Server::new().app("files", App::new(|_setup| Router::new())).take_role();
    ///     // Nothing of the program's own comes before that line.
    ///     daemon.serve("/etc/files/policy.toml")
    /// }
    /// ```
    #[must_use]
    pub fn take_role(self) -> Daemon {
        role::play_if_any(self)
    }

    fn declared(&self) -> Vec<Declared> {
        self.apps.iter().map(|(name, app)| Declared { name: name.clone(), ..app.needs.clone() }).collect()
    }

    fn makes(self) -> Vec<(String, Make)> {
        self.apps.into_iter().map(|(name, app)| (name, app.make)).collect()
    }
}

/// Handlers behind a gate: what makes their router, and what they need beyond memory, time and threads. They run in a
/// process of their own that can reach nothing else.
///
/// ```
/// use axum::{Router, routing::get};
/// use peergate::App;
///
/// # type Failure = Box<dyn std::error::Error + Send + Sync>;
/// let app = App::new(|setup| -> Result<Router, Failure> {
///     let pages = setup.directory("pages")?;
///     let index = move || async move { std::fs::read_to_string(pages.join("index.txt")).unwrap_or_default() };
///     Ok(Router::new().route("/index", get(index)))
/// });
/// // Where it lies is the policy's to say: `directories.pages = "/srv/pages"`.
/// let app = app.read("pages");
/// ```
pub struct App {
    make: Make,
    needs: Declared,
}

impl App {
    /// An app that needs nothing. `make` is called once in each of its processes, when that is confined already, and
    /// gives back a [`Router`](axum::Router) or a `Result` with one.
    #[must_use]
    pub fn new<R: IntoRouter>(make: impl FnOnce(Setup) -> R + Send + 'static) -> App {
        App { make: Box::new(|setup| make(setup).into_router()), needs: Declared::default() }
    }

    /// It reads the files of a directory: one that the policy places under this name, or an absolute path.
    #[must_use]
    pub fn read(self, directory: &str) -> App {
        self.directory(directory, Access::Read)
    }

    /// It reads, makes, writes, renames and removes files and directories in a directory, named as in [`App::read`]. Who
    /// it runs as (`[daemon] app_user`) has to be let in there too.
    #[must_use]
    pub fn write(self, directory: &str) -> App {
        self.directory(directory, Access::Write)
    }

    /// It connects to this TCP port, on whatever address.
    ///
    /// ```
    /// # use peergate::App;
    /// # use peergate::axum::Router;
    /// let app = App::new(|_setup| Router::new()).connect(5432).read("/usr/share/zoneinfo");
    /// ```
    #[must_use]
    pub fn connect(mut self, port: u16) -> App {
        self.needs.ports.push(port);
        self
    }

    /// It asks the warden for this backend of the policy ([`Grant::open`](crate::app::Grant::open)).
    #[must_use]
    pub fn backend(mut self, name: &str) -> App {
        self.needs.backends.push(name.to_owned());
        self
    }

    fn directory(mut self, name: &str, access: Access) -> App {
        self.needs.directories.push(Directory { name: name.to_owned(), access });
        self
    }
}
