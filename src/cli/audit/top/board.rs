//! What the live view knows: counts of the last minute and of all that was seen, and the latest accesses.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::keys::Key;
use crate::audit::query::{Access, Filter, Item};
use crate::cli::audit::row::Row;
use crate::model::ids::RequestId;
use crate::model::time::Timestamp;

/// The latest accesses that are kept, to be filtered and opened.
const KEPT: usize = 5_000;
/// Seconds that are counted one by one.
pub(super) const MINUTE: u64 = 60;
/// Names of one kind that are counted by name within a second.
const NAMES: usize = 1_000;

/// Allowed and denied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) allowed: u64,
    pub(super) denied: u64,
}

impl Count {
    fn add(&mut self, denied: bool, count: u64) {
        let side = if denied { &mut self.denied } else { &mut self.allowed };
        *side = side.saturating_add(count);
    }

    fn merge(&mut self, other: Count) {
        self.add(false, other.allowed);
        self.add(true, other.denied);
    }
}

/// Of one second.
#[derive(Debug, Default)]
struct Second {
    all: Count,
    callers: BTreeMap<String, Count>,
    routes: BTreeMap<String, Count>,
}

/// An access in the list.
#[derive(Debug)]
pub(super) struct Kept {
    /// Counts up from the first that was seen.
    pub(super) number: u64,
    pub(super) row: Row,
    /// What the filter looks at: the row in lower case.
    words: String,
    /// All of it, where it is a request of its own.
    pub(super) access: Option<Box<Access>>,
}

/// By what the callers and routes are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Denied,
    Allowed,
    Name,
}

impl Order {
    pub(super) fn name(self) -> &'static str {
        match self {
            Order::Denied => "denied",
            Order::Allowed => "allowed",
            Order::Name => "name",
        }
    }

    fn next(self) -> Order {
        match self {
            Order::Denied => Order::Allowed,
            Order::Allowed => Order::Name,
            Order::Name => Order::Denied,
        }
    }
}

/// What the keys mean now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    List,
    /// The filter is being typed.
    Typing,
    /// The selected access fills the screen, from this line on.
    Open(usize),
    Help,
}

/// Whether to go on after a key.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    GoOn,
    Quit,
    Suspend,
    Redraw,
}

/// The state of the view.
#[derive(Debug)]
pub(super) struct Board {
    /// What the command line asks for; the rest is as if it were not there.
    asked: Filter,
    /// By second since the epoch.
    seconds: BTreeMap<u64, Second>,
    pub(super) total: Count,
    kept: VecDeque<Kept>,
    /// Where the allowed ones stand whose end may still come.
    open: HashMap<RequestId, u64>,
    next: u64,
    pub(super) now: Timestamp,
    pub(super) paused: bool,
    pub(super) mode: Mode,
    pub(super) order: Order,
    /// Words, all of which have to occur.
    pub(super) filter: String,
    /// By its number; the list follows what comes while there is none.
    pub(super) selected: Option<u64>,
    /// Records that nobody may write, and lines that are none.
    pub(super) suspect: u64,
}

impl Board {
    pub(super) fn new(asked: Filter, now: Timestamp) -> Board {
        Board {
            asked,
            seconds: BTreeMap::new(),
            total: Count::default(),
            kept: VecDeque::new(),
            open: HashMap::new(),
            next: 0,
            now,
            paused: false,
            mode: Mode::List,
            order: Order::Denied,
            filter: String::new(),
            selected: None,
            suspect: 0,
        }
    }

    /// The next item in the order of time.
    pub(super) fn take(&mut self, item: Item) {
        if matches!(item, Item::Disbelieved(_) | Item::Garbage(_)) {
            self.suspect += 1;
        }
        if !self.asked.covers(&item) {
            return;
        }
        let Some(row) = Row::of(&item) else { return };
        let access = match item {
            // Counted when it began. What began before we looked is no access of now.
            Item::Access(access) if access.outcome.is_some() => return self.ended(row, access),
            Item::Access(access) | Item::Begun(access) => Some(access),
            _ => None,
        };
        let words = words(&row);
        if suits(&words, &self.filter) {
            self.count(&row);
        }
        if let Some(access) = access.as_ref().filter(|access| access.is_open()) {
            self.open.insert(access.id, self.next);
        }
        self.kept.push_back(Kept { number: self.next, row, words, access });
        self.next += 1;
        if self.kept.len() > KEPT
            && let Some(Kept { access: Some(access), .. }) = self.kept.pop_front()
        {
            self.open.remove(&access.id);
        }
    }

    /// An access that was in the list, or was pushed out of it, has come to its end.
    fn ended(&mut self, row: Row, access: Box<Access>) {
        let Some(number) = self.open.remove(&access.id) else { return };
        let first = self.kept.front().map_or(0, |kept| kept.number);
        let place = usize::try_from(number.saturating_sub(first)).ok();
        if let Some(kept) = place.and_then(|place| self.kept.get_mut(place)) {
            kept.words = words(&row);
            kept.row = row;
            kept.access = Some(access);
        }
    }

    fn count(&mut self, row: &Row) {
        self.total.add(row.denied, row.count);
        let second = row.ts.micros() / 1_000_000;
        if second + MINUTE < self.now.micros() / 1_000_000 {
            return;
        }
        let second = self.seconds.entry(second).or_default();
        second.all.add(row.denied, row.count);
        for (names, name) in [(&mut second.callers, &row.caller), (&mut second.routes, &row.route)] {
            if let Some(count) = names.get_mut(name) {
                count.add(row.denied, row.count);
            } else {
                let name = if names.len() < NAMES { name.as_str() } else { "(others)" };
                names.entry(name.to_owned()).or_default().add(row.denied, row.count);
            }
        }
    }

    /// Sets the clock, and forgets what lies more than a minute back.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.now = now;
        let first = (now.micros() / 1_000_000).saturating_sub(MINUTE - 1);
        self.seconds = self.seconds.split_off(&first);
    }

    /// Each of the last sixty seconds, the latest last.
    pub(super) fn minute(&self) -> Vec<Count> {
        let last = self.now.micros() / 1_000_000;
        let first = last.saturating_sub(MINUTE - 1);
        (first..=last).map(|second| self.seconds.get(&second).map(|it| it.all).unwrap_or_default()).collect()
    }

    /// Callers of the last minute, ordered.
    pub(super) fn callers(&self) -> Vec<(String, Count)> {
        self.ranked(|second| &second.callers)
    }

    /// Routes likewise.
    pub(super) fn routes(&self) -> Vec<(String, Count)> {
        self.ranked(|second| &second.routes)
    }

    fn ranked(&self, names: impl Fn(&Second) -> &BTreeMap<String, Count>) -> Vec<(String, Count)> {
        let mut sums = BTreeMap::<&String, Count>::new();
        for (name, count) in self.seconds.values().flat_map(names) {
            sums.entry(name).or_default().merge(*count);
        }
        let mut ranked: Vec<_> = sums.into_iter().map(|(name, count)| (name.clone(), count)).collect();
        match self.order {
            Order::Denied => ranked.sort_by_key(|(_, it)| std::cmp::Reverse((it.denied, it.allowed))),
            Order::Allowed => ranked.sort_by_key(|(_, it)| std::cmp::Reverse((it.allowed, it.denied))),
            Order::Name => {}
        }
        ranked
    }

    /// What suits the filter, the latest first.
    pub(super) fn list(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().rev().filter(|kept| suits(&kept.words, &self.filter))
    }

    fn numbers(&self) -> Vec<u64> {
        self.list().map(|kept| kept.number).collect()
    }

    /// The selected access.
    pub(super) fn chosen(&self) -> Option<&Kept> {
        let selected = self.selected?;
        self.kept.iter().find(|kept| kept.number == selected)
    }

    /// What a key does. `page` is how many accesses are seen at once.
    pub(super) fn press(&mut self, key: Key, page: usize) -> After {
        match (self.mode, key) {
            (_, Key::Interrupt) => return After::Quit,
            (_, Key::Suspend) => return After::Suspend,
            (_, Key::Redraw) => return After::Redraw,
            (Mode::Typing, key) => self.edit(key),
            (Mode::Open(line), key) => self.scroll(line, key, page),
            (Mode::Help, _) => self.mode = Mode::List,
            (Mode::List, Key::Char('q')) => return After::Quit,
            (Mode::List, key) => self.command(key, page),
        }
        After::GoOn
    }

    fn command(&mut self, key: Key, page: usize) {
        match key {
            Key::Char('/') => self.mode = Mode::Typing,
            Key::Char(' ' | 'p') => self.paused = !self.paused,
            Key::Char('s') => self.order = self.order.next(),
            Key::Char('?' | 'h') => self.mode = Mode::Help,
            Key::Char('n') => self.jump(true),
            Key::Char('N') => self.jump(false),
            Key::Down | Key::Char('j') => self.step(1),
            Key::Up | Key::Char('k') => self.step(-1),
            Key::PageDown => self.step(isize::try_from(page).unwrap_or(1)),
            Key::PageUp => self.step(-isize::try_from(page).unwrap_or(1)),
            Key::Home | Key::Char('g') => self.selected = self.numbers().first().copied(),
            Key::End | Key::Char('G') => self.selected = self.numbers().last().copied(),
            Key::Enter if self.selected.is_none() => self.step(1),
            Key::Enter => {}
            Key::Escape if self.selected.is_some() => self.selected = None,
            Key::Escape => self.refilter(String::new()),
            _ => {}
        }
        if key == Key::Enter && self.chosen().is_some() {
            self.mode = Mode::Open(0);
        }
    }

    fn edit(&mut self, key: Key) {
        let mut filter = self.filter.clone();
        match key {
            Key::Enter => self.mode = Mode::List,
            Key::Escape => {
                self.mode = Mode::List;
                filter.clear();
            }
            Key::Backspace => {
                filter.pop();
            }
            Key::Kill => filter.clear(),
            Key::Char(c) if filter.len() < 200 => filter.push(c),
            _ => {}
        }
        self.refilter(filter);
    }

    fn scroll(&mut self, line: usize, key: Key, page: usize) {
        self.mode = match key {
            Key::Down | Key::Char('j') => Mode::Open(line + 1),
            Key::Up | Key::Char('k') => Mode::Open(line.saturating_sub(1)),
            Key::PageDown | Key::Char(' ') => Mode::Open(line + page),
            Key::PageUp => Mode::Open(line.saturating_sub(page)),
            Key::Home => Mode::Open(0),
            Key::Escape | Key::Enter | Key::Backspace | Key::Char('q') => Mode::List,
            _ => Mode::Open(line),
        };
    }

    /// Takes another filter, and counts again what is kept.
    fn refilter(&mut self, filter: String) {
        if filter == self.filter {
            return;
        }
        self.filter = filter;
        self.selected = None;
        self.seconds.clear();
        self.total = Count::default();
        let kept = std::mem::take(&mut self.kept);
        for it in &kept {
            if suits(&it.words, &self.filter) {
                self.count(&it.row);
            }
        }
        self.kept = kept;
    }

    /// Selects the one so many places further down; the first where none was selected.
    fn step(&mut self, by: isize) {
        let numbers = self.numbers();
        let place = self.selected.and_then(|selected| numbers.iter().position(|number| *number <= selected));
        let place = place.map_or(0, |place| place.saturating_add_signed(by));
        self.selected = numbers.get(place.min(numbers.len().saturating_sub(1))).copied();
    }

    /// Selects the next denied one: downward, which is back in time, or upward.
    fn jump(&mut self, down: bool) {
        let denied = self.list().filter(|kept| kept.row.denied).map(|kept| kept.number);
        let from = self.selected.unwrap_or(if down { u64::MAX } else { 0 });
        // The latest comes first.
        let denied: Vec<u64> = denied.filter(|it| if down { *it < from } else { *it > from }).collect();
        let found = if down { denied.first() } else { denied.last() };
        self.selected = found.copied().or(self.selected);
    }
}

fn words(row: &Row) -> String {
    let verdict = if row.denied { "denied" } else { "allowed" };
    let Row { id, caller, program, request, route, rule, status, result, .. } = row;
    format!("{verdict} {id} {caller} {program} {request} {route} {rule} {status} {result}")
        .to_ascii_lowercase()
}

fn suits(words: &str, filter: &str) -> bool {
    filter.split_whitespace().all(|word| words.contains(&word.to_ascii_lowercase()))
}
