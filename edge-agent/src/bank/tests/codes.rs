//! Codes that open nothing, each with its own reason, and no pulse for any of them.

use ed25519_dalek::SigningKey;
use locker_core::ids::CredentialId;

use super::world::{badge, claims, signed};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_bad_code_is_refused_by_its_reason_and_opens_nothing() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.grant(Grant::Book(booking(2))).await;
    let pulses = world.sim.pulses();

    let expired = signed(&Claims { expires: NOW.minus_ms(1_000), ..claims(1) });
    let other_bank: BankId = "lobby-2".parse().unwrap();
    let elsewhere = signed(&Claims { bank_tag: other_bank.tag(), ..claims(1) });
    let stranger = SigningKey::from_bytes(&[9; 32]);
    let forged = credential::sign(&stranger, 1, &claims(1)).unwrap();
    let unknown_key = credential::sign(&stranger, 2, &claims(1)).unwrap();
    let mut altered = code(1);
    let last = if altered.pop() == Some('0') { '1' } else { '0' };
    altered.push(last);
    let stale_badge = signed(&Claims {
        expires: NOW.minus_ms(1_000),
        action: Action::Courier { carrier: "acme".parse().unwrap() },
        ..claims(200)
    });
    for (text, reason) in [
        (expired.as_str(), Refusal::CodeExpired),
        (&elsewhere, Refusal::CodeOtherBank),
        (&forged, Refusal::CodeAltered),
        (&unknown_key, Refusal::CodeKeyUnknown),
        (
            &signed(&Claims { credential: CredentialId([77; 16]), ..claims(1) }),
            Refusal::CodeUnknown,
        ),
        (&code(2), Refusal::NotDeposited),
        (&stale_badge, Refusal::CodeExpired),
        ("LK1:", Refusal::CodeMalformed),
        ("LK1:NOT A TOKEN", Refusal::CodeMalformed),
        ("PKG1", Refusal::NoSession),
        ("", Refusal::BarcodeUnknown),
    ] {
        assert_eq!(world.scan(text).await, Err(reason), "{text}");
    }
    let refused = world.scan(&altered).await.unwrap_err();
    assert!(matches!(refused, Refusal::CodeAltered | Refusal::CodeMalformed), "{refused:?}");

    world.scan(&badge()).await.unwrap();
    for (text, reason) in [
        ("PKG9", Refusal::BarcodeUnknown),
        ("PKG1", Refusal::AlreadyDeposited),
        ("a b", Refusal::BarcodeUnknown),
    ] {
        assert_eq!(world.scan(text).await, Err(reason), "{text}");
    }
    assert_eq!(world.sim.pulses(), pulses);
    assert_eq!(world.outcomes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn t02_without_signed_time_a_recipient_is_served_and_a_courier_is_not() {
    let mut world = World::ready().await;
    world.stored(1).await;
    let world = world.killed_and_started_again().await;
    world.doors_known().await;
    assert_eq!(world.scan(&badge()).await, Err(Refusal::ClockUnknown));
    // Spaces around it are the scanner's.
    world.scan(&format!(" {}\r\n", code(1))).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
}

#[tokio::test(start_paused = true)]
async fn k10_a_second_person_is_told_that_the_screen_is_in_use() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.stored(2).await;
    world.scan(&code(1)).await.unwrap();
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::PickupInProgress));
    assert_eq!(world.scan(&code(2)).await, Err(Refusal::SessionBusy));
    assert_eq!(world.scan(&badge()).await, Err(Refusal::SessionBusy));
    assert_eq!(world.ask(Ask::Finish).await, Err(Refusal::NotNow));
}
