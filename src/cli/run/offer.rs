//! What the daemon offers its caller: a route, its patterns, and what they and the command behind it have filled in.

use serde_json::Value;

use super::http::encoded;

/// A route that the caller may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// Its id.
    pub route: String,
    /// What it matches, as written.
    pub patterns: Vec<String>,
    /// The names of the query that it lists.
    query: Vec<String>,
    /// Whether it takes any other name as well.
    is_open: bool,
    /// What its command has filled in.
    parameters: Vec<Parameter>,
}

/// What a command has filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Parameter {
    name: String,
    kind: String,
    one_of: Vec<String>,
    is_optional: bool,
    is_in_body: bool,
}

impl Offer {
    /// All that `/_peergate/routes` tells.
    pub(super) fn all(told: &Value) -> Vec<Offer> {
        list(told, "allowed").map(Offer::new).collect()
    }

    fn new(told: &Value) -> Offer {
        Offer {
            route: text(told, "route"),
            patterns: texts(told, "match"),
            query: texts(told, "query"),
            is_open: told.get("query").is_none_or(Value::is_null) && list(told, "params").next().is_none(),
            parameters: list(told, "params").map(Parameter::new).collect(),
        }
    }

    /// What may be filled in: captures, what the command wants, what the query takes; each once.
    pub(super) fn names(&self) -> Vec<String> {
        let captured = self.patterns.iter().flat_map(|pattern| captures(pattern));
        let wanted = self.parameters.iter().map(|wanted| wanted.name.clone());
        let mut names: Vec<String> = Vec::new();
        for name in captured.chain(wanted).chain(self.query.iter().cloned()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether this can be filled in.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.is_open || self.names().iter().any(|known| known == name)
    }

    /// The values of this name, where they are listed.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        match self.parameters.iter().find(|wanted| wanted.name == name) {
            Some(wanted) if wanted.kind == "bool" => vec!["true".to_owned(), "false".to_owned()],
            Some(wanted) => wanted.one_of.clone(),
            None => Vec::new(),
        }
    }

    /// Whether this is looked for in a JSON object in the body.
    pub(super) fn is_in_body(&self, name: &str) -> bool {
        self.parameters.iter().any(|wanted| wanted.name == name && wanted.is_in_body)
    }

    /// How it is filled in: `unit=nginx.service|app.service [lines=int 1..1000]`.
    pub(super) fn usage(&self) -> String {
        let said = |name: &String| match self.parameters.iter().find(|wanted| wanted.name == *name) {
            None => format!("{name}=…"),
            Some(wanted) => {
                let what =
                    if wanted.one_of.is_empty() { wanted.kind.clone() } else { wanted.one_of.join("|") };
                if wanted.is_optional { format!("[{name}={what}]") } else { format!("{name}={what}") }
            }
        };
        self.names().iter().map(said).collect::<Vec<_>>().join(" ")
    }

    /// Method and path with the captures filled in, by the pattern whose captures are all given, of several the one
    /// with most of them; `None` where some are missing for each.
    pub(super) fn filled(&self, values: &[(String, String)]) -> Option<(String, String)> {
        let mut fitting: Vec<(usize, String, String)> =
            self.patterns.iter().filter_map(|pattern| filled(pattern, values)).collect();
        fitting.sort_by_key(|(captures, ..)| std::cmp::Reverse(*captures));
        fitting.into_iter().next().map(|(_, method, path)| (method, path))
    }

    /// Whether this name is a capture of a pattern of its.
    pub(super) fn captures(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| captures(pattern).iter().any(|known| known == name))
    }
}

impl Parameter {
    fn new(told: &Value) -> Parameter {
        Parameter {
            name: text(told, "name"),
            kind: text(told, "type"),
            one_of: texts(told, "one_of"),
            is_optional: told.get("optional").and_then(Value::as_bool).unwrap_or(false),
            is_in_body: told.get("from").and_then(Value::as_str) == Some("body"),
        }
    }
}

fn list<'a>(told: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    told.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn texts(told: &Value, name: &str) -> Vec<String> {
    list(told, name).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text(told: &Value, name: &str) -> String {
    told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The names of a pattern's captures.
fn captures(pattern: &str) -> Vec<String> {
    let inner = |part: &str| {
        let name = part.split('}').next().unwrap_or_default();
        name.split(':').next().unwrap_or_default().trim_end_matches("...").to_owned()
    };
    pattern.split('{').skip(1).map(inner).collect()
}

fn filled(pattern: &str, values: &[(String, String)]) -> Option<(usize, String, String)> {
    let (method, path) = pattern.split_once(' ')?;
    let mut rest = path;
    let mut made = String::new();
    let mut count = 0;
    while let Some((before, behind)) = rest.split_once('{') {
        let (inner, after) = behind.split_once('}')?;
        let name = inner.split(':').next()?;
        let (name, whole) = name.strip_suffix("...").map_or((name, false), |name| (name, true));
        let (_, value) = values.iter().find(|(known, _)| known == name)?;
        made.push_str(before);
        if whole {
            let parts: Vec<String> = value.split('/').map(encoded).collect();
            made.push_str(&parts.join("/"));
        } else {
            made.push_str(&encoded(value));
        }
        (rest, count) = (after, count + 1);
    }
    made.push_str(rest);
    let method = if method == "*" { "POST" } else { method };
    Some((count, method.to_owned(), made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_is_filled_with_what_is_given() {
        let values = [("unit".to_owned(), "a b.service".to_owned()), ("rest".to_owned(), "x/y".to_owned())];
        let made =
            |pattern: &str| filled(pattern, &values).map(|(_, method, path)| format!("{method} {path}"));
        assert_eq!(made("POST /units/{unit}/restart").unwrap(), "POST /units/a%20b.service/restart");
        assert_eq!(made("GET /files/{rest...}").unwrap(), "GET /files/x/y");
        assert_eq!(made("* /v{unit:any}.x").unwrap(), "POST /va%20b.service.x");
        assert_eq!(made("GET /{other}"), None);
        assert_eq!(captures("GET /{a}/x{b:int}/{c...}"), ["a", "b", "c"]);
    }

    #[test]
    fn usage_names_what_is_filled_in_once_and_what_it_may_be() {
        let told = serde_json::json!({ "allowed": [{
            "route": "log", "match": ["GET /log/{unit}", "GET /logs/{unit}/{day}"], "query": ["lines"],
            "params": [
                { "name": "unit", "from": "path", "type": "one_of", "one_of": ["a", "b"], "optional": false },
                { "name": "lines", "from": "query", "type": "int 1..9", "one_of": null, "optional": true },
                { "name": "all", "from": "body", "type": "bool", "one_of": null, "optional": true },
            ],
        }] });
        let offer = &Offer::all(&told)[0];
        assert_eq!(offer.usage(), "unit=a|b day=… [lines=int 1..9] [all=bool]");
        assert_eq!((offer.values("all").len(), offer.values("lines").len()), (2, 0));
        assert!(offer.is_in_body("all") && !offer.is_in_body("unit"));
        assert!(offer.takes("lines") && !offer.takes("more"));
    }
}
