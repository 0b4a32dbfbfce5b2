//! What the job mints for banks that are new, served, full, or unreadable.

use std::collections::BTreeSet;

use locker_core::code::keypad_code;
use locker_core::code::slot::{DISTANCE_MIN, REUSE_AFTER_MS, SLOTS_MAX, find};
use locker_core::ids::Generation;

use super::*;
use crate::codes::key_file::Secret;
use crate::codes::pepper::CodeMaster;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

struct Fixture {
    codes: BankCodes,
    needs: PoolNeeds,
    tag_keys: TagKeys,
    sealing: SealingKeys,
}

impl Fixture {
    fn new() -> Self {
        let bank: BankId = "bank-1".parse().unwrap();
        let master = CodeMaster::new(Secret::from([1; 32]));
        Self {
            tag_keys: master.tag_keys(&bank, Generation(1)),
            sealing: SealingKeys::new(&[(1, Secret::from([2; 32]))]).unwrap(),
            codes: BankCodes::none(bank),
            needs: PoolNeeds { deposits_a_day: vec![], compartments: 10, dark_days: 3 },
        }
    }

    fn top_up(&self) -> Result<Minted, MintError> {
        top_up(&self.codes, &self.needs, &self.tag_keys, &self.sealing, NOW)
    }

    fn held(&self, number: u32) -> HeldSlot {
        let id = SlotId(u128::from(number).to_be_bytes());
        let digits = Digits::from_number(number).unwrap();
        HeldSlot { id, sealed: self.sealing.seal(&self.codes.bank, id, digits).unwrap() }
    }

    fn digits(&self, slot: &Slot) -> Digits {
        self.sealing.open(&self.codes.bank, slot.id, &slot.sealed).unwrap()
    }
}

fn hold(slots: &[Slot]) -> impl Iterator<Item = HeldSlot> {
    slots.iter().map(|slot| HeldSlot { id: slot.id, sealed: slot.sealed.clone() })
}

#[test]
fn a_new_bank_gets_slots_that_its_keypad_finds() {
    let fixture = Fixture::new();
    let minted = fixture.top_up().unwrap();
    assert_eq!((minted.slots.len(), minted.still_missing, minted.is_exhausted), (30, 0, false));
    let live = || minted.slots.iter().map(|slot| (slot.id, &slot.tag));
    for slot in minted.slots.iter().take(5) {
        let typed = fixture.tag_keys.tag(fixture.digits(slot));
        assert_eq!(find(&typed, live()), Some(slot.id));
    }
    let ids: BTreeSet<SlotId> = minted.slots.iter().map(|slot| slot.id).collect();
    assert_eq!(ids.len(), 30);
}

#[test]
fn a_run_is_bounded_and_the_next_one_goes_on() {
    let mut fixture = Fixture::new();
    fixture.needs.compartments = 30;
    let first = fixture.top_up().unwrap();
    assert_eq!((first.slots.len(), first.still_missing), (MINT_PER_RUN_MAX, 26));
    fixture.codes.unused.extend(hold(&first.slots));
    let second = fixture.top_up().unwrap();
    assert_eq!((second.slots.len(), second.still_missing), (26, 0));
    fixture.codes.unused.extend(hold(&second.slots));
    let third = fixture.top_up().unwrap();
    assert_eq!((third.slots.len(), third.is_exhausted), (0, false));
    let all: Vec<Digits> =
        first.slots.iter().chain(&second.slots).map(|slot| fixture.digits(slot)).collect();
    for (place, one) in all.iter().enumerate() {
        assert!(all[..place].iter().all(|other| one.distance(other) >= DISTANCE_MIN));
    }
}

#[test]
fn a_slot_that_a_deposit_took_is_replaced() {
    let mut fixture = Fixture::new();
    let minted = fixture.top_up().unwrap();
    fixture.codes.unused.extend(hold(&minted.slots));
    let bound = fixture.codes.unused.split_off(28);
    fixture.codes.in_use.extend(bound);
    assert_eq!(fixture.top_up().unwrap().slots.len(), 2);
}

#[test]
fn c07_a_full_bank_gets_no_slot_and_says_so() {
    let mut fixture = Fixture::new();
    let full = u32::try_from(SLOTS_MAX).unwrap();
    fixture.codes.in_use = (0..full).map(|number| fixture.held(number)).collect();
    let minted = fixture.top_up().unwrap();
    assert_eq!((minted.slots, minted.still_missing, minted.is_exhausted), (vec![], 0, true));
}

#[test]
fn c07_a_retired_code_counts_for_thirty_days() {
    let mut fixture = Fixture::new();
    let retired = |age| NOW.minus_ms(age);
    fixture.codes.retired = vec![
        (fixture.held(1), retired(REUSE_AFTER_MS - 1)),
        (fixture.held(2), retired(REUSE_AFTER_MS)),
    ];
    let mint = Mint::open(&fixture.codes, &fixture.tag_keys, &fixture.sealing, NOW).unwrap();
    assert!(mint.recent.contains(&Digits::from_number(1).unwrap()));
    assert!(!mint.recent.contains(&Digits::from_number(2).unwrap()));
    assert!(mint.live.is_empty());
}

#[test]
fn nothing_is_minted_while_the_digits_of_a_slot_cannot_be_read() {
    let mut fixture = Fixture::new();
    fixture.codes.in_use = vec![fixture.held(5)];
    fixture.sealing = SealingKeys::new(&[(2, Secret::from([2; 32]))]).unwrap();
    let error = fixture.top_up().unwrap_err();
    let source = OpenSealedError::UnknownKey { id: 1 };
    assert!(
        matches!(&error, MintError::Unreadable { source: found, .. } if *found == source),
        "{error:?}"
    );
}

#[test]
fn c09_couriers_get_a_code_a_carrier_and_day() {
    let fixture = Fixture::new();
    let carriers: [CarrierId; 2] = ["acme", "swift"].map(|name| name.parse().unwrap());
    let days = keypad_code::days(NOW, 3);
    let each = |day: &Validity| carriers.clone().map(|carrier| (*day, carrier));
    let wanted: Vec<_> = days.iter().flat_map(each).collect();
    let Fixture { codes, tag_keys, sealing, .. } = &fixture;
    let minted = courier_codes(codes, &wanted, tag_keys, sealing, NOW).unwrap();
    assert_eq!(minted.len(), 6);
    assert!(minted.iter().all(KeypadCode::is_sound));
    let first_day: Vec<&CarrierId> =
        minted.iter().filter(|code| code.valid == days[0]).map(|code| &code.carrier).collect();
    assert_eq!(first_day, [&carriers[0], &carriers[1]]);
    let digits: BTreeSet<Digits> = minted.iter().map(|code| fixture.digits(&code.slot)).collect();
    assert_eq!(digits.len(), 6, "a leaked code says nothing about tomorrow's");
}

#[test]
fn held_slots_do_not_show_their_digits() {
    let fixture = Fixture::new();
    assert!(!format!("{:?}", fixture.held(314_159)).contains("314159"));
}
