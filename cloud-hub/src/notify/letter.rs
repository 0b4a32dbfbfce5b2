//! What a recipient is written when a parcel waits for them. What they are written when none does any
//! more is in [`closing`].
//!
//! The compartment is not named: the screen says it once the code was shown, and a letter that is
//! read over a shoulder should not say which door to force.

pub mod closing;

use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use locker_core::code::digits::Digits;
use locker_core::units::UnixMillis;

use super::qr::{self, DrawQrError};
use crate::site_zone::SiteZone;

/// The content id of the QR code inside the letter.
const QR_CONTENT_ID: &str = "pickup-code";
/// The name under which mail programmes save it.
const QR_FILE_NAME: &str = "pickup-code.png";

/// Everything a pickup letter says. Holds personal data and the code: prints as nothing.
pub struct PickupLetter<'a> {
    /// Names the letter for ever; the same for each attempt to deliver it.
    pub notice_id: &'a str,
    /// Why it is written.
    pub occasion: Occasion,
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
    /// In which the letter states times: who comes looks at the clocks there, wherever they read it.
    pub zone: &'a SiteZone,
    /// Until when the code works.
    pub expires: UnixMillis,
    /// If the parcel may be gone without the hub's knowing.
    pub unheard: Option<Unheard>,
    /// The pickup token's text.
    pub token: &'a str,
    /// What can be typed instead, if anything can.
    pub keypad: Option<KeypadEntry>,
}

/// Why a pickup letter is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The parcel has come.
    Stored,
    /// There is another code.
    Reissued,
    /// There is another end of its stay.
    Extended,
    /// It is still there.
    Reminder,
}

/// That the hub has not heard all that a bank has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unheard {
    /// When it last heard of it, if the bank is away.
    pub since: Option<UnixMillis>,
}

impl Unheard {
    fn sentence(self, zone: &SiteZone) -> String {
        let what = match self.since {
            Some(since) => {
                format!("We have heard nothing from this locker since {}.", zone.readable(since))
            }
            None => "We do not have the latest news from this locker.".to_owned(),
        };
        format!("{what} If you have already picked your parcel up, please ignore this message.")
    }
}

/// What a person types at the screen when they cannot show the QR code. The digits print as nothing.
#[derive(Clone, Copy, Debug)]
pub struct KeypadEntry {
    /// The six digits.
    pub digits: Digits,
    /// Whether the keypad asks for the end of the phone number besides. Where it does not, digits
    /// with a phone number open nothing.
    pub asks_phone: bool,
}

impl KeypadEntry {
    /// As people read and type it: `123 456`.
    fn grouped(self) -> String {
        let text = self.digits.reveal().map(char::from);
        let (first, second) = text.split_at(text.len() / 2);
        first.iter().chain(&[' ']).chain(second).collect()
    }

    /// As it is read aloud, digit by digit and not as a number: `1 2 3, 4 5 6`.
    fn spoken(self) -> String {
        let spaced = |part: &str| part.chars().map(String::from).collect::<Vec<_>>().join(" ");
        self.grouped().split(' ').map(spaced).collect::<Vec<_>>().join(", ")
    }

    /// What stands before the digits.
    const fn invitation(self) -> &'static str {
        if self.asks_phone {
            "Or type these six digits at the screen, and the last four digits of your phone number:"
        } else {
            "Or type these six digits at the screen, without a phone number:"
        }
    }
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
            .message_id(Some(message_id(self.notice_id, self.from)))
            .from(self.from.clone())
            .to(Mailbox::new(name, address))
            .subject(format!("{} {}", self.subject(), one_line(self.bank_name)))
            .multipart(
                MultiPart::alternative().singlepart(SinglePart::plain(self.text())).multipart(html),
            )
            .map_err(|_| WriteLetterError::Message)
    }

    const fn subject(&self) -> &'static str {
        match self.occasion {
            Occasion::Stored => "Your parcel is waiting at",
            Occasion::Reissued => "Your new pickup code for",
            Occasion::Extended => "New time for your parcel at",
            Occasion::Reminder => "Reminder: your parcel at",
        }
    }

    /// What is said before the place.
    const fn opening(&self) -> &'static str {
        match self.occasion {
            Occasion::Stored => "your parcel is waiting for you at",
            Occasion::Reissued => {
                "here is your new pickup code; what you had before, QR code or digits, opens nothing \
                 any more. Your parcel is waiting for you at"
            }
            Occasion::Extended => {
                "there is a new time until when your parcel waits for you, and a new QR code that \
                 goes with it. It is at"
            }
            Occasion::Reminder if self.unheard.is_some() => {
                "as far as we know, your parcel is still waiting for you at"
            }
            Occasion::Reminder => "your parcel is still waiting for you at",
        }
    }

    fn text(&self) -> String {
        let greeting = greeting(self.display_name);
        let until = self.zone.readable(self.expires);
        let place = place(self.bank_name, self.bank_address);
        let unheard = self.unheard.map(|unheard| format!("{}\n\n", unheard.sentence(self.zone)));
        let keypad = self.keypad.map(|keypad| {
            // On a line of their own, to be found at a glance and copied in one piece.
            format!("{}\n\n{}\n\n", keypad.invitation(), keypad.grouped())
        });
        // The token stands on a line of its own. It has spaces inside, never at its end: the last
        // digit of a base45 group is at most 'W'.
        format!(
            "{greeting}\n\n\
             {opening}\n\n\
             {place}\n\n\
             until {until}.\n\n\
             {unheard}\
             Hold the QR code of this message in front of the scanner. The screen then tells you \
             which door opens.\n\n\
             {keypad}\
             If your programme shows no pictures, this is what the QR code says:\n\n\
             {token}\n\n\
             Who has the code can take the parcel: forward it only to people you trust.\n",
            opening = self.opening(),
            unheard = unheard.unwrap_or_default(),
            keypad = keypad.unwrap_or_default(),
            token = self.token,
        )
    }

    fn html(&self) -> String {
        let until = escaped(&self.zone.readable(self.expires));
        let exact = self.zone.rfc3339(self.expires);
        let unheard = self.unheard.map(|unheard| escaped(&unheard.sentence(self.zone)));
        let title = format!("{} {}", self.subject(), self.bank_name);
        let body = format!(
            "<p>{greeting}</p>\n\
             <p>{opening}</p>\n\
             <p>{place}</p>\n\
             <p>until <time datetime=\"{exact}\">{until}</time>.</p>\n\
             {unheard}\
             <p>Hold this QR code in front of the scanner. The screen then tells you which door \
             opens.</p>\n\
             <p><img src=\"cid:{QR_CONTENT_ID}\" alt=\"QR code for the pickup\" \
             style=\"display:block;width:100%;max-width:22em;height:auto\"></p>\n\
             {keypad}\
             <p>What the QR code says:</p>\n\
             <pre style=\"white-space:pre-wrap;overflow-wrap:anywhere\">{token}</pre>\n\
             <p>Who has the code can take the parcel: forward it only to people you trust.</p>\n",
            greeting = escaped(&greeting(self.display_name)),
            opening = escaped(self.opening()),
            place = html_place(self.bank_name, self.bank_address),
            unheard = unheard.map(|said| format!("<p>{said}</p>\n")).unwrap_or_default(),
            keypad = self.keypad.map(html_of).unwrap_or_default(),
            token = escaped(self.token),
        );
        page(&title, &body)
    }
}

/// Large, in one line, and for a screen reader digit by digit.
fn html_of(keypad: KeypadEntry) -> String {
    let (grouped, spoken) = (keypad.grouped().replace(' ', "&nbsp;"), keypad.spoken());
    format!(
        "<p>{}</p>\n\
         <p style=\"font-size:2.25em;font-weight:bold;letter-spacing:0.08em;line-height:1.2;\
         margin:0.5em 0;white-space:nowrap\">\
         <span role=\"img\" aria-label=\"{spoken}\">{grouped}</span></p>\n",
        keypad.invitation(),
    )
}

/// The same for each attempt, so that a mail system can drop a letter it has seen.
fn message_id(notice_id: &str, from: &Mailbox) -> String {
    format!("<{notice_id}@{}>", from.email.domain())
}

/// Where the parcel is, on lines of its own.
fn place(bank_name: &str, bank_address: &str) -> String {
    if bank_address.is_empty() {
        bank_name.to_owned()
    } else {
        format!("{bank_name}\n{bank_address}")
    }
}

fn html_place(bank_name: &str, bank_address: &str) -> String {
    let (bank, address) = (escaped(bank_name), escaped(bank_address));
    if address.is_empty() {
        format!("<strong>{bank}</strong>")
    } else {
        format!("<strong>{bank}</strong><br>{address}")
    }
}

/// A whole page around `body`, which is HTML already.
fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"format-detection\" content=\"telephone=no\">\n\
         <title>{title}</title>\n</head>\n\
         <body style=\"font-family:sans-serif;line-height:1.5;max-width:34em;margin:0 auto;\
         padding:1em\">\n\
         {body}\
         </body>\n</html>\n",
        title = escaped(title),
    )
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
