//! What stands behind a route. Each kind takes a `Receipt<Permit>`: a permission that is on record.

pub(super) mod builtin;
pub(super) mod link;
pub(super) mod proxy;
