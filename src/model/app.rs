//! What a program that embeds the library declares of its apps: plain values, the same in every role, since every role
//! is that program.

use serde::{Deserialize, Serialize};

/// One app: its name, by which a policy leads to it, and what its handlers need beyond memory and time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Directories.
    pub directories: Vec<Directory>,
    /// TCP ports that it connects to.
    pub ports: Vec<u16>,
    /// Backends of the policy that it asks the warden for.
    pub backends: Vec<String>,
}

/// A directory that an app needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Directory {
    /// Its name, where the policy says where it lies; or its absolute path.
    pub name: String,
    /// To do what.
    pub access: Access,
}

/// To do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Access {
    /// Read files and list directories.
    Read,
    /// And make, write, rename and remove files and directories.
    Write,
}

impl Directory {
    /// Whether the policy has to say where it lies.
    #[must_use]
    pub fn is_placed_by_policy(&self) -> bool {
        !self.name.starts_with('/')
    }
}

/// A directory and where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// As it was declared.
    pub directory: Directory,
    /// Its absolute path.
    pub path: String,
}

/// What one app may reach: what it declared, in the places that the policy gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The app's name.
    pub name: String,
    /// Directories.
    pub directories: Vec<Placed>,
    /// TCP ports that it connects to.
    pub ports: Vec<u16>,
    /// Backends that it asks the warden for.
    pub backends: Vec<String>,
}

impl Declared {
    /// Where all of it lies, by what the policy says of it: names and paths. A directory that the policy does not place
    /// is left out; the policy's check has seen to it that there is none.
    #[must_use]
    pub fn placed(&self, by: &[(String, String)]) -> Sandbox {
        let place = |directory: &Directory| {
            let path = if directory.is_placed_by_policy() {
                by.iter().find(|(name, _)| *name == directory.name).map(|(_, path)| path.clone())?
            } else {
                directory.name.clone()
            };
            Some(Placed { directory: directory.clone(), path })
        };
        Sandbox {
            name: self.name.clone(),
            directories: self.directories.iter().filter_map(place).collect(),
            ports: self.ports.clone(),
            backends: self.backends.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_lies_where_the_policy_says_or_where_its_path_says() {
        let need = |name: &str, access| Directory { name: name.to_owned(), access };
        let declared = Declared {
            name: "files".to_owned(),
            directories: vec![need("pages", Access::Read), need("/usr/share/x", Access::Read)],
            ports: vec![5432],
            backends: Vec::new(),
        };
        let sandbox = declared.placed(&[("pages".to_owned(), "/srv/pages".to_owned())]);
        let paths: Vec<&str> = sandbox.directories.iter().map(|placed| placed.path.as_str()).collect();
        assert_eq!(paths, ["/srv/pages", "/usr/share/x"]);
        assert_eq!((sandbox.name.as_str(), sandbox.ports.as_slice()), ("files", &[5432][..]));
    }
}
