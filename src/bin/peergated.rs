//! The daemon, which is the library without an app. Also every role that it starts from its own file.

use std::process::ExitCode;

use peergate::Server;

fn main() -> ExitCode {
    Server::peergated().run()
}
