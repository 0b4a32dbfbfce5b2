use std::path::Path;

use locker_core::clock::ClockInterval;
use locker_core::compartment::Layout;
use locker_core::credential::{self, Action};
use locker_core::downlink::{Mode, Quota};
use locker_core::ids::{CompartmentNo, CredentialId, Generation, ParcelId, Version};
use locker_core::parcel::Terms;
use locker_core::units::{Dimensions, Grams};

use super::super::smtp::SmtpSecurity;
use super::super::smtp::tests::relay;
use super::*;
use crate::pki::{DevPki, PkiSpec};
use crate::store::{BankRow, ParcelRow};

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

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
    let post = Post::new(&notices, Arc::clone(&keys)).unwrap();
    Setting { folder, keys, post }
}

fn notice(keys: &HubKeys, state: HubParcelState) -> NoticeRow {
    let dimensions = Dimensions { length_mm: 300, width_mm: 200, height_mm: 100 };
    NoticeRow {
        id: 7,
        kind: NoticeKind::ParcelStored,
        version: Version(1),
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
            layout: Layout { generation: Generation(1), compartments: Vec::new() },
            layout_held: Generation(1),
            keys_held: keys.key_set().clone(),
            mode: Mode::default(),
            mode_held: Mode::default(),
            quota: Quota::default(),
            quota_held: Quota::default(),
            lockdown: None,
            stream: None,
            committed_seq: 0,
            stopped_reason: None,
            incomplete: false,
            last_seen: None,
            created_at: NOW,
        },
        attempts: 0,
    }
}

fn letters(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("mailbox")).unwrap();
    entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn a_waiting_parcel_gets_one_letter_whose_code_opens_at_its_bank() {
    let Setting { folder, keys, post } = setting();
    let notice = notice(&keys, HubParcelState::Stored);
    assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Sent);
    assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Sent, "as after a crash");
    let letters = letters(folder.path());
    let [letter] = &letters[..] else { panic!("{} letters", letters.len()) };
    // Quoted-printable (RFC 2045, section 6.7); nothing of a token needs its escapes.
    let letter = letter.replace("=\r\n", "").replace("=20", " ");
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
    let post = Post::new(&notices, Arc::clone(&keys)).unwrap();
    let mut notice = notice(&keys, HubParcelState::Stored);
    let retry = NoticeOutcome::Failed { retry_at: NOW.plus_ms(5_000) };
    assert_eq!(post.attempt(&notice, NOW).await, retry);
    notice.attempts = 1;
    assert_eq!(post.attempt(&notice, NOW).await, NoticeOutcome::Sent);
    assert!(relay.await.unwrap().contains("To: Rita <rita@example.org>"));
}
