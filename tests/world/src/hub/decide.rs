//! What the hub decides about parcels, and the documents that it issues.

use locker_core::code::keypad_code::{CourierCodes, KeypadCode, Validity};
use locker_core::downlink::{Booking, Grant, Mode, Quota};
use locker_core::ids::{Generation, Version};
use locker_core::journal::View;
use locker_core::parcel::{ParcelState, RecallReason, Terms};
use locker_core::units::{Grams, UnixMillis};

use super::{Hub, Listed, Store};
use crate::cast;
use crate::step::{Decision, Document};

/// How long couriers' codes hold.
const COURIER_CODES_HOLD_MS: u64 = 86_400_000;
/// Terms of a booking that end.
const BOOKED_FOR_MS: u64 = 3_600_000;

/// Codes of a parcel that one store may give out.
const IDS_PER_STORE: u16 = 1_000;
/// Slots of a bank that one store may give out.
const SLOTS_PER_STORE: u32 = 1_000_000;

impl Hub {
    /// Decides, if there is anything to decide.
    pub fn decide(&mut self, bank: usize, decision: Decision, now_ms: u64) {
        let n = u8::try_from(bank).unwrap_or_default();
        let store = &mut self.stores[bank];
        let Some(grant) = grant_of(store, n, decision, now_ms) else { return };
        if store.log_waits { store.fresh.push(grant) } else { store.log.push(grant) }
    }

    /// Issues a document.
    pub fn issue(&mut self, bank: usize, document: Document, now_ms: u64) {
        let n = u8::try_from(bank).unwrap_or_default();
        let store = &mut self.stores[bank];
        let next = |held: Generation| Generation(held.0 + 1);
        match document {
            Document::Layout { variant } => {
                store.layout = cast::layout(store.layout.generation.0 + 1, variant);
            }
            Document::Mode { maintenance } => {
                store.mode = Mode { generation: next(store.mode.generation), maintenance };
            }
            Document::Quota { kept } => {
                let ceded = vec![(cast::cube(100), u16::from(kept))];
                store.quota = Quota { generation: next(store.quota.generation), ceded };
            }
            Document::CourierCodes { count } => {
                let valid = Validity {
                    from: UnixMillis(now_ms).minus_ms(60_000),
                    until: UnixMillis(now_ms).plus_ms(COURIER_CODES_HOLD_MS),
                };
                let codes = (0..count % 4).map(|at| {
                    store.courier_slots += 1;
                    let base = u32::from(store.restores) * SLOTS_PER_STORE;
                    let slot = cast::courier_slot(n, base + store.courier_slots);
                    KeypadCode { slot, carrier: cast::carrier(at), valid }
                });
                let codes = codes.collect();
                let generation = next(store.courier_codes.generation);
                store.courier_codes = CourierCodes { generation, codes };
            }
        }
    }
}

impl Store {
    /// The log of a bank that came back without anything: what is on its way to it is booked again, with codes that were
    /// never given out, and then what was decided since.
    pub(super) fn begin_from_bookings(&mut self, bank: u8, booked: &[u16], now_ms: u64) {
        let at = UnixMillis(now_ms);
        let book = |n: &u16| booking(self, bank, *n, 1, at).map(Grant::Book);
        let log: Vec<Grant> = booked.iter().filter_map(book).collect();
        self.log = log;
        let mut fresh = std::mem::take(&mut self.fresh);
        self.log.append(&mut fresh);
    }

    /// What the bank is told of parcels that have left by records which it has lost: they are not booked again by what is
    /// said once more, and no code that it holds opens anything for them.
    pub(super) fn let_go(&mut self, bank: u8, log: &mut Vec<Grant>) {
        let mut gone = std::mem::take(&mut self.gone);
        let is_gone = |id| gone.iter().any(|(n, _)| cast::parcel(bank, *n) == id);
        log.retain(|grant| !matches!(grant, Grant::Book(booking) if is_gone(booking.parcel)));
        for (n, told) in &mut gone {
            let parcel = cast::parcel(bank, *n);
            let Some(held) = self.view.parcel(parcel) else { continue };
            let booked = held.state == ParcelState::Booked;
            let Some(version) = self.next_version(bank, *n) else { continue };
            let reason = RecallReason::Safety;
            if booked {
                log.push(Grant::Cancel { parcel, version });
                *told = version;
            } else if matches!(held.state, ParcelState::Missing { .. }) {
                log.push(Grant::Revoke { parcel, version, credential: held.credential });
                *told = version;
            } else if held.state.settled_at().is_none() {
                log.push(Grant::Recall { parcel, version, reason });
                *told = version;
            }
        }
        self.gone = gone;
    }

    fn next_code(&mut self, bank: u8, parcel: u16) -> Option<locker_core::ids::CredentialId> {
        let listed = self.parcels.get_mut(usize::from(parcel))?;
        let k = u16::try_from(listed.codes.len()).ok()?;
        let code = cast::code(bank, parcel, self.restores * IDS_PER_STORE + k);
        listed.codes.push(code);
        Some(code)
    }

    /// Above all that the bank is known to have heard, from this store or from one that was lost.
    fn next_version(&mut self, bank: u8, parcel: u16) -> Option<Version> {
        let held = self.view.parcel(cast::parcel(bank, parcel)).map_or(0, |held| held.version.0);
        let listed = self.parcels.get_mut(usize::from(parcel))?;
        listed.version = listed.version.max(held) + 1;
        Some(Version(listed.version))
    }
}

fn grant_of(store: &mut Store, bank: u8, decision: Decision, now_ms: u64) -> Option<Grant> {
    let id = |parcel| cast::parcel(bank, parcel);
    let at = UnixMillis(now_ms);
    Some(match decision {
        Decision::Book { parcel: n, carrier, size, terms } => {
            // Numbers that are passed over are parcels that nobody has booked: a script may leave steps out.
            while store.parcels.len() <= usize::from(n) {
                store.parcels.push(Listed { carrier, size, ..Listed::default() });
            }
            store.gone.retain(|(gone, _)| *gone != n);
            Grant::Book(booking(store, bank, n, terms, at)?)
        }
        Decision::Cancel { parcel } => {
            Grant::Cancel { parcel: id(parcel), version: store.next_version(bank, parcel)? }
        }
        Decision::Keep { parcel, for_ms } => {
            let version = store.next_version(bank, parcel)?;
            Grant::Keep { parcel: id(parcel), version, until: at.plus_ms(for_ms) }
        }
        Decision::Recall { parcel } => {
            let version = store.next_version(bank, parcel)?;
            Grant::Recall { parcel: id(parcel), version, reason: RecallReason::Sender }
        }
        Decision::Reissue { parcel } => {
            let version = store.next_version(bank, parcel)?;
            let credential = store.next_code(bank, parcel)?;
            Grant::Reissue { parcel: id(parcel), version, credential }
        }
        Decision::Delegate { parcel, for_ms } => {
            let version = store.next_version(bank, parcel)?;
            let credential = store.next_code(bank, parcel)?;
            let until = at.plus_ms(for_ms);
            Grant::Delegate { parcel: id(parcel), version, credential, until }
        }
        Decision::Revoke { parcel, nth } => {
            let listed = store.parcels.get(usize::from(parcel))?;
            let credential = *listed.codes.iter().rev().nth(usize::from(nth))?;
            let version = store.next_version(bank, parcel)?;
            Grant::Revoke { parcel: id(parcel), version, credential }
        }
        Decision::Slots { count } => {
            let first = store.slots + 1;
            store.slots += u32::from(count % 16) + 1;
            let base = u32::from(store.restores) * SLOTS_PER_STORE;
            let slots = (first..=store.slots).map(|at| cast::slot(bank, base + at));
            Grant::Slots(slots.collect())
        }
    })
}

/// `terms` counts through the kinds that there are.
fn booking(store: &mut Store, bank: u8, n: u16, terms: u8, at: UnixMillis) -> Option<Booking> {
    let version = store.next_version(bank, n)?;
    let credential = store.next_code(bank, n)?;
    let listed = store.parcels.get_mut(usize::from(n))?;
    let person = u8::try_from(n % 5).unwrap_or_default();
    listed.phone = (terms & 1 != 0).then_some(person);
    let terms = Terms {
        hard: terms & 2 != 0,
        book_until: (terms & 4 != 0).then(|| at.plus_ms(BOOKED_FOR_MS)),
        keep_ms: (terms & 8 != 0).then_some(2 * BOOKED_FOR_MS),
        keep_until: None,
        group: (terms & 16 != 0).then(|| cast::group(person)),
        suffix: listed.phone.map(cast::phone),
    };
    let edge = cast::PARCEL_MM[usize::from(listed.size) % cast::PARCEL_MM.len()];
    Some(Booking {
        parcel: cast::parcel(bank, n),
        version,
        carrier: cast::carrier(listed.carrier),
        barcode: cast::label(n),
        size: cast::cube(edge),
        weight: Grams(500),
        credential,
        trace: None,
        terms,
    })
}
