//! Commands: a program behind a route, from the policy to its end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "commands/answers.rs"]
mod answers;
#[path = "commands/attacks.rs"]
mod attacks;
#[path = "commands/bodies.rs"]
mod bodies;
#[path = "commands/client.rs"]
mod client;
#[path = "commands/completions.rs"]
mod completions;
#[path = "commands/ends.rs"]
mod ends;
#[path = "commands/inside.rs"]
mod inside;
#[path = "commands/review.rs"]
mod review;
#[path = "commands/stage.rs"]
mod stage;
#[path = "commands/starts.rs"]
mod starts;
#[path = "support/support.rs"]
mod support;
