//! The names that a query may have.

use crate::model::refusal::Refusal;
use crate::model::target::Target;

/// Names, with `&` between them; none holds one.
#[derive(Debug)]
pub(super) struct Names(Box<str>);

impl Names {
    pub(super) fn of(names: &[String]) -> Names {
        Names(names.join("&").into())
    }

    /// Each of them.
    pub(super) fn each(&self) -> impl Iterator<Item = &str> {
        self.0.split('&').filter(|name| !name.is_empty())
    }

    /// Whether each name of the target's query is one of these, and there once.
    pub(super) fn take(&self, query: &str, target: &Target) -> Result<(), Refusal> {
        if self.take_plainly(query.as_bytes()) {
            return Ok(());
        }
        target.query_names_once()?;
        let listed = |(name, _): (&str, &str)| self.each().any(|known| known == name);
        if target.query_pairs().all(listed) { Ok(()) } else { Err(Refusal::QueryName) }
    }

    /// The same in one pass, for what most queries are; `false` where it has to be looked at closely.
    fn take_plainly(&self, query: &[u8]) -> bool {
        let mut seen = 0_u64;
        let mut rest = query;
        while !rest.is_empty() {
            let (name, after) = split(rest, |byte| matches!(byte, b'=' | b'&' | b';' | b'%' | b'+'));
            let bit = self.place(name).and_then(|place| 1_u64.checked_shl(place)).unwrap_or(0);
            if bit == 0 || seen & bit != 0 {
                return false;
            }
            seen |= bit;
            let after = match after {
                [b'=', value @ ..] => split(value, |byte| matches!(byte, b'&' | b';')).1,
                after => after,
            };
            rest = match after {
                [] => return true,
                // A piece without a name would follow.
                [b'&'] => return false,
                [b'&', rest @ ..] => rest,
                _ => return false,
            };
        }
        true
    }

    fn place(&self, name: &[u8]) -> Option<u32> {
        let known = self.0.as_bytes().split(|byte| *byte == b'&');
        // Short texts: quicker byte by byte than by a call.
        let same = |known: &[u8]| known.len() == name.len() && known.iter().zip(name).all(|(a, b)| a == b);
        (0..).zip(known).find(|(_, known)| !name.is_empty() && same(known)).map(|(place, _)| place)
    }
}

/// What stands before the first such byte, and what begins with it.
fn split(text: &[u8], is: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let at = text.iter().position(|byte| is(*byte)).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_plainly_are_those_that_a_close_look_takes() {
        let few = Names::of(&["all".to_owned(), "limit".to_owned()]);
        let many = Names::of(&(0..70).map(|number| format!("n{number}")).collect::<Vec<_>>());
        let plain_and_close = |names: &Names, query: &str| {
            let target = Target::parse(format!("/x?{query}").as_bytes()).unwrap();
            (names.take_plainly(query.as_bytes()), names.take(query, &target))
        };
        for query in ["", "all=1", "all", "limit=5&all=1", "all&limit", "all=a=b"] {
            assert_eq!(plain_and_close(&few, query), (true, Ok(())), "{query}");
        }
        for (query, refusal) in [
            ("&", Refusal::QuerySyntax),
            ("all=1&", Refusal::QuerySyntax),
            ("=1", Refusal::QuerySyntax),
            ("all;limit=1", Refusal::QuerySyntax),
            ("all=1;limit=1", Refusal::QuerySyntax),
            ("a+l=1", Refusal::QuerySyntax),
            ("all%20=1", Refusal::QuerySyntax),
            ("all=1&all=2", Refusal::QueryTwice),
            ("all=1&al=2", Refusal::QueryName),
            ("limits=1", Refusal::QueryName),
        ] {
            assert_eq!(plain_and_close(&few, query), (false, Err(refusal)), "{query}");
        }
        // Beyond what is counted in one pass.
        assert_eq!(plain_and_close(&many, "n1=&n63="), (true, Ok(())));
        assert_eq!(plain_and_close(&many, "n64=&n69="), (false, Ok(())));
        assert_eq!(plain_and_close(&many, "n69&n69"), (false, Err(Refusal::QueryTwice)));
        assert_eq!(plain_and_close(&Names::of(&[]), "a").1, Err(Refusal::QueryName));
    }
}
