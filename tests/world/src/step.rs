//! What can happen in a world, one step at a time. A step says everything that chance decided about
//! it, so that a list of steps is a script: the same list is the same story, and one with steps left
//! out is a story too.

use serde::{Deserialize, Serialize};

/// Something that happens, some time after what happened before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Virtual milliseconds since the step before.
    pub after_ms: u64,
    pub what: What,
}

/// What happens. Banks, boards, locks and people are numbers from 0. A step that fits nowhere changes
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Somebody at a bank's screen asks for something.
    Ask { bank: u8, ask: Ask },
    /// The oldest pulse that has no outcome gets one.
    Settle { bank: u8, fate: Fate },
    /// A door moves, pulsed or not, and its sensor with it.
    Door { bank: u8, lock: u8, open: bool },
    /// A sensor says something else than its door.
    Lie { bank: u8, lock: u8, open: bool },
    /// The line to a lock board goes dead or comes back.
    Board { bank: u8, board: u8, up: bool },
    /// A sensor does not move with its door.
    Doubt { bank: u8, lock: u8 },
    /// A board has no power for its locks.
    Power { bank: u8, board: u8 },
    /// The bank goes on from its battery, or from the mains again.
    Mains { bank: u8, on: bool },
    /// The bank's loop wakes up: deadlines, lapses, room on the disk, a snapshot.
    Tick { bank: u8 },
    /// The agent begins a connection.
    Dial { bank: u8 },
    /// The agent sends what it may.
    Send { bank: u8 },
    /// A message from the bank reaches the hub, or does not.
    Up { bank: u8, way: Way },
    /// A message from the hub reaches the bank, or does not.
    Down { bank: u8, way: Way },
    /// The connection ends, for those who notice.
    HangUp { bank: u8, end: End },
    /// Somebody replays a message that the hub sent at any time.
    Replay { bank: u8, n: u8 },
    /// Somebody with the hub's key says that it has what it has not.
    LyingAck { bank: u8, above_head: bool },
    /// The hub makes durable what it has received.
    Commit { bank: u8 },
    /// The hub says how far it is.
    Ack { bank: u8 },
    /// The hub decides about a parcel.
    Decide { bank: u8, decision: Decision },
    /// The hub issues a document.
    Document { bank: u8, document: Document },
    /// The hub orders a lockdown.
    Order { bank: u8, order: Order },
    /// All that the hub has is in a backup.
    Backup,
    /// The hub's store is lost, and made again from the latest backup.
    HubRestored,
    /// The hub's clock is set.
    HubClock { by_ms: i64 },
    /// The hub dies at its `effects`-th effect from now; 0 is at once.
    HubDies { effects: u8 },
    /// The hub starts again.
    HubStarts,
    /// The agent dies at its `effects`-th effect from now; 0 is at once.
    Dies { bank: u8, effects: u8 },
    /// The power of a bank goes; `coin` decides what of its unsynced writes had arrived.
    PowerCut { bank: u8, coin: u64 },
    /// The agent starts again; it dies at its `effects`-th effect if that is not 0.
    Starts { bank: u8, effects: u8 },
    /// The bank's next sync fails.
    SyncFails { bank: u8 },
    /// The bank's next write fails half way.
    WriteFails { bank: u8 },
    /// The bank's disk has room for so many bytes more.
    Full { bank: u8, room_bytes: u32 },
    /// The bank's disk has room again.
    Roomy { bank: u8 },
    /// The bank's system clock is set.
    ClockSet { bank: u8, by_ms: i64 },
    /// Somebody switches the bank off as [`Self::PowerCut`] does, and copies its disk.
    DiskCopied { bank: u8, coin: u64 },
    /// The bank's disk is again as it was when it was copied.
    DiskPutBack { bank: u8 },
    /// The bank gets an empty disk, and what it held is emptied out.
    DiskLost { bank: u8 },
    /// A bit of the bank's journal changes in a durable record that others stand behind; `coin` decides where.
    Damaged { bank: u8, coin: u64 },
    /// Somebody puts a new journal in the place of the bank's damaged one, with what was `kept` of the state beside it or
    /// without. That program dies at its `effects`-th effect if that is not 0.
    BegunAnew { bank: u8, kept: bool, effects: u8 },
    /// The bank's next sync says that it was done, and was not. No promise covers that, and no plot has it:
    /// it shows that the world can see.
    SyncLies { bank: u8 },
    /// Somebody has looked after what the hub raised an alarm for, and says so.
    Cleared { bank: u8 },
    /// All faults end, everybody connects, everything is told. Then much more must hold.
    Heal,
}

/// What people ask for. Parcels are numbers at their bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// The QR code of a parcel: the latest, or the `nth` before it.
    Show {
        parcel: u16,
        nth: u8,
    },
    /// The six digits of a parcel, with the right phone digits, with wrong ones, or with none.
    Digits {
        parcel: u16,
        phone: Phone,
    },
    /// Digits that nobody was given.
    Guess {
        n: u8,
    },
    /// A courier's six digits.
    CourierDigits {
        n: u8,
    },
    CourierBadge {
        carrier: u8,
    },
    StaffBadge {
        person: u8,
    },
    Scan {
        parcel: u16,
    },
    TryAgain,
    Reopen,
    OpenNext,
    Deposited {
        no: Option<u16>,
    },
    TookBack,
    FoundOccupied,
    DoorWillNotShut,
    DoesNotFit,
    Taken,
    NotTaken,
    RefuseParcel,
    FoundEmpty,
    WrongParcel,
    Recall {
        parcel: u16,
    },
    Removed {
        parcel: u16,
    },
    Inspect {
        no: u16,
    },
    Found {
        what: Found,
        parcel: u16,
    },
    ResetBoard {
        board: u8,
    },
    ResetKeypad,
    LockDown,
    LiftLockdown,
    Cancel,
    Finish,
}

/// What staff say is in a compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    Nothing,
    Inside,
    TakenOut,
    HandedOver,
}

/// The phone digits typed with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phone {
    Right,
    Wrong,
    None,
}

/// What becomes of a pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// The door opens and the sensor sees it.
    Opens,
    /// The lock does not move.
    Sticks,
    /// The door opens and the sensor does not see it.
    OpensUnseen,
    /// The sensor read open before.
    WasOpen,
    /// The door opens; the board's answer is lost.
    OpensSilently,
    /// The lock does not move; the board's answer is lost.
    SticksSilently,
    /// It never went out on the wire.
    NotSent,
    /// The door opens, and a neighbour's springs open with it.
    OpensTwo,
}

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    Arrives,
    IsLost,
    /// It arrives, and stays in the line once more.
    ArrivesAndStays,
    /// The one behind it arrives first.
    IsOvertaken,
}

/// Who notices that a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Agent,
    Hub,
    Both,
}

/// What the hub decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// A parcel that was never here, or one of that number again.
    Book {
        parcel: u16,
        carrier: u8,
        size: u8,
        terms: u8,
    },
    Cancel {
        parcel: u16,
    },
    Keep {
        parcel: u16,
        for_ms: u64,
    },
    Recall {
        parcel: u16,
    },
    Reissue {
        parcel: u16,
    },
    Delegate {
        parcel: u16,
        for_ms: u64,
    },
    /// The latest code, or the `nth` before it.
    Revoke {
        parcel: u16,
        nth: u8,
    },
    Slots {
        count: u8,
    },
}

/// A document that the hub issues; its generation is the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Document {
    Layout { variant: u8 },
    Mode { maintenance: bool },
    Quota { kept: u8 },
    CourierCodes { count: u8 },
}

/// How an order is made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    Fresh,
    /// Its time is over.
    Late,
    /// For an earlier connection.
    OfOldConnection,
}

impl What {
    /// The bank that it happens at, if it happens at one.
    #[must_use]
    pub const fn bank(&self) -> Option<u8> {
        match self {
            Self::Ask { bank, .. }
            | Self::Settle { bank, .. }
            | Self::Door { bank, .. }
            | Self::Lie { bank, .. }
            | Self::Board { bank, .. }
            | Self::Doubt { bank, .. }
            | Self::Power { bank, .. }
            | Self::Mains { bank, .. }
            | Self::Tick { bank }
            | Self::Dial { bank }
            | Self::Send { bank }
            | Self::Up { bank, .. }
            | Self::Down { bank, .. }
            | Self::HangUp { bank, .. }
            | Self::Replay { bank, .. }
            | Self::LyingAck { bank, .. }
            | Self::Commit { bank }
            | Self::Ack { bank }
            | Self::Decide { bank, .. }
            | Self::Document { bank, .. }
            | Self::Order { bank, .. }
            | Self::Dies { bank, .. }
            | Self::PowerCut { bank, .. }
            | Self::Starts { bank, .. }
            | Self::SyncFails { bank }
            | Self::WriteFails { bank }
            | Self::Full { bank, .. }
            | Self::Roomy { bank }
            | Self::ClockSet { bank, .. }
            | Self::DiskCopied { bank, .. }
            | Self::DiskPutBack { bank }
            | Self::DiskLost { bank }
            | Self::Damaged { bank, .. }
            | Self::BegunAnew { bank, .. }
            | Self::SyncLies { bank }
            | Self::Cleared { bank } => Some(*bank),
            Self::Backup
            | Self::HubRestored
            | Self::HubClock { .. }
            | Self::HubDies { .. }
            | Self::HubStarts
            | Self::Heal => None,
        }
    }
}
