use std::path::Path;

use locker_core::clock::ClockInterval;
use locker_core::code::slot::SlotId;
use locker_core::compartment::Layout;
use locker_core::credential::{self, Action};
use locker_core::downlink::{Mode, Quota};
use locker_core::ids::{CompartmentNo, CredentialId, Generation, ParcelId, Version};
use locker_core::parcel::Terms;
use locker_core::units::{Dimensions, Grams};

use super::super::smtp::SmtpSecurity;
use super::super::smtp::tests::relay;
use super::*;
use crate::codes::key_file::Secret;
use crate::pki::{DevPki, PkiSpec};
use crate::store::{BankRow, KeypadCouriers, ParcelAtBank, ParcelRow};

pub(in crate::notify) const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

struct Setting {
    folder: tempfile::TempDir,
    keys: Arc<HubKeys>,
    post: Post,
}

fn setting() -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("pki");
    DevPki::create(&pki, &PkiSpec::default()).unwrap();
    let keys = Arc::new(HubKeys::of_new_pki(&pki).unwrap());
    let notices = Notices {
        from: "Postern <lockers@postern.example>".into(),
        mailbox: Some(folder.path().join("mailbox")),
        smtp: None,
        limits: NoticeLimits::default(),
    };
    let post = Post::new(&notices, Arc::clone(&keys), Some(Arc::new(sealing(1)))).unwrap();
    Setting { folder, keys, post }
}

/// The sealing key with this id.
fn sealing(id: u8) -> SealingKeys {
    SealingKeys::new(&[(id, Secret::from([id; 32]))]).unwrap()
}

pub(in crate::notify) fn notice(keys: &HubKeys, state: HubParcelState) -> NoticeRow {
    let dimensions = Dimensions { length_mm: 300, width_mm: 200, height_mm: 100 };
    NoticeRow {
        id: 7,
        kind: NoticeKind::ParcelStored,
        version: Version(1),
        moment: None,
        told_all: None,
        parcel: ParcelRow {
            uid: ParcelId([5; 16]),
            carrier: "acme".parse().unwrap(),
            name: "p-1".into(),
            barcode: "JD014600".parse().unwrap(),
            size: dimensions,
            weight: Grams(900),
            email: "rita@example.org".parse().unwrap(),
            display_name: "Rita".parse().unwrap(),
            phone: None,
            recall: None,
            terms: Terms::default(),
            state,
            bank: Some("bank-1".parse().unwrap()),
            compartment: Some(CompartmentNo(4)),
            version: Version(1),
            credential: Some(CredentialId([9; 16])),
            trace: None,
            created_at: NOW,
            updated_at: NOW,
            expires_at: Some(NOW.plus_ms(86_400_000)),
        },
        bank: BankRow {
            id: "bank-1".parse().unwrap(),
            display_name: "Main Station".into(),
            address: "Platform 2".into(),
            time_zone: "Europe/Berlin".parse().unwrap(),
            layout: Layout { generation: Generation(1), compartments: Vec::new() },
            layout_held: Generation(1),
            keys_held: keys.key_set().clone(),
            mode: Mode::default(),
            mode_held: Mode::default(),
            quota: Quota::default(),
            quota_held: Quota::default(),
            keypad: KeypadCouriers::default(),
            lockdown: None,
            stream: None,
            committed_seq: 0,
            stopped_reason: None,
            incomplete: false,
            last_seen: None,
            created_at: NOW,
        },
        at_bank: Some(AT_BANK),
        code: None,
        attempts: 0,
    }
}

const AT_BANK: ParcelAtBank = ParcelAtBank {
    credential: CredentialId([9; 16]),
    asks_phone: true,
    keep_until: None,
    since: Some(NOW),
};

/// The letters, their long lines made whole again (RFC 2045, section 6.7).
fn letters(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("mailbox")).unwrap();
    let read = |path| std::fs::read_to_string(path).unwrap().replace("=\r\n", "");
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

#[tokio::test]
async fn a_waiting_parcel_gets_one_letter_whose_code_opens_at_its_bank() {
    let Setting { folder, keys, post } = setting();
    let notice = notice(&keys, HubParcelState::Stored);
    assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Sent);
    assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Sent, "as after a crash");
    let letters = letters(folder.path());
    let [letter] = &letters[..] else { panic!("{} letters", letters.len()) };
    // Nothing of a token needs the other escapes.
    let letter = letter.replace("=20", " ");
    let token = letter.lines().find(|line| line.starts_with("LK1:")).unwrap();
    let clock = ClockInterval { earliest: NOW, latest: Some(NOW) };
    let keys = keys.credential_keys();
    let verified = credential::verify(token, &"bank-1".parse().unwrap(), &keys, clock).unwrap();
    assert_eq!(verified.claims().credential, CredentialId([9; 16]));
    assert_eq!(verified.claims().action, Action::Pickup);
}

#[tokio::test]
async fn a_parcel_that_is_gone_gets_no_letter() {
    let Setting { folder, keys, post } = setting();
    for state in HubParcelState::ALL {
        let outcome = post.attempt(&notice(&keys, state), NOW).await;
        let expected = if state == HubParcelState::Stored {
            NoticeOutcome::Sent
        } else if state == HubParcelState::Collecting {
            NoticeOutcome::Failed { retry_at: NOW.plus_ms(5_000) }
        } else {
            NoticeOutcome::Unneeded
        };
        assert_eq!(outcome, expected, "{state:?}");
    }
    assert_eq!(letters(folder.path()).len(), 1);
}

#[tokio::test]
async fn an_expired_code_is_not_sent() {
    let Setting { folder, keys, post } = setting();
    let mut notice = notice(&keys, HubParcelState::Stored);
    notice.parcel.expires_at = Some(NOW);
    assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Abandoned);
    assert!(letters(folder.path()).is_empty());
}

#[tokio::test]
async fn a_failure_is_tried_again_with_longer_and_longer_pauses() {
    let Setting { keys, post, .. } = setting();
    let mut notice = notice(&keys, HubParcelState::Stored);
    notice.bank.keys_held.keys.clear();
    for (attempts, pause_ms) in [(0, 5_000), (1, 10_000), (4, 80_000), (30, 900_000), (98, 900_000)]
    {
        notice.attempts = attempts;
        let expected = NoticeOutcome::Failed { retry_at: NOW.plus_ms(pause_ms) };
        assert_eq!(post.attempt(&notice, NOW).await, expected);
    }
    notice.attempts = 99;
    assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Abandoned);
}

#[tokio::test]
async fn a_letter_goes_out_once_the_relays_password_is_put_right() {
    let Setting { folder, keys, .. } = setting();
    let (port, relay) = relay(&[("AUTH", "535 5.7.8 wrong password"), (".", "250 taken")]).await;
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "secret\n").unwrap();
    let notices = Notices {
        from: "lockers@postern.example".into(),
        mailbox: None,
        smtp: Some(SmtpConfig {
            host: "127.0.0.1".into(),
            port: Some(port),
            security: SmtpSecurity::Plain,
            user: Some("hub".into()),
            password_file: Some(password_file),
            authority: None,
            timeout_ms: 5_000,
        }),
        limits: NoticeLimits::default(),
    };
    let post = Post::new(&notices, Arc::clone(&keys), None).unwrap();
    let mut notice = notice(&keys, HubParcelState::Stored);
    let retry = NoticeOutcome::Failed { retry_at: NOW.plus_ms(5_000) };
    assert_eq!(post.attempt(&notice, NOW).await, retry);
    notice.attempts = 1;
    assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Sent);
    assert!(relay.await.unwrap().contains("To: Rita <rita@example.org>"));
}

const SLOT: SlotId = SlotId([6; 16]);

/// The notice of a parcel with digits that are sealed with `sealing` for `bank`.
fn with_digits(keys: &HubKeys, sealing: &SealingKeys, bank: &str) -> NoticeRow {
    let digits = Digits::from_number(20_456).unwrap();
    let sealed = sealing.seal(&bank.parse().unwrap(), SLOT, digits).unwrap();
    NoticeRow { code: Some((SLOT, sealed)), ..notice(keys, HubParcelState::Stored) }
}

#[tokio::test]
async fn a_letter_shows_the_digits_that_were_sealed_for_its_bank_and_slot() {
    let Setting { folder, keys, post } = setting();
    let notice = with_digits(&keys, &sealing(1), "bank-1");
    assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Sent);
    let letters = letters(folder.path());
    assert!(letters[0].lines().any(|line| line == "020 456"), "{}", letters[0]);
    assert!(letters[0].contains("the last four digits of your phone number"));
    let counters = post.counters();
    assert_eq!((counters.get(Count::Sent), counters.get(Count::DigitsUnreadable)), (1, 0));
}

#[tokio::test]
async fn a_letter_goes_with_its_qr_code_alone_when_the_digits_cannot_be_read() {
    let Setting { folder, keys, post } = setting();
    let of_another_slot = with_digits(&keys, &sealing(1), "bank-1");
    let other = SlotId([7; 16]);
    let cases = [
        with_digits(&keys, &sealing(2), "bank-1"),
        with_digits(&keys, &sealing(1), "bank-2"),
        NoticeRow {
            code: of_another_slot.code.map(|(_, sealed)| (other, sealed)),
            ..notice(&keys, HubParcelState::Stored)
        },
    ];
    for (unreadable, notice) in (1..).zip(cases) {
        assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Sent);
        let letter = letters(folder.path()).remove(0);
        assert!(letter.contains("LK1:") && !letter.contains("six digits"), "{letter}");
        assert_eq!(post.counters().get(Count::DigitsUnreadable), unreadable);
    }
    let notices = Notices {
        from: "lockers@postern.example".into(),
        mailbox: Some(folder.path().join("mailbox")),
        smtp: None,
        limits: NoticeLimits::default(),
    };
    let keyless = Post::new(&notices, Arc::clone(&keys), None).unwrap();
    let notice = with_digits(&keys, &sealing(1), "bank-1");
    assert_eq!(keyless.attempt(&notice, NOW).await, NoticeOutcome::Sent);
    assert_eq!(keyless.counters().get(Count::DigitsUnreadable), 1);
}

#[tokio::test]
async fn c03_no_letter_goes_out_with_a_code_that_the_bank_does_not_know() {
    let Setting { folder, keys, post } = setting();
    let later = NoticeOutcome::Failed { retry_at: NOW.plus_ms(5_000) };
    let other = ParcelAtBank { credential: CredentialId([8; 16]), ..AT_BANK };
    for at_bank in [None, Some(other)] {
        let notice = NoticeRow { at_bank, ..notice(&keys, HubParcelState::Stored) };
        assert_eq!(post.attempt(&notice, NOW).await, later);
    }
    assert!(!folder.path().join("mailbox").read_dir().unwrap().any(|_| true));
}

#[tokio::test]
async fn x02_no_letter_promises_a_time_that_the_bank_has_not_taken_over() {
    let Setting { folder, keys, post } = setting();
    let later = NoticeOutcome::Failed { retry_at: NOW.plus_ms(5_000) };
    let until = NOW.plus_ms(500_000);
    let with = |keep_until| {
        let mut notice = notice(&keys, HubParcelState::Stored);
        (notice.parcel.terms.keep_until, notice.parcel.expires_at) = (Some(until), Some(until));
        notice.at_bank = Some(ParcelAtBank { keep_until, ..AT_BANK });
        notice
    };
    for held in [None, Some(UnixMillis(until.0 - 1))] {
        assert_eq!(post.attempt(&with(held), NOW).await, later);
    }
    assert!(!folder.path().join("mailbox").read_dir().unwrap().any(|_| true));
    for held in [until, until.plus_ms(1)] {
        assert_eq!(post.attempt(&with(Some(held)), NOW).await, NoticeOutcome::Sent);
    }
}

#[tokio::test]
async fn t07_a_letter_is_written_in_the_zone_that_its_bank_is_in_when_it_goes_out() {
    let Setting { folder, keys, post } = setting();
    let mut notice = notice(&keys, HubParcelState::Stored);
    notice.parcel.expires_at = Some(UnixMillis(1_795_543_200_000));
    for (zone, until) in [
        ("Europe/Berlin", "Tuesday, 24 November 2026, 19:00 (Europe/Berlin, UTC+1)"),
        ("Asia/Kathmandu", "Tuesday, 24 November 2026, 23:45 (Asia/Kathmandu, UTC+5:45)"),
    ] {
        notice.bank.time_zone = zone.parse().unwrap();
        assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Sent);
        let letter = letters(folder.path()).remove(0);
        assert!(letter.contains(&format!("until {until}.")), "{letter}");
    }
}
