//! Who and what there is: banks, parcels, codes, keys. Numbers in a script name them.

use ed25519_dalek::SigningKey;
use locker_core::code::second_factor::SuffixTag;
use locker_core::code::slot::{Sealed, Slot, SlotId};
use locker_core::code::tag::Tag;
use locker_core::compartment::{CompartmentSpec, Layout, LockPosition};
use locker_core::credential::{Action, Claims, CommandKey, CredentialKey, KeySet, RootKey, sign};
use locker_core::ids::{BankId, Barcode, CarrierId, CompartmentNo, CredentialId, Generation};
use locker_core::ids::{BootId, CommandId, GroupId, ParcelId, SessionId, StreamId};
use locker_core::units::{Dimensions, UnixMillis};
use locker_proto::message::Nonce;

/// Lock boards of a bank, from address 0.
pub const BOARDS: u8 = 2;
/// Locks of a board.
pub const LOCKS_PER_BOARD: u8 = 4;
/// Locks of a bank.
pub const LOCKS: u8 = BOARDS * LOCKS_PER_BOARD;
/// Staff of the operator.
pub const STAFF: u8 = 3;
/// Sizes of parcels, as the edge of a cube in millimetres; the last fits nowhere.
pub const PARCEL_MM: [u32; 4] = [90, 150, 250, 400];
/// Inner edges of the compartments, by number.
const INSIDE_MM: [u32; LOCKS as usize] = [100, 100, 200, 200, 100, 200, 300, 300];
/// Beyond all that a world lives: 2100.
const FAR_MS: u64 = 4_102_444_800_000;

/// A 16-byte id that is one of `kind`.
const fn id(kind: u8, bank: u8, n: u32, k: u16) -> [u8; 16] {
    let (n, k) = (n.to_be_bytes(), k.to_be_bytes());
    [kind, bank, n[0], n[1], n[2], n[3], k[0], k[1], 0, 0, 0, 0, 0, 0, 0, 0]
}

/// A bank's name.
#[must_use]
pub fn bank(n: u8) -> BankId {
    format!("bank-{n}").parse().expect("it keeps to the grammar")
}

/// The carrier of a number.
#[must_use]
pub fn carrier(n: u8) -> CarrierId {
    ["acme", "zeta"][usize::from(n % 2)].parse().expect("it keeps to the grammar")
}

/// The label of a parcel.
#[must_use]
pub fn label(n: u16) -> Barcode {
    format!("PKG{n}").parse().expect("it is printable")
}

/// A parcel booked at a bank.
#[must_use]
pub const fn parcel(bank: u8, n: u16) -> ParcelId {
    ParcelId(id(1, bank, n as u32, 0))
}

/// The `k`-th code that the hub gave out for a parcel.
#[must_use]
pub const fn code(bank: u8, n: u16, k: u16) -> CredentialId {
    CredentialId(id(2, bank, n as u32, k))
}

/// The badge of a member of staff.
#[must_use]
pub const fn staff_badge(person: u8) -> CredentialId {
    CredentialId(id(3, person, 0, 0))
}

/// The badge of a courier.
#[must_use]
pub const fn courier_badge(carrier: u8) -> CredentialId {
    CredentialId(id(4, carrier, 0, 0))
}

/// A slot of a bank. Its tag stands for that of its digits: hashing them is slow on purpose.
#[must_use]
pub fn slot(bank: u8, n: u32) -> Slot {
    let sealed = Sealed::try_from(vec![bank; 4]).expect("four bytes are a sealed code");
    Slot { id: SlotId(id(5, bank, n, 0)), tag: Tag::from_bytes(id(6, bank, n, 0)), sealed }
}

/// A courier's slot of a bank.
#[must_use]
pub fn courier_slot(bank: u8, n: u32) -> Slot {
    let sealed = Sealed::try_from(vec![bank; 4]).expect("four bytes are a sealed code");
    Slot { id: SlotId(id(7, bank, n, 0)), tag: Tag::from_bytes(id(8, bank, n, 0)), sealed }
}

/// The tag of digits that nobody was given.
#[must_use]
pub const fn wrong_tag(n: u8) -> Tag {
    Tag::from_bytes(id(9, n, 0, 0))
}

/// The keyed hash of a phone's last four.
#[must_use]
pub const fn phone(n: u8) -> SuffixTag {
    SuffixTag([n; 8])
}

/// A person with more than one parcel.
#[must_use]
pub const fn group(n: u8) -> GroupId {
    GroupId(id(10, n, 0, 0))
}

/// One run of the agent.
#[must_use]
pub const fn boot(bank: u8, n: u32) -> BootId {
    BootId(id(11, bank, n, 0))
}

/// A person at the screen.
#[must_use]
pub const fn session(bank: u8, n: u32) -> SessionId {
    SessionId(id(12, bank, n, 0))
}

/// The stream that a bank's `n`-th start begins, if it begins one.
#[must_use]
pub const fn stream(bank: u8, n: u32) -> StreamId {
    StreamId(id(13, bank, n, 0))
}

/// The nonce of a connection.
#[must_use]
pub const fn nonce(bank: u8, n: u32) -> Nonce {
    Nonce(id(14, bank, n, 0))
}

/// An order of the hub.
#[must_use]
pub const fn order(bank: u8, n: u32) -> CommandId {
    CommandId(id(15, bank, n, 0))
}

/// A lock by its number in the bank.
#[must_use]
pub const fn lock(n: u8) -> LockPosition {
    LockPosition { board: n / LOCKS_PER_BOARD % BOARDS, lock: n % LOCKS_PER_BOARD }
}

/// The number of a lock in the bank.
#[must_use]
pub fn lock_no(at: LockPosition) -> usize {
    usize::from(at.board) * usize::from(LOCKS_PER_BOARD) + usize::from(at.lock)
}

/// A cube.
#[must_use]
pub const fn cube(mm: u32) -> Dimensions {
    Dimensions { length_mm: mm, width_mm: mm, height_mm: mm }
}

/// A layout: as built, with two locks swapped, or without the last compartment.
#[must_use]
pub fn layout(generation: u64, variant: u8) -> Layout {
    let spec = |n: u8| {
        let wired = match (variant % 3, n) {
            (1, 0) => 1,
            (1, 1) => 0,
            (_, n) => n,
        };
        let no = CompartmentNo(u16::from(n) + 1);
        CompartmentSpec { no, inside: cube(INSIDE_MM[usize::from(n)]), lock: lock(wired) }
    };
    let count = if variant % 3 == 2 { LOCKS - 1 } else { LOCKS };
    Layout { generation: Generation(generation), compartments: (0..count).map(spec).collect() }
}

/// What the hub signs with.
#[derive(Debug)]
pub struct Keys {
    /// The root that agents believe.
    pub root: SigningKey,
    credential: SigningKey,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            root: SigningKey::from_bytes(&[7; 32]),
            credential: SigningKey::from_bytes(&[8; 32]),
        }
    }
}

impl Keys {
    /// The root's public half.
    #[must_use]
    pub fn root_key(&self) -> RootKey {
        RootKey(self.root.verifying_key().to_bytes())
    }

    /// The keys that banks are to hold.
    #[must_use]
    pub fn set(&self) -> KeySet {
        let public = self.credential.verifying_key().to_bytes();
        let keys = vec![CredentialKey { kid: 1, public }];
        let command = vec![CommandKey { kid: 1, public }];
        KeySet { generation: Generation(1), keys, command, root: None }
    }

    /// A token that is good for as long as the world stands.
    #[must_use]
    pub fn token(&self, bank: &BankId, credential: CredentialId, action: Action) -> String {
        let claims =
            Claims { credential, bank_tag: bank.tag(), expires: UnixMillis(FAR_MS), action };
        sign(&self.credential, 1, &claims).expect("claims can always be written")
    }
}
