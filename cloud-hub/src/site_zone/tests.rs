//! Vectors from the IANA database, made with another implementation of it.

use super::*;

const HOUR_MS: u64 = 3_600_000;

fn zone(name: &str) -> SiteZone {
    name.parse().unwrap()
}

#[test]
fn t06_what_is_kept_five_days_is_kept_120_hours_whatever_the_sites_clocks_do_meanwhile() {
    for (name, stored_ms, until, exact) in [
        // Clocks go back on 25 October 2026: stored at 18:00, until 17:00.
        (
            "Europe/Berlin",
            1_792_771_200_000,
            "Wednesday, 28 October 2026, 17:00 (Europe/Berlin, UTC+1)",
            "2026-10-28T17:00:00+01:00",
        ),
        // And forward on 28 March 2027: stored at 18:00, until 19:00.
        (
            "Europe/Berlin",
            1_805_994_000_000,
            "Tuesday, 30 March 2027, 19:00 (Europe/Berlin, UTC+2)",
            "2027-03-30T19:00:00+02:00",
        ),
        // An hour that the clocks show twice: the offset says which.
        (
            "Europe/Berlin",
            1_792_456_200_000,
            "Sunday, 25 October 2026, 02:30 (Europe/Berlin, UTC+2)",
            "2026-10-25T02:30:00+02:00",
        ),
        (
            "Europe/Berlin",
            1_792_459_800_000,
            "Sunday, 25 October 2026, 02:30 (Europe/Berlin, UTC+1)",
            "2026-10-25T02:30:00+01:00",
        ),
        // An hour that they never show.
        (
            "Europe/Berlin",
            1_805_765_400_000,
            "Sunday, 28 March 2027, 03:30 (Europe/Berlin, UTC+2)",
            "2027-03-28T03:30:00+02:00",
        ),
        // A leap day, and one day on.
        (
            "Europe/Berlin",
            1_835_024_400_000,
            "Tuesday, 29 February 2028, 18:00 (Europe/Berlin, UTC+1)",
            "2028-02-29T18:00:00+01:00",
        ),
        (
            "Europe/Berlin",
            1_835_047_800_000,
            "Wednesday, 1 March 2028, 00:30 (Europe/Berlin, UTC+1)",
            "2028-03-01T00:30:00+01:00",
        ),
        // West of Greenwich, with half an hour.
        (
            "America/St_Johns",
            1_793_305_800_000,
            "Tuesday, 3 November 2026, 17:00 (America/St Johns, UTC-3:30)",
            "2026-11-03T17:00:00-03:30",
        ),
        // In the south, by half an hour, both ways.
        (
            "Australia/Lord_Howe",
            1_790_753_400_000,
            "Monday, 5 October 2026, 18:30 (Australia/Lord Howe, UTC+11)",
            "2026-10-05T18:30:00+11:00",
        ),
        (
            "Australia/Lord_Howe",
            1_806_562_800_000,
            "Tuesday, 6 April 2027, 17:30 (Australia/Lord Howe, UTC+10:30)",
            "2027-04-06T17:30:00+10:30",
        ),
    ] {
        let at = UnixMillis(stored_ms).plus_ms(5 * 24 * HOUR_MS);
        assert_eq!((zone(name).readable(at), zone(name).rfc3339(at)), (until.into(), exact.into()));
    }
}

#[test]
fn utc_is_written_as_such() {
    let zone = SiteZone::UTC;
    assert_eq!(zone.readable(UnixMillis(0)), "Thursday, 1 January 1970, 00:00 UTC");
    let leap = UnixMillis(1_709_208_000_999);
    assert_eq!(zone.readable(leap), "Thursday, 29 February 2024, 12:00 UTC");
    assert_eq!(zone.rfc3339(leap), "2024-02-29T12:00:00Z");
}

#[test]
fn a_minute_that_has_begun_is_not_promised() {
    let last = UnixMillis(1_795_543_259_999);
    assert_eq!(SiteZone::UTC.readable(last), "Tuesday, 24 November 2026, 18:00 UTC");
}

#[test]
fn a_name_is_kept_as_the_database_spells_it() {
    assert_eq!(zone("europe/BERLIN").name(), "Europe/Berlin");
    assert_eq!((zone("utc").name(), zone("utc")), ("UTC", SiteZone::UTC));
    assert_eq!(zone("Asia/Kathmandu").to_string(), "Asia/Kathmandu");
    assert_eq!(format!("{:?}", zone("Asia/Kathmandu")), "SiteZone(Asia/Kathmandu)");
}

#[test]
fn what_is_no_zone_is_refused() {
    for text in ["", "Mars/Olympus", "+01:00", "UTC+1", "CEST", "Etc/Unknown", "Factory", "../etc"]
    {
        assert_eq!(text.parse::<SiteZone>(), Err(ParseSiteZoneError), "{text}");
    }
}

#[test]
fn every_name_is_kept_as_it_is_and_can_stand_in_a_letter() {
    let mut names = 0;
    for name in TimeZoneDatabase::bundled().available() {
        let Ok(zone) = name.as_str().parse::<SiteZone>() else { continue };
        assert_eq!(zone.name(), name.as_str());
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
        assert!(zone.name().chars().all(plain), "{zone}");
        names += 1;
    }
    assert!(names > 500, "{names}");
}

#[test]
fn the_end_of_time_is_still_a_text() {
    let at = UnixMillis(u64::MAX);
    for zone in [SiteZone::UTC, zone("Pacific/Kiritimati"), zone("Pacific/Niue")] {
        assert!(zone.readable(at).contains("9999") && zone.rfc3339(at).starts_with("9999"));
    }
}
