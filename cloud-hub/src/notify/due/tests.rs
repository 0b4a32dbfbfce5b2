use super::*;
use crate::credential_keys::tests::test_keys;
use crate::notify::post::tests::{NOW, notice};
use crate::store::ParcelAtBank;

const HOUR: u64 = 3_600_000;

/// A reminder for this moment of a stay of `span_ms` that began at [`NOW`].
fn reminder_at(moment: Option<u64>, span_ms: u64) -> NoticeRow {
    let mut row = notice(&test_keys(), HubParcelState::Stored);
    row.kind = NoticeKind::ParcelReminder;
    row.moment = moment.map(|ms| NOW.plus_ms(ms));
    row.parcel.expires_at = Some(NOW.plus_ms(span_ms));
    row
}

fn judged(row: &NoticeRow, heard: Heard, ms: u64) -> Due {
    due(row, &Reminders::new(vec![50, 80]), heard, NOW.plus_ms(ms))
}

#[test]
fn r07_a_reminder_waits_for_its_moment_whatever_it_was_made_for() {
    let span = 10 * HOUR;
    // Of a stay that was another one, or of a store from before there were reminders.
    for other in [None, Some(HOUR), Some(9 * HOUR)] {
        let row = reminder_at(other, span);
        assert_eq!(judged(&row, Heard::All, 2 * HOUR), Due::Moved(NOW.plus_ms(5 * HOUR)));
        assert_eq!(judged(&row, Heard::All, 6 * HOUR), Due::Moved(NOW.plus_ms(8 * HOUR)));
        assert_eq!(judged(&row, Heard::All, 9 * HOUR), Due::Never("no reminder is left"));
    }
    let row = reminder_at(Some(5 * HOUR), span);
    assert_eq!(judged(&row, Heard::All, 5 * HOUR - 1), Due::Moved(NOW.plus_ms(5 * HOUR)));
    assert_eq!(judged(&row, Heard::All, 5 * HOUR), Due::Now(None));
    assert_eq!(judged(&row, Heard::All, 9 * HOUR), Due::Now(None), "the hub was stopped meanwhile");
    assert_eq!(judged(&row, Heard::All, span), Due::Never("its time is over"));
}

#[test]
fn r07_what_is_held_goes_out_with_a_fifth_of_the_stay_or_half_a_day_left() {
    for (span, last_call) in [(10 * HOUR, 8 * HOUR), (240 * HOUR, 228 * HOUR)] {
        let row = reminder_at(Some(span / 2), span);
        let half = span / 2;
        assert_eq!(judged(&row, Heard::Nothing, half), Due::Held(NOW.plus_ms(half + HELD_LOOK_MS)));
        let just_before = judged(&row, Heard::Partly, last_call - 1);
        assert_eq!(just_before, Due::Held(NOW.plus_ms(last_call)), "not looked at too late");
        let since = row.bank.last_seen;
        let nothing = Due::Now(Some(Unheard { since }));
        assert_eq!(judged(&row, Heard::Nothing, last_call), nothing);
        let partly = Due::Now(Some(Unheard { since: None }));
        assert_eq!(judged(&row, Heard::Partly, last_call), partly);
        assert_eq!(judged(&row, Heard::All, last_call), Due::Now(None));
    }
}

#[test]
fn r07_a_reminder_promises_no_more_than_its_bank_has_taken_over() {
    let mut row = reminder_at(Some(5 * HOUR), 10 * HOUR);
    row.parcel.terms.keep_until = row.parcel.expires_at;
    for heard in [Heard::All, Heard::Partly, Heard::Nothing] {
        assert_eq!(judged(&row, heard, 9 * HOUR), Due::Later);
    }
}

#[test]
fn r07_a_reminder_ends_with_its_parcel_and_outlasts_what_may_come_right_again() {
    for state in HubParcelState::ALL {
        let mut row = reminder_at(Some(5 * HOUR), 10 * HOUR);
        row.parcel.state = state;
        let judged = judged(&row, Heard::All, 6 * HOUR);
        let again = Due::Moved(NOW.plus_ms(8 * HOUR));
        if matches!(state, HubParcelState::Collected | HubParcelState::Recalled) {
            assert!(matches!(judged, Due::Never(_)), "{state:?}: {judged:?}");
        } else if state == HubParcelState::Stored {
            assert_eq!(judged, Due::Now(None));
        } else if state == HubParcelState::Collecting {
            assert_eq!(judged, Due::Later);
        } else {
            assert_eq!(judged, again, "{state:?}");
        }
    }
}

#[test]
fn r07_a_stay_whose_beginning_nobody_knows_counts_from_when_the_hub_last_heard_of_it() {
    let mut row = reminder_at(None, 10 * HOUR);
    row.at_bank = row.at_bank.map(|known| ParcelAtBank { since: None, ..known });
    row.parcel.updated_at = NOW.plus_ms(2 * HOUR);
    assert_eq!(judged(&row, Heard::All, 2 * HOUR), Due::Moved(NOW.plus_ms(6 * HOUR)));
}

#[test]
fn r07_a_letter_about_the_end_is_held_half_a_day_and_dropped_if_there_is_none() {
    let mut row = notice(&test_keys(), HubParcelState::Expired);
    row.kind = NoticeKind::ParcelExpired;
    let bound = 12 * HOUR;
    assert_eq!(judged(&row, Heard::All, 0), Due::Now(None));
    assert_eq!(judged(&row, Heard::Nothing, bound - 1), Due::Held(NOW.plus_ms(bound)));
    assert!(matches!(judged(&row, Heard::Nothing, bound), Due::Now(Some(_))));
    row.parcel.state = HubParcelState::Stored;
    assert!(matches!(judged(&row, Heard::All, bound), Due::Never(_)), "extended meanwhile");
}

#[test]
fn r07_a_correction_is_for_parcels_that_are_out() {
    for state in HubParcelState::ALL {
        let mut row = notice(&test_keys(), state);
        row.kind = NoticeKind::ReminderCorrected;
        let out = matches!(state, HubParcelState::Collected | HubParcelState::Recalled);
        assert_eq!(judged(&row, Heard::Nothing, 0) == Due::Now(None), out, "{state:?}");
    }
}

#[test]
fn moments_of_the_longest_stay_are_still_moments() {
    let stay = Stay { from: UnixMillis(0), until: UnixMillis(u64::MAX) };
    let half = Reminders::new(vec![50]).next(stay, UnixMillis(0)).unwrap();
    assert!(half.0.abs_diff(u64::MAX / 2) < 100);
}
