//! What a request carries behind its target, as far as rules read it.

/// Header lines as they are forwarded.
pub trait Lines {
    /// Gives name and value of each to `each`, in their order.
    fn each<'l>(&'l self, each: &mut dyn FnMut(&'l str, &'l str));
}

/// No line at all.
#[derive(Debug, Clone, Copy)]
pub struct NoLines;

impl Lines for NoLines {
    fn each<'l>(&'l self, _: &mut dyn FnMut(&'l str, &'l str)) {}
}

impl Lines for Vec<(String, String)> {
    fn each<'l>(&'l self, each: &mut dyn FnMut(&'l str, &'l str)) {
        for (name, value) in self {
            each(name, value);
        }
    }
}

/// How a body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// There is none, or it is empty.
    Nothing,
    /// So many bytes, at least one.
    Length(u64),
    /// Nobody knows how many bytes before the end.
    Chunked,
}
