//! One compartment: four questions, four fields, never one status.
//!
//! Who owns it ([`Allocation`]), what the sensor says ([`Door`]), what we believe is inside and on
//! what evidence ([`Content`]), and whether the lock works ([`Health`]).

use crate::ids::{CompartmentNo, Generation, IntentId, ParcelId, SessionId};
use crate::parcel::Parcel;
use crate::units::{Dimensions, UnixMillis};

/// Most compartments in one bank: ten boards of forty-eight locks.
pub const COMPARTMENTS_MAX: usize = 480;

/// Where a compartment's lock is wired: the board's address and the lock's index on it, both from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockPosition {
    pub board: u8,
    pub lock: u8,
}

/// What a compartment is built as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompartmentSpec {
    pub no: CompartmentNo,
    pub inside: Dimensions,
    pub lock: LockPosition,
}

/// A bank's compartments as issued by the hub; a whole document with its generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub generation: Generation,
    pub compartments: Vec<CompartmentSpec>,
}

impl Layout {
    /// Whether numbers and lock positions are each used once, all rooms are solid, and there are
    /// not too many.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let specs = &self.compartments;
        let mut numbers: Vec<_> = specs.iter().map(|spec| spec.no).collect();
        let mut locks: Vec<_> = specs.iter().map(|spec| spec.lock).collect();
        numbers.sort_unstable();
        numbers.dedup();
        locks.sort_unstable();
        locks.dedup();
        let each_once = numbers.len() == specs.len() && locks.len() == specs.len();
        let solid = specs.iter().all(|spec| spec.inside.is_solid());
        each_once && solid && !specs.is_empty() && specs.len() <= COMPARTMENTS_MAX
    }
}

/// Who owns a compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// May be offered, if the other three fields allow it.
    Free,
    /// Kept for a parcel that is on its way.
    Reserved { parcel: ParcelId },
    /// Being filled.
    Depositing { session: SessionId, parcel: ParcelId },
    /// Holds a parcel.
    Occupied { parcel: ParcelId },
    /// Being emptied.
    Collecting { session: SessionId, parcel: ParcelId },
    /// Being emptied by a courier or staff.
    Recalling { session: SessionId, parcel: ParcelId },
    /// Its content is not known; staff must look. `parcel` is the one that may be inside.
    Quarantined { reason: QuarantineReason, parcel: Option<ParcelId> },
}

/// Why a compartment was quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantineReason {
    /// A deposit ended after the door had opened, without a parcel being confirmed.
    DepositUnresolved,
    /// The door was seen open although we had not opened it.
    OpenedByNobody,
    /// A pickup ended with the door still open.
    DoorLeftOpen,
    /// The agent stopped between a pulse and its outcome.
    Interrupted,
    /// The lock did not open, twice.
    LockFailed,
    /// A courier found something inside that nobody knows of.
    FoundOccupied,
    /// A recipient or courier found nothing inside.
    FoundEmpty,
    /// A recipient found a parcel of somebody else.
    WrongParcel,
    /// Another door moved during the deposit, and the courier named that one.
    WrongDoor,
    /// Staff began to look and did not say what was found.
    InspectionUnfinished,
    /// Something was done with it that the bank's journal has lost.
    HistoryLost,
}

/// What the sensor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// No trustworthy reading.
    Unknown,
    Closed,
    Open,
    /// Open, and no pulse of ours explains it.
    ForcedOpen,
}

impl Door {
    /// Whether the sensor reads open, for whatever reason.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::ForcedOpen)
    }
}

/// A sensor's word on a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorReading {
    Closed,
    Open,
}

/// On what grounds we believe what is inside, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The door opened and shut, nobody said anything.
    DoorCycle,
    /// The person at the screen said so.
    Attested,
    /// Staff looked, or the compartment was commissioned empty.
    Inspected,
}

/// What we believe is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Empty(Evidence),
    Full(Evidence),
    Unknown,
}

/// Whether the lock works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Ok,
    /// Did not open although pulsed as often as allowed.
    OpenFailed,
    /// Its board does not answer.
    Unreachable,
    /// Its board was stopped: two doors answered to one pulse. Staff must look at the wiring.
    Stopped,
}

/// Everything known of one compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compartment {
    pub spec: CompartmentSpec,
    pub allocation: Allocation,
    pub door: Door,
    pub content: Content,
    pub health: Health,
    /// The pulse that has no outcome yet, if there is one.
    pub pulse: Option<IntentId>,
    /// When the last pulse without a seen opening was settled: a door may still spring open late.
    pub pulsed_at: Option<UnixMillis>,
    /// What the sensor says does not go with what people and pulses say.
    pub sensor_doubt: bool,
    /// It stood open so long that an alarm was raised; until it is seen shut.
    pub open_too_long: bool,
}

impl Compartment {
    /// A compartment as commissioned: empty because somebody looked, its door not read yet.
    #[must_use]
    pub const fn commissioned(spec: CompartmentSpec) -> Self {
        Self {
            spec,
            allocation: Allocation::Free,
            door: Door::Unknown,
            content: Content::Empty(Evidence::Inspected),
            health: Health::Ok,
            pulse: None,
            pulsed_at: None,
            sensor_doubt: false,
            open_too_long: false,
        }
    }

    /// Whether `parcel` may be put in here now: free, or reserved for it.
    #[must_use]
    pub fn may_take(&self, parcel: &Parcel) -> bool {
        let empty = matches!(self.content, Content::Empty(_));
        let granted = self.allocation == Allocation::Free
            || self.allocation == Allocation::Reserved { parcel: parcel.id };
        granted
            && self.door == Door::Closed
            && self.health == Health::Ok
            && empty
            && self.pulse.is_none()
            && parcel.size.fits_into(self.spec.inside)
    }

    /// The parcel that owns this compartment or may be inside.
    #[must_use]
    pub const fn parcel(&self) -> Option<ParcelId> {
        match self.allocation {
            Allocation::Free => None,
            Allocation::Quarantined { parcel, .. } => parcel,
            Allocation::Reserved { parcel }
            | Allocation::Depositing { parcel, .. }
            | Allocation::Occupied { parcel }
            | Allocation::Collecting { parcel, .. }
            | Allocation::Recalling { parcel, .. } => Some(parcel),
        }
    }
}
