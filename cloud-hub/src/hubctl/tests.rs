//! What a person sees: commands against a hub on loopback, and every way they fail.

mod zones;

use clap::Parser as _;
use serde_json::Value;

use super::*;
use crate::config::GrpcLimits;
use crate::grpc::fixture::{Calls, new_bank, new_parcel};

const LAYOUT: &str = "
[[compartments]]
number = 1
length_mm = 400
width_mm = 300
height_mm = 200
lock = 0

[[compartments]]
number = 2
length_mm = 600
width_mm = 400
height_mm = 400
lock = 1
";

/// Connects as `olga`, by a context file.
fn context(calls: &Calls) -> String {
    let folder = calls.fixture.directory.path();
    let text = format!(
        "hub = \"{}\"\nca = \"ca.pem\"\ncert = \"operators/olga.pem\"\nkey = \"operators/olga.key\"\n",
        calls.url
    );
    std::fs::write(folder.join("hubctl.toml"), text).unwrap();
    std::fs::write(folder.join("layout.toml"), LAYOUT).unwrap();
    folder.join("hubctl.toml").display().to_string()
}

/// What the command writes, or why it failed.
async fn hubctl(context: &str, line: &str) -> Result<String, Failure> {
    let words = ["hubctl", "--context", context].into_iter().chain(line.split_whitespace());
    let (mut out, mut remarks) = (Vec::new(), Vec::new());
    run(Args::try_parse_from(words).unwrap(), &mut out, &mut remarks).await?;
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_bank_is_created_listed_and_shown() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let context = context(&calls);
    let layout = calls.fixture.directory.path().join("layout.toml");
    let create = format!("bank create bank-1 --name Station --layout {}", layout.display());
    let shown = hubctl(&context, &create).await.unwrap();
    assert!(
        shown.contains("bank:         bank-1\n") && shown.contains("2 compartments issued"),
        "{shown}"
    );

    let listed = hubctl(&context, "bank list").await.unwrap();
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].starts_with("BANK    NAME     CONNECTED  COMPARTMENTS  LAYOUT"), "{listed}");
    assert!(
        lines[1].starts_with("bank-1  Station  no         2             1 (not taken over yet)"),
        "{listed}"
    );

    let json: Value =
        serde_json::from_str(&hubctl(&context, "bank get bank-1 --json").await.unwrap()).unwrap();
    assert_eq!(json["layout"]["compartments"][1]["height_mm"], 400);
    assert_eq!(json["connected"], false);

    let changed = format!("bank set-layout bank-1 --json --layout {}", layout.display());
    let json: Value = serde_json::from_str(&hubctl(&context, &changed).await.unwrap()).unwrap();
    assert_eq!(json["layout"]["generation"], 2);
}

#[tokio::test]
async fn a_bank_is_put_into_maintenance_keeps_compartments_back_and_is_not_ordered_from_afar() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let context = context(&calls);
    let layout = calls.fixture.directory.path().join("layout.toml");
    let create = format!("bank create bank-1 --name Station --layout {}", layout.display());
    hubctl(&context, &create).await.unwrap();
    let shown = hubctl(&context, "bank maintenance bank-1 on").await.unwrap();
    assert!(shown.contains("maintenance:  on (not taken over yet)"), "{shown}");
    let shown = hubctl(&context, "bank quota bank-1 --cede 400x300x200=1").await.unwrap();
    assert!(shown.contains("kept back:    400x300x200=1 (not taken over yet)"), "{shown}");
    let strange = hubctl(&context, "bank quota bank-1 --cede 1x1x1=1").await.unwrap_err();
    assert!(strange.to_string().contains("each size of the layout"), "{strange}");
    let nobodys = hubctl(&context, "bank keypad-couriers bank-1").await.unwrap();
    assert!(nobodys.contains("(codes not taken over yet)"), "{nobodys}");
    let no_keys = hubctl(&context, "bank keypad-couriers bank-1 acme swift").await.unwrap_err();
    assert!(no_keys.to_string().contains("CODES_NOT_CONFIGURED"), "{no_keys}");
    let json = hubctl(&context, "bank get bank-1 --json").await.unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["keypad_couriers"], serde_json::json!([]));
    assert_eq!((&json["maintenance"], &json["quota"][0]["count"]), (&true.into(), &1.into()));
    let nobody = hubctl(&context, "bank lock-down bank-1").await.unwrap_err();
    assert!(nobody.to_string().starts_with("UNAVAILABLE BANK_NOT_CONNECTED"), "{nobody}");
    let early = hubctl(&context, "bank staff-badge bank-1").await.unwrap_err();
    assert!(early.to_string().contains("BANK_HOLDS_NO_KEY"), "{early}");
}

#[tokio::test]
async fn a_parcel_is_found_with_its_story() {
    let calls = Calls::start(GrpcLimits::default()).await;
    calls.carrier("acme").await.create_parcel(new_parcel("acme", "p-1")).await.unwrap();
    let context = context(&calls);
    let shown = hubctl(&context, "parcel find acme p-1").await.unwrap();
    assert!(
        shown.contains("state:        ANNOUNCED") && shown.contains("PARCEL_ANNOUNCED"),
        "{shown}"
    );
    let json: Value =
        serde_json::from_str(&hubctl(&context, "--json parcel find acme p-1").await.unwrap())
            .unwrap();
    assert_eq!(json["events"][0]["kind"], "PARCEL_ANNOUNCED");
}

#[tokio::test]
async fn a_refusal_shows_code_reason_message_and_facts() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let context = context(&calls);
    let failure = hubctl(&context, "bank get nowhere").await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "NOT_FOUND BANK_UNKNOWN: there is no bank banks/nowhere\n  bank: banks/nowhere"
    );
    assert_eq!(failure.exit_code(), 1);
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_exit_code_3() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let context = context(&calls);
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let line = format!("--hub https://localhost:{} bank list", unused.port());
    let failure = hubctl(&context, &line).await.unwrap_err();
    assert_eq!(failure.exit_code(), 3);
    assert!(failure.to_string().starts_with("cannot reach https://localhost:"), "{failure}");
}

#[tokio::test]
async fn what_is_missing_or_wrong_on_the_command_line_is_exit_code_2() {
    let (mut out, mut remarks) = (Vec::new(), Vec::new());
    let args = Args {
        connect: args::ConnectArgs::default(),
        json: false,
        command: Command::Bank { command: args::BankCommand::List },
    };
    let failure = run(args, &mut out, &mut remarks).await.unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.to_string().contains("--hub") && failure.to_string().contains("POSTERN_HUB"));

    let calls = Calls::start(GrpcLimits::default()).await;
    let context = context(&calls);
    let failure = hubctl(&context, "--hub http://localhost bank list").await.unwrap_err();
    assert!(failure.to_string().contains("expected https://"), "{failure}");
    let failure = hubctl(&context, "--ca /nowhere bank list").await.unwrap_err();
    assert!(failure.to_string().starts_with("/nowhere: "), "{failure}");
    let failure = hubctl(&context, "bank set-layout b --layout /nowhere").await.unwrap_err();
    assert_eq!(failure.exit_code(), 2);
}

/// A reader that has seen enough.
struct Until<'a> {
    written: Vec<u8>,
    enough: &'a str,
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.written.extend_from_slice(bytes);
        let text = String::from_utf8_lossy(&self.written);
        if text.contains(self.enough) {
            Err(std::io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(bytes.len())
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_watch_tells_events_until_its_reader_has_gone() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut acme = calls.carrier("acme").await;
    acme.create_parcel(new_parcel("acme", "p-1")).await.unwrap();
    acme.create_parcel(new_parcel("acme", "p-2")).await.unwrap();
    let context = context(&calls);
    let words = ["hubctl", "--context", &context, "watch", "--from-beginning"];
    let mut out = Until { written: Vec::new(), enough: "p-2" };
    let failure = run(Args::try_parse_from(words).unwrap(), &mut out, &mut std::io::sink()).await;
    assert!(failure.unwrap_err().is_broken_pipe());
    let text = String::from_utf8(out.written).unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        first.contains("PARCEL_ANNOUNCED") && first.contains("carriers/acme/parcels/p-1"),
        "{first}"
    );
}

#[tokio::test]
async fn a_certificate_that_the_hub_does_not_take_is_told_as_such() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let context = context(&calls);
    let foreign = tempfile::tempdir().unwrap();
    let pki = crate::pki::DevPki::create(foreign.path(), &crate::pki::PkiSpec::default()).unwrap();
    let issued = pki.issue_operator(&"olga".parse().unwrap()).unwrap();
    let (cert, key) = (issued.certificate.display(), issued.key.display());
    let failure =
        hubctl(&context, &format!("--cert {cert} --key {key} bank list")).await.unwrap_err();
    assert_eq!(failure.exit_code(), 3);
    assert!(failure.to_string().contains("alert"), "{failure}");
}

#[tokio::test]
async fn r14_an_alarm_is_listed_with_its_parties_and_cleared_once() {
    use crate::store::{Party, StopBank, StopReason};
    use locker_core::ids::{BootId, StreamId};
    use locker_core::units::UnixMillis;
    use locker_core::uplink::clone::Introduction;

    let calls = Calls::start(GrpcLimits::default()).await;
    let context = context(&calls);
    calls.operator().await.create_bank(new_bank("bank-1")).await.unwrap();
    let party = |boot: u8| Party {
        address: format!("10.0.0.{boot}:4000"),
        certificate: [0xab; 32],
        introduction: Introduction {
            stream: StreamId([1; 16]),
            boot: BootId([boot; 16]),
            boot_count: 7,
            connection_count: boot.into(),
        },
        head_seq: 99,
    };
    let stop = StopBank {
        bank: "bank-1".parse().unwrap(),
        reason: StopReason::Clone,
        detail: "COUNTERS_NOT_HIGHER".to_owned(),
        parties: vec![party(1), party(2)],
        apart: None,
        event_id: "e".to_owned(),
        now: UnixMillis(1_800_000_000_000),
    };
    calls.store.decide(stop).await.unwrap();
    let shown = hubctl(&context, "alarm list --bank bank-1").await.unwrap();
    assert!(shown.contains("1      bank-1  CLONE  2027-01-15T08:00:00Z"), "{shown}");
    for address in ["10.0.0.1:4000", "10.0.0.2:4000"] {
        assert!(shown.contains(&format!("{address}  abababababab")), "{shown}");
    }
    let json: Value =
        serde_json::from_str(&hubctl(&context, "--json alarm list").await.unwrap()).unwrap();
    assert_eq!((&json["kind"], json["parties"].as_array().unwrap().len()), (&"CLONE".into(), 2));

    hubctl(&context, "alarm clear 1 --note destroyed").await.unwrap();
    let again = hubctl(&context, "alarm clear 1 --note again").await.unwrap_err();
    assert!(again.to_string().contains("ALARM_CLEARED"), "{again}");
    let unknown = hubctl(&context, "alarm clear 2 --note x").await.unwrap_err();
    assert!(unknown.to_string().contains("ALARM_NOT_FOUND"), "{unknown}");
    assert!(!hubctl(&context, "alarm list").await.unwrap().contains("bank-1"));
    let all = hubctl(&context, "alarm list --all --json").await.unwrap();
    assert!(all.contains("urn:postern:operator:olga") && all.contains("destroyed"), "{all}");
}

#[tokio::test]
async fn c11_a_banks_certificate_is_replaced_by_one_that_names_it() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let context = context(&calls);
    calls.operator().await.create_bank(new_bank("bank-1")).await.unwrap();
    let file = |name: &str| calls.fixture.issued(name).certificate.display().to_string();
    let replace =
        |bank: &str, file: &str| format!("bank replace-certificate {bank} --certificate {file}");
    let shown = hubctl(&context, &replace("bank-1", &file("banks/bank-1"))).await.unwrap();
    assert!(shown.starts_with("certificate:  ") && shown.trim().len() == 14 + 64, "{shown}");
    for (bank, file, expected) in [
        ("bank-1", file("carriers/acme"), "urn:postern:carrier:acme"),
        ("nowhere", file("banks/bank-1"), "urn:postern:bank:bank-1"),
        ("bank-1", context.clone(), "is no certificate"),
    ] {
        let failure = hubctl(&context, &replace(bank, &file)).await.unwrap_err();
        assert!(failure.to_string().contains(expected), "{failure}");
    }
}
