//! `peergate audit report`.

use clap::Args;

use super::{Where, page};
use crate::audit::query::Filter;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    page: page::Wanted,
    #[command(flatten)]
    filter: Filter,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let Some(file) = arguments.page.file() else {
        return Err(Failure::Because("say where the page goes: --html FILE, or --html -".to_owned()));
    };
    page::run(&arguments.page, file, &arguments.place, &arguments.filter, term)
}
