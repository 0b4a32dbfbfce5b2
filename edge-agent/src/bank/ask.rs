//! What people at the screen ask for, and what they are told.

use locker_core::bank::{self as rules, Command, StaffFinding};
use locker_core::code::digits::Digits;
use locker_core::code::second_factor::PhoneSuffix;
use locker_core::credential;
use locker_core::ids::{Barcode, CarrierId, CompartmentNo};
use locker_core::journal::View;
use locker_core::refusal::Refusal;
use tokio::time::Instant;
use tracing::info;

use super::state::{self, PanelRecall};
use super::{Bank, BankError, PulseTiming};
use crate::store::CommitError;

/// What a person at the screen can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A token or a label was scanned or typed.
    Scan(String),
    /// Six digits were typed, and the last four of the phone number if the person has them.
    Keypad {
        digits: Digits,
        phone: Option<PhoneSuffix>,
    },
    TryAgain,
    Reopen,
    OpenNext,
    Deposited {
        compartment: Option<CompartmentNo>,
    },
    DoesNotFit,
    TookBack,
    FoundOccupied,
    DoorWillNotShut,
    Taken,
    NotTaken,
    RefuseParcel,
    FoundEmpty,
    WrongParcel,
    /// The carrier is asked of staff only.
    Recall {
        carrier: Option<CarrierId>,
        barcode: Barcode,
    },
    Removed(Barcode),
    Inspect(CompartmentNo),
    Found(StaffFinding),
    ResetBoard(u8),
    ResetKeypad,
    LockDown,
    LiftLockdown,
    Cancel,
    Finish,
}

impl Ask {
    /// Whether whoever asks this has looked behind the door, however its sensor reads. "It is still
    /// inside" may mean that it never opened.
    const fn says_that_it_opened(&self) -> bool {
        match self {
            Self::Deposited { .. }
            | Self::DoesNotFit
            | Self::TookBack
            | Self::FoundOccupied
            | Self::Taken
            | Self::RefuseParcel
            | Self::FoundEmpty
            | Self::WrongParcel
            | Self::Removed(_)
            | Self::Found(_) => true,
            Self::Scan(_)
            | Self::Keypad { .. }
            | Self::TryAgain
            | Self::Reopen
            | Self::OpenNext
            | Self::DoorWillNotShut
            | Self::NotTaken
            | Self::Recall { .. }
            | Self::Inspect(_)
            | Self::ResetBoard(_)
            | Self::ResetKeypad
            | Self::LockDown
            | Self::LiftLockdown
            | Self::Cancel
            | Self::Finish => false,
        }
    }
}

impl Bank {
    /// Does what a person asks for.
    pub(super) fn ask(
        &mut self,
        ask: Ask,
        asked_at: Instant,
    ) -> Result<Result<(), Refusal>, BankError> {
        let mut timing = PulseTiming::asked(asked_at, Instant::now());
        if ask.says_that_it_opened() {
            self.note_confirmed_opening();
        }
        let admitted = self.may_ask(&ask).and_then(|()| self.command(ask));
        let decided = admitted.and_then(|command| {
            if self.bars(&command) {
                return Err(Refusal::BeingPrepared);
            }
            let fresh_session = (self.parts.fresh_session)();
            let at = self.moment(fresh_session);
            let step = rules::command(self.parts.ledger.view(), command, at)?;
            self.may_open(&step).map(|()| step)
        });
        timing.checked();
        let step = match decided {
            Ok(step) => step,
            Err(refusal) => {
                self.parts.ledger.check_reads()?;
                return Ok(Err(refused(refusal)));
            }
        };
        // A refusal that leaves traces: they are durable before the person is told.
        let refusal = step.refusal;
        match self.carry_out(step, Some(timing)) {
            Ok(()) => Ok(refusal.map_or(Ok(()), |refusal| Err(refused(refusal)))),
            Err(CommitError::OutOfSpace { .. }) => Ok(Err(refused(Refusal::StorageUnsafe))),
            Err(error) => Err(error.into()),
        }
    }

    /// What must leave and whoever is at the screen may take out.
    pub(super) fn recalls(&self) -> Result<Result<Vec<PanelRecall>, Refusal>, BankError> {
        let view = self.parts.ledger.view();
        let listed = match view.session() {
            None => Err(Refusal::NoSession),
            Some(_) => state::recalls(view).ok_or(Refusal::NotNow),
        };
        self.parts.ledger.check_reads()?;
        Ok(listed)
    }

    fn command(&self, ask: Ask) -> Result<Command, Refusal> {
        Ok(match ask {
            Ask::Scan(text) if credential::looks_like_token(text.trim()) => {
                let keys = self.keys();
                let clock = self.clock.interval(self.monotonic_ms(Instant::now()));
                let verified = credential::verify(text.trim(), &self.parts.bank, &keys.keys, clock);
                Command::Present(verified?)
            }
            Ask::Scan(text) => {
                let barcode = text.trim().parse().map_err(|_| Refusal::BarcodeUnknown)?;
                Command::ScanParcel(barcode)
            }
            Ask::Keypad { digits, phone } => Command::Type(self.typed(digits, phone)?),
            Ask::TryAgain => Command::TryAgain,
            Ask::Reopen => Command::Reopen,
            Ask::OpenNext => Command::OpenNext,
            Ask::Deposited { compartment } => {
                // A slip of the finger is not the number of another door.
                let known = |no| self.parts.ledger.view().compartment(no).is_some();
                if compartment.is_some_and(|no| !known(no)) {
                    return Err(Refusal::CompartmentUnknown);
                }
                Command::ConfirmDeposited { compartment }
            }
            Ask::DoesNotFit => Command::DoesNotFit,
            Ask::TookBack => Command::TookBack,
            Ask::FoundOccupied => Command::FoundOccupied,
            Ask::DoorWillNotShut => Command::DoorWillNotShut,
            Ask::Taken => Command::ConfirmTaken,
            Ask::NotTaken => Command::NotTaken,
            Ask::RefuseParcel => Command::RefuseParcel,
            Ask::FoundEmpty => Command::FoundEmpty,
            Ask::WrongParcel => Command::WrongParcel,
            Ask::Recall { carrier, barcode } => Command::Recall { carrier, barcode },
            Ask::Removed(barcode) => Command::Removed(barcode),
            Ask::Inspect(compartment) => Command::Inspect(compartment),
            Ask::Found(finding) => Command::Found(finding),
            Ask::ResetBoard(board) => Command::ResetBoard(board),
            Ask::ResetKeypad => Command::ResetKeypad,
            Ask::LockDown => Command::LockDown,
            Ask::LiftLockdown => Command::LiftLockdown,
            Ask::Cancel => Command::Cancel,
            Ask::Finish => Command::Finish,
        })
    }
}

fn refused(refusal: Refusal) -> Refusal {
    info!(reason = refusal.reason(), "request refused");
    refusal
}
