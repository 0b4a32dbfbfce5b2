//! The recipient's side: letters in the hub's mailbox folder, read with a mail parser that the hub
//! does not use.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use locker_core::credential::PREFIX;
use mail_parser::{MessageParser, MimeHeaders};

use crate::wait::wait_for;

/// A pickup letter as its recipient has it.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Where it lies.
    pub file: PathBuf,
    /// Its Message-ID.
    pub id: String,
    /// The address it is for.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// The text for programmes that show no pictures.
    pub text: String,
    /// The code, as it stands in the text.
    pub token: String,
    /// The six digits that open the same, as they stand in the text, if there are any.
    pub digits: Option<String>,
    /// The code, as a picture.
    pub qr_png: Vec<u8>,
}

/// All letters in `folder`, by file name; none if there is no such folder yet.
///
/// # Errors
///
/// A file cannot be read or is no pickup letter.
pub fn letters(folder: &Path) -> Result<Vec<Letter>> {
    files(folder)?.iter().map(|path| read(path)).collect()
}

/// Waits for a letter to `address`.
///
/// # Errors
///
/// The time is over, or a letter cannot be read.
pub async fn wait_for_letter(folder: &Path, address: &str, limit: Duration) -> Result<Letter> {
    let what = format!("there is a letter to {address}");
    wait_for(&what, limit, async || {
        Ok(letters(folder)?.into_iter().find(|letter| letter.to == address))
    })
    .await
}

/// Waits for a letter with this subject, with a code or without one; gives its text.
///
/// # Errors
///
/// The time is over, or a letter cannot be read.
pub async fn wait_for_subject(folder: &Path, subject: &str, limit: Duration) -> Result<String> {
    wait_for(&format!("there is a letter about {subject:?}"), limit, async || {
        for file in files(folder)? {
            let raw = std::fs::read(&file)?;
            let mail = MessageParser::default().parse(&raw).context("no letter")?;
            if mail.subject() == Some(subject) {
                return Ok(mail.body_text(0).map(std::borrow::Cow::into_owned));
            }
        }
        Ok(None)
    })
    .await
}

/// The files of all letters in `folder`, by name; none if there is no such folder yet.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "eml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Letter> {
    let raw = std::fs::read(file)?;
    let what = || format!("{} is no pickup letter", file.display());
    let mail = MessageParser::default().parse(&raw).with_context(what)?;
    let to = mail.to().and_then(|to| to.first()).and_then(|to| to.address()).with_context(what)?;
    let text = mail.body_text(0).with_context(what)?.into_owned();
    let mut tokens = text.lines().filter(|line| line.starts_with(PREFIX));
    let token = tokens.next().with_context(what)?.to_owned();
    ensure!(tokens.next().is_none(), "{} holds two codes", file.display());
    let mut digits = text.lines().map(str::trim).filter(|line| is_grouped(line));
    let six = digits.next().map(str::to_owned);
    ensure!(digits.next().is_none(), "{} holds digits twice", file.display());
    let is_png = |part: &&mail_parser::MessagePart<'_>| {
        part.content_type().is_some_and(|of| of.subtype().is_some_and(|kind| kind == "png"))
    };
    let picture = mail.parts.iter().find(is_png).with_context(what)?;
    Ok(Letter {
        file: file.to_owned(),
        id: mail.message_id().unwrap_or_default().to_owned(),
        to: to.to_owned(),
        subject: mail.subject().unwrap_or_default().to_owned(),
        qr_png: picture.contents().to_vec(),
        token,
        digits: six,
        text,
    })
}

/// Six digits as a person types them: three, a space, three.
fn is_grouped(line: &str) -> bool {
    let is_three = |part: &str| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    line.split_once(' ').is_some_and(|(first, second)| is_three(first) && is_three(second))
}
