//! What would have had to be different for a denied request, where the policy that denied it is at hand.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::audit::plain::decoded;
use crate::audit::query::{Access, Decision};
use crate::audit::reader::{Reader, Sieve};
use crate::audit::segment::{Role, SegmentName};
use crate::cli::recall::{caller, is_cut, parsed};
use crate::cli::{Failure, policy};
use crate::model::escape::Shown;
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::refusal::Refusal;
use crate::model::target::Asked;
use crate::policy::{Policy, explain_at, explain_part};

/// Explains denials by the policies that made them.
pub(super) struct Misses<'a> {
    directory: &'a Path,
    /// Where somebody said which file it was.
    named: Option<Arc<Policy>>,
    /// By the hash that decisions carry.
    known: HashMap<String, Known>,
}

/// A policy, and what there is to say of it first; or why there is none.
type Known = Result<(Arc<Policy>, Option<String>), String>;

impl<'a> Misses<'a> {
    /// By the policy in this file, where one is named.
    pub(super) fn new(directory: &'a Path, named: Option<&Path>) -> Result<Misses<'a>, Failure> {
        let named = named.map(policy::load).transpose()?.map(Arc::new);
        Ok(Misses { directory, named, known: HashMap::new() })
    }

    /// What would have had to be different, a sentence each; `None` for what was not denied.
    pub(super) fn of(&mut self, access: &Access) -> Option<Vec<String>> {
        let decision = access.decision.as_ref().filter(|decision| !decision.allowed)?;
        let sentences = self.sentences(access, decision);
        Some(sentences.iter().map(|sentence| Shown(sentence.as_bytes()).to_string()).collect())
    }

    fn sentences(&mut self, access: &Access, decision: &Decision) -> Vec<String> {
        let refused = decision.refusal().unwrap_or_default();
        let refusal = Refusal::ALL.iter().copied().find(|refusal| refusal.code() == refused);
        let why = refusal.map_or(refused, |refusal| refusal.text());
        let cut = is_cut(decision);
        let [method, target] =
            [decision.method(), decision.target()].map(|text| decoded(text.unwrap_or_default()));
        let read = (Method::parse(method.as_bytes()), parsed(&method, &target));
        let (Ok(method), Ok(target), false) = (read.0, read.1, cut) else {
            return vec![format!("no rule was asked, the request itself is refused: {why}")];
        };
        let Some(conn) = &access.conn else {
            return vec!["unknown: the caller is not on record".to_owned()];
        };
        let hash = decision.policy().unwrap_or_default();
        let (policy, first) = match self.policy(hash) {
            Ok((policy, first)) => (Arc::clone(policy), first.clone()),
            Err(why) => return vec![format!("unknown: {why}")],
        };
        // Heads and bodies are not on record, only what of them the route did not take.
        if let (Some(refusal), Some(route), Some(part)) = (refusal, decision.route(), decision.part())
            && let Some(told) = explain_part(&policy, &decoded(route), refusal, &decoded(part))
        {
            return first.into_iter().chain([told]).collect();
        }
        let name = conn.on().map(decoded).unwrap_or_default();
        let Some(place) = policy.listeners.iter().position(|listener| listener.name == name) else {
            return vec![format!("unknown: {} has no listener {name}", policy.file)];
        };
        let listener = ListenerId(u16::try_from(place).unwrap_or(u16::MAX));
        // Which protocol it wanted is not on record, only that the route did not take it.
        let upgrade = (refusal == Some(Refusal::UpgradeRefused)).then_some("");
        let asked = Asked { method: &method, target: &target, upgrade };
        let explained = explain_at(&policy, listener, &caller(conn), &asked, Some(access.when()));
        let mut sentences: Vec<String> = first.into_iter().collect();
        match explained.refusal {
            None => sentences.push(format!("the rules allow it, something else refused it: {why}")),
            Some(other) if Some(other) != refusal => {
                sentences.push(format!("by the rules it would be refused as {other}, and was for: {why}"));
            }
            Some(Refusal::NoRoute) if explained.misses.is_empty() => {
                sentences.push("no route is near it".to_owned());
            }
            Some(_) if explained.misses.is_empty() => sentences.push(format!("no rule is near it: {why}")),
            Some(_) => {}
        }
        sentences.extend(explained.misses.iter().map(ToString::to_string));
        sentences
    }

    /// The policy of that hash.
    fn policy(&mut self, hash: &str) -> &Known {
        let (directory, named) = (self.directory, &self.named);
        self.known.entry(hash.to_owned()).or_insert_with(|| match named {
            Some(policy) => Ok((Arc::clone(policy), another(policy, hash))),
            None => find(directory, hash),
        })
    }
}

/// What there is to say where a policy is not the one that decided.
fn another(policy: &Policy, hash: &str) -> Option<String> {
    let (file, now) = (&policy.file, policy.short_hash());
    (now != hash)
        .then(|| format!("{file} is another policy ({now}) than the one that decided ({hash}); by this one:"))
}

/// The policy of that hash from the file that the record names.
fn find(directory: &Path, hash: &str) -> Known {
    let file = on_record(directory, hash)
        .ok_or("the record names no file of the policy that decided; --policy FILE takes it")?;
    let policy = match policy::load(&file) {
        Ok(policy) => policy,
        Err(Failure::Because(why)) => return Err(why),
        Err(Failure::ReaderLeft) => return Err(format!("can't read {}", file.display())),
    };
    let now = policy.short_hash();
    if now != hash {
        let file = &policy.file;
        return Err(format!("{file} has changed since ({hash}, now {now}); --policy FILE takes what it was"));
    }
    Ok((Arc::new(policy), None))
}

/// The file that the warden says it loaded this policy from, the latest where there are several.
pub(super) fn on_record(directory: &Path, hash: &str) -> Option<PathBuf> {
    let mut reader = Reader::open(directory).ok()?.sieved(Rc::new(Policies));
    let mut file = None;
    // A segment that can't be read was told of before.
    while let Ok(Some(line)) = reader.next_line() {
        let Some(record) = line.record() else { continue };
        if record.kind() == "policy" && record.text("new") == hash {
            file = Some(PathBuf::from(&*decoded(record.text("file"))));
        }
    }
    file
}

/// The warden's `policy` records.
struct Policies;

impl Sieve for Policies {
    fn opens(&self, segment: &str) -> bool {
        SegmentName::parse(segment).is_some_and(|name| name.role() == Role::Warden)
    }

    fn keeps(&self, _: &str, _: u64, line: &[u8]) -> bool {
        line.starts_with(b"{\"v\":1,\"t\":\"policy\"")
    }
}
