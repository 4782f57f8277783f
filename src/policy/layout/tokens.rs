//! The text as lines and values, with every comment.

use toml_parser::parser::{Event, EventKind, parse_document};
use toml_parser::{ErrorSink, ParseError, Source};

/// One line of the file, or several that belong together.
#[derive(Debug)]
pub(super) enum Line<'t> {
    Blank,
    Comment(&'t str),
    Header { text: String, comment: Option<&'t str> },
    Pair(Pair<'t>),
}

/// `key = value`.
#[derive(Debug)]
pub(super) struct Pair<'t> {
    pub(super) key: String,
    pub(super) value: Value<'t>,
    pub(super) comment: Option<&'t str>,
}

#[derive(Debug)]
pub(super) enum Value<'t> {
    /// As it is written: a string, a number, or a table in braces over several lines.
    Raw(&'t str),
    /// With `own_lines` the author has said by a last comma that the elements stay in the lines they are in.
    List {
        elements: Vec<Element<'t>>,
        own_lines: bool,
    },
    Table(Vec<Pair<'t>>),
}

#[derive(Debug)]
pub(super) enum Element<'t> {
    Value(Value<'t>),
    Comment {
        text: &'t str,
        behind: bool,
    },
    /// A line ends.
    Break,
}

/// The lines of a text that is TOML; `None` where it is none after all.
pub(super) fn lines(text: &str) -> Option<Vec<Line<'_>>> {
    let tokens = Source::new(text).lex().into_vec();
    let mut events: Vec<Event> = Vec::new();
    let mut errors = Errors(false);
    parse_document(
        &tokens,
        &mut |event: Event| {
            if event.kind() != EventKind::Whitespace {
                events.push(event);
            }
        },
        &mut errors,
    );
    if errors.0 {
        return None;
    }
    let mut reader = Reader { text, events, at: 0 };
    let mut lines = Vec::new();
    while let Some(event) = reader.peek() {
        lines.push(reader.line(event)?);
    }
    Some(lines)
}

struct Errors(bool);

impl ErrorSink for Errors {
    fn report_error(&mut self, _: ParseError) {
        self.0 = true;
    }
}

struct Reader<'t> {
    text: &'t str,
    events: Vec<Event>,
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<Event> {
        self.events.get(self.at).copied()
    }

    fn next(&mut self) -> Option<Event> {
        let event = self.peek()?;
        self.at += 1;
        Some(event)
    }

    fn next_if(&mut self, kind: EventKind) -> Option<Event> {
        let event = self.peek().filter(|event| event.kind() == kind)?;
        self.at += 1;
        Some(event)
    }

    fn text(&self, event: Event) -> Option<&'t str> {
        self.text.get(event.span().start()..event.span().end())
    }

    fn line(&mut self, event: Event) -> Option<Line<'t>> {
        match event.kind() {
            EventKind::Newline => {
                self.next();
                Some(Line::Blank)
            }
            EventKind::Comment => {
                self.next();
                self.next_if(EventKind::Newline);
                Some(Line::Comment(self.text(event)?))
            }
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                self.next();
                let key = self.key()?;
                self.next();
                let listed = event.kind() == EventKind::ArrayTableOpen;
                let text = if listed { format!("[[{key}]]") } else { format!("[{key}]") };
                Some(Line::Header { text, comment: self.line_end() })
            }
            _ => {
                let mut pair = self.pair()?;
                pair.comment = self.line_end();
                Some(Line::Pair(pair))
            }
        }
    }

    fn line_end(&mut self) -> Option<&'t str> {
        let comment = self.next_if(EventKind::Comment).and_then(|event| self.text(event));
        self.next_if(EventKind::Newline);
        comment
    }

    fn pair(&mut self) -> Option<Pair<'t>> {
        let key = self.key()?;
        self.next_if(EventKind::KeyValSep)?;
        Some(Pair { key, value: self.value()?, comment: None })
    }

    fn key(&mut self) -> Option<String> {
        let mut key = String::new();
        loop {
            let event = self.next_if(EventKind::SimpleKey)?;
            key.push_str(self.text(event)?);
            match self.next_if(EventKind::KeySep) {
                Some(_) => key.push('.'),
                None => return Some(key),
            }
        }
    }

    fn value(&mut self) -> Option<Value<'t>> {
        let event = self.next()?;
        match event.kind() {
            EventKind::Scalar => Some(Value::Raw(self.text(event)?)),
            EventKind::ArrayOpen => self.list(),
            EventKind::InlineTableOpen => self.table(event),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<Value<'t>> {
        let mut elements = Vec::new();
        // Whether a comma was the last of it, and whether lines ended in it, one behind that comma.
        let (mut comma, mut broken, mut behind_comma) = (false, false, false);
        let mut comments = false;
        loop {
            match self.peek()?.kind() {
                EventKind::ArrayClose => {
                    self.next();
                    let own_lines = comments || (comma && broken && behind_comma);
                    return Some(Value::List { elements, own_lines });
                }
                EventKind::Newline => {
                    self.next();
                    broken = true;
                    behind_comma |= comma;
                    elements.push(Element::Break);
                }
                EventKind::Comment => {
                    let event = self.next()?;
                    comments = true;
                    let behind = matches!(elements.last(), Some(Element::Value(_)));
                    elements.push(Element::Comment { text: self.text(event)?, behind });
                }
                EventKind::ValueSep => {
                    self.next();
                    comma = true;
                }
                _ => {
                    (comma, behind_comma) = (false, false);
                    elements.push(Element::Value(self.value()?));
                }
            }
        }
    }

    fn table(&mut self, open: Event) -> Option<Value<'t>> {
        let mut pairs = Vec::new();
        let mut as_it_is = false;
        loop {
            match self.peek()?.kind() {
                EventKind::InlineTableClose => {
                    let close = self.next()?;
                    if as_it_is {
                        let text = self.text.get(open.span().start()..close.span().end())?;
                        return Some(Value::Raw(text));
                    }
                    return Some(Value::Table(pairs));
                }
                EventKind::Newline | EventKind::Comment => {
                    self.next();
                    as_it_is = true;
                }
                EventKind::ValueSep => {
                    self.next();
                }
                _ => pairs.push(self.pair()?),
            }
        }
    }
}
