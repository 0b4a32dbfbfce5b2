//! What a recipient is written about a parcel that they cannot pick up, or have: without a code.

use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use locker_core::units::UnixMillis;

use super::{
    Unheard, WriteLetterError, escaped, greeting, html_place, message_id, one_line, page, place,
};
use crate::site_zone::SiteZone;

/// Everything such a letter says. Holds personal data: prints as nothing.
pub struct ClosingLetter<'a> {
    /// Names the letter for ever; the same for each attempt to deliver it.
    pub notice_id: &'a str,
    /// What it says.
    pub news: News,
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
    /// In which the letter states times.
    pub zone: &'a SiteZone,
}

/// What has become of the parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nobody came for it until then.
    Expired {
        /// The end of its stay.
        until: UnixMillis,
        /// If that may not be all.
        unheard: Option<Unheard>,
    },
    /// It had been picked up when a letter said that it waits.
    WasCollected {
        /// When that letter went out.
        letter_at: UnixMillis,
    },
    /// It had been taken out by a courier or staff when a letter said that it waits.
    WasTakenOut {
        /// When that letter went out.
        letter_at: UnixMillis,
    },
}

impl ClosingLetter<'_> {
    /// Writes the letter as a message: plain text and HTML.
    ///
    /// # Errors
    /// When the address is none.
    pub fn write(&self) -> Result<Message, WriteLetterError> {
        let address: Address = self.email.parse().map_err(|_| WriteLetterError::Address)?;
        let name = Some(one_line(self.display_name)).filter(|name| !name.is_empty());
        let parts = MultiPart::alternative()
            .singlepart(SinglePart::plain(self.text()))
            .singlepart(SinglePart::html(self.html()));
        Message::builder()
            .message_id(Some(message_id(self.notice_id, self.from)))
            .from(self.from.clone())
            .to(Mailbox::new(name, address))
            .subject(one_line(&self.subject()))
            .multipart(parts)
            .map_err(|_| WriteLetterError::Message)
    }

    fn subject(&self) -> String {
        let what = match self.news {
            News::Expired { .. } => "Your parcel was not picked up in time at",
            News::WasCollected { .. } | News::WasTakenOut { .. } => {
                "Please ignore our last message about your parcel at"
            }
        };
        format!("{what} {}", self.bank_name)
    }

    /// What is said before the place.
    const fn opening(&self) -> &'static str {
        match self.news {
            News::Expired { .. } => "your parcel was not picked up in time at",
            News::WasCollected { .. } => "your parcel has already been picked up at",
            News::WasTakenOut { .. } => {
                "please do not come for your parcel: it has already been taken back from"
            }
        }
    }

    /// What is said after it, a paragraph each.
    fn paragraphs(&self) -> Vec<String> {
        let taken_back = |letter_at| {
            format!(
                "Please ignore our message of {}: when we wrote it, the locker had not told us yet. \
                 We are sorry for the confusion.",
                self.zone.readable(letter_at)
            )
        };
        match self.news {
            News::Expired { until, unheard } => {
                let first = format!(
                    "It could be picked up until {}. Its pickup code opens nothing any more, and the \
                     parcel will be taken back.",
                    self.zone.readable(until)
                );
                let last = "If you still want it, please ask whoever sent it.".to_owned();
                let unheard = unheard.map(|unheard| unheard.sentence(self.zone));
                [Some(first), unheard, Some(last)].into_iter().flatten().collect()
            }
            News::WasCollected { letter_at } => vec![
                taken_back(letter_at),
                "If it was neither you nor somebody you gave the code to, please tell whoever sent \
                 the parcel."
                    .to_owned(),
            ],
            News::WasTakenOut { letter_at } => vec![
                taken_back(letter_at),
                "If you still want it, please ask whoever sent it.".to_owned(),
            ],
        }
    }

    fn text(&self) -> String {
        let mut parts = vec![
            greeting(self.display_name),
            self.opening().to_owned(),
            place(self.bank_name, self.bank_address),
        ];
        parts.extend(self.paragraphs());
        parts.join("\n\n") + "\n"
    }

    fn html(&self) -> String {
        let mut parts = vec![
            escaped(&greeting(self.display_name)),
            escaped(self.opening()),
            html_place(self.bank_name, self.bank_address),
        ];
        parts.extend(self.paragraphs().iter().map(|said| escaped(said)));
        let body: String = parts.iter().map(|part| format!("<p>{part}</p>\n")).collect();
        page(&self.subject(), &body)
    }
}

impl std::fmt::Debug for ClosingLetter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClosingLetter").field("notice_id", &self.notice_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
