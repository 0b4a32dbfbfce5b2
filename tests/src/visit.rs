//! What people do in front of a bank, one step after the other, with the time of each step.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use edge_agent::bank::{PanelKeypad, PanelPhase, PanelResult, PanelState};

use crate::bank::Bank;
use crate::panel::{Answer, Finding, Outcome, Refused};
use crate::wait::{now_ms, wait_for};

/// How long a step may take: a pulse is watched for two seconds.
const STEP_LIMIT: Duration = Duration::from_secs(15);

/// When the steps of a handover were, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// The number on the door.
    pub compartment: u16,
    /// The label or the code was scanned.
    pub scanned_ms: u64,
    /// The screen asked what happened.
    pub asked_ms: u64,
    /// The person said it.
    pub said_ms: u64,
    /// The bank had it durable and said so.
    pub answered_ms: u64,
}

impl Bank {
    /// A courier or staff signs in.
    ///
    /// # Errors
    ///
    /// The badge is refused.
    pub async fn sign_in(&self, badge: &str) -> Result<()> {
        accepted("the badge", self.panel.scan(badge).await?).map(drop)
    }

    /// A courier or staff signs out.
    ///
    /// # Errors
    ///
    /// It is refused.
    pub async fn sign_out(&self) -> Result<()> {
        accepted("signing out", self.panel.done(Outcome::Finished).await?).map(drop)
    }

    /// A courier who is signed in scans a label. As long as the bank has not heard of the parcel,
    /// again.
    ///
    /// # Errors
    ///
    /// The label is refused for another reason.
    pub async fn scan_label(&mut self, barcode: &str) -> Result<(PanelState, u64)> {
        let what = format!("{} knows the parcel {barcode}", self.spec.id);
        let panel = &self.panel;
        wait_for(&what, STEP_LIMIT, async || {
            let scanned_ms = now_ms();
            match panel.scan(barcode).await? {
                Ok(state) => Ok(Some((state, scanned_ms))),
                Err(Refused(reason)) if reason == "BARCODE_UNKNOWN" => Ok(None),
                Err(refused) => bail!("the label {barcode} was refused: {refused:?}"),
            }
        })
        .await
    }

    /// A courier who is signed in puts a parcel in; the door must shut by itself.
    ///
    /// # Errors
    ///
    /// The bank does anything else.
    pub async fn deposit(&mut self, barcode: &str) -> Result<Visit> {
        let (_, scanned_ms) = self.scan_label(barcode).await?;
        self.store(scanned_ms).await
    }

    /// A courier whose label was scanned at `scanned_ms` puts the parcel in; the door must shut by
    /// itself.
    ///
    /// # Errors
    ///
    /// The bank does anything else.
    pub async fn store(&mut self, scanned_ms: u64) -> Result<Visit> {
        let (compartment, asked_ms) = self.wait_until_asked().await?;
        let said_ms = now_ms();
        let state = accepted("the deposit", self.panel.done(Outcome::DEPOSITED).await?)?;
        if state.last_result != Some(PanelResult::Stored { compartment }) {
            bail!("a deposit ended with {:?}", state.last_result);
        }
        Ok(Visit { compartment, scanned_ms, asked_ms, said_ms, answered_ms: now_ms() })
    }

    /// A courier finds the open compartment too small; the door must shut by itself. Gives its
    /// number.
    ///
    /// # Errors
    ///
    /// The bank does anything else than to open another one.
    pub async fn find_too_small(&mut self) -> Result<u16> {
        let (compartment, _) = self.wait_until_asked().await?;
        let state = accepted("too small", self.panel.done(Outcome::DoesNotFit).await?)?;
        match opening(&state) {
            Some((other, _)) if other != compartment => Ok(compartment),
            _ => bail!("nothing else opened: {state:?}"),
        }
    }

    /// A courier signs in, puts one parcel in, and leaves.
    ///
    /// # Errors
    ///
    /// The bank does anything else.
    pub async fn bring(&mut self, badge: &str, barcode: &str) -> Result<Visit> {
        self.sign_in(badge).await?;
        let visit = self.deposit(barcode).await?;
        self.sign_out().await?;
        Ok(visit)
    }

    /// A recipient shows a code and takes the parcel; the door must shut by itself.
    ///
    /// # Errors
    ///
    /// The bank does anything else.
    pub async fn collect(&mut self, code: &str) -> Result<Visit> {
        let scanned_ms = now_ms();
        let answer = self.panel.scan(code).await?;
        self.take_out(scanned_ms, answer).await
    }

    /// A recipient types six digits, and perhaps phone digits, and takes the parcel; the door must
    /// shut by itself.
    ///
    /// # Errors
    ///
    /// The bank does anything else.
    pub async fn collect_by_digits(&mut self, digits: &str, phone: Option<&str>) -> Result<Visit> {
        let typed_ms = now_ms();
        let answer = self.panel.type_digits(digits, phone).await?;
        self.take_out(typed_ms, answer).await
    }

    async fn take_out(&mut self, scanned_ms: u64, answer: Answer) -> Result<Visit> {
        accepted("the code", answer)?;
        let (compartment, asked_ms) = self.wait_until_asked().await?;
        let said_ms = now_ms();
        let state = accepted("the pickup", self.panel.done(Outcome::Taken).await?)?;
        if state.last_result != Some(PanelResult::Collected { compartment }) {
            bail!("a pickup ended with {:?}", state.last_result);
        }
        Ok(Visit { compartment, scanned_ms, asked_ms, said_ms, answered_ms: now_ms() })
    }

    /// Staff signs in, looks into a compartment, says what is inside, and leaves; the door must shut
    /// by itself.
    ///
    /// # Errors
    ///
    /// The bank does anything else.
    pub async fn look_into(
        &mut self,
        badge: &str,
        compartment: u16,
        finding: Finding<'_>,
    ) -> Result<()> {
        self.sign_in(badge).await?;
        accepted("the inspection", self.panel.inspect(compartment).await?)?;
        self.wait_until_asked().await?;
        let state = accepted("the finding", self.panel.found(finding).await?)?;
        match state.last_result {
            Some(PanelResult::Inspected { compartment: looked, .. }) if looked == compartment => {}
            other => bail!("an inspection ended with {other:?}"),
        }
        self.sign_out().await
    }

    /// The reason for which digits are refused.
    ///
    /// # Errors
    ///
    /// They are not refused.
    pub async fn refusal_of_digits(&self, digits: &str, phone: Option<&str>) -> Result<String> {
        match self.panel.type_digits(digits, phone).await? {
            Err(Refused(reason)) => Ok(reason),
            Ok(state) => bail!("digits that should be refused were taken: {state:?}"),
        }
    }

    /// Waits until the keypad takes another try.
    ///
    /// # Errors
    ///
    /// The time is over.
    pub async fn wait_for_keypad(&mut self) -> Result<()> {
        let is_open = |state: &PanelState| state.keypad == PanelKeypad::Open;
        self.wait_for_screen("takes digits", STEP_LIMIT, is_open).await.map(drop)
    }

    /// The reason for which a scan is refused.
    ///
    /// # Errors
    ///
    /// It is not refused.
    pub async fn refusal_of(&self, text: &str) -> Result<String> {
        match self.panel.scan(text).await? {
            Err(Refused(reason)) => Ok(reason),
            Ok(state) => bail!("a scan that should be refused was taken: {state:?}"),
        }
    }

    /// Waits until the door was open and is shut again; gives its number and the time.
    ///
    /// # Errors
    ///
    /// The time is over, or the lock did not open.
    pub async fn wait_until_asked(&mut self) -> Result<(u16, u64)> {
        let shown = |state: &PanelState| match opening(state) {
            Some((_, PanelPhase::Opening | PanelPhase::Open)) => false,
            Some((_, PanelPhase::Shut | PanelPhase::Stuck | PanelPhase::StuckForGood)) | None => {
                true
            }
        };
        let state = self.wait_for_screen("asks what happened", STEP_LIMIT, shown).await?;
        match opening(&state) {
            Some((compartment, PanelPhase::Shut)) => Ok((compartment, now_ms())),
            _ => bail!("the screen of {} shows {state:?}", self.spec.id),
        }
    }
}

/// The compartment of the opening under way and how far it is.
#[must_use]
pub fn opening(state: &PanelState) -> Option<(u16, PanelPhase)> {
    state.session.as_ref()?.task.opening()
}

fn accepted(what: &str, answer: Result<PanelState, Refused>) -> Result<PanelState> {
    answer.map_err(|Refused(reason)| anyhow!("{what} was refused: {reason}"))
}
