//! The words of environment files, compose files, `docker inspect` and command lines: what stands between quotes is
//! one, and what does not ends at blanks, commas and brackets.

/// All words, in order.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines() {
        line_words(line, &mut words);
    }
    words
}

fn line_words(line: &str, words: &mut Vec<String>) {
    let mut word = String::new();
    let mut quote = None;
    // A closing quote ends a word for commas and brackets, which a regular expression may hold.
    let mut closed = false;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            // `docker inspect` and compose write a backslash twice within double quotes, shells before `"`.
            (Some('"'), '\\') if matches!(rest.peek(), Some('\\' | '"')) => word.extend(rest.next()),
            (Some(open), c) if c == open => (quote, closed) = (None, true),
            (Some(_), c) => word.push(c),
            // A quote opens a word, or the value behind `=` or `:`.
            (None, '"' | '\'' | '`') if word.is_empty() || word.ends_with(['=', ':']) => quote = Some(c),
            (None, '#') if word.is_empty() => break,
            (None, ' ' | '\t' | '\r') => {
                end(&mut word, words);
                closed = false;
            }
            (None, '[' | ']' | ',') if closed || !word.contains('=') => {
                end(&mut word, words);
                closed = false;
            }
            (None, c) => word.push(c),
        }
    }
    end(&mut word, words);
}

fn end(word: &mut String, words: &mut Vec<String>) {
    let word = std::mem::take(word);
    if !word.is_empty() && word != "-" && word != "\\" {
        words.push(word);
    }
}

/// `NAME=VALUE`, or a compose file's `NAME: VALUE`.
pub(super) fn settings(text: &str) -> Vec<(String, String)> {
    let words = words(text);
    let mut settings = Vec::new();
    let mut rest = words.into_iter().peekable();
    while let Some(word) = rest.next() {
        if let Some((name, value)) = word.split_once('=') {
            settings.push((name.to_owned(), value.trim_end_matches(',').to_owned()));
        } else if let Some(name) = word.strip_suffix(':')
            && let Some(value) = rest.peek()
            && !value.ends_with(':')
            && !value.contains('=')
        {
            settings.push((name.to_owned(), value.clone()));
        }
    }
    settings
}
