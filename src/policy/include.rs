//! `include`: a policy of several files. Each is read whole and by itself; nothing merges but the lists, and what is
//! defined twice is a mistake.

use std::ffi::OsStr;
use std::fs::{self, File as OpenFile};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::diagnostics::{At, Problems, quoted};
use super::file::{self, File};

/// So many files may be included.
pub(super) const MOST_FILES: usize = 256;

/// One file of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What messages and records call it.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Which files one entry of `include` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The directory: absolute, or below the first file's.
    pub directory: PathBuf,
    before: String,
    /// What follows the `*`; `None`: there is none, and one file is meant.
    behind: Option<String>,
}

impl Include {
    /// Reads one entry; `None` where it could mean something else than it seems.
    fn parse(text: &str) -> Option<Include> {
        let (directory, name) = match text.rsplit_once('/') {
            Some(("", name)) => ("/", name),
            Some(both) => both,
            None => ("", text),
        };
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['*', '?', '[', '\\']);
        let parts = match directory {
            "" | "/" => true,
            below => below.strip_prefix('/').unwrap_or(below).split('/').all(plain),
        };
        let (before, behind) = match name.split_once('*') {
            Some((before, behind)) => (before, Some(behind.to_owned())),
            None => (name, None),
        };
        let whole = format!("{before}{}", behind.as_deref().unwrap_or_default());
        let sound = parts && plain(&whole) && !text.contains(char::is_control);
        sound.then(|| Include { directory: directory.into(), before: before.to_owned(), behind })
    }

    /// Whether it means the file of that name; a `*` means no hidden ones.
    pub fn means(&self, name: &str) -> bool {
        let Some(behind) = &self.behind else { return name == self.before };
        let rest = name.strip_prefix(&self.before).and_then(|rest| rest.strip_suffix(behind.as_str()));
        rest.is_some() && !name.starts_with('.')
    }

    /// The one name that it means, where there is no `*`.
    pub fn only(&self) -> Option<&str> {
        self.behind.is_none().then_some(&self.before)
    }

    /// What a file of it is called: by its path as it was written.
    pub fn call(&self, name: &str) -> String {
        self.directory.join(name).to_string_lossy().into_owned()
    }
}

/// Who can read what a policy includes.
pub trait Includes {
    /// The names of files in the directory that `include` means, in any order.
    ///
    /// # Errors
    ///
    /// Why they can't be told, for people.
    fn names(&self, include: &Include) -> Result<Vec<String>, String>;

    /// The bytes of one of them, at most one more than `most`.
    ///
    /// # Errors
    ///
    /// Why it can't be read, for people.
    fn read(&self, include: &Include, name: &str, most: usize) -> Result<Vec<u8>, String>;
}

/// For a text that is no file.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoIncludes;

impl Includes for NoIncludes {
    fn names(&self, _include: &Include) -> Result<Vec<String>, String> {
        Err("only a policy that is read from a file can include others".to_owned())
    }

    fn read(&self, include: &Include, _name: &str, _most: usize) -> Result<Vec<u8>, String> {
        self.names(include).map(|_| Vec::new())
    }
}

/// For a draft, which may lie anywhere: files beside it are read as they are.
#[derive(Debug, Clone)]
pub struct Beside {
    directory: PathBuf,
}

impl Beside {
    /// Beside that file.
    pub fn of(file: &Path) -> Beside {
        Beside { directory: file.parent().unwrap_or(Path::new("")).to_owned() }
    }
}

impl Includes for Beside {
    fn names(&self, include: &Include) -> Result<Vec<String>, String> {
        if let Some(name) = include.only() {
            return Ok(vec![name.to_owned()]);
        }
        let directory = self.directory.join(&include.directory);
        let directory = if directory == Path::new("") { Path::new(".") } else { &directory };
        let why = |error| format!("can't list {}: {error}", directory.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(why)? {
            let name = entry.map_err(why)?.file_name();
            names.extend(name.to_str().filter(|name| include.means(name)).map(str::to_owned));
        }
        Ok(names)
    }

    fn read(&self, include: &Include, name: &str, most: usize) -> Result<Vec<u8>, String> {
        let path = self.directory.join(&include.directory).join(name);
        let why = |error| format!("can't read {}: {error}", path.display());
        // A FIFO would keep us waiting.
        if !fs::metadata(&path).map_err(why)?.is_file() {
            return Err(format!("{} is no regular file", path.display()));
        }
        let mut bytes = Vec::new();
        let file = OpenFile::open(&path).map_err(why)?;
        file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(why)?;
        Ok(bytes)
    }
}

/// Reads a policy's files, those that it includes in the order of their names. `None` where one of them is no TOML.
pub(super) fn read(
    first: &Source,
    includes: &impl Includes,
    longest: usize,
    problems: &mut Problems<'_>,
) -> Option<(File, [u8; 32], Vec<Source>)> {
    let mut whole = file::read(&first.text, problems)?;
    let Some(written) = whole.include.clone() else {
        // One file's hash is what `sha256sum` says of it.
        return Some((whole, Sha256::digest(first.text.as_bytes()).into(), Vec::new()));
    };
    let mut hash = Sha256::new();
    // No TOML holds a NUL, so that no single file has the hash of several.
    hash.update(b"peergate policy\0");
    let mut add = |source: &Source| {
        for part in [&source.name, &source.text] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
    };
    add(&Source { name: short(&first.name).to_owned(), text: first.text.clone() });
    let mut left = longest.saturating_sub(first.text.len());
    let mut readable = true;
    let mut included = Vec::new();
    for (entry, source) in sources(&written.value, includes, left, problems) {
        let Some(rest) = left.checked_sub(source.text.len()) else {
            problems.add(
                entry,
                format!("with {}, the policy has more than {longest} bytes", quoted(&source.name)),
            );
            return None;
        };
        left = rest;
        add(&source);
        // Places count from the beginning of all files, so that each has its own.
        let from = problems.append(&source.name, &source.text);
        match file::read_included(&format!("{}{}", " ".repeat(from), source.text), problems) {
            Some(more) => whole.take_in(more),
            None => readable = false,
        }
        included.push(source);
    }
    readable.then(|| (whole, hash.finalize().into(), included))
}

/// The name of a file without the directories before it.
fn short(name: &str) -> &str {
    Path::new(name).file_name().and_then(OsStr::to_str).unwrap_or(name)
}

/// What the entries mean, in the order of names, each with the place of its entry.
fn sources(
    written: &[At<String>],
    includes: &impl Includes,
    most: usize,
    problems: &mut Problems<'_>,
) -> Vec<(super::diagnostics::Span, Source)> {
    let mut found: Vec<(super::diagnostics::Span, Include, String)> = Vec::new();
    for At { value, span } in written {
        let Some(include) = Include::parse(value) else {
            let message = format!("{} can't be included", quoted(value));
            let help = "write a file's path, with one `*` in its name at most, such as `\"policy.d/*.toml\"`";
            problems.add_help(*span, message, help);
            continue;
        };
        match includes.names(&include) {
            Ok(names) => found.extend(names.into_iter().map(|name| (*span, include.clone(), name))),
            Err(why) => problems.add(*span, why),
        }
    }
    found.sort_by_key(|(_, include, name)| include.call(name));
    if let Some((span, ..)) = found.get(MOST_FILES) {
        problems.add(*span, format!("there are {} files to include; at most {MOST_FILES} are", found.len()));
        return Vec::new();
    }
    let mut sources: Vec<(_, Source)> = Vec::new();
    let mut left = most;
    for (span, include, name) in found {
        let called = include.call(&name);
        if sources.last().is_some_and(|(_, before)| before.name == called) {
            problems.add(span, format!("{} is included twice", quoted(&called)));
            continue;
        }
        let bytes = match includes.read(&include, &name, left) {
            Ok(bytes) => bytes,
            Err(why) => {
                problems.add(span, why);
                continue;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => {
                left = left.saturating_sub(text.len());
                sources.push((span, Source { name: called, text }));
            }
            Err(_) => problems.add(span, format!("{} is not UTF-8 text", quoted(&called))),
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn include_means_one_file_or_those_that_fit_one_star() {
        let means = |text: &str, name: &str| Include::parse(text).is_some_and(|include| include.means(name));
        for (text, name, yes) in [
            ("policy.d/*.toml", "a.toml", true),
            ("policy.d/*.toml", ".toml", false),
            ("policy.d/*.toml", ".a.toml", false),
            ("policy.d/*.toml", "a.toml~", false),
            ("/etc/p/10-*", "10-a", true),
            ("a.toml", "a.toml", true),
            ("a.toml", "b.toml", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(means(text, name), yes, "{text} {name}");
        }
        for wrong in [
            "",
            "*/a.toml",
            "a/../b.toml",
            "./a",
            "a//b",
            "/",
            "/*/a",
            "a/**",
            "a/*b*",
            "..",
            "a/",
            "x[1]",
            "a?\n",
        ] {
            assert_eq!(Include::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Include::parse("policy.d/*.toml").unwrap().call("a.toml"), "policy.d/a.toml");
    }
}
