//! Couriers' codes over a real store: who has them, for which days, and what becomes of them.

use locker_core::code::keypad_code::{COURIER_CODES_MAX, CourierCodes, KeypadCode, OVERLAP_MS};
use locker_core::downlink::{ConfigAccepted, ConfigDocument};
use locker_core::fact::Fact;

use super::*;
use crate::banks::{ConfigureBankError, set_keypad_couriers};
use crate::codes::couriers::{CouriersDesk, ReadKeypadCodesError};
use crate::store::{EventKind, PlaceCourierCodes};

const DARK_DAYS: u8 = 3;
const DAYS: usize = DARK_DAYS as usize;

fn names(names: &[&str]) -> BTreeSet<CarrierId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// The beginning of the test's first day.
fn midnight() -> UnixMillis {
    UnixMillis(NOW.0 / DAY_MS * DAY_MS)
}

impl Site {
    async fn allow(&self, carriers: &[&str]) -> Generation {
        let call = request(&uuid::Uuid::new_v4().to_string());
        let (carriers, days) = (names(carriers), Some(self.job.dark_days));
        let bank = set_keypad_couriers(&self.store, &bank_id(), carriers, days, call, NOW).await;
        bank.unwrap().keypad.issued
    }

    async fn mint_days(&self, now: UnixMillis) -> More {
        self.job.mint_days(&bank_id(), Generation(1), now).await.unwrap()
    }

    async fn lacks_days(&self, now: UnixMillis) -> bool {
        let pool = self.store.code_pool(&bank_id(), now).await.unwrap().unwrap();
        self.job.lacks_days(&pool, now)
    }

    /// What the bank is to be told.
    async fn courier_codes(&self) -> CourierCodes {
        let at = GrantPosition { epoch: self.store.epoch(), gseq: 0 };
        self.store.downlink(&bank_id(), at, 64).await.unwrap().unwrap().courier_codes
    }

    async fn take_courier_codes_over(&mut self) {
        let document = ConfigDocument::CourierCodes(self.courier_codes().await);
        let epoch = self.store.epoch();
        self.journal.append(Fact::ConfigAccepted(ConfigAccepted { epoch, document }));
        self.say().await;
    }

    fn desk(&self) -> CouriersDesk {
        CouriersDesk { sealing: Arc::clone(&self.job.keys.sealing), dark_days: self.job.dark_days }
    }
}

fn of<'a>(codes: &'a CourierCodes, carrier: &str) -> Vec<&'a KeypadCode> {
    codes.codes.iter().filter(|code| code.carrier.as_str() == carrier).collect()
}

#[tokio::test]
async fn c09_each_allowed_carrier_has_a_code_a_day_and_nobody_else_has() {
    let site = Site::open().await;
    assert!(!site.lacks_days(NOW).await, "nobody is allowed any");
    assert_eq!(site.courier_codes().await, CourierCodes::default());

    assert_eq!(site.allow(&["acme", "swift"]).await, Generation(1));
    assert!(site.lacks_days(NOW).await);
    assert_eq!(site.mint_days(NOW).await, More::No);
    let codes = site.courier_codes().await;
    assert!(codes.is_sound() && codes.generation == Generation(2));
    assert_eq!(codes.codes.len(), 2 * DAYS);
    for carrier in ["acme", "swift"] {
        let days: Vec<_> = of(&codes, carrier).iter().map(|code| code.valid).collect();
        assert_eq!(days, days_from(midnight()));
    }
    assert!(!site.lacks_days(NOW).await, "today's work is done");
    assert_eq!(site.job.counters.get(Count::CourierCodes), 2 * DAYS as u64);
    site.world.stop().await;
}

fn days_from(start: UnixMillis) -> Vec<Validity> {
    days(start, DARK_DAYS)
}

#[tokio::test]
async fn c09_each_day_brings_one_more_code_and_the_last_one_goes_after_its_hour() {
    let site = Site::open().await;
    site.allow(&["acme"]).await;
    site.mint_days(NOW).await;
    let first = site.courier_codes().await;
    let next_day = midnight().plus_ms(DAY_MS);
    assert!(site.lacks_days(next_day).await);
    site.mint_days(next_day).await;
    let codes = site.courier_codes().await;
    assert_eq!(codes.generation, Generation(first.generation.0 + 1));
    assert_eq!(codes.codes[..DAYS], first.codes, "yesterday's is good for an hour more");
    assert_eq!(codes.codes.len(), DAYS + 1);
    assert!(codes.codes[0].valid.until == next_day.plus_ms(OVERLAP_MS));

    let day_after = next_day.plus_ms(DAY_MS);
    site.mint_days(day_after).await;
    let codes = site.courier_codes().await;
    assert_eq!(codes.codes.len(), DAYS + 1);
    assert_eq!(codes.codes[0].slot.id, first.codes[1].slot.id);
    let (held, _) = site.store.bank_codes(&bank_id()).await.unwrap();
    let retired: Vec<_> = held.retired.iter().map(|(slot, at)| (slot.id, *at)).collect();
    assert_eq!(retired, [(first.codes[0].slot.id, day_after)]);
    assert_eq!(held.couriers.len(), DAYS + 1);
    site.world.stop().await;
}

#[tokio::test]
async fn c09_codes_of_a_carrier_that_is_taken_away_leave_the_document_at_once() {
    let mut site = Site::open().await;
    site.allow(&["acme", "swift"]).await;
    site.mint_days(NOW).await;
    site.take_courier_codes_over().await;
    let bank = site.store.bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!(bank.keypad.held, bank.keypad.issued);

    let issued = site.allow(&["swift"]).await;
    let codes = site.courier_codes().await;
    assert_eq!((codes.generation, codes.codes.len()), (issued, DAYS));
    assert!(of(&codes, "acme").is_empty());
    let counts = async |site: &Site| {
        let (codes, _) = site.store.bank_codes(&bank_id()).await.unwrap();
        [codes.couriers.len(), codes.retired.len()]
    };
    assert_eq!(counts(&site).await, [2 * DAYS, 0], "the bank has not heard of it");
    site.take_courier_codes_over().await;
    assert_eq!(counts(&site).await, [DAYS, DAYS]);

    // Allowed once more, it has other codes.
    site.allow(&["acme", "swift"]).await;
    site.mint_days(NOW).await;
    let again = site.courier_codes().await;
    assert_eq!(again.codes.len(), 2 * DAYS);
    assert_eq!(of(&again, "swift").len(), DAYS);
    assert_eq!(counts(&site).await, [2 * DAYS, DAYS]);
    site.world.stop().await;
}

#[tokio::test]
async fn c09_codes_minted_for_a_carrier_that_was_taken_away_meanwhile_are_not_given() {
    let site = Site::open().await;
    let follows = site.allow(&["acme"]).await;
    let (_, seen) = site.store.bank_codes(&bank_id()).await.unwrap();
    let code = |number| KeypadCode {
        slot: learned(number),
        carrier: "acme".parse().unwrap(),
        valid: days_from(midnight())[0],
    };
    let place = |number, follows, seen| PlaceCourierCodes {
        bank: bank_id(),
        generation: Generation(1),
        follows,
        codes: vec![code(number)],
        seen,
        now: NOW,
    };
    let now_nobody = site.allow(&[]).await;
    assert!(!site.store.decide(place(123_456, follows, seen)).await.unwrap());
    assert!(!site.store.decide(place(123_456, now_nobody, seen + 1)).await.unwrap());
    assert!(site.courier_codes().await.codes.is_empty());
    site.world.stop().await;
}

#[tokio::test]
async fn c09_ten_carriers_and_two_weeks_fit_and_no_two_codes_of_the_bank_are_near() {
    let mut site = Site::open().await;
    site.job.dark_days = DAYS_MAX;
    site.mint().await;
    let carriers: Vec<String> = (0..10).map(|number| format!("carrier-{number}")).collect();
    let carriers: Vec<&str> = carriers.iter().map(String::as_str).collect();
    site.allow(&carriers).await;
    let mut runs = 1;
    while site.mint_days(NOW).await == More::Yes {
        runs += 1;
        assert!(runs < 9);
    }
    let next_day = midnight().plus_ms(DAY_MS);
    site.mint_days(next_day).await;
    let codes = site.courier_codes().await;
    assert!(codes.is_sound() && codes.codes.len() == COURIER_CODES_MAX);
    assert!(!site.lacks_days(next_day).await);
    let (held, _) = site.store.bank_codes(&bank_id()).await.unwrap();
    let live = held.unused.iter().chain(&held.couriers);
    let digits: Vec<Digits> = live.map(|slot| site.digits(slot.id, &slot.sealed)).collect();
    assert!(digits.len() > COURIER_CODES_MAX);
    for (place, one) in digits.iter().enumerate() {
        assert!(digits[..place].iter().all(|other| one.distance(other) >= DISTANCE_MIN));
    }
    site.world.stop().await;
}

#[tokio::test]
async fn c09_after_a_clock_that_was_a_month_ahead_there_are_codes_of_today_again() {
    let site = Site::open().await;
    site.allow(&["acme"]).await;
    site.mint_days(NOW.plus_ms(30 * DAY_MS)).await;
    assert!(site.lacks_days(NOW).await);
    assert_eq!(site.mint_days(NOW).await, More::No);
    let codes = site.courier_codes().await;
    let days: Vec<_> = codes.codes.iter().map(|code| code.valid).collect();
    assert_eq!(days, days_from(midnight()));
    assert!(!site.lacks_days(NOW).await);
    site.world.stop().await;
}

#[tokio::test]
async fn c09_the_job_mints_for_couriers_as_soon_as_they_are_allowed() {
    let mut site = Site::open().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(job(&site.store).run(async {
        let _ = stopped.await;
    }));
    site.allow(&["acme"]).await;
    // Its first look grants slots, which do not matter here.
    let mut committed = site.store.committed_events();
    while site.courier_codes().await.codes.len() < DAYS {
        committed.mark_unchanged();
        let _ = tokio::time::timeout(Duration::from_millis(20), committed.changed()).await;
    }
    site.take_courier_codes_over().await;
    stop.send(()).unwrap();
    running.await.unwrap();
    site.world.stop().await;
}

#[tokio::test]
async fn c09_a_carrier_reads_its_own_codes_and_an_event_tells_of_it_once_a_minute() {
    let mut site = Site::open().await;
    let desk = site.desk();
    let read = async |site: &Site, carrier: &str, now| {
        desk.read(&site.store, &bank_id(), &carrier.parse().unwrap(), now).await
    };
    let refused = read(&site, "acme", NOW).await;
    assert!(matches!(refused, Err(ReadKeypadCodesError::NotAllowed)));
    site.allow(&["acme", "swift"]).await;
    assert!(read(&site, "acme", NOW).await.unwrap().is_empty(), "none are minted yet");
    site.mint_days(NOW).await;
    let codes = read(&site, "acme", NOW.plus_ms(1)).await.unwrap();
    assert!(codes.iter().all(|code| !code.held));
    site.take_courier_codes_over().await;
    let codes = read(&site, "acme", NOW.plus_ms(2)).await.unwrap();
    let told: Vec<_> = codes.iter().map(|code| (code.valid, code.held)).collect();
    let expected: Vec<_> = days_from(midnight()).into_iter().map(|day| (day, true)).collect();
    assert_eq!(told, expected);
    let tag_keys = keys().master.tag_keys(&bank_id(), Generation(1));
    let document = site.courier_codes().await;
    for (code, placed) in codes.iter().zip(of(&document, "acme")) {
        let typed = tag_keys.tag(code.digits);
        assert_eq!(typed.as_bytes(), placed.slot.tag.as_bytes(), "what is read signs in");
        let shown = String::from_utf8_lossy(code.digits.reveal()).into_owned();
        assert!(!format!("{code:?}").contains(&shown));
    }
    read(&site, "acme", NOW.plus_ms(60_000)).await.unwrap();
    let events = site.store.events_after(0, None, 100).await.unwrap();
    let of_kind = |kind| events.iter().filter(move |event| event.kind == kind);
    let noted: Vec<_> = of_kind(EventKind::BankKeypadCodesRead)
        .map(|event| (event.detail.as_str(), event.occurred_at))
        .collect();
    assert_eq!(noted, [("carriers/acme", NOW), ("carriers/acme", NOW.plus_ms(60_000))]);
    let set: Vec<_> =
        of_kind(EventKind::BankKeypadCouriersSet).map(|event| &event.detail).collect();
    assert_eq!(set, ["generation 1, carriers/acme carriers/swift"]);

    let over = read(&site, "acme", midnight().plus_ms(20 * DAY_MS)).await.unwrap();
    assert!(over.is_empty());
    let nowhere = desk.read(&site.store, &"none".parse().unwrap(), &carrier(), NOW).await;
    assert!(matches!(nowhere, Err(ReadKeypadCodesError::BankUnknown)));
    site.world.stop().await;
}

#[tokio::test]
async fn c09_who_has_codes_is_set_once_a_call_and_within_what_a_bank_holds() {
    let site = Site::open().await;
    let set = async |carriers: &[&str], days, call: &str| {
        let carriers = names(carriers);
        set_keypad_couriers(&site.store, &bank_id(), carriers, days, request(call), NOW).await
    };
    for _ in 0..2 {
        let bank = set(&["acme"], Some(3), "a").await.unwrap();
        assert_eq!(bank.keypad.issued, Generation(1), "a repeat changes nothing more");
    }
    let reused = set(&["swift"], Some(3), "a").await;
    assert!(matches!(reused, Err(ConfigureBankError::RequestIdReused)));
    let many: Vec<String> = (0..11).map(|number| format!("carrier-{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let too_many = set(&many, Some(DAYS_MAX), "b").await;
    assert!(matches!(too_many, Err(ConfigureBankError::TooManyCouriersCodes { codes: 165 })));
    let none_made = set(&["acme"], None, "c").await;
    assert!(matches!(none_made, Err(ConfigureBankError::NoCodes)));
    // Taking them away needs no keys.
    let bank = set(&[], None, "d").await.unwrap();
    assert!(bank.keypad.carriers.is_empty());
    site.world.stop().await;
}
