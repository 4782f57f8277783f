//! `peergate`: what an operator asks of policies, records and a running daemon. Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    peergate::cli::run(std::env::args_os())
}
