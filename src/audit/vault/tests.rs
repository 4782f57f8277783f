use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::audit::chain::Handover;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> (Place, Directory) {
        let place = Place(tempfile::tempdir().unwrap());
        let directory = Directory::open(place.0.path()).unwrap();
        (place, directory)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.0.path().join(name)).unwrap().permissions().mode() & 0o7777
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(epochs) = File::open(self.0.path().join(EPOCHS)) {
            append_only::set(epochs.as_fd(), false).ok();
        }
    }
}

#[test]
fn hash_key_stays_the_same_and_a_readable_one_is_refused() {
    let (place, directory) = Place::new();
    let key = hash_key(&directory).unwrap();
    assert_eq!(hash_key(&directory).unwrap(), key);
    assert_eq!(place.names(), ["hash.key"], "nothing is left beside it");
    let path = place.0.path().join("hash.key");
    File::open(&path).unwrap().set_permissions(std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(hash_key(&directory).is_err());
}

#[test]
fn store_is_made_whole_and_not_made_twice() {
    let (place, directory) = Place::new();
    assert_eq!(look(&directory).unwrap(), Store::Absent);
    let genesis = make(&directory, None, None).unwrap();
    assert_eq!(look(&directory).unwrap(), Store::There(genesis.clone()));
    assert_eq!(geneses(&directory).unwrap(), [genesis]);
    assert_eq!(place.names(), ["epochs.ndjson", "genesis.pub", "seal.key"]);
    assert_eq!((place.mode("seal.key"), place.mode("genesis.pub")), (0o600, 0o644));
    assert_eq!(make(&directory, None, None).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    open(&directory, None).unwrap();
}

#[test]
fn store_without_its_genesis_tells_it_again() {
    let (place, directory) = Place::new();
    let genesis = make(&directory, None, None).unwrap();
    std::fs::remove_file(place.0.path().join("genesis.pub")).unwrap();
    let Store::There(again) = look(&directory).unwrap() else { panic!("it is there") };
    assert_eq!(again.key, genesis.key);
    assert_eq!(geneses(&directory).unwrap(), [again]);
}

#[test]
fn store_that_is_lost_is_told_from_none() {
    let (place, directory) = Place::new();
    std::fs::write(place.0.path().join("20261123T034629.123456Z-7k3qzd-scribe-1.ndjson"), "").unwrap();
    assert_eq!(look(&directory).unwrap(), Store::Lost);
}

#[test]
fn store_again_goes_on_behind_the_epochs_that_are_known() {
    let (place, directory) = Place::new();
    let first = make(&directory, None, None).unwrap();
    let store = file(&directory, STORE, OFlag::O_RDONLY).unwrap();
    let Found::Key(slot) = read_slot(&store, 0).unwrap() else { panic!("a key") };
    let mut line = Vec::new();
    let handover = Handover::new(slot, Secret::random().unwrap());
    let mut signer = handover.begin(Secret::random().unwrap(), None, 1, Timestamp::now(), &mut line);
    std::fs::write(place.0.path().join(EPOCHS), &line).unwrap();
    let digest = Digest([7; 32]);
    let sealed = signer.seal(1, digest, Secret::random().unwrap(), 2, Timestamp::now(), &mut line);
    std::fs::write(place.0.path().join("20261123T034629.123456Z-7k3qzd-scribe-1.ndjson"), &line).unwrap();
    assert_eq!(known(&directory).unwrap(), (1, Some(sealed.hash)));
    let second = make(&directory, None, Some(known(&directory).unwrap())).unwrap();
    assert_ne!(first.key, second.key);
    assert_eq!(geneses(&directory).unwrap(), [first, second.clone()]);
    assert_eq!(look(&directory).unwrap(), Store::There(second));
    let store = file(&directory, STORE, OFlag::O_RDONLY).unwrap();
    let Found::Key(slot) = read_slot(&store, 0).unwrap() else { panic!("a key") };
    assert_eq!((slot.epoch, slot.origin), (1, Origin::Again(Some(sealed.hash))));
}
