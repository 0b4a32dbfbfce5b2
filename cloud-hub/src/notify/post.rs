//! One attempt to deliver one notice: whether it still should be, the letter, the ways it goes, and
//! what follows from a failure.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lettre::Message;
use lettre::message::Mailbox;
use locker_core::code::digits::Digits;
use locker_core::units::UnixMillis;
use tracing::{debug, error, info, warn};

use super::counters::{Count, Counters};
use super::due::{self, Due, Heard, Reminders};
use super::letter::closing::{ClosingLetter, News};
use super::letter::{KeypadEntry, Occasion, PickupLetter, Unheard, WriteLetterError};
use super::mailbox::{MailboxError, MailboxFolder};
use super::smtp::{Smtp, SmtpError, SmtpRelay, SmtpSetupError};
use crate::codes::sealing::{OpenSealedError, SealingKeys};
use crate::config::{NoticeLimits, Notices, SmtpConfig};
use crate::credential_keys::{HubKeys, SignTokenError};
use crate::ingest::Presence;
use crate::store::{HubParcelState, NoticeKind, NoticeOutcome, NoticeRow};

/// Time for one letter on all its ways. Shorter than a claim's lease, so that nobody else takes the
/// notice meanwhile.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The ways that letters go, and the keys that make what is in them.
#[derive(Debug)]
pub struct Post {
    from: Mailbox,
    mailbox: Option<MailboxFolder>,
    smtp: Option<Smtp>,
    keys: Arc<HubKeys>,
    sealing: Option<Arc<SealingKeys>>,
    presence: Presence,
    reminders: Reminders,
    limits: NoticeLimits,
    counters: Arc<Counters>,
}

impl Post {
    /// Prepares the ways that the configuration names. `keys` sign the QR codes, `sealing` opens the
    /// six digits; without it letters have none.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn new(
        config: &Notices,
        keys: Arc<HubKeys>,
        sealing: Option<Arc<SealingKeys>>,
    ) -> Result<Self, SetUpPostError> {
        let from = config.from.parse().map_err(|_| SetUpPostError::Sender)?;
        let mailbox = config.mailbox.as_deref().map(MailboxFolder::open).transpose();
        let smtp = config.smtp.as_ref().map(relay).transpose()?;
        Ok(Self {
            from,
            mailbox: mailbox.map_err(SetUpPostError::Mailbox)?,
            smtp: smtp.map(|relay| Smtp::new(&relay)).transpose().map_err(SetUpPostError::Smtp)?,
            keys,
            sealing,
            presence: Presence::default(),
            reminders: Reminders::new(config.limits.remind_at_percent.clone()),
            limits: config.limits.clone(),
            counters: Arc::default(),
        })
    }

    /// With who knows which banks are here; without, none is, and whatever may not be true any more
    /// is held.
    #[must_use]
    pub fn knowing(self, presence: Presence) -> Self {
        Self { presence, ..self }
    }

    /// What is counted; still there when the post is not.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    pub(super) const fn limits(&self) -> &NoticeLimits {
        &self.limits
    }

    pub(super) const fn ways(&self) -> &'static str {
        match (self.mailbox.is_some(), self.smtp.is_some()) {
            (true, true) => "mailbox folder and SMTP",
            (true, false) => "mailbox folder",
            (false, true) => "SMTP",
            (false, false) => "none",
        }
    }

    /// Tries to deliver, and says what is to become of the notice.
    pub(super) async fn attempt(&self, notice: &NoticeRow, now: UnixMillis) -> NoticeOutcome {
        let parcel = notice.parcel.uid;
        let unheard = match due::due(notice, &self.reminders, self.heard(notice), now) {
            Due::Now(unheard) => unheard,
            Due::Later => return self.later(notice, now),
            Due::Held(look_at) => {
                self.counters.add(Count::Held);
                debug!(%parcel, bank = %notice.bank.id, "notice held, its bank has not told all");
                return NoticeOutcome::Held { look_at };
            }
            Due::Moved(to) => return NoticeOutcome::Moved { to },
            Due::TooLate => {
                self.counters.add(Count::GivenUp);
                error!(%parcel, "notice given up, the code has expired");
                return NoticeOutcome::Abandoned;
            }
            Due::Never(reason) => {
                info!(%parcel, reason, "notice dropped");
                return NoticeOutcome::Unneeded;
            }
        };
        let delivered = tokio::time::timeout(ATTEMPT_TIMEOUT, self.deliver(notice, unheard)).await;
        match delivered.unwrap_or(Err(DeliverError::Timeout)) {
            Ok(()) => {
                self.count_sent(notice, unheard);
                let kind = notice.kind.as_str();
                info!(%parcel, kind, bank = %notice.bank.id, "notice sent");
                NoticeOutcome::Sent
            }
            Err(error) if error.is_final() || notice.attempts + 1 >= self.limits.attempts => {
                self.counters.add(Count::GivenUp);
                error!(%parcel, attempt = notice.attempts + 1, %error, cause = error.cause(), "notice given up");
                NoticeOutcome::Abandoned
            }
            Err(error) => {
                self.counters.add(Count::NotSent);
                warn!(%parcel, attempt = notice.attempts + 1, %error, cause = error.cause(), "notice not sent");
                self.later(notice, now)
            }
        }
    }

    /// When the notice's recipient is to be reminded next, now that it went out.
    pub(super) fn reminder_after(&self, notice: &NoticeRow, now: UnixMillis) -> Option<UnixMillis> {
        self.reminders.after(notice, now)
    }

    fn heard(&self, notice: &NoticeRow) -> Heard {
        let bank = &notice.bank.id;
        let told_all = |introduction| self.presence.is_here_as(bank, introduction);
        if notice.told_all.is_some_and(told_all) {
            Heard::All
        } else if self.presence.is_connected(bank) {
            Heard::Partly
        } else {
            Heard::Nothing
        }
    }

    fn count_sent(&self, notice: &NoticeRow, unheard: Option<Unheard>) {
        self.counters.add(Count::Sent);
        if unheard.is_some() {
            self.counters.add(Count::Reworded);
        }
        if notice.kind == NoticeKind::ReminderCorrected {
            self.counters.add(Count::Corrected);
        }
    }

    /// The folder first: what it does twice does no harm, what a relay does twice is two letters.
    async fn deliver(
        &self,
        notice: &NoticeRow,
        unheard: Option<Unheard>,
    ) -> Result<(), DeliverError> {
        let notice_id = notice_id(notice);
        let occasion = match notice.kind {
            NoticeKind::ParcelStored => Some(Occasion::Stored),
            NoticeKind::CodeReissued => Some(Occasion::Reissued),
            NoticeKind::ParcelExtended => Some(Occasion::Extended),
            NoticeKind::ParcelReminder => Some(Occasion::Reminder),
            NoticeKind::ParcelExpired | NoticeKind::ReminderCorrected => None,
        };
        let message = match occasion {
            Some(occasion) => self.pickup(notice, &notice_id, occasion, unheard),
            None => self.closing(notice, &notice_id, unheard),
        }?;
        if let Some(mailbox) = &self.mailbox {
            let bytes = message.formatted();
            mailbox.deliver(&notice_id, bytes).await.map_err(DeliverError::Mailbox)?;
        }
        if let Some(smtp) = &self.smtp {
            smtp.deliver(message).await.map_err(DeliverError::Smtp)?;
        }
        Ok(())
    }

    /// A letter with the code.
    fn pickup(
        &self,
        notice: &NoticeRow,
        notice_id: &str,
        occasion: Occasion,
        unheard: Option<Unheard>,
    ) -> Result<Message, DeliverError> {
        let (parcel, bank) = (&notice.parcel, &notice.bank);
        let credential = parcel.credential.ok_or(DeliverError::NoCredential)?;
        let expires = parcel.expires_at.ok_or(DeliverError::NoCredential)?;
        let token = self
            .keys
            .sign_pickup(&bank.id, &bank.keys_held, credential, expires)
            .map_err(DeliverError::Sign)?;
        let letter = PickupLetter {
            notice_id,
            occasion,
            from: &self.from,
            email: parcel.email.as_str(),
            display_name: parcel.display_name.as_str(),
            bank_name: &bank.display_name,
            bank_address: &bank.address,
            zone: &bank.time_zone,
            expires,
            unheard,
            token: &token,
            keypad: self.keypad(notice),
        };
        letter.write().map_err(DeliverError::Letter)
    }

    /// A letter without one.
    fn closing(
        &self,
        notice: &NoticeRow,
        notice_id: &str,
        unheard: Option<Unheard>,
    ) -> Result<Message, DeliverError> {
        let (parcel, bank) = (&notice.parcel, &notice.bank);
        let news = match notice.moment {
            // Only a correction is about a moment.
            Some(letter_at) if parcel.state == HubParcelState::Collected => {
                News::WasCollected { letter_at }
            }
            Some(letter_at) => News::WasTakenOut { letter_at },
            None => {
                News::Expired { until: parcel.expires_at.unwrap_or(parcel.updated_at), unheard }
            }
        };
        let letter = ClosingLetter {
            notice_id,
            news,
            from: &self.from,
            email: parcel.email.as_str(),
            display_name: parcel.display_name.as_str(),
            bank_name: &bank.display_name,
            bank_address: &bank.address,
            zone: &bank.time_zone,
        };
        letter.write().map_err(DeliverError::Letter)
    }

    /// What the recipient can type; `None` if the parcel has no digits, or they cannot be read: the QR
    /// code opens in any case, so a letter never waits for them.
    fn keypad(&self, notice: &NoticeRow) -> Option<KeypadEntry> {
        match self.digits(notice) {
            Ok(digits) => {
                let asks_phone = notice.at_bank.is_some_and(|known| known.asks_phone);
                digits.map(|digits| KeypadEntry { digits, asks_phone })
            }
            Err(error) => {
                self.counters.add(Count::DigitsUnreadable);
                let cause = error.source().map(ToString::to_string);
                warn!(parcel = %notice.parcel.uid, %error, cause, "letter goes without its digits");
                None
            }
        }
    }

    fn digits(&self, notice: &NoticeRow) -> Result<Option<Digits>, OpenDigitsError> {
        let Some((slot, sealed)) = &notice.code else { return Ok(None) };
        let keys = self.sealing.as_ref().ok_or(OpenDigitsError::NoKeys)?;
        let digits = keys.open(&notice.bank.id, *slot, sealed);
        digits.map(Some).map_err(OpenDigitsError::Sealed)
    }

    fn later(&self, notice: &NoticeRow, now: UnixMillis) -> NoticeOutcome {
        let NoticeLimits { retry_first_ms, retry_max_ms, .. } = self.limits;
        let doubled = 1_u64.checked_shl(notice.attempts).unwrap_or(u64::MAX);
        let pause_ms = retry_first_ms.saturating_mul(doubled).min(retry_max_ms);
        NoticeOutcome::Failed { retry_at: now.plus_ms(pause_ms) }
    }
}

/// Names a notice for ever, also across stores: the parcel's id, its version, and the kind; of a
/// reminder, its moment instead of the version.
fn notice_id(notice: &NoticeRow) -> String {
    let version = u64::from(notice.version.0);
    let (of, kind) = match notice.kind {
        NoticeKind::ParcelStored => (version, "stored"),
        NoticeKind::CodeReissued => (version, "reissued"),
        NoticeKind::ParcelExtended => (version, "extended"),
        NoticeKind::ParcelReminder => (notice.moment.map_or(0, |at| at.0), "reminder"),
        NoticeKind::ParcelExpired => (version, "expired"),
        NoticeKind::ReminderCorrected => (version, "corrected"),
    };
    format!("{}-{of}-{kind}", notice.parcel.uid)
}

fn relay(config: &SmtpConfig) -> Result<SmtpRelay, SetUpPostError> {
    let credentials = match (&config.user, &config.password_file) {
        (Some(user), Some(path)) => {
            let password = std::fs::read_to_string(path)
                .map_err(|source| SetUpPostError::Password { path: path.clone(), source })?;
            Some((user.clone(), password.trim_end_matches(['\r', '\n']).to_owned()))
        }
        _ => None,
    };
    Ok(SmtpRelay {
        host: config.host.clone(),
        port: config.port.unwrap_or_else(|| config.security.usual_port()),
        security: config.security,
        credentials,
        authority: config.authority.clone(),
        timeout: Duration::from_millis(config.timeout_ms),
    })
}

/// Why the post could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpPostError {
    /// The sender's address cannot be read.
    #[error("notices.from is no sender such as `Name <name@host>`")]
    Sender,
    /// The folder cannot be used.
    #[error("the mailbox folder cannot be used")]
    Mailbox(#[source] MailboxError),
    /// The relay's password cannot be read.
    #[error("cannot read the relay's password from {}", path.display())]
    Password {
        /// Which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The relay cannot be used.
    #[error("the mail relay cannot be used")]
    Smtp(#[source] SmtpSetupError),
}

/// Why a parcel's digits cannot be read. Says nothing about them.
#[derive(Debug, thiserror::Error)]
enum OpenDigitsError {
    #[error("no sealing keys are configured")]
    NoKeys,
    #[error("the sealed digits cannot be opened")]
    Sealed(#[source] OpenSealedError),
}

/// Why a notice was not delivered.
#[derive(Debug, thiserror::Error)]
enum DeliverError {
    #[error("the parcel has no code yet")]
    NoCredential,
    #[error("the code cannot be signed")]
    Sign(#[source] SignTokenError),
    #[error("the letter cannot be written")]
    Letter(#[source] WriteLetterError),
    #[error("the letter cannot be put into the mailbox folder")]
    Mailbox(#[source] MailboxError),
    #[error("the letter cannot be handed to the relay")]
    Smtp(#[source] SmtpError),
    #[error("delivery took longer than {} s", ATTEMPT_TIMEOUT.as_secs())]
    Timeout,
}

impl DeliverError {
    /// Whether no later attempt can fare better.
    const fn is_final(&self) -> bool {
        match self {
            Self::Letter(_) | Self::Smtp(SmtpError::Refused(_)) => true,
            Self::NoCredential
            | Self::Sign(_)
            | Self::Mailbox(_)
            | Self::Smtp(SmtpError::Denied(_) | SmtpError::NotNow(_) | SmtpError::Unreachable(_))
            | Self::Timeout => false,
        }
    }

    /// The next cause, and no deeper: a relay's own words often hold the address.
    fn cause(&self) -> Option<String> {
        self.source().map(ToString::to_string)
    }
}

#[cfg(test)]
pub(super) mod tests;
