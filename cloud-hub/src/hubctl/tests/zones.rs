//! In which zone a person reads what time.

use locker_proto::wire::fleet::v1 as wire;
use prost_types::Timestamp;

use super::*;
use crate::ingest::tests::fixture::{Journal, commit_more};

/// Words that are a point in time, in the way of RFC 3339 or nearly so.
fn stamps(text: &str) -> Vec<&str> {
    let looks = |word: &&str| {
        let bytes = word.as_bytes();
        bytes.len() > 16 && [bytes[4], bytes[7], bytes[10], bytes[13]] == *b"--T:"
    };
    text.split(|c: char| c.is_whitespace() || "\",{}[]()".contains(c)).filter(looks).collect()
}

/// Whether a point in time says where it is in time: `Z`, `+01:00`.
fn says_its_offset(stamp: &str) -> bool {
    let offset = |at: usize| matches!(stamp.as_bytes()[at], b'+' | b'-');
    stamp.ends_with('Z') || (offset(stamp.len() - 6) && stamp.as_bytes()[stamp.len() - 3] == b':')
}

#[tokio::test]
async fn t07_a_bank_is_shown_with_its_zone_and_in_it() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let context = context(&calls);
    let layout = calls.fixture.directory.path().join("layout.toml");
    let create = format!(
        "bank create bank-1 --name Station --time-zone europe/berlin --layout {}",
        layout.display()
    );
    let shown = hubctl(&context, &create).await.unwrap();
    assert!(shown.contains("\ntime zone:    Europe/Berlin\n"), "{shown}");
    commit_more(&calls.store, &Journal::commissioned(&[300]), 0).await;
    let shown = hubctl(&context, "bank get bank-1").await.unwrap();
    assert!(shown.contains("\nlast seen:    2027-01-15T09:00:00+01:00\n"), "{shown}");
    let shown = hubctl(&context, "bank set-time-zone bank-1 Pacific/Auckland").await.unwrap();
    assert!(shown.contains("\nlast seen:    2027-01-15T21:00:00+13:00\n"), "{shown}");
    let listed = hubctl(&context, "bank list").await.unwrap();
    assert!(listed.contains("Pacific/Auckland  2027-01-15T21:00:00+13:00"), "{listed}");
    let json: Value =
        serde_json::from_str(&hubctl(&context, "bank get bank-1 --json").await.unwrap()).unwrap();
    assert_eq!(json["time_zone"], "Pacific/Auckland");
    assert_eq!(json["last_seen_time"], "2027-01-15T08:00:00Z");

    let refused = hubctl(&context, "bank set-time-zone bank-1 Mars/Olympus").await.unwrap_err();
    assert!(refused.to_string().contains("time_zone: expected the IANA name"), "{refused}");
    let watched = hubctl(&context, "bank get bank-1").await.unwrap();
    assert!(watched.contains("Pacific/Auckland"), "{watched}");
}

#[test]
fn t07_deadlines_are_shown_as_the_clocks_at_the_bank_show_them() {
    let mut shown = Vec::new();
    let expire_time = Some(Timestamp { seconds: 1_795_543_200, nanos: 0 });
    let mut output = Output { out: &mut shown, remarks: &mut std::io::sink(), json: false };
    for zone in ["Europe/Berlin", "", "Moon/Tycho"] {
        let badge = wire::Badge {
            text: "LK1:B".into(),
            expire_time,
            time_zone: zone.into(),
            ..Default::default()
        };
        bank::show_badge(&badge, None, &mut output).unwrap();
    }
    let event = wire::Event { occur_time: expire_time, kind: "X".into(), ..Default::default() };
    let parcel = wire::FindParcelResponse {
        expire_time,
        time_zone: "America/New_York".into(),
        events: vec![event],
        ..Default::default()
    };
    parcel::show(&parcel, &mut output).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    for line in [
        "works until:  Tuesday, 24 November 2026, 19:00 (Europe/Berlin, UTC+1)\n",
        "until:        Tuesday, 24 November 2026, 13:00 (America/New York, UTC-5)\n",
        "2026-11-24T13:00:00-05:00  X\n",
    ] {
        assert_eq!(shown.matches(line).count(), 1, "{shown}");
    }
    // A zone that this program does not know, or a hub that tells none.
    assert_eq!(shown.matches("works until:  Tuesday, 24 November 2026, 18:00 UTC\n").count(), 2);
}

#[tokio::test]
async fn t08_every_point_in_time_says_its_offset() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let context = context(&calls);
    calls.operator().await.create_bank(new_bank("bank-1")).await.unwrap();
    hubctl(&context, "bank set-time-zone bank-1 Asia/Kathmandu").await.unwrap();
    commit_more(&calls.store, &Journal::commissioned(&[400]), 0).await;
    calls.carrier("acme").await.create_parcel(new_parcel("acme", "p-1")).await.unwrap();
    for line in ["bank get bank-1", "bank list", "parcel find acme p-1"] {
        for form in ["", " --json"] {
            let shown = hubctl(&context, &format!("{line}{form}")).await.unwrap();
            let stamps = stamps(&shown);
            assert!(!stamps.is_empty(), "{shown}");
            for stamp in stamps {
                assert!(says_its_offset(stamp), "{line}{form}: {stamp}");
            }
        }
    }
    let words = ["hubctl", "--context", &context, "watch", "--from-beginning"];
    for json in [false, true] {
        let words = words.into_iter().chain(json.then_some("--json"));
        let mut out = Until { written: Vec::new(), enough: "PARCEL_ANNOUNCED" };
        let args = Args::try_parse_from(words).unwrap();
        run(args, &mut out, &mut std::io::sink()).await.unwrap_err();
        let text = String::from_utf8(out.written).unwrap();
        let stamps = stamps(&text);
        assert!(!stamps.is_empty() && stamps.iter().all(|at| says_its_offset(at)), "{text}");
    }
}

#[test]
fn what_says_no_offset_is_seen() {
    let text = "{\"at\":\"2026-11-24T18:00:00\"} 2026-11-24T18:00:00.1Z 2026-11-24T18:00:00-03:30";
    let said: Vec<_> = stamps(text).into_iter().map(says_its_offset).collect();
    assert_eq!(said, [false, true, true]);
}
