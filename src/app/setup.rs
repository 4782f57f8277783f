//! What the embedder's function gets that makes the router, and what it may give back.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use axum::Router;
use tokio::sync::{mpsc, watch};

use crate::model::app::Sandbox;

/// An error of whatever kind.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// Makes an app's router; called once a process, confined already.
pub type Make = Box<dyn FnOnce(Setup) -> Result<Router, Failure> + Send>;

/// Where an app's process begins: what it was declared with, in the places that the policy gives it.
///
/// ```
/// use axum::Router;
/// use peergate::Setup;
///
/// # type Failure = Box<dyn std::error::Error + Send + Sync>;
/// // For `App::new(router).write("data")`, and `directories.data = "/var/lib/files"` in the policy.
/// fn router(setup: Setup) -> Result<Router, Failure> {
///     let data = setup.directory("data")?;
///     // The app's own tasks are tokio's; this one ends well when the daemon stops.
///     let mut stopping = setup.stopping();
///     tokio::spawn(async move {
///         stopping.wait().await;
///         std::fs::write(data.join("stopped"), "as it should").ok();
///     });
///     Ok(Router::new())
/// }
/// ```
#[derive(Debug)]
pub struct Setup {
    pub(super) sandbox: Sandbox,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) alive: mpsc::Sender<()>,
}

impl Setup {
    /// The app's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.sandbox.name
    }

    /// Where a directory lies that the app was declared with.
    ///
    /// # Errors
    ///
    /// [`Undeclared`]: it was declared with none of this name.
    pub fn directory(&self, name: &str) -> Result<PathBuf, Undeclared> {
        let placed = self.sandbox.directories.iter().find(|placed| placed.directory.name == name);
        placed.map(|placed| PathBuf::from(&placed.path)).ok_or_else(|| Undeclared(name.to_owned()))
    }

    /// For a task of the app's own that has to end well: it resolves when the daemon stops, and the process stays until
    /// the task has dropped it (the daemon's `drain_time` at the longest).
    #[must_use]
    pub fn stopping(&self) -> Stopping {
        Stopping { stopping: self.stopping.clone(), _alive: self.alive.clone() }
    }
}

/// Resolves when the daemon stops; see [`Setup::stopping`].
#[derive(Debug, Clone)]
pub struct Stopping {
    stopping: watch::Receiver<bool>,
    _alive: mpsc::Sender<()>,
}

impl Stopping {
    /// Waits for that.
    pub async fn wait(&mut self) {
        // Whoever could say so is gone: it stops all the more.
        self.stopping.wait_for(|stopping| *stopping).await.map(drop).ok();
    }
}

/// The app was declared with no directory of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeclared(String);

impl fmt::Display for Undeclared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.0;
        write!(f, "the app declares no directory {name:?}: add it with `App::read` or `App::write`")
    }
}

impl Error for Undeclared {}

/// What the embedder's function may give back: a router, or a router or why there is none.
pub trait IntoRouter {
    /// The router.
    ///
    /// # Errors
    ///
    /// Why there is none.
    fn into_router(self) -> Result<Router, Failure>;
}

impl IntoRouter for Router {
    fn into_router(self) -> Result<Router, Failure> {
        Ok(self)
    }
}

impl<E: Into<Failure>> IntoRouter for Result<Router, E> {
    fn into_router(self) -> Result<Router, Failure> {
        self.map_err(Into::into)
    }
}
