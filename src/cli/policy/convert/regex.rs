//! Go's regular expressions over whole paths, as far as patterns of a policy can say the same or less. What a pattern
//! can't say as narrowly comes back as a reason.

mod paths;

use std::iter::Peekable;
use std::str::Chars;

pub(super) use paths::paths;

/// Alternatives that one expression may have.
const MOST: usize = 512;

/// A set of ASCII characters.
type Set = [bool; 128];

/// What an alternative is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Literal(char),
    /// Any text, slashes too; whether it may be empty.
    Any {
        empty: bool,
    },
    /// One segment or a part of it.
    Segment,
    Digits,
    Hex,
    /// One or two digits.
    Minor,
    /// A type of captures that takes less: `text name`, `hex 64`.
    Typed(String),
    /// Something that no pattern says as narrowly: in words.
    Bad(String),
}

/// What an expression or an alternative of it is, or why it can't be read.
pub(super) type Read<T> = Result<T, String>;

/// Each way in which the expression can be met.
pub(super) fn alternatives(text: &str) -> Read<Vec<Vec<Token>>> {
    // Go's proxy anchors it itself; who wrote anchors meant the same.
    let text = text.strip_prefix('^').unwrap_or(text);
    let text = match text.strip_suffix('$') {
        Some(inner) if !inner.ends_with('\\') => inner,
        _ => text,
    };
    let mut rest = text.chars().peekable();
    let found = choice(&mut rest, 0)?;
    if rest.next().is_some() {
        return Err("a `)` without its `(`".to_owned());
    }
    Ok(found)
}

fn choice(rest: &mut Peekable<Chars<'_>>, depth: usize) -> Read<Vec<Vec<Token>>> {
    if depth > 16 {
        return Err("groups are nested too deeply".to_owned());
    }
    let mut all = Vec::new();
    loop {
        all.extend(sequence(rest, depth)?);
        if all.len() > MOST {
            return Err(format!("it can be met in more than {MOST} ways"));
        }
        if rest.next_if_eq(&'|').is_none() {
            return Ok(all);
        }
    }
}

fn sequence(rest: &mut Peekable<Chars<'_>>, depth: usize) -> Read<Vec<Vec<Token>>> {
    let mut so_far = vec![Vec::new()];
    while let Some(c) = rest.peek().copied() {
        if matches!(c, '|' | ')') {
            break;
        }
        rest.next();
        let ways = match c {
            '(' => group(rest, depth)?,
            '[' => {
                let (set, text) = class(rest)?;
                repeated(&set, &text, rest, &so_far)?
            }
            '.' => repeated(&[true; 128], ".", rest, &so_far)?,
            '\\' => escape(rest, &so_far)?,
            '^' | '$' => return Err("an anchor stands inside".to_owned()),
            '*' | '+' | '?' | '{' => return Err(format!("`{c}` repeats nothing")),
            c => optional(vec![vec![Token::Literal(c)]], rest, &c.to_string())?,
        };
        if so_far.len() * ways.len() > MOST {
            return Err(format!("it can be met in more than {MOST} ways"));
        }
        so_far = so_far
            .iter()
            .flat_map(|front| ways.iter().map(move |way| [front.as_slice(), way.as_slice()].concat()))
            .collect();
    }
    Ok(so_far)
}

fn group(rest: &mut Peekable<Chars<'_>>, depth: usize) -> Read<Vec<Vec<Token>>> {
    if rest.next_if_eq(&'?').is_some() && rest.next_if_eq(&':').is_none() {
        return Err("a group with flags".to_owned());
    }
    let ways = choice(rest, depth + 1)?;
    if rest.next_if_eq(&')').is_none() {
        return Err("a `(` without its `)`".to_owned());
    }
    optional(ways, rest, "(...)")
}

/// `?` behind it; other repetitions of what is no class are none of a pattern's.
fn optional(mut ways: Vec<Vec<Token>>, rest: &mut Peekable<Chars<'_>>, what: &str) -> Read<Vec<Vec<Token>>> {
    match repetition(rest)? {
        Some((0, Some(1))) => ways.push(Vec::new()),
        None | Some((1, Some(1))) => {}
        Some(_) => return Ok(vec![vec![Token::Bad(format!("`{what}` is repeated"))]]),
    }
    Ok(ways)
}

fn escape(rest: &mut Peekable<Chars<'_>>, front: &[Vec<Token>]) -> Read<Vec<Vec<Token>>> {
    let Some(c) = rest.next() else { return Err("it ends in `\\`".to_owned()) };
    match escaped(c) {
        Some(set) => repeated(&set, &format!("\\{c}"), rest, front),
        // `\Q...\E` is text as it stands.
        None if c == 'Q' => Ok(vec![quoted(rest)]),
        None if c.is_ascii_punctuation() => optional(vec![vec![Token::Literal(c)]], rest, &format!("\\{c}")),
        None => Err(format!("`\\{c}` is not read here")),
    }
}

/// What stands up to `\E`, or to the end.
fn quoted(rest: &mut Peekable<Chars<'_>>) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            break;
        }
        tokens.push(Token::Literal(c));
    }
    tokens
}

/// One way as a person would write it again.
pub(super) fn shown(way: &[Token]) -> String {
    let part = |token: &Token| match token {
        Token::Literal(c) if "\\.+*?()|[]{}^$".contains(*c) => format!("\\{c}"),
        Token::Literal(c) => c.to_string(),
        Token::Any { empty: true } => ".*".to_owned(),
        Token::Any { empty: false } => ".+".to_owned(),
        Token::Segment => "[^/]+".to_owned(),
        Token::Digits => "\\d+".to_owned(),
        Token::Hex => "[0-9a-fA-F]+".to_owned(),
        Token::Minor => ".{1,2}".to_owned(),
        Token::Typed(kind) => format!("<{kind}>"),
        Token::Bad(_) => "<...>".to_owned(),
    };
    way.iter().map(part).collect()
}

/// Of what is taken less than the expression says: in words.
pub(super) fn narrowed(way: &[Token]) -> Vec<&'static str> {
    let less = |token: &Token| match token {
        Token::Typed(kind) if kind == "text name" => Some(
            "what repeats there is a `text name` here: letters, digits and `_.-`, the first a letter or digit, at most 255",
        ),
        Token::Typed(kind) if kind == "text word" => {
            Some("what repeats there is a `text word` here: letters, digits and `_`, at most 255")
        }
        Token::Typed(kind) if kind == "int" => Some("of versions `v1.` and digits alone are taken here"),
        Token::Minor => Some("of one or two characters in a version digits alone are taken here"),
        _ => None,
    };
    way.iter().filter_map(less).collect()
}

/// `\d` and `\w`.
fn escaped(c: char) -> Option<Set> {
    let set = |what: fn(u8) -> bool| std::array::from_fn(|at| u8::try_from(at).is_ok_and(what));
    match c {
        'd' => Some(set(|byte| byte.is_ascii_digit())),
        'w' => Some(set(|byte| byte.is_ascii_alphanumeric() || byte == b'_')),
        _ => None,
    }
}

/// What stands between brackets, and as it was written.
fn class(rest: &mut Peekable<Chars<'_>>) -> Read<(Set, String)> {
    let mut set = [false; 128];
    let mut text = String::from("[");
    let negated = rest.next_if_eq(&'^').is_some();
    if negated {
        text.push('^');
    }
    let mut last: Option<char> = None;
    loop {
        let Some(c) = rest.next() else { return Err("a `[` without its `]`".to_owned()) };
        text.push(c);
        match c {
            ']' if text.len() > 2 + usize::from(negated) => break,
            '\\' => {
                let Some(c) = rest.next() else { return Err("it ends in `\\`".to_owned()) };
                text.push(c);
                match escaped(c) {
                    Some(more) => {
                        set.iter_mut().zip(more).for_each(|(place, more)| *place |= more);
                        last = None;
                    }
                    None => {
                        put(&mut set, c, c);
                        last = Some(c);
                    }
                }
            }
            '-' if last.is_some() && rest.peek().is_some_and(|next| *next != ']') => {
                let Some(end) = rest.next() else { return Err("a `[` without its `]`".to_owned()) };
                if end == '\\' || end == '[' {
                    return Err("a range in brackets is not read here".to_owned());
                }
                text.push(end);
                put(&mut set, last.unwrap_or(end), end);
                last = None;
            }
            '[' if rest.peek() == Some(&':') => return Err("a named class is not read here".to_owned()),
            c => {
                put(&mut set, c, c);
                last = Some(c);
            }
        }
    }
    if negated {
        set.iter_mut().for_each(|place| *place = !*place);
    }
    Ok((set, text))
}

fn put(set: &mut Set, from: char, to: char) {
    for c in from..=to {
        if let Some(place) = set.get_mut(c as usize) {
            *place = true;
        }
    }
}

/// How often something may stand there: at least, at most.
fn repetition(rest: &mut Peekable<Chars<'_>>) -> Read<Option<(u32, Option<u32>)>> {
    let found = match rest.peek() {
        Some('*') => (0, None),
        Some('+') => (1, None),
        Some('?') => (0, Some(1)),
        Some('{') => {
            rest.next();
            let mut inner = String::new();
            loop {
                match rest.next() {
                    Some('}') => break,
                    Some(c) => inner.push(c),
                    None => return Err("a `{` without its `}`".to_owned()),
                }
            }
            let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{{{inner}}}` is no count"));
            let found = match inner.split_once(',') {
                None => (number(&inner)?, Some(number(&inner)?)),
                Some((least, "")) => (number(least)?, None),
                Some((least, most)) => (number(least)?, Some(number(most)?)),
            };
            rest.next_if_eq(&'?');
            return Ok(Some(found));
        }
        _ => return Ok(None),
    };
    rest.next();
    // A lazy repetition is met by the same texts.
    rest.next_if_eq(&'?');
    Ok(Some(found))
}

/// A class and what repeats it.
fn repeated(
    set: &Set,
    text: &str,
    rest: &mut Peekable<Chars<'_>>,
    front: &[Vec<Token>],
) -> Read<Vec<Vec<Token>>> {
    let count = repetition(rest)?;
    let has = |c: char| set.get(c as usize).copied().unwrap_or(false);
    let whole = |what: fn(char) -> bool| ('!'..='~').all(|c| has(c) == what(c));
    let all_of = |what: fn(char) -> bool| ('!'..='~').filter(|c| what(*c)).all(has);
    let any = set.iter().all(|there| *there);
    let token = if any {
        Some(Token::Any { empty: count.is_some_and(|(least, _)| least == 0) })
    } else if whole(|c| c != '/') {
        Some(Token::Segment)
    } else if whole(|c| c.is_ascii_digit()) {
        Some(Token::Digits)
    } else if whole(|c| c.is_ascii_hexdigit()) {
        Some(Token::Hex)
    } else if all_of(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) && !has('/') {
        Some(Token::Typed("text name".to_owned()))
    } else if all_of(|c| c.is_ascii_alphanumeric() || c == '_') && !has('/') {
        Some(Token::Typed("text word".to_owned()))
    } else {
        None
    };
    let bad = |why: &str| Ok(vec![vec![Token::Bad(format!("`{text}`{why}"))]]);
    let behind = |ending: &str| {
        !front.is_empty()
            && front.iter().all(|front| {
                let text: Option<String> =
                    front.iter().map(|it| if let Token::Literal(c) = it { Some(*c) } else { None }).collect();
                text.is_some_and(|text| text.ends_with(ending))
            })
    };
    match (token, count) {
        (Some(token @ Token::Any { .. }), Some((0 | 1, None))) => Ok(vec![vec![token]]),
        (Some(token), Some((1, None))) => Ok(vec![vec![token]]),
        (Some(token), Some((0, None))) => Ok(vec![Vec::new(), vec![token]]),
        (Some(Token::Hex), Some((least, Some(most)))) if least == most => {
            Ok(vec![vec![Token::Typed(format!("hex {least}"))]])
        }
        // `/v1\..{1,2}`: Docker's versions, of which it means the minor number.
        (Some(Token::Any { .. } | Token::Digits), Some((1, Some(2)))) if behind("/v1.") => {
            Ok(vec![vec![Token::Minor]])
        }
        // `/v[\d.]+`: less is said by `v1.` and digits, which is what Docker has.
        (None, Some((_, None))) if behind("/v") && all_of(|c| c.is_ascii_digit() || c == '.') => {
            Ok(vec![vec![Token::Literal('1'), Token::Literal('.'), Token::Typed("int".to_owned())]])
        }
        (Some(Token::Any { .. }), None) => bad(" is one character of many"),
        (_, None) => {
            let members: Vec<char> = ('!'..='~').filter(|c| has(*c)).collect();
            if members.len() > 10 {
                return bad(" is one character of many");
            }
            Ok(members.into_iter().map(|c| vec![Token::Literal(c)]).collect())
        }
        (_, Some((0, Some(1)))) => bad("? is one character or none"),
        (None, Some(_)) => bad(" repeated: no capture is as narrow; if more may be taken, write {name}"),
        (_, Some(_)) => bad(" is counted, and no capture counts"),
    }
}
