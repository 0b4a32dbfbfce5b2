//! The ways of parcels through a bank, as facts of the length that they have in the field: names of
//! usual length, random ids, a trace with every step, a six-digit code for each parcel, and a seal
//! after each visit.

use locker_core::bank::{
    BoardChanged, BoundCode, DepositConfirmed, DepositStarted, DoorMoved, DoorsRead, PickupEnd,
    PickupSettled, PickupStarted, PulseIntended, PulseOutcome, PulseSettled, SessionEnded,
    SessionStarted,
};
use locker_core::code::slot::{Slot, SlotId};
use locker_core::code::tag::{TAG_BYTES, Tag};
use locker_core::compartment::{CompartmentSpec, DoorReading, Layout, LockPosition};
use locker_core::downlink::{Booking, ConfigDocument, Grant, GrantAccepted, GrantPosition};
use locker_core::fact::Fact;
use locker_core::ids::{
    CompartmentNo, CredentialId, Generation, HubEpoch, IntentId, ParcelId, SessionId, TraceParent,
    Version,
};
use locker_core::journal::{ChainHash, FOLD_VERSION, Sealed};
use locker_core::parcel::Terms;
use locker_core::session::{Actor, CourierProof, SessionEnd};
use locker_core::units::{Dimensions, Grams};

const COMPARTMENTS: u16 = 48;
/// Bytes of sealed digits.
const SEALED_BYTES: usize = 35;

/// Facts that belong together, and the trace that they carry.
pub(crate) struct Visit {
    pub(crate) facts: Vec<Fact>,
    pub(crate) trace: Option<TraceParent>,
}

/// Parcels that come and go one after the other.
#[derive(Debug, Default)]
pub(crate) struct Parcels {
    number: u64,
    pulses: u64,
    grants: u64,
}

impl Parcels {
    /// What a new bank writes down first.
    pub(crate) fn first() -> Vec<Fact> {
        let inside = Dimensions { length_mm: 400, width_mm: 400, height_mm: 200 };
        let specs: Vec<CompartmentSpec> = (1..=COMPARTMENTS)
            .map(|no| {
                let lock = u8::try_from(no - 1).expect("48 locks");
                CompartmentSpec {
                    no: CompartmentNo(no),
                    inside,
                    lock: LockPosition { board: 0, lock },
                }
            })
            .collect();
        let readings = specs.iter().map(|spec| (spec.no, DoorReading::Closed)).collect();
        let layout = Layout { generation: Generation(1), compartments: specs };
        vec![
            Fact::ConfigAccepted(ConfigDocument::Layout(layout).into()),
            Fact::BoardChanged(BoardChanged { board: 0, online: true }),
            Fact::DoorsRead(DoorsRead { readings }),
        ]
    }

    /// A parcel is booked, brought and fetched; the last is its pickup. `head` is where the journal
    /// ends.
    pub(crate) fn next(&mut self, head: (u64, ChainHash)) -> Vec<Visit> {
        self.number += 1;
        let id = spread(self.number);
        let (parcel, credential) = (ParcelId(id), CredentialId(spread(!self.number)));
        let no = u16::try_from(self.number % u64::from(COMPARTMENTS)).expect("below 48");
        let compartment = CompartmentNo(no + 1);
        let trace: TraceParent = format!("00-{:032x}-{:016x}-01", u128::from_be_bytes(id), !no)
            .parse()
            .expect("a traceparent");
        let booking = Booking {
            parcel,
            version: Version(1),
            carrier: "acme-parcels".parse().expect("a carrier's name"),
            barcode: format!("00340434{:012}", self.number).parse().expect("a barcode"),
            size: Dimensions { length_mm: 300, width_mm: 200, height_mm: 150 },
            weight: Grams(2_500),
            credential,
            trace: Some(trace.clone()),
            terms: Terms { keep_ms: Some(7 * 86_400_000), ..Terms::default() },
        };
        let slot = SlotId(spread(self.number ^ 0x5555));
        let sealed = || vec![7; SEALED_BYTES].try_into().expect("sealed digits");
        let tag = Tag::from_bytes([5; TAG_BYTES]);
        let slots = Grant::Slots(vec![Slot { id: slot, tag, sealed: sealed() }]);
        let booked = vec![self.accepted(Grant::Book(booking)), self.accepted(slots)];
        let code = BoundCode { slot, sealed: sealed() };
        let brought = self.visit(parcel, compartment, Err(code));
        let fetched = self.visit(parcel, compartment, Ok(credential));
        let visit = |facts| Visit { facts, trace: Some(trace.clone()) };
        let seal = || Visit { facts: vec![seal(head)], trace: None };
        vec![visit(booked), visit(brought), seal(), seal(), visit(fetched)]
    }

    fn accepted(&mut self, grant: Grant) -> Fact {
        self.grants += 1;
        let position = GrantPosition { epoch: HubEpoch(1), gseq: self.grants };
        Fact::GrantAccepted(GrantAccepted { position, grant })
    }

    /// A pickup with its credential, or a deposit with the code that it binds.
    fn visit(
        &mut self,
        parcel: ParcelId,
        compartment: CompartmentNo,
        what: Result<CredentialId, BoundCode>,
    ) -> Vec<Fact> {
        self.pulses += 1;
        let intent = IntentId(self.pulses);
        let session = SessionId(spread(self.pulses));
        let actor = match &what {
            Ok(credential) => Actor::Recipient { credential: *credential },
            Err(_) => Actor::Courier {
                carrier: "acme-parcels".parse().expect("a carrier's name"),
                proof: CourierProof::Badge(CredentialId([9; 16])),
            },
        };
        let began = match &what {
            Ok(credential) => Fact::PickupStarted(PickupStarted {
                session,
                parcel,
                compartment,
                credential: *credential,
            }),
            Err(_) => {
                let tried = Vec::new();
                Fact::DepositStarted(DepositStarted { session, parcel, compartment, tried })
            }
        };
        let settled = match what {
            Ok(_) => {
                let (end, lock_failed) = (PickupEnd::Collected { presumed: false }, false);
                let settled = PickupSettled { session, parcel, compartment, end, lock_failed };
                Fact::PickupSettled(settled)
            }
            Err(code) => Fact::DepositConfirmed(DepositConfirmed {
                session,
                parcel,
                compartment,
                presumed: false,
                code: Some(code),
            }),
        };
        let moved = |reading| {
            Fact::DoorMoved(DoorMoved { compartment, reading, cause: Some(intent), class: None })
        };
        let outcome = PulseOutcome::Opened { after_ms: 80 };
        vec![
            Fact::SessionStarted(SessionStarted { session, actor }),
            began,
            Fact::PulseIntended(PulseIntended {
                intent,
                session,
                compartment,
                parcel: Some(parcel),
            }),
            Fact::PulseSettled(PulseSettled { intent, compartment, outcome }),
            moved(DoorReading::Open),
            moved(DoorReading::Closed),
            settled,
            Fact::SessionEnded(SessionEnded { session, end: SessionEnd::Finished }),
        ]
    }
}

/// As long as a seal is; nobody checks it here.
fn seal((upto, hash): (u64, ChainHash)) -> Fact {
    let (projection, signature) = ([3; 32], [4; 64]);
    Fact::Sealed(Sealed { upto, hash, fold_version: FOLD_VERSION, projection, signature })
}

/// An id that differs from its neighbours in every byte, as random ones do.
fn spread(number: u64) -> [u8; 16] {
    let low = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let high = low.rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
}
