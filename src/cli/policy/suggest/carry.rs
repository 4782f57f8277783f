//! What a suggestion takes over from the policy at hand, key by key and as it is written there: whatever the language
//! has, it narrows the suggestion as it narrows the policy.

use std::collections::BTreeSet;

use toml::{Table, Value};

/// The policy at hand, as written.
#[derive(Debug, Default)]
pub(super) struct Written(Table);

/// Keys of a route that a suggestion writes itself, or that speak of captures that it does not have.
const OWN: [&str; 8] = ["id", "on", "match", "to", "allow", "encoded_slash", "path_parameter", "mode"];

impl Written {
    pub(super) fn read(text: &str) -> Written {
        // It was loaded before, so it is TOML.
        Written(text.parse().unwrap_or_default())
    }

    /// All but rules: the settings, and of listeners and backends those of these names.
    pub(super) fn head(&self, listeners: &BTreeSet<&str>, backends: &BTreeSet<&str>) -> String {
        let mut head = Table::new();
        for (key, value) in &self.0 {
            let kept = match (key.as_str(), value) {
                ("route" | "forbid" | "test" | "who" | "include", _) => continue,
                ("listen", Value::Table(named)) => Value::Table(only(named, listeners)),
                ("backend", Value::Table(named)) => {
                    let mut named = only(named, backends);
                    // Which decisions a feed shows names routes and users that are not here.
                    named.iter_mut().filter_map(|(_, value)| value.as_table_mut()).for_each(|table| {
                        table.remove("only");
                    });
                    Value::Table(named)
                }
                (_, value) => value.clone(),
            };
            head.insert(key.clone(), kept);
        }
        toml::to_string(&head).unwrap_or_default()
    }

    /// Further keys of a route, a line each; and whether its `query` says more than names, and so stays.
    pub(super) fn route(&self, id: &str) -> (Vec<String>, bool) {
        let routes = self.0.get("route").and_then(Value::as_array).into_iter().flatten();
        let mut tables = routes.filter_map(Value::as_table);
        let route = tables.find(|table| table.get("id").and_then(Value::as_str) == Some(id));
        let Some(route) = route else { return (Vec::new(), false) };
        let says_more = |value: &Value| value.is_table();
        let stays = route.get("query").is_some_and(says_more);
        let kept = route
            .iter()
            .filter(|(key, _)| !OWN.contains(&key.as_str()) && (key.as_str() != "query" || stays));
        (kept.map(|(key, value)| format!("{key} = {value}")).collect(), stays)
    }

    /// The forbids but these, and the whos, which they may name and which may be needed all the same.
    pub(super) fn forbids(&self, but: &BTreeSet<String>, whos: bool) -> String {
        let keeps = |forbid: &&Value| {
            let id = forbid.get("id").and_then(Value::as_str);
            id.is_some_and(|id| !but.contains(id))
        };
        let forbids = self.0.get("forbid").and_then(Value::as_array).into_iter().flatten();
        let kept: Vec<Value> = forbids.filter(keeps).cloned().collect();
        if kept.is_empty() && !whos {
            return String::new();
        }
        let mut table = Table::new();
        if let Some(whos) = self.0.get("who") {
            table.insert("who".to_owned(), whos.clone());
        }
        if !kept.is_empty() {
            table.insert("forbid".to_owned(), Value::Array(kept));
        }
        toml::to_string(&table).unwrap_or_default()
    }

    /// What a who asks for besides being somebody, a line each; `None` where that refers to other whos, and it has to
    /// be taken as a whole.
    pub(super) fn narrows(&self, name: &str) -> Option<Vec<String>> {
        let who = self.0.get("who").and_then(Value::as_table).and_then(|whos| whos.get(name)?.as_table());
        let Some(who) = who else { return Some(Vec::new()) };
        if ["any_of", "except"].iter().any(|key| who.contains_key(*key)) {
            return None;
        }
        let names = ["uid", "user", "gid", "group", "namespace"];
        let rest = who.iter().filter(|(key, _)| !names.contains(&key.as_str()));
        Some(rest.map(|(key, value)| format!("{key} = {value}")).collect())
    }

    /// Whether a who has that name.
    pub(super) fn has_who(&self, name: &str) -> bool {
        self.0.get("who").and_then(Value::as_table).is_some_and(|whos| whos.contains_key(name))
    }
}

fn only(named: &Table, names: &BTreeSet<&str>) -> Table {
    named
        .iter()
        .filter(|(name, _)| names.contains(name.as_str()))
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect()
}
