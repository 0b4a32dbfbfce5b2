//! The first ledger: what the people did with their hands, and what they were told. Written line by
//! line by the process that plays them, which sees neither journals nor stores.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use system_tests::wait::now_ms;
use tokio::sync::mpsc;

/// Entries that may wait for whoever watches the diary; more make the writer wait.
const WATCHED_MAX: usize = 64;

/// Something that a person did or was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum What {
    /// The hub answered the carrier: the parcel is announced.
    Announced,
    /// The hub answered the carrier: there is room for it.
    Booked,
    /// The bank answered the courier: a door opens for this label.
    LabelTaken,
    /// The courier put it in.
    Put { compartment: u16 },
    /// The bank told the courier that it is stored.
    ToldStored { compartment: u16 },
    /// The bank told a courier who asked again that it is inside.
    ToldInside,
    /// The courier went away with it.
    Kept,
    /// The recipient has the letter with the code.
    Letter,
    /// The bank answered the recipient: the door opens for this code.
    CodeTaken,
    /// The recipient took it out.
    Took { compartment: u16 },
    /// The bank told the recipient that it is collected.
    ToldCollected { compartment: u16 },
    /// The bank told a recipient who asked again that it is collected.
    ToldGone,
    /// Staff looked, and the bank took their word.
    Found { compartment: u16, inside: bool },
    /// The hub told the carrier what the parcel is, by the event's name.
    Heard { event: String },
    /// The hub told an operator how much of the bank's journal it has for good.
    Committed { seq: u64 },
    /// Somebody asked, and was not answered.
    Unanswered { asked: String },
}

/// Who answers for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Bank,
    Hub,
    /// Nobody: it is what a hand did.
    Nobody,
}

impl What {
    /// Who has said it, and must still know it after the power was away.
    pub(crate) const fn acknowledged_by(&self) -> By {
        match self {
            Self::LabelTaken
            | Self::ToldStored { .. }
            | Self::ToldInside
            | Self::CodeTaken
            | Self::ToldCollected { .. }
            | Self::ToldGone
            | Self::Found { .. } => By::Bank,
            Self::Announced
            | Self::Booked
            | Self::Letter
            | Self::Heard { .. }
            | Self::Committed { .. } => By::Hub,
            Self::Put { .. } | Self::Kept | Self::Took { .. } | Self::Unanswered { .. } => {
                By::Nobody
            }
        }
    }
}

/// A line of the diary.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) t_ms: u64,
    pub(crate) bank: String,
    /// The carrier's name for the parcel; empty if it is about none.
    pub(crate) parcel: String,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// The diary of all people, to be written into.
#[derive(Clone, Debug)]
pub(crate) struct Diary {
    path: PathBuf,
    file: Arc<Mutex<File>>,
    watched: Option<mpsc::Sender<Entry>>,
}

impl Diary {
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create_new(true).append(true).open(path);
        let file = Arc::new(Mutex::new(file.context("the people's diary")?));
        Ok(Self { path: path.to_owned(), file, watched: None })
    }

    /// As [`Self::begin`], with every entry told as it is written.
    pub(crate) fn watched(path: &Path) -> Result<(Self, mpsc::Receiver<Entry>)> {
        let (sender, entries) = mpsc::channel(WATCHED_MAX);
        let diary = Self::begin(path)?;
        Ok((Self { watched: Some(sender), ..diary }, entries))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn note(&self, bank: &str, parcel: &str, what: What) -> Result<()> {
        let (bank, parcel) = (bank.to_owned(), parcel.to_owned());
        let entry = Entry { t_ms: now_ms(), bank, parcel, what };
        let line = format!("{}\n", serde_json::to_string(&entry)?);
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())?;
        if let Some(watched) = &self.watched {
            // Nobody watches any more once everything is over.
            let _ = watched.send(entry).await;
        }
        Ok(())
    }
}

/// Everything in a diary.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path)?;
    let entry = |line: &str| {
        serde_json::from_str(line).with_context(|| format!("no entry of a diary: {line}"))
    };
    text.lines().map(entry).collect()
}
