//! The JSON that the panel's routes take, and what each asks of the bank.

use locker_core::bank::StaffFinding;
use locker_core::code::digits;
use locker_core::code::second_factor::PhoneSuffix;
use locker_core::ids::{Barcode, CarrierId, CompartmentNo};
use serde::Deserialize;

use super::PanelError;
use crate::bank::Ask;

/// `{"text": "..."}`: what the scanner read, or a person typed off the code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scan {
    text: String,
}

/// `{"digits": "...", "phone": "..."}`: what was typed at the keypad; the phone's last four may be
/// left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keypad {
    digits: String,
    phone: Option<String>,
}

/// `{"outcome": "..."}`: what the person says happened; some outcomes say more.
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Done {
    /// In which compartment, if the screen asks for it.
    Deposited {
        compartment: Option<u16>,
    },
    DoesNotFit {},
    TookBack {},
    FoundOccupied {},
    DoorWillNotShut {},
    Taken {},
    NotTaken {},
    Refused {},
    FoundEmpty {},
    WrongParcel {},
    /// The label of what was taken out.
    Removed {
        barcode: String,
    },
    /// Nothing more to do: sign out.
    Finished {},
}

/// `{"action": "..."}`: what is to be opened; nothing at all is `again`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Door {
    #[serde(default)]
    action: DoorAction,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DoorAction {
    /// The door was stuck and has been pushed.
    #[default]
    Again,
    /// It is shut, and something was forgotten.
    Reopen,
    /// The next parcel for the same code.
    Next,
}

/// `{"barcode": "...", "carrier": "..."}`: what is to be taken out; the carrier is staff's to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recall {
    barcode: String,
    carrier: Option<String>,
}

/// `{"compartment": 7}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inspect {
    compartment: u16,
}

/// `{"finding": "...", "carrier": "...", "barcode": "..."}`: what staff found; `empty` has no label.
#[derive(Deserialize)]
#[serde(tag = "finding", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Found {
    Empty {},
    Holds { carrier: String, barcode: String },
    TakenOut { carrier: String, barcode: String },
    HandedOver { carrier: String, barcode: String },
}

/// `{"board": 0}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetBoard {
    board: u8,
}

/// What a body asks for, or which of its values is none.
pub(super) trait Asks {
    fn ask(self) -> Result<Ask, PanelError>;
}

impl Asks for Scan {
    fn ask(self) -> Result<Ask, PanelError> {
        Ok(Ask::Scan(self.text))
    }
}

impl Asks for Keypad {
    fn ask(self) -> Result<Ask, PanelError> {
        let digits = digits::normalise(&self.digits).map_err(PanelError::DigitsMalformed)?;
        let typed = self.phone.filter(|phone| !phone.trim().is_empty());
        let phone = typed.map(|phone| PhoneSuffix::typed(&phone)).transpose();
        Ok(Ask::Keypad { digits, phone: phone.map_err(|_| PanelError::PhoneMalformed)? })
    }
}

impl Asks for Done {
    fn ask(self) -> Result<Ask, PanelError> {
        Ok(match self {
            Self::Deposited { compartment } => {
                Ask::Deposited { compartment: compartment.map(CompartmentNo) }
            }
            Self::DoesNotFit {} => Ask::DoesNotFit,
            Self::TookBack {} => Ask::TookBack,
            Self::FoundOccupied {} => Ask::FoundOccupied,
            Self::DoorWillNotShut {} => Ask::DoorWillNotShut,
            Self::Taken {} => Ask::Taken,
            Self::NotTaken {} => Ask::NotTaken,
            Self::Refused {} => Ask::RefuseParcel,
            Self::FoundEmpty {} => Ask::FoundEmpty,
            Self::WrongParcel {} => Ask::WrongParcel,
            Self::Removed { barcode } => Ask::Removed(label(&barcode)?),
            Self::Finished {} => Ask::Finish,
        })
    }
}

impl Asks for Door {
    fn ask(self) -> Result<Ask, PanelError> {
        Ok(match self.action {
            DoorAction::Again => Ask::TryAgain,
            DoorAction::Reopen => Ask::Reopen,
            DoorAction::Next => Ask::OpenNext,
        })
    }
}

impl Asks for Recall {
    fn ask(self) -> Result<Ask, PanelError> {
        let carrier = self.carrier.as_deref().map(carrier).transpose()?;
        Ok(Ask::Recall { carrier, barcode: label(&self.barcode)? })
    }
}

impl Asks for Inspect {
    fn ask(self) -> Result<Ask, PanelError> {
        Ok(Ask::Inspect(CompartmentNo(self.compartment)))
    }
}

impl Asks for Found {
    fn ask(self) -> Result<Ask, PanelError> {
        let both = |name: &str, code: &str| Ok::<_, PanelError>((carrier(name)?, label(code)?));
        Ok(Ask::Found(match self {
            Self::Empty {} => StaffFinding::Empty,
            Self::Holds { carrier, barcode } => {
                let (carrier, barcode) = both(&carrier, &barcode)?;
                StaffFinding::Holds { carrier, barcode }
            }
            Self::TakenOut { carrier, barcode } => {
                let (carrier, barcode) = both(&carrier, &barcode)?;
                StaffFinding::TakenOut { carrier, barcode }
            }
            Self::HandedOver { carrier, barcode } => {
                let (carrier, barcode) = both(&carrier, &barcode)?;
                StaffFinding::HandedOver { carrier, barcode }
            }
        }))
    }
}

impl Asks for ResetBoard {
    fn ask(self) -> Result<Ask, PanelError> {
        Ok(Ask::ResetBoard(self.board))
    }
}

/// Spaces around a label are the scanner's.
fn label(text: &str) -> Result<Barcode, PanelError> {
    text.trim().parse().map_err(|_| PanelError::BarcodeMalformed)
}

fn carrier(text: &str) -> Result<CarrierId, PanelError> {
    text.trim().parse().map_err(|_| PanelError::CarrierMalformed)
}
