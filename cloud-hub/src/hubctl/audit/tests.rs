//! Auditing a hub on loopback, and evidence without any hub.

use clap::Parser as _;
use locker_core::bank::{DepositConfirmed, DepositStarted, DoorsRead};
use locker_core::compartment::{DoorReading, Layout};
use locker_core::downlink::ConfigDocument;
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, Generation, ParcelId, SessionId};
use serde_json::Value;

use super::super::args::Args;
use super::super::run;
use super::*;
use crate::audit::tests::bank::{Device, Journal, NOW, bank_id};
use crate::config::GrpcLimits;
use crate::credential_keys::tests::test_keys;
use crate::grpc::fixture::Calls;
use crate::ingest::tests::fixture::{self, add_bank, add_parcel, book, commit, commit_more};
use crate::store::LearnKey;
use crate::store::tests::Meddle;

/// What a command wrote, and how it ended.
struct Said {
    text: String,
    ended: Result<(), Failure>,
}

async fn said(line: &str) -> Said {
    let (mut out, mut remarks) = (Vec::new(), Vec::new());
    let args = Args::try_parse_from(line.split_whitespace()).unwrap();
    let ended = run(args, &mut out, &mut remarks).await;
    Said { text: String::from_utf8(out).unwrap(), ended }
}

/// A hub to which `bank-1` has told of a parcel, `acme/p1`, that was brought.
struct Told {
    calls: Calls,
}

impl Told {
    async fn new() -> Self {
        let calls = Calls::start(GrpcLimits::default()).await;
        let folder = calls.fixture.directory.path();
        let text = format!(
            "hub = \"{}\"\nca = \"ca.pem\"\ncert = \"operators/olga.pem\"\nkey = \"operators/olga.key\"\n",
            calls.url
        );
        fs::write(folder.join("hubctl.toml"), text).unwrap();
        let store = &calls.store;
        add_bank(store, &[300]).await;
        let key = fs::read(calls.fixture.issued("banks/bank-1").key).unwrap();
        let device = Device::of_pem(&key);
        let learned = LearnKey { bank: bank_id(), key: device.key(), now: NOW };
        store.decide(learned).await.unwrap();
        let mut journal = commissioned(&device);
        commit(store, &told_by(&journal)).await;
        for parcel in [1, 2] {
            add_parcel(store, parcel, 200).await;
        }
        book(store, 1).await;
        let known = journal.head();
        bring(&mut journal, &device);
        commit_more(store, &told_by(&journal), known).await;
        Self { calls }
    }

    fn path(&self, name: &str) -> String {
        self.calls.fixture.directory.path().join(name).display().to_string()
    }

    async fn hubctl(&self, line: &str) -> Said {
        said(&format!("hubctl --context {} {line}", self.path("hubctl.toml"))).await
    }
}

fn told_by(journal: &Journal) -> fixture::Journal {
    let Journal { stream, records, hashes, .. } = journal.clone();
    fixture::Journal { stream, records, hashes, ..fixture::Journal::new(1) }
}

/// Records 1 to 5: a bank that takes bookings.
fn commissioned(device: &Device) -> Journal {
    let mut journal = Journal::opened(1, device, None);
    // Certificates count at the time of the seal.
    journal.at = now();
    let layout = Layout { generation: Generation(1), compartments: fixture::specs(&[300]) };
    journal.append(Fact::ConfigAccepted(ConfigDocument::Layout(layout).into()));
    let keys = test_keys().key_set().clone();
    journal.append(Fact::ConfigAccepted(ConfigDocument::KeySet(keys).into()));
    let readings = vec![(CompartmentNo(1), DoorReading::Closed)];
    journal.append(Fact::DoorsRead(DoorsRead { readings }));
    journal
}

/// Records 6 and 7 are about the parcel; 8 is a seal, 9 is not sealed yet.
fn bring(journal: &mut Journal, device: &Device) {
    let (session, parcel, compartment) = (SessionId([3; 16]), ParcelId([1; 16]), CompartmentNo(1));
    let tried = Vec::new();
    journal.append(Fact::DepositStarted(DepositStarted { session, parcel, compartment, tried }));
    let (presumed, code) = (false, None);
    let confirmed = DepositConfirmed { session, parcel, compartment, presumed, code };
    journal.append(Fact::DepositConfirmed(confirmed));
    journal.seal(device, |_| {});
    journal.append(Fact::DoorsRead(DoorsRead { readings: Vec::new() }));
}

fn exit_code(said: &Said) -> u8 {
    said.ended.as_ref().map_or_else(Failure::exit_code, |()| 0)
}

#[tokio::test]
async fn a_bank_whose_records_hold_is_verified_and_what_is_not_sealed_yet_is_said() {
    let told = Told::new().await;
    let shown = told.hubctl("audit verify bank-1").await;
    assert_eq!(exit_code(&shown), 0, "{}", shown.text);
    for part in [
        "records 1 to 9, the one it writes now\n",
        "  sealed up to record 7, of ",
        "  not sealed yet: the last 1 records\n",
        "  1 seals hold; the state was compared at 1 of them\n",
        "all of bank bank-1 holds\n",
        "not checked: whose the keys are",
        "not checked: that nothing came after the last seal, of ",
    ] {
        assert!(shown.text.contains(part), "{part} in {}", shown.text);
    }

    let anchored = format!("audit verify bank-1 --certificate {}", told.path("banks/bank-1.pem"));
    let json = told.hubctl(&format!("{anchored} --json")).await;
    assert_eq!(exit_code(&json), 0, "{}", json.text);
    let json: Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!(
        (&json["streams"][0]["anchored"], &json["keys_by"]),
        (&true.into(), &"certificate".into())
    );
    let other = format!("audit verify bank-1 --certificate {}", told.path("banks/bank-2.pem"));
    let shown = told.hubctl(&other).await;
    assert_eq!(exit_code(&shown), 1);
    assert!(shown.text.contains("no certificate of bank bank-1 for the key"), "{}", shown.text);

    let json = told.hubctl("audit verify bank-1 --json").await;
    let json: Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!((&json["holds"], &json["streams"][0]["sealed_seq"]), (&true.into(), &7.into()));
    assert_eq!(json["streams"][0]["head_seq"], 9);
    assert_eq!((&json["keys_by"], &json["end_by"]), (&"hub".into(), &"hub".into()));
}

#[tokio::test]
async fn what_a_hub_cuts_off_at_the_end_shows_only_in_the_age_of_the_last_seal() {
    let told = Told::new().await;
    let json = told.hubctl("audit verify bank-1 --json").await;
    let json: Value = serde_json::from_str(&json.text).unwrap();
    let sealed_at = json["streams"][0]["sealed_time"].as_str().unwrap().to_owned();
    // Back to the seal, by a hub that knows what it does.
    let store = &told.calls.store;
    let bytes = store.stored_records(&bank_id(), StreamId([1; 16]), 9, 9).await.unwrap().remove(0);
    let hash = locker_proto::record::decode_record(&bytes).unwrap().previous;
    let cut = format!("UPDATE cursors SET committed = 8, hash = x'{hash}'");
    store.decide(Meddle(cut.leak())).await.unwrap();
    store.decide(Meddle("DELETE FROM facts WHERE seq = 9")).await.unwrap();
    let shown = told.hubctl("audit verify bank-1").await;
    assert_eq!(exit_code(&shown), 0, "{}", shown.text);
    for part in [
        "records 1 to 8, the one it writes now\n".to_owned(),
        format!("  sealed up to record 7, of {sealed_at}, by key "),
        "all of bank bank-1 holds\n".to_owned(),
        "not checked: that nothing came after the last seal, of ".to_owned(),
    ] {
        assert!(shown.text.contains(&part), "{part} in {}", shown.text);
    }
}

#[test]
fn an_age_is_told_in_the_largest_unit_of_which_there_are_two() {
    let told = |seconds: u64| shown::age(UnixMillis(5_000), UnixMillis(5_000 + seconds * 1_000));
    let ages = [0, 119, 120, 7_199, 7_200, 172_799, 172_800];
    let expected = ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"];
    assert_eq!(ages.map(told), expected);
    assert_eq!(shown::age(UnixMillis(9_000), UnixMillis(5_000)), "0 s", "a clock that is ahead");
}

#[tokio::test]
async fn a_hub_that_changes_a_record_is_found_out() {
    let told = Told::new().await;
    let meddle = "UPDATE facts SET bytes = (SELECT f.bytes FROM facts f WHERE f.seq = 6) \
                  WHERE seq = 7";
    told.calls.store.decide(Meddle(meddle)).await.unwrap();
    let shown = told.hubctl("audit verify bank-1").await;
    assert_eq!(exit_code(&shown), 1);
    let finding = "  FINDING: where record 7 belongs stands one that says it is record 6\n";
    assert!(shown.text.contains(finding), "{}", shown.text);
    assert!(shown.text.contains("bank bank-1 DOES NOT HOLD"), "{}", shown.text);

    let nobody = told.hubctl("audit verify bank-9").await.ended.unwrap_err();
    assert!(nobody.to_string().starts_with("NOT_FOUND BANK_UNKNOWN"), "{nobody}");
}

#[tokio::test]
async fn evidence_is_written_whole_and_checked_without_a_hub() {
    let told = Told::new().await;
    let (file, certificate) = (told.path("p1.evidence"), told.path("banks/bank-1.pem"));
    let line = format!("audit bundle acme/p1 --out {file} --certificate {certificate}");
    let shown = told.hubctl(&line).await;
    assert_eq!(exit_code(&shown), 0, "{}", shown.text);
    assert!(shown.text.contains(": 3 records, "), "{}", shown.text);
    let again = told.hubctl(&line).await.ended.unwrap_err();
    assert_eq!(again.exit_code(), 2, "never over another file: {again}");
    let written = fs::read(&file).unwrap();

    let ca = told.path("ca.pem");
    let none = told.hubctl(&format!("audit bundle acme/p2 --out {file}2")).await.ended.unwrap_err();
    assert_eq!(
        (none.exit_code(), none.to_string().contains("carriers/acme/parcels/p2")),
        (1, true)
    );
    // From here on there is no hub.
    told.calls.store.close().await;
    let shown = said(&format!("hubctl audit check {file}")).await;
    assert_eq!(exit_code(&shown), 0, "{}", shown.text);
    for part in [
        "evidence about carriers/acme/parcels/p1\n",
        "it is inside and door 1 is shut",
        "signed for records 6 to 7, just as they are here\n",
        "anybody can make a key",
        "±0.100 s",
    ] {
        assert!(shown.text.contains(part), "{part} in {}", shown.text);
    }
    let anchored = said(&format!("hubctl audit check {file} --ca {ca}")).await;
    assert_eq!(exit_code(&anchored), 0, "{}", anchored.text);
    assert!(anchored.text.contains("is the bank's, by its certificate\n"), "{}", anchored.text);
    assert!(!anchored.text.contains("anybody can make a key"), "{}", anchored.text);
    // Any other authority.
    let foreign = crate::tls::fixture::Fixture::new();
    let ca = foreign.pki.authority().display().to_string();
    let strange = said(&format!("hubctl audit check {file} --ca {ca}")).await;
    assert!(strange.text.contains("for the key does not hold"), "{}", strange.text);
    assert_eq!(exit_code(&strange), 1);

    let mut flipped = written.clone();
    flipped[40] ^= 1;
    fs::write(&file, &flipped).unwrap();
    let refused = said(&format!("hubctl audit check {file}")).await.ended.unwrap_err();
    assert!(refused.to_string().contains("is damaged"), "{refused}");
    let missing = said("hubctl audit check /nowhere").await.ended.unwrap_err();
    assert_eq!(missing.exit_code(), 2);
}

#[test]
fn a_parcel_is_named_in_two_ways() {
    let read = |text: &str| text.parse::<ParcelArg>().map(|parcel| parcel.0);
    let name = Ok("carriers/acme/parcels/p-1".to_owned());
    assert_eq!(read("acme/p-1"), name);
    assert_eq!(read("carriers/acme/parcels/p-1"), name);
    for text in ["", "p-1", "acme/", "Acme/p", "acme/p/1", "carriers/acme/p-1/2"] {
        assert!(read(text).is_err(), "{text}");
    }
}
