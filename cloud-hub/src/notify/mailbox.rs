//! A folder that letters are put into: for development, tests, and a local mail system that picks
//! files up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Readable by the hub's user only: a letter is personal and its code opens a door.
const FILE_MODE: u32 = 0o600;

/// A folder with one `.eml` file a notice.
#[derive(Debug, Clone)]
pub struct MailboxFolder(PathBuf);

impl MailboxFolder {
    /// Opens the folder, making it if it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, MailboxError> {
        let folder = folder.into();
        fs::create_dir_all(&folder)
            .map_err(|source| MailboxError { path: folder.clone(), source })?;
        Ok(Self(folder))
    }

    /// Puts a letter in. The file is named by its notice, so that a repeat after a crash replaces
    /// the letter instead of doubling it; it is complete and durable before it has its name.
    ///
    /// # Errors
    /// When the file system refuses.
    pub async fn deliver(&self, notice_id: &str, letter: Vec<u8>) -> Result<(), MailboxError> {
        let folder = self.0.clone();
        let name = file_name(notice_id);
        let path = folder.join(format!("{name}.eml"));
        let failed = {
            let path = path.clone();
            move |source| MailboxError { path, source }
        };
        let work = move || put(&folder, &folder.join(format!(".{name}.tmp")), &path, &letter);
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the writing thread failed")))
            .map_err(failed)
    }
}

fn put(folder: &Path, temporary: &Path, path: &Path, letter: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(temporary)?;
    file.write_all(letter)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    File::open(folder)?.sync_all()
}

/// A notice id with everything that has a meaning in paths left out.
fn file_name(notice_id: &str) -> String {
    let harmless = |character: &char| character.is_ascii_alphanumeric() || *character == '-';
    notice_id.chars().filter(harmless).collect()
}

/// The file system refused a letter. Worth another attempt.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct MailboxError {
    /// Which file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_repeat_replaces_the_letter_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = MailboxFolder::open(folder.path().join("made")).unwrap();
        mailbox.deliver("n-1", b"first".to_vec()).await.unwrap();
        mailbox.deliver("n-1", b"again".to_vec()).await.unwrap();
        mailbox.deliver("../n:2", b"other".to_vec()).await.unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path().join("made"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["n-1.eml", "n2.eml"]);
        assert_eq!(fs::read(folder.path().join("made/n-1.eml")).unwrap(), b"again");
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = MailboxFolder::open(folder.path().join("gone")).unwrap();
        fs::remove_dir(folder.path().join("gone")).unwrap();
        let error = mailbox.deliver("n-1", Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("gone"));
    }
}
