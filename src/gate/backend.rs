//! What stands behind a route. Each kind takes a `Recorded`: a permission that is on record, as durably as its route asks.

pub(super) mod builtin;
pub(super) mod link;
pub(super) mod proxy;
pub(super) mod told;
