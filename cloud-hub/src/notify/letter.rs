//! What a recipient is written when a parcel waits for them.
//!
//! The compartment is not named: the screen says it once the code was shown, and a letter that is
//! read over a shoulder should not say which door to force.

use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use locker_core::units::UnixMillis;

use super::qr::{self, DrawQrError};
use super::when;
use crate::store::NoticeKind;

/// The content id of the QR code inside the letter.
const QR_CONTENT_ID: &str = "pickup-code";
/// The name under which mail programmes save it.
const QR_FILE_NAME: &str = "pickup-code.png";

/// Everything a pickup letter says. Holds personal data and the code: prints as nothing.
pub struct PickupLetter<'a> {
    /// Names the letter for ever; the same for each attempt to deliver it.
    pub notice_id: &'a str,
    /// Why it is written.
    pub occasion: NoticeKind,
    /// Who it is from.
    pub from: &'a Mailbox,
    /// The recipient's e-mail address.
    pub email: &'a str,
    /// How the letter addresses them; may be empty.
    pub display_name: &'a str,
    /// What people call the bank.
    pub bank_name: &'a str,
    /// Where the bank is; may be empty.
    pub bank_address: &'a str,
    /// Until when the code works.
    pub expires: UnixMillis,
    /// The pickup token's text.
    pub token: &'a str,
}

/// Whether a letter can be addressed to `email`.
#[must_use]
pub fn can_be_addressed(email: &str) -> bool {
    email.parse::<Address>().is_ok()
}

impl PickupLetter<'_> {
    /// Writes the letter as a message: plain text, HTML, and the QR code inside the HTML.
    ///
    /// # Errors
    /// When the address is none, or the code cannot be drawn.
    pub fn write(&self) -> Result<Message, WriteLetterError> {
        let address: Address = self.email.parse().map_err(|_| WriteLetterError::Address)?;
        let name = Some(one_line(self.display_name)).filter(|name| !name.is_empty());
        let picture = qr::png_of(self.token).map_err(WriteLetterError::Qr)?;
        let png = ContentType::parse("image/png").map_err(|_| WriteLetterError::Message)?;
        let html = MultiPart::related().singlepart(SinglePart::html(self.html())).singlepart(
            Attachment::new_inline_with_name(QR_CONTENT_ID.to_owned(), QR_FILE_NAME.to_owned())
                .body(picture, png),
        );
        Message::builder()
            .message_id(Some(self.message_id()))
            .from(self.from.clone())
            .to(Mailbox::new(name, address))
            .subject(format!("{} {}", self.subject(), one_line(self.bank_name)))
            .multipart(
                MultiPart::alternative().singlepart(SinglePart::plain(self.text())).multipart(html),
            )
            .map_err(|_| WriteLetterError::Message)
    }

    /// The same for each attempt, so that a mail system can drop a letter it has seen.
    fn message_id(&self) -> String {
        format!("<{}@{}>", self.notice_id, self.from.email.domain())
    }

    const fn subject(&self) -> &'static str {
        match self.occasion {
            NoticeKind::ParcelStored => "Your parcel is waiting at",
            NoticeKind::CodeReissued => "Your new pickup code for",
            NoticeKind::ParcelExtended => "New time for your parcel at",
        }
    }

    /// What is said before the place.
    const fn opening(&self) -> &'static str {
        match self.occasion {
            NoticeKind::ParcelStored => "your parcel is waiting for you at",
            NoticeKind::CodeReissued => {
                "here is your new pickup code; the one before opens nothing any more. Your parcel \
                 is waiting for you at"
            }
            NoticeKind::ParcelExtended => {
                "there is a new time until when your parcel waits for you, and a new QR code that \
                 goes with it. It is at"
            }
        }
    }

    fn text(&self) -> String {
        let greeting = greeting(self.display_name);
        let (bank, until, exact) =
            (self.bank_name, when::readable(self.expires), when::rfc3339(self.expires));
        let place = if self.bank_address.is_empty() {
            bank.to_owned()
        } else {
            format!("{bank}\n{}", self.bank_address)
        };
        // The token stands on a line of its own. It has spaces inside, never at its end: the last
        // digit of a base45 group is at most 'W'.
        format!(
            "{greeting}\n\n\
             {opening}\n\n\
             {place}\n\n\
             until {until} ({exact}).\n\n\
             Hold the QR code of this message in front of the scanner. The screen then tells you \
             which door opens.\n\n\
             If your programme shows no pictures, this is what the QR code says:\n\n\
             {token}\n\n\
             Who has the code can take the parcel: forward it only to people you trust.\n",
            opening = self.opening(),
            token = self.token,
        )
    }

    fn html(&self) -> String {
        let (greeting, bank, address) = (
            escaped(&greeting(self.display_name)),
            escaped(self.bank_name),
            escaped(self.bank_address),
        );
        let (until, exact) = (when::readable(self.expires), when::rfc3339(self.expires));
        let place = if address.is_empty() {
            format!("<strong>{bank}</strong>")
        } else {
            format!("<strong>{bank}</strong><br>{address}")
        };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
             <title>Your parcel is waiting</title></head>\n\
             <body style=\"font-family:sans-serif\">\n\
             <p>{greeting}</p>\n\
             <p>{opening}</p>\n\
             <p>{place}</p>\n\
             <p>until <time datetime=\"{exact}\">{until}</time>.</p>\n\
             <p>Hold this QR code in front of the scanner. The screen then tells you which door \
             opens.</p>\n\
             <p><img src=\"cid:{QR_CONTENT_ID}\" alt=\"QR code for the pickup\"></p>\n\
             <p>What the QR code says:</p>\n\
             <pre style=\"white-space:pre-wrap;overflow-wrap:anywhere\">{token}</pre>\n\
             <p>Who has the code can take the parcel: forward it only to people you trust.</p>\n\
             </body>\n</html>\n",
            opening = escaped(self.opening()),
            token = escaped(self.token),
        )
    }
}

fn greeting(display_name: &str) -> String {
    if display_name.is_empty() { "Hello,".to_owned() } else { format!("Hello {display_name},") }
}

/// Text for a header, which a line break would end.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

impl std::fmt::Debug for PickupLetter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PickupLetter").field("notice_id", &self.notice_id).finish_non_exhaustive()
    }
}

/// Why a letter could not be written. No attempt later would fare better.
#[derive(Debug, thiserror::Error)]
pub enum WriteLetterError {
    /// The recipient's address cannot be one.
    #[error("the recipient's address is no e-mail address")]
    Address,
    /// The QR code could not be drawn.
    #[error("the QR code cannot be drawn")]
    Qr(#[source] DrawQrError),
    /// The message's parts do not fit together.
    #[error("the message cannot be put together")]
    Message,
}

#[cfg(test)]
mod tests;
