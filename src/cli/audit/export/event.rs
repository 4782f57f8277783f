//! An access as every format tells it: flat, each field under its record's name.

use std::borrow::Cow;

use super::other;
use crate::audit::plain::{Record, Word, decoded};
use crate::audit::query::{Access, Conn, Decision, Held, Item, Repeat};
use crate::cli::audit::print::event_in_words;
use crate::cli::audit::proper::proper;
use crate::model::escape::Escaped;
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What an event has, in the order in which it is told.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Field {
            $($(#[$doc])* $variant,)*
        }

        impl Field {
            /// All of them.
            pub(super) const ALL: &'static [Field] = &[$(Field::$variant,)*];

            /// Its name: the record's key, where it is one.
            pub(super) fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)* }
            }
        }
    };
}

fields! {
    /// When it was asked.
    Time = "time";
    /// `access`, `shed` (a connection that was closed at once), `repeat` (refusals that were only counted).
    Kind = "kind";
    /// Of the request; of the connection that was shed.
    Id = "id";
    On = "on";
    Decision = "decision";
    /// Why it was denied, shed, or not granted.
    Refusal = "refusal";
    Method = "method";
    MethodBytes = "method_b64";
    Target = "target";
    TargetBytes = "target_b64";
    /// The whole length, where it was cut.
    TargetLength = "target_len";
    Route = "route";
    By = "by";
    At = "at";
    Policy = "policy";
    Shadow = "shadow";
    Backend = "backend";
    Status = "status";
    Result = "result";
    In = "in";
    Out = "out";
    /// Microseconds from head to end.
    Us = "us";
    Uid = "uid";
    User = "user";
    Gid = "gid";
    Groups = "groups";
    Pid = "pid";
    Exe = "exe";
    ExeBytes = "exe_b64";
    Unit = "unit";
    Ns = "ns";
    Login = "login";
    Ruid = "ruid";
    Label = "label";
    LabelBytes = "label_b64";
    Count = "count";
    First = "first";
    Last = "last";
    /// What does not fit together in the records of it.
    Doubts = "doubts";
    /// Where its record stands.
    Segment = "segment";
    Offset = "offset";
    /// Of what is no access, the record itself.
    Detail = "detail";
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Text as it stands in the record: printable ASCII, `"` and `\` behind a backslash, the rest as `\uXXXX`.
    Word(Cow<'a, str>),
    /// A number.
    Number(i64),
    /// An instant.
    Instant(Timestamp),
    /// Group ids.
    Numbers(Vec<u32>),
}

impl Value<'_> {
    /// As text in which `"` stands for itself; everything hostile stays spelt out, reversibly.
    pub(super) fn shown(&self) -> Cow<'_, str> {
        match self {
            Value::Word(word) => shown(word),
            Value::Number(number) => number.to_string().into(),
            Value::Instant(at) => at.to_string().into(),
            Value::Numbers(list) => list.iter().map(u32::to_string).collect::<Vec<_>>().join(",").into(),
        }
    }

    /// As the text that was meant, hostile again.
    pub(super) fn meant(&self) -> Cow<'_, str> {
        match self {
            Value::Word(word) => decoded(word),
            _ => self.shown(),
        }
    }
}

/// A record's text without the backslash before each `"`.
fn shown(word: &str) -> Cow<'_, str> {
    if !word.contains("\\\"") {
        return Cow::Borrowed(word);
    }
    let mut text = String::with_capacity(word.len());
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('"') => text.push('"'),
                other => text.extend([letter].into_iter().chain(other)),
            },
            letter => text.push(letter),
        }
    }
    Cow::Owned(text)
}

/// How it came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The caller got an answer by the service behind, or by us where we are the service.
    Success,
    /// It was denied, or broke.
    Failure,
    /// Nothing is on record of its end.
    Unknown,
}

/// How much something weighs that is no access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// It belongs to the day.
    Usual,
    /// Somebody should know: a role died, a policy was not taken, a segment was removed.
    Notable,
    /// Somebody tampers with the record.
    Grave,
}

/// One event.
#[derive(Debug)]
pub(super) struct Event<'a> {
    /// When it was asked.
    pub(super) time: Timestamp,
    /// Whether it was allowed; `None` where that is not on record.
    pub(super) allowed: Option<bool>,
    /// How it ended.
    pub(super) end: End,
    /// Of what is no access, how much it weighs.
    pub(super) weight: Option<Weight>,
    /// And what it says.
    said: String,
    fields: Vec<(Field, Value<'a>)>,
}

impl<'a> Event<'a> {
    /// What an item tells; `None` where it is about no access, and `all` is not asked for, or nothing that anybody has
    /// to know.
    pub(super) fn of(item: &'a Item, all: bool) -> Option<Event<'a>> {
        let event = match item {
            Item::Access(access) => Event::of_access(access),
            Item::Shed(conn) => Event::of_shed(conn),
            Item::Repeat(repeat) => Event::of_repeat(repeat),
            Item::Event(held) if all => Event::of_other(held, other::weight(held.record())?),
            Item::Disbelieved(held) if all => {
                let mut event = Event::of_other(held, Weight::Grave);
                event.said = format!("not believed: {}", event.said);
                event.put(Field::Kind, Value::Word("disbelieved".into()));
                event
            }
            _ => return None,
        };
        Some(event)
    }

    fn of_other(held: &'a Held, weight: Weight) -> Event<'a> {
        let record = held.record();
        let mut event = Event::new(other::kind(record), held.ts, None);
        (event.weight, event.said) = (Some(weight), event_in_words(held));
        for (key, field) in other::FIELDS {
            if let Some(value) = record.field(key) {
                event.word(*field, Some(value.as_str()));
            }
        }
        for field in [Field::Uid, Field::Pid] {
            event.number(field, record.text(field.name()).parse::<u32>().ok());
        }
        event.put(Field::Detail, Value::Word(Escaped(held.line().as_bytes()).to_string().into()));
        event.put_place(Some(held));
        event
    }

    fn new(kind: &'static str, time: Timestamp, allowed: Option<bool>) -> Event<'a> {
        let end = if allowed == Some(false) { End::Failure } else { End::Unknown };
        let mut event = Event {
            time,
            allowed,
            end,
            weight: None,
            said: String::new(),
            fields: Vec::with_capacity(Field::ALL.len()),
        };
        event.put(Field::Time, Value::Instant(time));
        event.put(Field::Kind, Value::Word(kind.into()));
        event
    }

    fn of_access(access: &'a Access) -> Event<'a> {
        let mut event = Event::new("access", access.when(), access.allowed());
        event.put(Field::Id, Value::Word(access.id.to_string().into()));
        if let Some(decision) = &access.decision {
            event.put_decision(decision);
        }
        let grant = access.grants.last();
        if let Some(grant) = grant {
            event.word(Field::Backend, grant.backend());
            if let Some(refused) = grant.refused() {
                event.end = End::Failure;
                event.word(Field::Refusal, Some(refused));
            }
            event.word(Field::Policy, grant.policy());
        }
        event.number(Field::Status, access.status());
        if let Some(outcome) = &access.outcome {
            event.word(Field::Result, outcome.result());
            event.number(Field::In, i64::try_from(outcome.bytes_in).ok());
            event.number(Field::Out, i64::try_from(outcome.bytes_out).ok());
            let well = matches!(outcome.result(), Some("completed" | "tunnel-closed"));
            event.end = if well { End::Success } else { End::Failure };
        } else if let (Some(true), Some(status)) = (event.allowed, access.status()) {
            event.end = if status < 400 { End::Success } else { End::Failure };
        }
        event.number(Field::Us, access.us().and_then(|us| i64::try_from(us).ok()));
        match &access.conn {
            Some(conn) => event.put_caller(conn),
            None => event.number(Field::Uid, access.uid()),
        }
        let doubts: Vec<&str> = access.doubts().into_iter().map(|doubt| doubt.code()).collect();
        if !doubts.is_empty() {
            event.put(Field::Doubts, Value::Word(doubts.join(",").into()));
        }
        let ended = || access.outcome.as_ref().map(|outcome| &outcome.held);
        let held = access.decision.as_ref().map(|decision| &decision.held);
        event.put_place(held.or_else(|| grant.map(|grant| &grant.held)).or_else(ended));
        event
    }

    fn of_shed(conn: &'a Conn) -> Event<'a> {
        let mut event = Event::new("shed", conn.held.ts, Some(false));
        event.put(Field::Id, Value::Word(conn.id.to_string().into()));
        event.put(Field::Decision, Value::Word("deny".into()));
        event.word(Field::Refusal, conn.shed());
        event.put_caller(conn);
        event.put_place(Some(&conn.held));
        event
    }

    fn of_repeat(repeat: &'a Repeat) -> Event<'a> {
        let mut event = Event::new("repeat", repeat.first, Some(false));
        event.word(Field::On, repeat.on());
        event.put(Field::Decision, Value::Word("deny".into()));
        event.word(Field::Refusal, repeat.refusal());
        event.word(Field::Route, repeat.route());
        event.number(Field::Uid, Some(repeat.uid));
        event.word(Field::User, repeat.user.as_deref());
        event.number(Field::Count, i64::try_from(repeat.count).ok());
        event.put(Field::First, Value::Instant(repeat.first));
        event.put(Field::Last, Value::Instant(repeat.last));
        event.put_place(Some(&repeat.held));
        event
    }

    fn put_decision(&mut self, decision: &'a Decision) {
        let record = decision.held.record();
        self.put(Field::Decision, Value::Word(if decision.allowed { "allow" } else { "deny" }.into()));
        self.word(Field::Refusal, decision.refusal());
        self.word(Field::Method, Some(decision.method().unwrap_or_default()));
        self.twin(Field::MethodBytes, record);
        self.word(Field::Target, Some(decision.target().unwrap_or_default()));
        self.twin(Field::TargetBytes, record);
        self.number(Field::TargetLength, record.text("target_len").parse::<i64>().ok());
        self.word(Field::Route, decision.route());
        self.word(Field::By, decision.by());
        self.word(Field::At, decision.place());
        self.word(Field::Policy, decision.policy());
        self.word(Field::Shadow, decision.shadow());
        // Where the warden's record of the connection is not at hand.
        self.number(Field::Pid, Some(decision.pid));
    }

    fn put_caller(&mut self, conn: &'a Conn) {
        let record = conn.held.record();
        self.word(Field::On, conn.on());
        self.number(Field::Uid, Some(conn.uid));
        self.word(Field::User, conn.user());
        self.number(Field::Gid, Some(conn.gid));
        if let Some(groups) = conn.groups() {
            self.put(Field::Groups, Value::Numbers(groups.collect()));
        }
        self.number(Field::Pid, Some(conn.pid));
        self.word(Field::Exe, conn.exe());
        self.twin(Field::ExeBytes, record);
        self.word(Field::Unit, conn.unit());
        self.word(Field::Ns, conn.ns());
        self.number(Field::Login, conn.login().and_then(|uid| uid.parse::<u32>().ok()));
        self.number(Field::Ruid, record.text("ruid").parse::<u32>().ok());
        self.word(Field::Label, conn.label());
        self.twin(Field::LabelBytes, record);
    }

    fn put_place(&mut self, held: Option<&'a Held>) {
        if let Some(held) = held {
            self.word(Field::Segment, Some(&held.segment));
            self.number(Field::Offset, i64::try_from(held.at).ok());
        }
    }

    /// The bytes of what was no text, in base 64.
    fn twin(&mut self, field: Field, record: Record<'a>) {
        self.word(field, record.field(field.name()).map(|value| value.as_str()));
    }

    fn word(&mut self, field: Field, text: Option<&'a str>) {
        if let Some(text) = text {
            self.put(field, Value::Word(proper(text)));
        }
    }

    fn number(&mut self, field: Field, number: Option<impl Into<i64>>) {
        if let Some(number) = number {
            self.put(field, Value::Number(number.into()));
        }
    }

    /// The later word counts: the warden's is put after the gate's.
    fn put(&mut self, field: Field, value: Value<'a>) {
        self.fields.retain(|(there, _)| *there != field);
        self.fields.push((field, value));
    }

    /// One field.
    pub(super) fn field(&self, field: Field) -> Option<&Value<'a>> {
        self.fields.iter().find_map(|(there, value)| (*there == field).then_some(value))
    }

    /// A field that is text, as it stands in the record.
    pub(super) fn text(&self, field: Field) -> Option<&str> {
        match self.field(field)? {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    /// A field that is a number.
    pub(super) fn count(&self, field: Field) -> Option<i64> {
        match self.field(field)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Every field that it has, in the order of [`Field::ALL`].
    pub(super) fn fields(&self) -> impl Iterator<Item = (Field, &Value<'a>)> {
        Field::ALL.iter().filter_map(|field| Some((*field, self.field(*field)?)))
    }

    /// `access`, `shed` or `repeat`; else the kind of record.
    pub(super) fn kind(&self) -> &str {
        self.text(Field::Kind).unwrap_or_default()
    }

    /// Why it did not go as asked: the refusal's code, or the result's where that is none of the good ones.
    pub(super) fn reason(&self) -> Option<&str> {
        let result = || self.text(Field::Result).filter(|_| self.end == End::Failure);
        self.text(Field::Refusal).or_else(result)
    }

    /// That reason in words, where the list of refusals has it.
    pub(super) fn reason_in_words(&self) -> Option<&'static str> {
        let reason = self.reason()?;
        Refusal::ALL.iter().find(|refusal| refusal.code() == reason).map(|refusal| refusal.text())
    }

    /// When it ended, as far as that is on record.
    pub(super) fn ended(&self) -> Option<Timestamp> {
        if let Some(Value::Instant(last)) = self.field(Field::Last) {
            return Some(*last);
        }
        let us = u64::try_from(self.count(Field::Us)?).ok()?;
        Some(Timestamp::from_micros(self.time.micros().saturating_add(us)))
    }

    /// For people: one sentence, printable ASCII, hostile text spelt out.
    pub(super) fn sentence(&self) -> String {
        if self.weight.is_some() {
            return self.said.clone();
        }
        let word = |field: Field| self.field(field).map(|value| Word(&value.shown()).to_string());
        let uid =
            self.count(Field::Uid).map_or_else(|| "of unknown uid".to_owned(), |uid| format!("uid {uid}"));
        let who = word(Field::User).map_or_else(|| uid.clone(), |user| format!("{user} ({uid})"));
        let on = word(Field::On).map(|on| format!(" on {on}")).unwrap_or_default();
        let why = self.reason().map(|why| format!(": {}", shown(why))).unwrap_or_default();
        match self.kind() {
            "shed" => format!("closed a connection of {who}{on} at once{why}"),
            "repeat" => {
                format!("refused {who}{on} {} times more{why}", self.count(Field::Count).unwrap_or_default())
            }
            _ => {
                let verdict = match self.allowed {
                    Some(true) => "allowed",
                    Some(false) => "denied",
                    None => "no decision on record for",
                };
                let [method, target] =
                    [Field::Method, Field::Target].map(|field| word(field).unwrap_or_default());
                let status =
                    self.count(Field::Status).map(|status| format!(" ({status})")).unwrap_or_default();
                format!("{verdict} {who} {method} {target}{on}{status}{why}")
            }
        }
    }
}

#[cfg(test)]
impl Event<'static> {
    /// The same with this in it.
    pub(super) fn with(mut self, field: Field, value: Value<'static>) -> Event<'static> {
        self.put(field, value);
        self
    }

    /// One of which every field says its own name, or has a number of its own.
    pub(super) fn of_every_field() -> Event<'static> {
        let mut event = Event::new("access", Timestamp::from_micros(1_795_405_589_000_000), Some(true));
        for (number, field) in (7_001i64..).zip(Field::ALL) {
            let value = match field {
                Field::Time | Field::Kind => continue,
                Field::First | Field::Last => Value::Instant(Timestamp::from_micros(
                    1_795_405_600_000_000 + number.unsigned_abs() * 1_000,
                )),
                Field::Groups => Value::Numbers(vec![31]),
                Field::Id => Value::Word("7k3qzd-41-1".into()),
                Field::Method => Value::Word("GET".into()),
                Field::Target => Value::Word("/a?b".into()),
                Field::Exe => Value::Word("/usr/bin/exe".into()),
                Field::TargetLength
                | Field::Status
                | Field::In
                | Field::Out
                | Field::Us
                | Field::Uid
                | Field::Gid
                | Field::Pid
                | Field::Login
                | Field::Ruid
                | Field::Count
                | Field::Offset => Value::Number(number),
                field => Value::Word(format!("its-{}", field.name()).into()),
            };
            event.put(*field, value);
        }
        event
    }
}
