//! The keys that move doors: the root, what it certifies, and the secrets of six-digit codes.
//!
//! Every change of the key set is signed anew with the next generation, and written last: a set
//! never names a key whose secret half is not on the disk yet.

use std::path::{Path, PathBuf};

use locker_core::credential::{CommandKey, CredentialKey, KEYS_MAX, KeySet};
use locker_core::ids::Generation;
use locker_proto::key_set::RootKey;

use super::{DevPki, KeySetFile, PkiError, PublicKey, SigningSeed, files};
use crate::codes::key_file::Secret;

/// The root's secret half.
pub(super) const ROOT: &str = "root.key";
/// The signed key set.
pub(super) const KEY_SET: &str = "key-set.signed";
/// Id of the first command key.
const FIRST_COMMAND_KEY: u8 = 1;

/// The keys that a key set names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyKind {
    /// Signs what goes down to banks.
    Command,
    /// Signs pickup codes and badges.
    Credential,
}

impl KeyKind {
    /// As file names begin, and as people call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Credential => "credential",
        }
    }
}

impl DevPki {
    /// Makes the root, a first key of each kind with the set that names them, and the secrets of
    /// six-digit codes.
    pub(super) fn create_keys(&self, credential_key_id: u8) -> Result<(), PkiError> {
        let root = self.issue_root("root")?;
        let mut keys = KeySet { generation: Generation(1), ..KeySet::default() };
        let first =
            [(KeyKind::Command, FIRST_COMMAND_KEY), (KeyKind::Credential, credential_key_id)];
        for (kind, id) in first {
            self.issue_key(kind, id, &mut keys)?;
        }
        KeySetFile::sign(&root, keys).replace(&self.key_set())?;
        for (name, what) in
            [("codes-master", "master secret of six-digit codes"), ("sealing-1", "sealing key")]
        {
            let secret = Secret::generate().map_err(PkiError::Secret)?;
            let path = self.directory.join(format!("{name}.key"));
            files::write_secret(&path, &secret.file_text(what))?;
        }
        Ok(())
    }

    /// The signed key set.
    #[must_use]
    pub fn key_set(&self) -> PathBuf {
        self.directory.join(KEY_SET)
    }

    /// Makes another root key, `root-<id>`, which signs nothing yet. Returns the paths of both
    /// halves.
    ///
    /// # Errors
    /// When its files exist already or cannot be written.
    pub fn issue_second_root(&self, id: u8) -> Result<Vec<PathBuf>, PkiError> {
        let name = format!("root-{id}");
        self.issue_root(&name)?;
        Ok(["key", "pub"].map(|ending| self.directory.join(format!("{name}.{ending}"))).into())
    }

    /// Makes a key, puts it first in the set and has `root` sign that. Returns the paths of both
    /// halves and of the set.
    ///
    /// # Errors
    /// When another root signed the set, it has no room for the key or names it already, the key's
    /// files exist already, or a file cannot be read or written. The set is left as it was then.
    pub fn add_key(&self, root: &Path, kind: KeyKind, id: u8) -> Result<Vec<PathBuf>, PkiError> {
        self.change(root, |keys| {
            let kids = kids(keys, kind);
            if kids.contains(&id) {
                return Err(PkiError::KeyInSet { kind: kind.as_str(), id });
            }
            if kids.len() >= KEYS_MAX {
                return Err(PkiError::SetFull { kind: kind.as_str() });
            }
            self.issue_key(kind, id, keys)
        })
    }

    /// Takes a key out of the set and has `root` sign that. Its files stay. Returns the path of
    /// the set.
    ///
    /// # Errors
    /// When another root signed the set, it does not name the key or no other of its kind, or a file
    /// cannot be read or written.
    pub fn retire_key(&self, root: &Path, kind: KeyKind, id: u8) -> Result<Vec<PathBuf>, PkiError> {
        self.change(root, |keys| {
            let kids = kids(keys, kind);
            if !kids.contains(&id) {
                return Err(PkiError::KeyNotInSet { kind: kind.as_str(), id });
            }
            if kids.len() == 1 {
                return Err(PkiError::LastKey { kind: kind.as_str(), id });
            }
            match kind {
                KeyKind::Command => keys.command.retain(|key| key.kid != id),
                KeyKind::Credential => keys.keys.retain(|key| key.kid != id),
            }
            Ok(Vec::new())
        })
    }

    /// Has `root` sign the set as it is, with the next generation: what follows a change of roots.
    /// Returns the path of the set.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn sign_again(&self, root: &Path) -> Result<Vec<PathBuf>, PkiError> {
        let root = SigningSeed::load(root).map_err(PkiError::SigningKey)?;
        let before = self.set_of_ours(&root)?;
        self.sign_next(&root, before.keys).map(|path| vec![path])
    }

    fn change(
        &self,
        root: &Path,
        change: impl FnOnce(&mut KeySet) -> Result<Vec<PathBuf>, PkiError>,
    ) -> Result<Vec<PathBuf>, PkiError> {
        let root = SigningSeed::load(root).map_err(PkiError::SigningKey)?;
        let before = self.set_of_ours(&root)?;
        // A change of roots is a step of its own: by a --root that was forgotten the set would go back
        // to a root that banks are about to believe no more, or do so no longer.
        if before.root() != root_key(&root.public()) {
            return Err(PkiError::OtherRoot { root: before.root() });
        }
        let mut keys = before.keys;
        let mut written = change(&mut keys)?;
        written.push(self.sign_next(&root, keys)?);
        Ok(written)
    }

    /// The set as it is, if the root that signs or one whose public half lies here has signed it:
    /// whoever can write a set must not get it signed by leaving it here.
    fn set_of_ours(&self, signing: &SigningSeed) -> Result<KeySetFile, PkiError> {
        let path = self.key_set();
        let set = KeySetFile::load(&path).map_err(PkiError::KeySet)?;
        if !self.roots(signing)?.contains(&set.root()) {
            return Err(PkiError::ForeignSet { path, root: set.root() });
        }
        Ok(set)
    }

    /// Signs `keys` as the set that follows. Returns the path of the set.
    fn sign_next(&self, root: &SigningSeed, mut keys: KeySet) -> Result<PathBuf, PkiError> {
        keys.generation = Generation(keys.generation.0 + 1);
        let path = self.key_set();
        KeySetFile::sign(root, keys).replace(&path)?;
        Ok(path)
    }

    /// The root that signs, and those whose public halves lie here.
    fn roots(&self, signing: &SigningSeed) -> Result<Vec<RootKey>, PkiError> {
        let unread = |source| PkiError::Read { path: self.directory.clone(), source };
        let mut roots = vec![root_key(&signing.public())];
        for entry in std::fs::read_dir(&self.directory).map_err(unread)? {
            let path = entry.map_err(unread)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name == "root.pub" || (name.starts_with("root-") && name.ends_with(".pub")) {
                roots.push(root_key(&PublicKey::load(&path).map_err(PkiError::SigningKey)?));
            }
        }
        Ok(roots)
    }

    fn issue_root(&self, name: &str) -> Result<SigningSeed, PkiError> {
        let seed = SigningSeed::generate().map_err(PkiError::SigningKey)?;
        let [secret, public] =
            ["key", "pub"].map(|end| self.directory.join(format!("{name}.{end}")));
        seed.write("hub root", &secret, &public)?;
        Ok(seed)
    }

    fn issue_key(
        &self,
        kind: KeyKind,
        kid: u8,
        keys: &mut KeySet,
    ) -> Result<Vec<PathBuf>, PkiError> {
        let seed = SigningSeed::generate().map_err(PkiError::SigningKey)?;
        let name = format!("{}-{kid}", kind.as_str());
        let [secret, public] =
            ["key", "pub"].map(|end| self.directory.join(format!("{name}.{end}")));
        seed.write(&format!("{} key {kid}", kind.as_str()), &secret, &public)?;
        let bytes = seed.public().verifying_key().to_bytes();
        match kind {
            KeyKind::Command => keys.command.insert(0, CommandKey { kid, public: bytes }),
            KeyKind::Credential => keys.keys.insert(0, CredentialKey { kid, public: bytes }),
        }
        Ok(vec![secret, public])
    }
}

fn root_key(public: &PublicKey) -> RootKey {
    RootKey(public.verifying_key().to_bytes())
}

fn kids(keys: &KeySet, kind: KeyKind) -> Vec<u8> {
    match kind {
        KeyKind::Command => keys.command.iter().map(|key| key.kid).collect(),
        KeyKind::Credential => keys.keys.iter().map(|key| key.kid).collect(),
    }
}
