//! What a token says, how it looks, and everything a bank must refuse.

use coset::cbor::value::Value;
use ed25519_dalek::Verifier;
use proptest::prelude::*;

use super::*;

/// Characters that QR version 7 with error correction M holds in alphanumeric mode, ISO/IEC 18004
/// table 7.
const QR_7_M_ALPHANUMERIC: usize = 178;
/// What a QR code's alphanumeric mode can say, ISO/IEC 18004 table 5.
const QR_ALPHANUMERIC: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

const EXPIRES: UnixMillis = UnixMillis(1_800_000_000_000);

#[test]
fn a_token_says_what_was_signed() {
    let courier = Action::Courier { carrier: "acme".parse().unwrap() };
    for action in [Action::Pickup, courier] {
        let claims = Claims { action, ..claims() };
        let token = verify(&signed(&claims), &bank(), &keys(), at(0)).unwrap();
        assert_eq!(token.claims(), &claims);
    }
}

#[test]
fn a_token_is_spelt_the_same_for_ever() {
    let text = signed(&claims());
    assert_eq!(
        text,
        "LK1:MWGSLKOE6 988CK$*4FN0FPDUOQR-0746QF60R6J%6%470ECJPC% C/E7V50Q00DFTKYCG8159EX78N.SPZDLQOO%K98GU8T9 \
         O8S88PB2EJP307I8ER6X9E/XOLGG9EV8TRNR5SMO3OMF%PM08F:1N+H0*RP%89XC.JKUHV3Q050"
    );
}

#[test]
fn a_token_fits_the_qr_code_that_notices_print() {
    let text = signed(&claims());
    assert!(text.chars().all(|char| QR_ALPHANUMERIC.contains(char)), "{text}");
    assert!(text.len() <= QR_7_M_ALPHANUMERIC, "{} characters", text.len());
}

#[test]
fn the_longest_badge_is_short_enough_to_be_read() {
    let carrier = "a".repeat(crate::ids::NAME_MAX_BYTES).parse().unwrap();
    let text = signed(&Claims { action: Action::Courier { carrier }, ..claims() });
    assert!(text.len() <= TEXT_MAX_BYTES, "{} characters", text.len());
    verify(&text, &bank(), &keys(), at(0)).unwrap();
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let text = signed(&claims());
    let bytes = base45::decode(text.strip_prefix(PREFIX).unwrap()).unwrap();
    for at_byte in 0..bytes.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut altered = bytes.clone();
            altered[at_byte] ^= flip;
            let altered = format!("{PREFIX}{}", base45::encode(&altered));
            let refusal = verify(&altered, &bank(), &keys(), at(0)).unwrap_err();
            let told = matches!(
                refusal,
                Refusal::CodeAltered | Refusal::CodeMalformed | Refusal::CodeKeyUnknown
            );
            assert!(told, "byte {at_byte} ^ {flip:#x}: {refusal}");
        }
    }
}

#[test]
fn no_character_of_a_token_can_be_changed_or_dropped() {
    let text = signed(&claims());
    for at_char in 0..text.len() {
        for other in QR_ALPHANUMERIC.chars().filter(|char| !text[at_char..].starts_with(*char)) {
            let altered = format!("{}{other}{}", &text[..at_char], &text[at_char + 1..]);
            assert!(verify(&altered, &bank(), &keys(), at(0)).is_err(), "{altered}");
        }
        let shorter = format!("{}{}", &text[..at_char], &text[at_char + 1..]);
        assert!(verify(&shorter, &bank(), &keys(), at(0)).is_err(), "{shorter}");
        assert!(verify(&text[..at_char], &bank(), &keys(), at(0)).is_err());
    }
    for longer in [format!("{text}0"), format!("{text}000"), format!(" {text}"), text.repeat(2)] {
        assert_eq!(verify(&longer, &bank(), &keys(), at(0)), Err(Refusal::CodeMalformed));
    }
}

#[test]
fn k09_a_token_for_another_bank_says_so_and_no_more() {
    let other = "bank-2".parse().unwrap();
    let lapsed = at(EXPIRES.0 * 2);
    assert_eq!(verify(&signed(&claims()), &other, &keys(), lapsed), Err(Refusal::CodeOtherBank));
}

#[test]
fn t01_a_pickup_lapses_only_when_even_the_earliest_time_is_past() {
    let text = signed(&claims());
    let late = UnixMillis(EXPIRES.0 * 2);
    let check = |earliest: u64, latest| {
        let clock = ClockInterval { earliest: UnixMillis(earliest), latest };
        verify(&text, &bank(), &keys(), clock).map(|_| ())
    };
    assert_eq!(check(0, None), Ok(()));
    assert_eq!(check(EXPIRES.0, Some(late)), Ok(()));
    assert_eq!(check(EXPIRES.0 + 1, Some(late)), Err(Refusal::CodeExpired));
    assert_eq!(check(EXPIRES.0 + 1, None), Err(Refusal::CodeExpired));
}

#[test]
fn t02_a_badge_lapses_once_the_latest_time_is_past_and_while_time_is_unknown() {
    let action = Action::Courier { carrier: "acme".parse().unwrap() };
    let text = signed(&Claims { action, ..claims() });
    let check = |latest| {
        let clock = ClockInterval { earliest: UnixMillis(0), latest };
        verify(&text, &bank(), &keys(), clock).map(|_| ())
    };
    assert_eq!(check(Some(EXPIRES)), Ok(()));
    assert_eq!(check(Some(EXPIRES.plus_ms(1))), Err(Refusal::CodeExpired));
    // It may be good: whoever holds it is told why it is refused all the same.
    assert_eq!(check(None), Err(Refusal::ClockUnknown));
    let surely_over = ClockInterval { earliest: EXPIRES.plus_ms(1), latest: None };
    let verified = verify(&text, &bank(), &keys(), surely_over).map(|_| ());
    assert_eq!(verified, Err(Refusal::CodeExpired));
}

#[test]
fn a_token_is_checked_with_the_key_it_names_only() {
    let text = sign(&key(1), 1, &claims()).unwrap();
    let verify = |keys: &[CredentialKey]| verify(&text, &bank(), keys, at(0)).map(|_| ());
    assert_eq!(verify(&[]), Err(Refusal::CodeKeyUnknown));
    assert_eq!(verify(&[public(1, 2)]), Err(Refusal::CodeKeyUnknown), "right key, other kid");
    assert_eq!(verify(&[public(2, 1)]), Err(Refusal::CodeAltered), "other key, right kid");
    assert_eq!(verify(&[public(2, 2), public(1, 1)]), Ok(()));
    let broken = CredentialKey { kid: 1, public: [2; 32] };
    assert!(matches!(verify(&[broken]), Err(Refusal::CodeKeyUnknown | Refusal::CodeAltered)));
}

#[test]
fn a_signature_made_for_anything_else_is_no_token() {
    let ours = |builder: CoseSign1Builder| {
        text_of(&builder.create_signature(EXTERNAL_AAD, signer).build())
    };
    let payload = || claims_set(&claims()).to_vec().unwrap();
    let check = |text: String| verify(&text, &bank(), &keys(), at(0)).map(|_| ());
    let built = |header: HeaderBuilder| CoseSign1Builder::new().protected(header.build());
    let header = || HeaderBuilder::new().algorithm(coset::iana::Algorithm::Ed25519).key_id(vec![1]);

    assert_eq!(check(ours(built(header()).payload(payload()))), Ok(()));
    let aad = built(header()).payload(payload()).create_signature(b"receipt-v1", signer).build();
    assert_eq!(check(text_of(&aad)), Err(Refusal::CodeAltered));
    let none = built(header()).payload(payload()).create_signature(b"", signer).build();
    assert_eq!(check(text_of(&none)), Err(Refusal::CodeAltered));

    for algorithm in [coset::iana::Algorithm::EdDSA, coset::iana::Algorithm::ES256] {
        let header = HeaderBuilder::new().algorithm(algorithm).key_id(vec![1]);
        assert_eq!(check(ours(built(header).payload(payload()))), Err(Refusal::CodeMalformed));
    }
    let no_algorithm = HeaderBuilder::new().key_id(vec![1]);
    assert_eq!(check(ours(built(no_algorithm).payload(payload()))), Err(Refusal::CodeMalformed));
    for kid in [vec![], vec![1, 1]] {
        let header = HeaderBuilder::new().algorithm(coset::iana::Algorithm::Ed25519).key_id(kid);
        assert_eq!(check(ours(built(header).payload(payload()))), Err(Refusal::CodeMalformed));
    }
    assert_eq!(check(ours(built(header()))), Err(Refusal::CodeMalformed), "no payload");
    let unprotected = CoseSign1Builder::new().unprotected(header().build()).payload(payload());
    assert_eq!(check(ours(unprotected)), Err(Refusal::CodeMalformed), "nothing protected");
}

#[test]
fn claims_that_say_too_little_or_something_new_are_refused() {
    let full = || claims_set(&claims());
    let check = |set: ClaimsSet| {
        let protected =
            HeaderBuilder::new().algorithm(coset::iana::Algorithm::Ed25519).key_id(vec![1]).build();
        let message = CoseSign1Builder::new().protected(protected).payload(set.to_vec().unwrap());
        let text = text_of(&message.create_signature(EXTERNAL_AAD, signer).build());
        verify(&text, &bank(), &keys(), at(0)).map(|_| ())
    };
    assert_eq!(check(full()), Ok(()));
    let private = full().rest.len();
    for dropped in 0..private {
        let mut set = full();
        set.rest.remove(dropped);
        assert_eq!(check(set), Err(Refusal::CodeMalformed));
    }
    for set in [
        ClaimsSet { expiration_time: None, ..full() },
        ClaimsSet { expiration_time: Some(Timestamp::WholeSeconds(-1)), ..full() },
        ClaimsSet { expiration_time: Some(Timestamp::WholeSeconds(i64::MAX)), ..full() },
        ClaimsSet { expiration_time: Some(Timestamp::FractionalSeconds(1e9)), ..full() },
        ClaimsSet { cwt_id: None, ..full() },
        ClaimsSet { cwt_id: Some(vec![1; 15]), ..full() },
    ] {
        assert_eq!(check(set), Err(Refusal::CodeMalformed));
    }
    for wrong in [Value::from(1), Value::from("x"), Value::Null, Value::from(-1)] {
        for at_claim in 0..private {
            let mut set = full();
            set.rest[at_claim].1 = wrong.clone();
            assert!(check(set).is_err());
        }
    }
}

#[test]
fn a_key_set_has_one_to_four_keys_of_each_kind_with_names_of_their_own() {
    let sound = |credential: &[u8], command: &[u8]| {
        let keys = credential.iter().map(|kid| public(*kid, *kid)).collect();
        let command = command.iter().map(|&kid| CommandKey { kid, public: [kid; 32] }).collect();
        KeySet { generation: Generation(1), keys, command, root: None }.is_sound()
    };
    assert!(sound(&[1], &[1]));
    assert!(sound(&[1, 2, 3, 4], &[9, 8, 7, 6]));
    for bad in [&[][..], &[1, 2, 3, 4, 5], &[1, 2, 1]] {
        assert!(!sound(bad, &[1]), "{bad:?}");
        assert!(!sound(&[1], bad), "{bad:?}");
    }
}

#[test]
fn a_parcels_label_does_not_look_like_a_token() {
    assert!(looks_like_token(&signed(&claims())));
    assert!(!looks_like_token("JD014600003SE"));
    assert!(!looks_like_token("lk1:ABC"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_bank_stumble(text in "(LK1:)?[0-9A-Z $%*+./:-]{0,260}", bytes: Vec<u8>) {
        prop_assert!(verify(&text, &bank(), &keys(), at(0)).is_err());
        fuzz_token(text.as_bytes());
        fuzz_token(&bytes);
        fuzz_token(format!("{PREFIX}{}", base45::encode(&bytes)).as_bytes());
    }

    #[test]
    fn a_damaged_token_is_refused(cuts in prop::collection::vec((0..120_usize, any::<u8>()), 1..6)) {
        let text = signed(&claims());
        let bytes = base45::decode(text.strip_prefix(PREFIX).unwrap()).unwrap();
        let mut damaged = bytes.clone();
        for (at_byte, byte) in cuts {
            let len = damaged.len();
            damaged[at_byte % len] = byte;
        }
        prop_assume!(damaged != bytes);
        let damaged = format!("{PREFIX}{}", base45::encode(&damaged));
        prop_assert!(verify(&damaged, &bank(), &keys(), at(0)).is_err());
        fuzz_token(damaged.as_bytes());
    }

    #[test]
    fn any_claims_come_back_as_signed(id: [u8; 16], tag: u32, seconds in 0..4_000_000_000_u64) {
        let claims = Claims {
            credential: CredentialId(id),
            bank_tag: tag,
            expires: UnixMillis(seconds * 1_000),
            action: Action::Pickup,
        };
        let text = signed(&claims);
        let message = parse(&text).unwrap();
        prop_assert!(text.len() <= QR_7_M_ALPHANUMERIC);
        prop_assert_eq!(check_signature(&message, &keys()), Ok(()));
        prop_assert_eq!(read_claims(message.payload.as_deref().unwrap()), Some(claims));
    }
}

fn claims() -> Claims {
    Claims {
        credential: CredentialId(*b"0123456789abcdef"),
        bank_tag: bank().tag(),
        expires: EXPIRES,
        action: Action::Pickup,
    }
}

fn signed(claims: &Claims) -> String {
    sign(&key(1), 1, claims).unwrap()
}

fn signer(bytes: &[u8]) -> Vec<u8> {
    let signature = key(1).sign(bytes);
    key(1).verifying_key().verify(bytes, &signature).unwrap();
    signature.to_vec()
}

fn text_of(message: &CoseSign1) -> String {
    format!("{PREFIX}{}", base45::encode(message.clone().to_vec().unwrap()))
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8, kid: u8) -> CredentialKey {
    CredentialKey { kid, public: key(seed).verifying_key().to_bytes() }
}

fn keys() -> [CredentialKey; 1] {
    [public(1, 1)]
}

fn bank() -> BankId {
    "bank-1".parse().unwrap()
}

const fn at(now: u64) -> ClockInterval {
    ClockInterval { earliest: UnixMillis(now), latest: Some(UnixMillis(now)) }
}
