//! Which known name was probably meant.

/// The known name that is nearest to what was written, where one is near enough to be worth saying.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if written.is_empty() || written.len() > LONGEST {
        return None;
    }
    // One slip in three characters is a slip; more is another word.
    let most = written.chars().count().div_ceil(3);
    known
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .map(|name| (distance(written, name), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// How many characters were inserted, left out, replaced or swapped with their neighbour.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, x) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, y) in b.iter().enumerate() {
            let cell = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut least = (cell(&last, column) + usize::from(x != *y))
                .min(cell(&last, column + 1) + 1)
                .min(cell(&current, column) + 1);
            let swapped = column > 0 && previous == Some(*y) && b.get(column - 1) == Some(&x);
            if swapped {
                least = least.min(cell(&before_last, column - 1) + 1);
            }
            current.push(least);
        }
        previous = Some(x);
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_slips_and_leaves_other_words_alone() {
        let known = ["allow", "match", "query", "upgrade"];
        for (written, meant) in [
            ("alow", Some("allow")),
            ("macth", Some("match")),
            ("queries", Some("query")),
            ("deny", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }

    #[test]
    fn distance_counts_each_kind_of_slip_once() {
        for (a, b, n) in [("ab", "ab", 0), ("ab", "ba", 1), ("ab", "a", 1), ("ab", "axb", 1), ("", "abc", 3)]
        {
            assert_eq!(distance(a, b), n, "{a} {b}");
        }
    }
}
