//! A slow second judge of bodies, written from the words of the manual: it has serde_json read the document, keeps
//! keys that stand there twice, and compares every place with every pointer as a whole. It knows nothing of the
//! quick one, so that each holds the other.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A rule as it is written.
#[derive(Debug, Default, Clone)]
pub struct Rule {
    pub allow: Vec<String>,
    pub zero: bool,
    /// Pointer and kind.
    pub values: Vec<(String, String)>,
    pub required: Vec<String>,
    pub null: Vec<String>,
    pub maps: Vec<String>,
}

/// A document with every member that was written.
#[derive(Debug)]
enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Tree, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Tree;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Number(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Number(value.into()))
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Tree, E> {
                Number::from_f64(value).map(Tree::Number).ok_or_else(|| E::custom("infinite"))
            }
            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                let mut all = Vec::new();
                while let Some(value) = list.next_element()? {
                    all.push(value);
                }
                Ok(Tree::List(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(Tree::Object(all))
            }
        }
        from.deserialize_any(Any)
    }
}

/// Whether the rule lets this body through. What is about bounds is not looked at.
pub fn allows(rule: &Rule, body: &[u8]) -> bool {
    let Ok(tree) = serde_json::from_slice::<Tree>(body) else { return false };
    if has_twins(&tree) {
        return false;
    }
    let zero = rule.zero && matches!(tree, Tree::Object(_));
    judge(rule, &tree, &mut Vec::new(), zero)
        && rule.required.iter().all(|pointer| !matches!(find(&tree, pointer), None | Some(Tree::Null)))
}

fn fold(key: &str) -> String {
    key.to_lowercase().to_uppercase().to_lowercase()
}

fn has_twins(tree: &Tree) -> bool {
    match tree {
        Tree::List(list) => list.iter().any(has_twins),
        Tree::Object(members) => {
            let keys: HashSet<_> = members.iter().map(|(key, _)| fold(key)).collect();
            keys.len() < members.len() || members.iter().any(|(_, value)| has_twins(value))
        }
        _ => false,
    }
}

fn steps(pointer: &str) -> Vec<String> {
    let unescape = |step: &str| {
        // A name that looks like a wildcard can't be written.
        step.replace("~1", "/").replace("~0", "~")
    };
    pointer[1..].split('/').map(unescape).collect()
}

/// Whether the steps take this way, step by step, both as long.
fn takes(steps: &[String], way: &[String], folded: bool) -> bool {
    steps.len() == way.len()
        && steps
            .iter()
            .zip(way)
            .all(|(step, name)| step == "*" || if folded { fold(step) == fold(name) } else { step == name })
}

fn judge(rule: &Rule, tree: &Tree, way: &mut Vec<String>, zero: bool) -> bool {
    let alike = |pointers: &[String]| pointers.iter().any(|pointer| takes(&steps(pointer), way, true));
    if alike(&rule.null) {
        return matches!(tree, Tree::Null);
    }
    let (mut exact, mut under) = (false, false);
    for steps in rule.allow.iter().map(|pointer| steps(pointer)) {
        let fixed = steps.strip_suffix(&["**".to_owned()][..]).unwrap_or(&steps);
        let below = fixed.len() < steps.len();
        exact |= !below && takes(fixed, way, false);
        exact |= below && way.len() > fixed.len() && takes(fixed, &way[..fixed.len()], false);
        let longer = way.len() < fixed.len() || below && way.len() == fixed.len();
        under |= longer && takes(&fixed[..way.len()], way, false);
    }
    let kinds = rule.values.iter().filter(|(pointer, _)| takes(&steps(pointer), way, true));
    if !kinds.map(|(_, kind)| kind).all(|kind| of_kind(kind, tree, exact)) {
        return false;
    }
    let container = matches!(tree, Tree::List(_) | Tree::Object(_));
    if !(exact || under && container) {
        return zero && is_zero(tree);
    }
    let map = alike(&rule.maps);
    let members: Vec<(String, &Tree)> = match tree {
        Tree::List(list) => list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        Tree::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        _ => return true,
    };
    let zero = rule.zero && !map && matches!(tree, Tree::Object(_));
    members.into_iter().all(|(key, value)| {
        way.push(key);
        let fine = judge(rule, value, way, zero);
        way.pop();
        fine
    })
}

/// A container is of no kind but any; where only what is inside it is allowed, its own kind is not asked.
fn of_kind(kind: &str, tree: &Tree, exact: bool) -> bool {
    let (word, terms) = kind.split_once(' ').unwrap_or((kind, ""));
    match (word, tree) {
        ("any", _) => true,
        (_, Tree::List(_) | Tree::Object(_)) => !exact,
        ("bool", Tree::Bool(_)) => true,
        ("int", Tree::Number(number)) => {
            let (least, most) = terms.split_once("..").unwrap();
            let range = least.parse::<i64>().unwrap()..=most.parse().unwrap();
            number.as_i64().is_some_and(|number| range.contains(&number))
        }
        ("one_of", Tree::Text(text)) => terms.split('|').any(|value| value == text),
        ("text", Tree::Text(text)) => {
            let max: usize = terms.strip_prefix("word ").unwrap().parse().unwrap();
            (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        }
        _ => false,
    }
}

fn is_zero(tree: &Tree) -> bool {
    match tree {
        Tree::Null => true,
        Tree::Bool(value) => !value,
        Tree::Number(number) => number.as_u64() == Some(0),
        Tree::Text(text) => text.is_empty(),
        Tree::List(list) => list.is_empty(),
        Tree::Object(members) => members.is_empty(),
    }
}

fn find<'t>(tree: &'t Tree, pointer: &str) -> Option<&'t Tree> {
    steps(pointer).iter().try_fold(tree, |tree, step| match tree {
        Tree::Object(members) => members.iter().find(|(key, _)| key == step).map(|(_, value)| value),
        Tree::List(list) => list.iter().enumerate().find(|(at, _)| at.to_string() == *step).map(|(_, v)| v),
        _ => None,
    })
}
