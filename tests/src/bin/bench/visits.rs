//! What a bank writes down of people who come: the facts that benches feed to journals and hubs.

use locker_core::bank::{
    DepositConfirmed, DepositStarted, DoorMoved, PickupEnd, PickupSettled, PickupStarted,
    PulseIntended, PulseOutcome, PulseSettled, SessionEnded, SessionStarted,
};
use locker_core::compartment::DoorReading;
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, CredentialId, IntentId, ParcelId, SessionId};
use locker_core::session::{Actor, CourierProof, SessionEnd};

/// The visits of one bank, counted by their pulses.
#[derive(Debug, Default)]
pub(crate) struct Visits(u64);

impl Visits {
    /// One visit: a deposit without a credential, a pickup with one.
    pub(crate) fn write(
        &mut self,
        facts: &mut Vec<Fact>,
        parcel: ParcelId,
        compartment: CompartmentNo,
        pickup: Option<CredentialId>,
    ) {
        self.0 += 1;
        let intent = IntentId(self.0);
        let session = SessionId(u128::from(self.0).to_be_bytes());
        let actor = match pickup {
            Some(credential) => Actor::Recipient { credential },
            None => Actor::Courier {
                carrier: "acme".parse().expect("a carrier's name"),
                proof: CourierProof::Badge(CredentialId([9; 16])),
            },
        };
        let outcome = PulseOutcome::Opened { after_ms: 80 };
        let moved = |reading| {
            Fact::DoorMoved(DoorMoved { compartment, reading, cause: Some(intent), class: None })
        };
        facts.push(Fact::SessionStarted(SessionStarted { session, actor }));
        facts.push(match pickup {
            Some(credential) => {
                Fact::PickupStarted(PickupStarted { session, parcel, compartment, credential })
            }
            None => {
                let tried = Vec::new();
                Fact::DepositStarted(DepositStarted { session, parcel, compartment, tried })
            }
        });
        facts.push(Fact::PulseIntended(PulseIntended {
            intent,
            session,
            compartment,
            parcel: Some(parcel),
        }));
        facts.push(Fact::PulseSettled(PulseSettled { intent, compartment, outcome }));
        facts.push(moved(DoorReading::Open));
        facts.push(moved(DoorReading::Closed));
        facts.push(if pickup.is_some() {
            let (end, lock_failed) = (PickupEnd::Collected { presumed: false }, false);
            Fact::PickupSettled(PickupSettled { session, parcel, compartment, end, lock_failed })
        } else {
            let presumed = false;
            Fact::DepositConfirmed(DepositConfirmed {
                session,
                parcel,
                compartment,
                presumed,
                code: None,
            })
        });
        facts.push(Fact::SessionEnded(SessionEnded { session, end: SessionEnd::Finished }));
    }
}
