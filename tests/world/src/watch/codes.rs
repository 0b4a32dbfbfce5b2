//! The books of codes: whose they are, why they open nothing any more, and where their parcels are.

use locker_core::bank::{Finding, PickupEnd, PickupSettled, RecallEnd};
use locker_core::code::slot::SlotId;
use locker_core::downlink::Grant;
use locker_core::fact::Fact;
use locker_core::ids::{CredentialId, ParcelId};
use locker_core::journal::LastPickup;
use locker_core::policy::GRACE_MS;
use locker_core::session::Actor;
use locker_core::units::UnixMillis;

use super::{Invariant, Watch};

/// Why a code is dead that did what it was for.
const USED_UP: &str = "used up";

impl Watch {
    /// What a record says of codes.
    pub(super) fn codes_of(&mut self, fact: &Fact, at: UnixMillis) {
        match fact {
            Fact::GrantAccepted(accepted) => self.granted(&accepted.grant),
            Fact::PickupStarted(started) => {
                let known = self.codes.get(&started.credential);
                let (own, why) = known.map_or((None, None), |(own, dead)| (Some(*own), *dead));
                // Whoever was let in by it takes out the others of the same person, too.
                let next = own != Some(started.parcel)
                    && self.let_in == Some(started.session)
                    && why == Some(USED_UP);
                self.must(why.is_none() || next, Invariant::DeadCodeOpensNothing, || {
                    format!("a code that is {} opens {}", why.unwrap_or(""), started.compartment)
                });
                self.must(!self.staff_only, Invariant::DeadCodeOpensNothing, || {
                    format!("a code opens {} while records are missing", started.compartment)
                });
                self.let_in = Some(started.session);
            }
            Fact::InspectionStarted(started) => {
                let Some(Actor::Recipient { credential }) = self.actor else { return };
                let again = self.grace.is_some_and(|last| {
                    last.compartment == started.compartment
                        && last.credential == credential
                        && at < last.until
                });
                self.must(again, Invariant::DeadCodeOpensNothing, || {
                    format!("a recipient looks into {} again", started.compartment)
                });
            }
            Fact::DepositConfirmed(confirmed) => {
                self.deposits += 1;
                self.stored.insert(confirmed.parcel, confirmed.compartment);
                if let Some(code) = &confirmed.code {
                    self.bound(code.slot, confirmed.parcel);
                }
            }
            Fact::SlotBound(bound) => self.bound(bound.code.slot, bound.parcel),
            Fact::PickupSettled(settled) => self.picked_up(*settled, at),
            Fact::RecallSettled(settled) => match settled.end {
                RecallEnd::Removed => {
                    self.stored.remove(&settled.parcel);
                    self.kill_codes(settled.parcel, "of a parcel that was taken out");
                }
                RecallEnd::FoundEmpty => {
                    self.stored.remove(&settled.parcel);
                }
                RecallEnd::NotTaken | RecallEnd::NotOpened | RecallEnd::Interrupted => {}
            },
            Fact::InspectionSettled(settled) => {
                let no = settled.compartment;
                match settled.finding {
                    Finding::Empty => self.stored.retain(|_, at| *at != no),
                    Finding::Holds(parcel) => {
                        self.stored.retain(|_, at| *at != no);
                        self.stored.insert(parcel, no);
                    }
                    Finding::TakenOut(parcel) | Finding::HandedOver(parcel) => {
                        self.stored.retain(|other, at| *at != no && *other != parcel);
                        self.kill_codes(parcel, "of a parcel that staff took out");
                    }
                    Finding::NotOpened | Finding::Unfinished => {}
                }
            }
            _ => {}
        }
    }

    fn bound(&mut self, slot: SlotId, parcel: ParcelId) {
        let known = self.digits.insert(slot, parcel);
        self.must(
            known.is_none_or(|known| known == parcel),
            Invariant::DeadCodeOpensNothing,
            || format!("digits that {known:?} had are given to {parcel}"),
        );
    }

    fn picked_up(&mut self, settled: PickupSettled, at: UnixMillis) {
        let PickupSettled { parcel, compartment, end, .. } = settled;
        match end {
            PickupEnd::Collected { .. } => {
                self.pickups += 1;
                if let Some(Actor::Recipient { credential }) = self.actor {
                    let until = at.plus_ms(GRACE_MS);
                    self.grace = Some(LastPickup { parcel, compartment, credential, until });
                }
                self.stored.remove(&parcel);
                self.kill_codes(parcel, USED_UP);
            }
            PickupEnd::CollectedDoorOpen => {
                self.stored.remove(&parcel);
                self.kill_codes(parcel, USED_UP);
            }
            PickupEnd::FoundEmpty | PickupEnd::WrongParcel => {
                self.stored.remove(&parcel);
            }
            PickupEnd::NotTaken
            | PickupEnd::NotOpened
            | PickupEnd::Interrupted
            | PickupEnd::Unconfirmed
            | PickupEnd::Refused => {}
        }
    }

    fn granted(&mut self, grant: &Grant) {
        match grant {
            Grant::Book(booking) => {
                self.kill_codes(booking.parcel, "replaced by a booking");
                self.begins(booking.credential, booking.parcel);
            }
            Grant::Cancel { parcel, .. } => self.kill_codes(*parcel, "of a cancelled parcel"),
            Grant::Reissue { parcel, credential, .. } => {
                self.kill_codes(*parcel, "replaced");
                self.begins(*credential, *parcel);
            }
            Grant::Delegate { parcel, credential, .. } => self.begins(*credential, *parcel),
            Grant::Revoke { credential, .. } => {
                if let Some((_, dead)) = self.codes.get_mut(credential) {
                    *dead = Some("withdrawn");
                }
            }
            Grant::Keep { .. } | Grant::Recall { .. } | Grant::Slots(_) => {}
        }
    }

    fn begins(&mut self, code: CredentialId, parcel: ParcelId) {
        self.may_be_dead.remove(&code);
        self.codes.insert(code, (parcel, None));
    }

    fn kill_codes(&mut self, parcel: ParcelId, why: &'static str) {
        for (_, dead) in self.codes.values_mut().filter(|(of, _)| *of == parcel) {
            dead.get_or_insert(why);
        }
    }
}
