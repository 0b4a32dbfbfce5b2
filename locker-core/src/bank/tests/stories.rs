//! The other ways a visit can go: what is asked back, looked into, refused, forgotten or forced.

use super::check;

#[test]
fn d01_a_courier_cannot_finish_with_an_open_door_unless_it_will_not_shut() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         40 deposited
         50 finish
         120030 deadline
         120031 deadline
         130000 wontshut
         130000 show 1
         130000 show PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         40 refused: DOOR_OPEN
         50 refused: NOT_NOW
         120030 alarm DoorOpenTooLong(CompartmentNo(1))
         120031 nothing
         130000 aborted PKG1 in 1 DoorLeftOpen
         130000 Quarantined DoorLeftOpen PKG1, Open, Unknown, Ok
         130000 Unresolved in 1, version 1, code Some(Issued)",
    );
}

#[test]
fn d03_a_door_that_jams_half_open_is_never_free_again_without_a_look() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 door 1 open
         30 door 1 closed
         1500 settled 1 shut
         1600 cancel
         1600 show 1
         1600 show PKG1
         1610 scan PKG1
         1620 settled 2 opened
         1630 door 2 open
         1640 door 2 closed
         1650 deposited
         1650 show 1
         1700 staff 1
         1800 inspect 1
         1810 settled 1 opened
         1820 door 1 open
         1900 found empty
         2000 door 1 closed
         2100 found empty
         2100 show 1
         2100 show PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 door 1 Open by intent 1
         30 door 1 Closed by intent 1
         1500 intent 1 NotOpened
         1600 aborted PKG1 in 1 Untouched lock failed
         1600 Quarantined LockFailed nothing known, Closed, Unknown, OpenFailed
         1600 Booked, version 1, code Some(Issued)
         1610 deposit PKG1 in 2; intent 2 on 2 -> pulse 2
         1620 intent 2 Opened
         1630 door 2 Open by intent 2
         1640 door 2 Closed by intent 2
         1650 stored PKG1 in 2
         1650 Quarantined LockFailed nothing known, Closed, Unknown, OpenFailed
         1700 session Left; staff 1 in
         1800 look into 1; intent 3 on 1 -> pulse 1
         1810 intent 3 Opened
         1820 door 1 Open by intent 3
         1900 refused: DOOR_OPEN
         2000 door 1 Closed by intent 3
         2100 1 found Empty
         2100 Free, Closed, Empty(Inspected), Ok
         2100 Stored in 2 since 1650, version 1, code Some(Active)",
    );
}

#[test]
fn d03_a_door_that_was_open_longer_than_a_jam_leaves_the_parcel_in_doubt() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         20 door 1 open
         1520 door 1 closed
         1600 cancel
         1600 show PKG1
         1610 scan PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         20 door 1 Open by intent 1
         1520 door 1 Closed by intent 1
         1600 aborted PKG1 in 1 DepositUnresolved
         1600 Unresolved in 1, version 1, code Some(Issued)
         1610 refused: PARCEL_UNRESOLVED",
    );
}

#[test]
fn d04_a_box_that_was_too_small_is_not_offered_again() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         40 door 1 closed
         45 disk full
         50 misfit
         55 disk roomy
         60 scan PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         40 door 1 Closed by intent 1
         45 noted
         50 misfit PKG1 in 1, no larger one
         55 noted
         60 deposit PKG1 in 2; intent 2 on 2 -> pulse 2",
    );
}

#[test]
fn d05_a_box_found_occupied_is_closed_off_and_another_opens() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         40 foreign
         50 door 1 closed
         60 foreign
         60 show 1
         70 settled 2 opened
         80 door 2 open
         90 door 2 closed
         100 deposited
         110 scan PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         40 refused: DOOR_OPEN
         50 door 1 Closed by intent 1
         60 aborted PKG1 in 1 Foreign; deposit PKG1 in 2 after 1; intent 2 on 2 -> pulse 2
         60 Quarantined FoundOccupied nothing known, Closed, Unknown, Ok
         70 intent 2 Opened
         80 door 2 Open by intent 2
         90 door 2 Closed by intent 2
         100 stored PKG1 in 2
         110 refused: ALREADY_DEPOSITED",
    );
}

#[test]
fn d06_when_another_door_moved_the_courier_says_which_box_was_used() {
    check(
        "0 book PKG1 acme 90x90x90
         0 book PKG2 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         3035 door 3 open
         4040 door 1 closed
         4045 door 3 closed
         4050 deposited
         4060 deposited 1
         5070 scan PKG2
         5080 settled 2 opened
         5090 door 2 open
         9095 door 3 open
         9100 door 2 closed
         9110 deposited 3
         9110 show 2
         9110 show 3
         9110 show PKG2",
        "0 booked PKG1
         0 booked PKG2
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         3035 door 3 Open by nobody (Forced)
         4040 door 1 Closed by intent 1
         4045 door 3 Closed by nobody
         4050 refused: CONFIRM_NUMBER
         4060 stored PKG1 in 1
         5070 deposit PKG2 in 2; intent 2 on 2 -> pulse 2
         5080 intent 2 Opened
         5090 door 2 Open by intent 2
         9095 door 3 Open by nobody (Forced)
         9100 door 2 Closed by intent 2
         9110 aborted PKG2 in 2 WrongDoor
         9110 Quarantined WrongDoor PKG2, Closed, Unknown, Ok
         9110 Quarantined OpenedByNobody nothing known, ForcedOpen, Unknown, Ok
         9110 Unresolved in 2, version 1, code Some(Issued)",
    );
}

#[test]
fn d07_one_box_at_a_time_and_what_was_swapped_is_sorted_out_by_staff() {
    check(
        "0 store PKG1 acme 90x90x90
         0 store PKG2 acme 90x90x90
         10 badge acme
         11 scan PKG2
         20 pickup PKG1
         30 settled 1 opened
         40 door 1 open
         50 door 1 closed
         60 wrongparcel
         60 show 1
         60 show PKG1
         70 pickup PKG2
         80 settled 2 opened
         90 door 2 open
         95 door 2 closed
         99 wrongparcel
         100 staff 1
         110 inspect 1
         120 settled 1 opened
         130 door 1 open
         140 door 1 closed
         150 found inside PKG2
         150 show 1
         150 show 2
         160 inspect 2
         170 settled 2 opened
         180 door 2 open
         190 door 2 closed
         200 found inside PKG1
         200 show PKG1
         200 show PKG2
         210 pickup PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 Stored in 2 since 0, version 1, code Some(Active)
         10 courier acme in
         11 refused: ALREADY_DEPOSITED
         20 session Left; recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1
         30 intent 3 Opened
         40 door 1 Open by intent 3
         50 door 1 Closed by intent 3
         60 WrongParcel PKG1 in 1; session Finished
         60 Quarantined WrongParcel PKG1, Closed, Unknown, Ok
         60 Unresolved in 1, version 1, code Some(Active)
         70 recipient in; pickup PKG2 from 2; intent 4 on 2 -> pulse 2
         80 intent 4 Opened
         90 door 2 Open by intent 4
         95 door 2 Closed by intent 4
         99 WrongParcel PKG2 in 2; session Finished
         100 staff 1 in
         110 look into 1; intent 5 on 1 -> pulse 1
         120 intent 5 Opened
         130 door 1 Open by intent 5
         140 door 1 Closed by intent 5
         150 PKG2 found in 1
         150 Occupied PKG2, Closed, Full(Inspected), Ok
         150 Quarantined WrongParcel nothing known, Closed, Unknown, Ok
         160 look into 2; intent 6 on 2 -> pulse 2
         170 intent 6 Opened
         180 door 2 Open by intent 6
         190 door 2 Closed by intent 6
         200 PKG1 found in 2
         200 Stored in 2 since 200, version 1, code Some(Active)
         200 Stored in 1 since 150, version 1, code Some(Active)
         210 session Left; recipient in; pickup PKG1 from 2; intent 7 on 2 -> pulse 2",
    );
}

#[test]
fn d09_a_courier_who_cancels_may_look_again_and_take_the_parcel_back() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         40 door 1 closed
         50 reopen
         60 settled 1 opened
         70 door 1 open
         80 tookback
         90 door 1 closed
         100 tookback
         100 show 1
         100 show PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         40 door 1 Closed by intent 1
         50 intent 2 on 1 -> pulse 1
         60 intent 2 Opened
         70 door 1 Open by intent 2
         80 refused: DOOR_OPEN
         90 door 1 Closed by intent 2
         100 aborted PKG1 in 1 TakenBack
         100 Free, Closed, Empty(Attested), Ok
         100 Booked, version 1, code Some(Issued)",
    );
}

#[test]
fn d10_what_a_stranger_may_have_done_at_an_open_door_is_not_announced() {
    check(
        "0 presume nothing
         0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         60000 door 1 closed
         90000 deadline
         90000 show 1
         90000 show PKG1
         90001 pickup PKG1",
        "0 noted
         0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         60000 door 1 Closed by intent 1
         90000 aborted PKG1 in 1 DepositUnresolved; session Left
         90000 Quarantined DepositUnresolved PKG1, Closed, Unknown, Ok
         90000 Unresolved in 1, version 1, code Some(Issued)
         90001 refused: NOT_DEPOSITED",
    );
}

#[test]
fn d10_a_door_that_somebody_shuts_long_after_the_courier_left_is_no_deposit() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         120030 deadline
         130000 door 1 closed
         160000 deadline
         160000 show 1
         160000 show PKG1
         160001 pickup PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         120030 alarm DoorOpenTooLong(CompartmentNo(1))
         130000 door 1 Closed by intent 1
         160000 aborted PKG1 in 1 DepositUnresolved; session Left
         160000 Quarantined DepositUnresolved PKG1, Closed, Unknown, Ok
         160000 Unresolved in 1, version 1, code Some(Issued)
         160001 refused: NOT_DEPOSITED",
    );
}

#[test]
fn d10_a_door_that_springs_open_again_says_no_more_than_before() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         120030 deadline
         125000 door 1 closed
         126000 door 1 open
         127000 door 1 closed
         157000 deadline",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         120030 alarm DoorOpenTooLong(CompartmentNo(1))
         125000 door 1 Closed by intent 1
         126000 door 1 Open by intent 1
         127000 door 1 Closed by intent 1
         157000 aborted PKG1 in 1 DepositUnresolved; session Left",
    );
}

#[test]
fn d10_the_alarm_counts_where_the_clock_does_not_and_the_clock_where_no_alarm_came() {
    // The clock was set back while the door stood open, after the alarm.
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         120030 deadline
         40 door 1 closed
         30040 deadline",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         120030 alarm DoorOpenTooLong(CompartmentNo(1))
         40 door 1 Closed by intent 1
         30040 aborted PKG1 in 1 DepositUnresolved; session Left",
    );
    // It is shut at the moment at which the alarm is due; a moment earlier it still counts.
    check(
        "0 book PKG1 acme 90x90x90
         0 book PKG2 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         120030 door 1 closed
         150030 deadline
         160000 badge acme
         160010 scan PKG2
         160020 settled 2 opened
         160030 door 2 open
         280029 door 2 closed
         310029 deadline",
        "0 booked PKG1
         0 booked PKG2
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         120030 door 1 Closed by intent 1
         150030 aborted PKG1 in 1 DepositUnresolved; session Left
         160000 courier acme in
         160010 deposit PKG2 in 2; intent 2 on 2 -> pulse 2
         160020 intent 2 Opened
         160030 door 2 Open by intent 2
         280029 door 2 Closed by intent 2
         310029 stored PKG2 in 2 presumed; session Left",
    );
}

#[test]
fn d11_a_parcel_that_was_taken_out_and_is_booked_again_may_be_brought_again() {
    check(
        "0 store PKG1 acme 90x90x90
         0 askback PKG1 2 sender
         10 badge acme
         20 takeout PKG1
         30 settled 1 opened
         40 door 1 open
         50 door 1 closed
         60 removed PKG1
         70 scan PKG1
         80 book PKG1 acme 90x90x90 v 3 code 9
         90 scan PKG1
         100 settled 1 opened
         110 door 1 open
         120 door 1 closed
         130 deposited
         130 show PKG1
         140 scan PKG1
         150 finish
         160 pickup PKG1
         170 delegate 9",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 PKG1 asked back: Sender
         10 courier acme in
         20 take out PKG1 from 1; intent 2 on 1 -> pulse 1
         30 intent 2 Opened
         40 door 1 Open by intent 2
         50 door 1 Closed by intent 2
         60 recall Removed PKG1 in 1
         70 refused: PARCEL_RECALLED
         80 booked PKG1
         90 deposit PKG1 in 1; intent 3 on 1 -> pulse 1
         100 intent 3 Opened
         110 door 1 Open by intent 3
         120 door 1 Closed by intent 3
         130 stored PKG1 in 1
         130 Stored in 1 since 130, version 3, code Some(Active)
         140 refused: ALREADY_DEPOSITED
         150 session Finished
         160 refused: CODE_REVOKED
         170 recipient in; pickup PKG1 from 1; intent 4 on 1 -> pulse 1",
    );
}

#[test]
fn d13_a_parcel_brought_after_its_booking_is_taken_if_there_is_room() {
    check(
        "0 book PKG1 acme 90x90x90 hard until 1000
         0 show 1
         0 book PKG2 acme 250x250x250 until 1000
         0 book PKG3 acme 250x250x250
         1000 lapse
         1001 lapse
         1001 show 1
         1001 show PKG1
         1010 badge acme
         1020 scan PKG1
         1030 settled 1 opened
         1040 door 1 open
         1050 door 1 closed
         1060 deposited
         1070 scan PKG3
         1080 settled 3 opened
         1090 door 3 open
         1100 door 3 closed
         1110 deposited
         1120 scan PKG2",
        "0 booked PKG1; 1 kept for PKG1
         0 Reserved PKG1, Closed, Empty(Inspected), Ok
         0 booked PKG2
         0 booked PKG3
         1000 nothing
         1001 booking of PKG1 lapsed; booking of PKG2 lapsed
         1001 Free, Closed, Empty(Inspected), Ok
         1001 BookingExpired at 1001, version 1, code Some(Issued)
         1010 courier acme in
         1020 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         1030 intent 1 Opened
         1040 door 1 Open by intent 1
         1050 door 1 Closed by intent 1
         1060 stored PKG1 in 1
         1070 deposit PKG3 in 3; intent 2 on 3 -> pulse 3
         1080 intent 2 Opened
         1090 door 3 Open by intent 2
         1100 door 3 Closed by intent 2
         1110 stored PKG3 in 3
         1120 refused: BOOKING_EXPIRED",
    );
}

#[test]
fn a_reserved_box_is_kept_and_a_quota_holds_boxes_back_for_the_hub() {
    check(
        "0 book PKG1 acme 90x90x90 hard
         0 book PKG2 acme 90x90x90
         0 book PKG4 acme 250x250x250 hard
         0 book PKG5 acme 250x250x250 hard
         0 quota 200x200x200 1
         10 badge acme
         20 scan PKG2
         30 book PKG3 acme 190x190x190 hard
         30 show 2
         40 withdraw PKG1 2
         40 show 1
         50 scan PKG2",
        "0 booked PKG1; 1 kept for PKG1
         0 booked PKG2
         0 booked PKG4; 3 kept for PKG4
         0 grant refused PKG5 NoRoom
         0 quota 1 accepted
         10 courier acme in
         20 refused: NO_FREE_COMPARTMENT
         30 booked PKG3; 2 kept for PKG3
         30 Reserved PKG3, Closed, Empty(Inspected), Ok
         40 withdrawn PKG1
         40 Free, Closed, Empty(Inspected), Ok
         50 deposit PKG2 in 1; intent 1 on 1 -> pulse 1",
    );
}

#[test]
fn k02_a_door_that_was_open_too_short_to_take_anything_out_keeps_its_parcel() {
    check(
        "0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 settled 1 opened
         30 door 1 open
         900 door 1 closed
         30900 deadline
         30900 show 1
         30900 show PKG1
         31000 pickup PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 intent 2 Opened
         30 door 1 Open by intent 2
         900 door 1 Closed by intent 2
         30900 Unconfirmed PKG1 in 1; session Left
         30900 Occupied PKG1, Closed, Full(DoorCycle), Ok
         30900 Stored in 1 since 0, version 1, code Some(Active)
         31000 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1",
    );
}

#[test]
fn k04_a_recipient_who_does_not_want_it_puts_it_back_and_it_is_asked_back() {
    check(
        "0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 settled 1 opened
         30 door 1 open
         5000 door 1 closed
         5010 refuse
         5010 show 1
         5010 show PKG1
         5020 pickup PKG1
         5030 badge acme
         5040 takeout PKG1
         5050 settled 1 opened
         5060 door 1 open
         5070 removed PKG1
         5080 door 1 closed
         5090 removed PKG2
         5100 removed PKG1
         5100 show 1
         5100 show PKG1
         5110 takeout PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 intent 2 Opened
         30 door 1 Open by intent 2
         5000 door 1 Closed by intent 2
         5010 Refused PKG1 in 1; session Finished
         5010 Occupied PKG1, Closed, Full(Attested), Ok
         5010 Stored in 1 since 0, asked back: Refused, version 1, code Some(Active)
         5020 refused: PARCEL_RECALLED
         5030 courier acme in
         5040 take out PKG1 from 1; intent 3 on 1 -> pulse 1
         5050 intent 3 Opened
         5060 door 1 Open by intent 3
         5070 refused: DOOR_OPEN
         5080 door 1 Closed by intent 3
         5090 refused: BARCODE_MISMATCH
         5100 recall Removed PKG1 in 1
         5100 Free, Closed, Empty(Attested), Ok
         5100 Recalled at 5100, asked back: Refused, version 1, code Some(Revoked)
         5110 refused: NOT_DEPOSITED",
    );
}

#[test]
fn k05_something_forgotten_is_fetched_before_the_visit_ends() {
    check(
        "0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 settled 1 opened
         30 door 1 open
         5000 door 1 closed
         5010 reopen
         5020 settled 1 shut
         5030 reopen
         5040 settled 1 opened
         5050 door 1 open
         5060 reopen
         9000 door 1 closed
         9010 reopen
         9020 settled 1 opened
         9030 door 1 open
         9040 door 1 closed
         9050 reopen
         9060 taken
         9060 show 1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 intent 2 Opened
         30 door 1 Open by intent 2
         5000 door 1 Closed by intent 2
         5010 intent 3 on 1 -> pulse 1
         5020 intent 3 NotOpened
         5030 intent 4 on 1 -> pulse 1
         5040 intent 4 Opened
         5050 door 1 Open by intent 4
         5060 refused: DOOR_OPEN
         9000 door 1 Closed by intent 4
         9010 intent 5 on 1 -> pulse 1
         9020 intent 5 Opened
         9030 door 1 Open by intent 5
         9040 door 1 Closed by intent 5
         9050 refused: NO_PULSE_LEFT
         9060 Collected PKG1 in 1; session Finished
         9060 Free, Closed, Empty(Attested), Ok",
    );
}

#[test]
fn k05_one_code_opens_one_after_the_other_what_is_for_the_same_person() {
    check(
        "0 store PKG1 acme 90x90x90 group 7
         0 store PKG2 acme 90x90x90 group 7
         0 store PKG3 acme 90x90x90
         10 pickup PKG1
         20 settled 1 opened
         30 door 1 open
         5000 door 1 closed
         5010 next
         5020 taken
         5030 next
         5040 settled 2 opened
         5050 door 2 open
         9000 door 2 closed
         9010 taken
         9020 show PKG1
         9020 show PKG2
         9020 show PKG3
         9030 next",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 Stored in 2 since 0, version 1, code Some(Active)
         0 Stored in 3 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 4 on 1 -> pulse 1
         20 intent 4 Opened
         30 door 1 Open by intent 4
         5000 door 1 Closed by intent 4
         5010 refused: NOT_NOW
         5020 Collected PKG1 in 1
         5030 pickup PKG2 from 2; intent 5 on 2 -> pulse 2
         5040 intent 5 Opened
         5050 door 2 Open by intent 5
         9000 door 2 Closed by intent 5
         9010 Collected PKG2 in 2; session Finished
         9020 Collected at 5020, version 1, code Some(Consumed)
         9020 Collected at 9010, version 1, code Some(Consumed)
         9020 Stored in 3 since 0, version 1, code Some(Active)
         9030 refused: NO_SESSION",
    );
}

#[test]
fn k07_an_empty_box_is_frozen_and_the_code_is_not_used_up() {
    check(
        "0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 settled 1 opened
         30 door 1 open
         40 foundempty
         5000 door 1 closed
         5010 foundempty
         5010 show 1
         5010 show PKG1
         5020 pickup PKG1
         5030 staff 1
         5040 inspect 1
         5050 settled 1 opened
         5060 door 1 open
         5070 door 1 closed
         5080 found empty
         5080 show 1
         5080 show PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 intent 2 Opened
         30 door 1 Open by intent 2
         40 refused: DOOR_OPEN
         5000 door 1 Closed by intent 2
         5010 FoundEmpty PKG1 in 1; session Finished
         5010 Quarantined FoundEmpty PKG1, Closed, Unknown, Ok
         5010 Unresolved in 1, version 1, code Some(Active)
         5020 refused: PARCEL_UNRESOLVED
         5030 staff 1 in
         5040 look into 1; intent 3 on 1 -> pulse 1
         5050 intent 3 Opened
         5060 door 1 Open by intent 3
         5070 door 1 Closed by intent 3
         5080 1 found Empty
         5080 Free, Closed, Empty(Inspected), Ok
         5080 Missing at 5080, version 1, code Some(Active)",
    );
}

#[test]
fn k08_somebody_elses_parcel_is_put_back_and_waits_for_staff() {
    check(
        "0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 settled 1 opened
         30 door 1 open
         5000 door 1 closed
         5010 wrongparcel
         5010 show 1
         5010 show PKG1
         5020 pickup PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 intent 2 Opened
         30 door 1 Open by intent 2
         5000 door 1 Closed by intent 2
         5010 WrongParcel PKG1 in 1; session Finished
         5010 Quarantined WrongParcel PKG1, Closed, Unknown, Ok
         5010 Unresolved in 1, version 1, code Some(Active)
         5020 refused: PARCEL_UNRESOLVED",
    );
}

#[test]
fn k11_the_first_durable_intent_wins_between_recipient_and_recall() {
    check(
        "0 store PKG1 acme 90x90x90
         0 store PKG2 acme 90x90x90
         10 askback PKG1 2 sender
         10 askback PKG2 2 sender
         20 badge acme
         30 takeout PKG1
         40 pickup PKG1
         50 settled 1 opened
         60 door 1 open
         70 door 1 closed
         80 foundempty
         80 show 1
         80 show PKG1
         90 takeout PKG1
         100 pickup PKG2
         110 keep PKG2 3 99999
         120 pickup PKG2",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 Stored in 2 since 0, version 1, code Some(Active)
         10 PKG1 asked back: Sender
         10 PKG2 asked back: Sender
         20 courier acme in
         30 take out PKG1 from 1; intent 3 on 1 -> pulse 1
         40 refused: RECALL_IN_PROGRESS
         50 intent 3 Opened
         60 door 1 Open by intent 3
         70 door 1 Closed by intent 3
         80 recall FoundEmpty PKG1 in 1
         80 Quarantined FoundEmpty PKG1, Closed, Unknown, Ok
         80 Unresolved in 1, asked back: Sender, version 2, code Some(Active)
         90 refused: PARCEL_UNRESOLVED
         100 refused: PARCEL_RECALLED
         110 PKG2 may stay until 99999
         120 refused: PARCEL_RECALLED",
    );
}

#[test]
fn k11_a_recall_that_comes_while_the_recipient_stands_there_is_too_late() {
    check(
        "0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 askback PKG1 2 safety
         30 settled 1 opened
         40 door 1 open
         5000 door 1 closed
         5010 taken
         5020 badge acme
         5030 takeout PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 grant refused PKG1 TooLate
         30 intent 2 Opened
         40 door 1 Open by intent 2
         5000 door 1 Closed by intent 2
         5010 Collected PKG1 in 1; session Finished
         5020 courier acme in
         5030 refused: ALREADY_COLLECTED",
    );
}

#[test]
fn k12_whose_time_is_over_is_turned_away_while_and_after_it_is_taken_out() {
    check(
        "0 store PKG1 acme 90x90x90 keep 1000
         1000 lapse
         1001 lapse
         1001 show PKG1
         1010 pickup PKG1
         1020 badge acme
         1030 takeout PKG1
         1040 pickup PKG1
         1050 settled 1 opened
         1060 door 1 open
         1070 door 1 closed
         1080 removed PKG1
         1090 pickup PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         1000 nothing
         1001 time of PKG1 is over
         1001 Stored in 1 since 0, asked back: Expired, version 1, code Some(Active)
         1010 refused: PARCEL_EXPIRED
         1020 courier acme in
         1030 take out PKG1 from 1; intent 2 on 1 -> pulse 1
         1040 refused: RECALL_IN_PROGRESS
         1050 intent 2 Opened
         1060 door 1 Open by intent 2
         1070 door 1 Closed by intent 2
         1080 recall Removed PKG1 in 1
         1090 refused: CODE_REVOKED",
    );
}

#[test]
fn a_parcel_that_may_stay_longer_opens_again() {
    check(
        "0 store PKG1 acme 90x90x90 keep 1000
         1001 lapse
         1010 keep PKG1 2 5000
         1020 pickup PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         1001 time of PKG1 is over
         1010 PKG1 may stay until 5000
         1020 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1",
    );
}

#[test]
fn k13_nothing_but_staff_and_codes_opens_a_door() {
    check(
        "0 store PKG1 acme 90x90x90
         10 inspect 1
         20 badge acme
         30 inspect 1
         40 takeout PKG1
         50 reset 0
         60 lockdown
         70 lift",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 refused: NO_SESSION
         20 courier acme in
         30 refused: STAFF_ONLY
         40 refused: NOT_RECALLED
         50 refused: STAFF_ONLY
         60 refused: STAFF_ONLY
         70 refused: STAFF_ONLY",
    );
}

#[test]
fn k15_of_owner_and_delegate_the_first_wins() {
    check(
        "0 store PKG1 acme 90x90x90
         0 lend PKG1 2 50 9000
         10 delegate 50
         15 pickup PKG1
         20 settled 1 opened
         30 door 1 open
         5000 door 1 closed
         5010 taken
         5020 pickup PKG1
         125010 delegate 50",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 second code for PKG1
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         15 refused: PICKUP_IN_PROGRESS
         20 intent 2 Opened
         30 door 1 Open by intent 2
         5000 door 1 Closed by intent 2
         5010 Collected PKG1 in 1; session Finished
         5020 refused: CODE_USED
         125010 refused: CODE_USED",
    );
}

#[test]
fn k15_who_comes_while_the_other_is_served_is_told_so_and_afterwards_that_it_is_gone() {
    check(
        "0 store PKG1 acme 90x90x90
         0 lend PKG1 2 50 900000
         10 pickup PKG1
         15 delegate 50
         20 settled 1 opened
         30 door 1 open
         35 delegate 50
         5000 door 1 closed
         5005 delegate 50
         5010 nottaken
         5020 delegate 50
         5025 pickup PKG1
         5030 settled 1 opened
         5040 door 1 open
         9000 door 1 closed
         9010 taken
         9020 pickup PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 second code for PKG1
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         15 refused: PICKUP_IN_PROGRESS
         20 intent 2 Opened
         30 door 1 Open by intent 2
         35 refused: PICKUP_IN_PROGRESS
         5000 door 1 Closed by intent 2
         5005 refused: PICKUP_IN_PROGRESS
         5010 NotTaken PKG1 in 1; session Finished
         5020 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1
         5025 refused: PICKUP_IN_PROGRESS
         5030 intent 3 Opened
         5040 door 1 Open by intent 3
         9000 door 1 Closed by intent 3
         9010 Collected PKG1 in 1; session Finished
         9020 refused: CODE_USED",
    );
}

#[test]
fn a_delegate_can_be_taken_back_and_lapses() {
    check(
        "0 store PKG1 acme 90x90x90
         0 lend PKG1 2 50 1000
         0 lend PKG1 3 51 1000
         10 revoke PKG1 4 50
         20 delegate 50
         1001 delegate 51
         1010 pickup PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 second code for PKG1
         0 second code for PKG1
         10 code of PKG1 withdrawn
         20 refused: CODE_REVOKED
         1001 refused: CODE_EXPIRED
         1010 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1",
    );
}

#[test]
fn c03_a_code_issued_again_while_inside_replaces_the_old_one_at_once() {
    check(
        "0 store PKG1 acme 90x90x90
         10 reissue PKG1 2 60
         20 pickup PKG1
         30 delegate 60",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 new code for PKG1
         20 refused: CODE_REVOKED
         30 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1",
    );
}

#[test]
fn c02_showing_a_code_does_not_use_it_up() {
    check(
        "0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 settled 1 shut
         30 again
         40 settled 1 shut
         50 show PKG1
         60 pickup PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 intent 2 NotOpened
         30 intent 3 on 1 -> pulse 1
         40 intent 3 NotOpened; NotOpened PKG1 in 1 lock failed; session Finished
         50 Stored in 1 since 0, version 1, code Some(Active)
         60 recipient in; pickup PKG1 from 1; intent 4 on 1 -> pulse 1",
    );
}

#[test]
fn c10_too_many_openings_are_refused_with_one_alarm_until_a_minute_has_passed() {
    let mut script = String::new();
    for n in 0..10 {
        let visit = format!(
            "{n}000 store PKG1 acme 90x90x90 v {}
             +1 pickup PKG1
             +1 settled 1 opened
             +1 door 1 open
             +1 door 1 closed
             +1 nottaken
             +1 staff 1
             +1 askback PKG1 {} sender
             +1 takeout PKG1
             +1 settled 1 opened
             +1 door 1 open
             +1 door 1 closed
             +1 removed PKG1
             +1 finish\n",
            3 * n + 1,
            3 * n + 2
        );
        script.push_str(&visit);
    }
    let mut world = super::world::World::new();
    for line in script.lines().filter(|line| !line.trim().is_empty()) {
        world.play(line.trim());
    }
    let said =
        ["+1 store PKG2 acme 90x90x90", "+1 pickup PKG2", "+1 pickup PKG2", "+60000 pickup PKG2"]
            .map(|line| world.play(line));
    assert!(said[1].contains("alarm TooManyOpenings(Recipient), refused: TOO_MANY_OPENINGS"));
    assert!(said[2].ends_with("refused: TOO_MANY_OPENINGS"), "one trip, one alarm: {}", said[2]);
    assert!(said[3].contains("-> pulse"), "a minute later: {}", said[3]);
}

#[test]
fn c10_a_lockdown_leaves_doors_to_staff_and_is_lifted_by_two() {
    check(
        "0 store PKG1 acme 90x90x90
         0 book PKG2 acme 90x90x90
         10 staff 1
         20 lockdown
         30 lockdown
         40 pickup PKG1
         50 badge acme
         60 scan PKG2
         70 reboot
         80 baseline 1:closed 2:closed 3:closed
         90 pickup PKG1
         100 staff 1
         110 inspect 1
         120 settled 1 opened
         130 door 1 open
         140 door 1 closed
         150 found handedover PKG1
         150 show 1
         150 show PKG1
         160 lift
         170 lift
         180 staff 2
         190 lift
         200 badge acme
         210 scan PKG2",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 booked PKG2
         10 staff 1 in
         20 lockdown Staff
         30 refused: LOCKED_DOWN
         40 refused: LOCKED_DOWN
         50 session Left; courier acme in
         60 refused: LOCKED_DOWN
         70 booted 2; session Interrupted
         80 doors read 1:Closed 2:Closed 3:Closed
         90 refused: LOCKED_DOWN
         100 staff 1 in
         110 look into 1; intent 2 on 1 -> pulse 1
         120 intent 2 Opened
         130 door 1 Open by intent 2
         140 door 1 Closed by intent 2
         150 PKG1 handed over from 1
         150 Free, Closed, Empty(Inspected), Ok
         150 Collected at 150, version 1, code Some(Consumed)
         160 staff 1 asks to lift
         170 refused: SECOND_PERSON
         180 session Left; staff 2 in
         190 lockdown lifted
         200 session Left; courier acme in
         210 deposit PKG2 in 1; intent 3 on 1 -> pulse 1",
    );
}

#[test]
fn h01_two_doors_for_one_pulse_that_are_not_neighbours_stop_the_board() {
    check(
        "0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 door 3 open
         30 settled 1 opened
         30 show 1
         30 show 3
         40 door 1 open
         5000 door 1 closed
         5010 taken
         5020 badge acme
         5030 book PKG2 acme 90x90x90
         5040 scan PKG2
         5050 staff 1
         5060 reset 0
         5060 show 1
         5070 badge acme
         5080 scan PKG2",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 door 3 Open by nobody (AddressClash); alarm AddressClash { board: 0 }
         30 intent 2 Opened
         30 Collecting PKG1, Closed, Full(Attested), Stopped
         30 Quarantined OpenedByNobody nothing known, ForcedOpen, Unknown, Stopped
         40 door 1 Open by intent 2
         5000 door 1 Closed by intent 2
         5010 Collected PKG1 in 1; session Finished
         5020 courier acme in
         5030 booked PKG2
         5040 refused: NO_FREE_COMPARTMENT
         5050 session Left; staff 1 in
         5060 board 0 reset
         5060 Free, Closed, Empty(Attested), Ok
         5070 session Left; courier acme in
         5080 deposit PKG2 in 1; intent 3 on 1 -> pulse 1",
    );
}

#[test]
fn h02_a_sensor_in_doubt_still_lets_people_in_and_its_openings_are_called_a_cable_fault() {
    check(
        "0 store PKG1 acme 90x90x90
         10 doubt 1
         20 doubt 1
         30 door 1 open
         30 show 1
         40 pickup PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 alarm SensorDoubt(CompartmentNo(1))
         20 nothing
         30 door 1 Open by nobody (CableFault)
         30 Occupied PKG1, ForcedOpen, Unknown, Ok
         40 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1",
    );
}

#[test]
fn h08_a_door_pulled_open_by_force_is_an_alarm_and_leaves_doubt() {
    check(
        "0 store PKG1 acme 90x90x90
         10 door 1 open
         10 show 1
         20 door 2 open
         20 show 2",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 door 1 Open by nobody (Forced)
         10 Occupied PKG1, ForcedOpen, Unknown, Ok
         20 door 2 Open by nobody (Forced)
         20 Quarantined OpenedByNobody nothing known, ForcedOpen, Unknown, Ok",
    );
}

#[test]
fn h12_a_neighbour_that_pops_open_with_it_is_closed_off() {
    check(
        "0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 door 2 open
         20 show 2
         30 settled 1 opened
         30 show 1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 door 2 Open by nobody (Sympathetic)
         20 Quarantined OpenedByNobody nothing known, ForcedOpen, Unknown, Ok
         30 intent 2 Opened
         30 Collecting PKG1, Closed, Full(Attested), Ok",
    );
}

#[test]
fn h12_a_neighbour_with_a_parcel_keeps_it_and_its_code_until_staff_has_looked() {
    check(
        "0 store PKG1 acme 90x90x90
         0 store PKG2 acme 90x90x90
         10 pickup PKG1
         20 door 2 open
         20 show 2
         20 show PKG2
         30 settled 1 opened
         40 door 1 open
         50 door 2 closed
         2000 door 1 closed
         2010 taken
         2010 show 2
         3000 pickup PKG2
         3010 settled 2 opened
         3020 door 2 open
         5000 door 2 closed
         5010 nottaken
         6000 staff 1
         6010 inspect 2
         6020 settled 2 opened
         6030 door 2 open
         7000 door 2 closed
         7010 found inside PKG2
         7010 show 2",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 Stored in 2 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1
         20 door 2 Open by nobody (Sympathetic)
         20 Occupied PKG2, ForcedOpen, Unknown, Ok
         20 Stored in 2 since 0, version 1, code Some(Active)
         30 intent 3 Opened
         40 door 1 Open by intent 3
         50 door 2 Closed by nobody
         2000 door 1 Closed by intent 3
         2010 Collected PKG1 in 1; session Finished
         2010 Occupied PKG2, Closed, Unknown, Ok
         3000 recipient in; pickup PKG2 from 2; intent 4 on 2 -> pulse 2
         3010 intent 4 Opened
         3020 door 2 Open by intent 4
         5000 door 2 Closed by intent 4
         5010 NotTaken PKG2 in 2; session Finished
         6000 staff 1 in
         6010 look into 2; intent 5 on 2 -> pulse 2
         6020 intent 5 Opened
         6030 door 2 Open by intent 5
         7000 door 2 Closed by intent 5
         7010 PKG2 found in 2
         7010 Occupied PKG2, Closed, Full(Inspected), Ok",
    );
}

#[test]
fn h05_an_opening_long_after_a_pulse_that_failed_is_called_late() {
    check(
        "0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 settled 1 shut
         30 again
         40 settled 1 shut
         50 door 1 open
         50 show 1
         60 door 1 closed
         60041 door 1 open",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 intent 2 NotOpened
         30 intent 3 on 1 -> pulse 1
         40 intent 3 NotOpened; NotOpened PKG1 in 1 lock failed; session Finished
         50 door 1 Open by nobody (Late)
         50 Occupied PKG1, ForcedOpen, Unknown, OpenFailed
         60 door 1 Closed by nobody
         60041 door 1 Open by nobody (Forced)",
    );
}

#[test]
fn h06_a_board_without_power_is_taken_out_of_service_until_staff_looked() {
    check(
        "0 store PKG1 acme 90x90x90
         10 power
         10 show 1
         20 pickup PKG1
         30 board offline
         40 board online
         40 show 1
         50 staff 1
         60 reset 0
         70 reset 0
         80 baseline 1:closed 2:closed 3:closed
         80 show 1
         90 pickup PKG1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 alarm BoardPower { board: 0 }
         10 Occupied PKG1, Closed, Full(Attested), Stopped
         20 refused: LOCK_UNREACHABLE
         30 nothing
         40 nothing
         40 Occupied PKG1, Closed, Full(Attested), Stopped
         50 staff 1 in
         60 board 0 reset
         70 refused: NOT_NOW
         80 doors read 1:Closed 2:Closed 3:Closed
         80 Occupied PKG1, Closed, Full(Attested), Ok
         90 session Left; recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1",
    );
}

#[test]
fn in_maintenance_nothing_is_brought_and_everything_can_be_fetched() {
    check(
        "0 store PKG1 acme 90x90x90
         0 book PKG2 acme 90x90x90
         10 mode maintenance
         20 badge acme
         30 scan PKG2
         40 pickup PKG1
         50 settled 1 opened
         60 door 1 open
         5000 door 1 closed
         5010 taken
         5020 mode serving
         5030 badge acme
         5040 scan PKG2",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 booked PKG2
         10 maintenance true
         20 courier acme in
         30 refused: BANK_NOT_ACCEPTING
         40 session Left; recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         50 intent 2 Opened
         60 door 1 Open by intent 2
         5000 door 1 Closed by intent 2
         5010 Collected PKG1 in 1; session Finished
         5020 maintenance false
         5030 courier acme in
         5040 deposit PKG2 in 1; intent 3 on 1 -> pulse 1",
    );
}

#[test]
fn an_inspection_that_nobody_finished_leaves_the_box_closed_off() {
    check(
        "0 staff 1
         10 inspect 1
         20 settled 1 opened
         30 door 1 open
         40 door 1 closed
         50 cancel
         30040 deadline
         30040 show 1
         30050 staff 1
         30060 inspect 2
         30070 settled 2 shut
         30080 cancel
         30080 show 2
         30090 inspect 9",
        "0 staff 1 in
         10 look into 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         40 door 1 Closed by intent 1
         50 refused: NOT_NOW
         30040 1 found Unfinished; session Left
         30040 Quarantined InspectionUnfinished nothing known, Closed, Unknown, Ok
         30050 staff 1 in
         30060 look into 2; intent 2 on 2 -> pulse 2
         30070 intent 2 NotOpened
         30080 2 found NotOpened
         30080 Free, Closed, Empty(Inspected), Ok
         30090 refused: COMPARTMENT_UNKNOWN",
    );
}

#[test]
fn a_recall_left_half_done_is_not_known_and_can_be_done_again() {
    check(
        "0 store PKG1 acme 90x90x90
         10 askback PKG1 2 sender
         20 badge acme
         30 takeout PKG1
         40 settled 1 opened
         50 door 1 open
         60 door 1 closed
         30060 deadline
         30060 show 1
         30060 show PKG1
         30070 staff 1
         30080 takeout PKG1
         30090 settled 1 opened
         30100 door 1 open
         30110 door 1 closed
         30120 nottaken
         30120 show 1",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         10 PKG1 asked back: Sender
         20 courier acme in
         30 take out PKG1 from 1; intent 2 on 1 -> pulse 1
         40 intent 2 Opened
         50 door 1 Open by intent 2
         60 door 1 Closed by intent 2
         30060 recall Interrupted PKG1 in 1; session Left
         30060 Quarantined Interrupted PKG1, Closed, Unknown, Ok
         30060 Stored in 1 since 0, asked back: Sender, version 2, code Some(Active)
         30070 staff 1 in
         30080 take out PKG1 from 1; intent 3 on 1 -> pulse 1
         30090 intent 3 Opened
         30100 door 1 Open by intent 3
         30110 door 1 Closed by intent 3
         30120 recall NotTaken PKG1 in 1
         30120 Occupied PKG1, Closed, Full(Attested), Ok",
    );
}

#[test]
fn carriers_may_use_the_same_label() {
    check(
        "0 book PKG1 acme 90x90x90
         0 book PKG2 zeta 90x90x90 as PKG1
         10 badge zeta
         20 scan PKG1",
        "0 booked PKG1
         0 booked PKG2
         10 courier zeta in
         20 deposit PKG2 in 1; intent 1 on 1 -> pulse 1",
    );
}

#[test]
fn c04_six_digits_open_what_was_deposited_with_them_and_nothing_else() {
    check(
        "0 slots 1-2
         0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         40 door 1 closed
         50 deposited
         60 finish
         70 type 2
         80 type 1
         2000 type 1
         2010 settled 1 opened
         2020 door 1 open
         7000 door 1 closed
         7010 taken
         127010 type 1",
        "0 2 slots
         0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         40 door 1 Closed by intent 1
         50 stored PKG1 in 1 with digits 1
         60 session Finished
         70 digits Wrong, refused: CODE_WRONG
         80 refused: KEYPAD_WAIT
         2000 digits Right; recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         2010 intent 2 Opened
         2020 door 1 Open by intent 2
         7000 door 1 Closed by intent 2
         7010 Collected PKG1 in 1; session Finished
         127010 refused: CODE_USED",
    );
}

#[test]
fn k09_digits_and_phone_digits_that_do_not_go_together_say_only_wrong() {
    check(
        "0 slots 1-1
         0 store PKG1 acme 90x90x90 phone 7
         0 store PKG2 acme 90x90x90
         10 type 1
         2000 type 1 8
         9000 type 1 7",
        "0 1 slots
         0 Stored in 1 since 0, version 1, code Some(Active)
         0 Stored in 2 since 0, version 1, code Some(Active)
         10 digits Wrong, refused: CODE_WRONG
         2000 digits Wrong, refused: CODE_WRONG
         9000 digits Right; recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1",
    );
}

#[test]
fn c05_each_wrong_code_is_counted_before_the_answer_and_the_keypad_closes() {
    let mut world = super::world::World::new();
    let mut said = Vec::new();
    for n in 0..40 {
        said.push(world.play(&format!("+60000 type {}", 100 + n)));
    }
    let wrong = said.iter().filter(|line| line.ends_with("digits Wrong, refused: CODE_WRONG"));
    assert_eq!(wrong.count(), 25, "a quarter of the budget without phone digits");
    assert!(said[39].ends_with("refused: KEYPAD_CLOSED"));
    assert!(world.play("+1 store PKG1 acme 90x90x90").contains("Stored"));
    assert!(world.play("+1 pickup PKG1").contains("pulse"), "c06: the QR path stays open");
    assert!(world.play("+90000000 type 9").ends_with("refused: SESSION_BUSY"));
}

#[test]
fn c06_staff_open_the_keypad_again() {
    let mut world = super::world::World::new();
    for n in 0..26 {
        world.play(&format!("+60000 type {}", 100 + n));
    }
    assert!(world.play("+60000 type 9").ends_with("refused: KEYPAD_CLOSED"));
    assert!(world.play("+1 keypad reset").ends_with("refused: NO_SESSION"));
    world.play("+1 staff 1");
    assert!(world.play("+1 keypad reset").ends_with("keypad reset"));
    assert!(world.play("+1 type 9").ends_with("digits Wrong, refused: CODE_WRONG"));
}

#[test]
fn c07_without_a_slot_the_deposit_is_taken_with_its_qr_code_alone() {
    check(
        "0 slots 1-1
         0 slots 1-1
         0 book PKG1 acme 90x90x90
         0 book PKG2 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         40 door 1 closed
         50 deposited
         60 scan PKG2
         70 settled 2 opened
         80 door 2 open
         90 door 2 closed
         100 deposited",
        "0 1 slots
         0 grant refused slots Stale
         0 booked PKG1
         0 booked PKG2
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         40 door 1 Closed by intent 1
         50 stored PKG1 in 1 with digits 1
         60 deposit PKG2 in 2; intent 2 on 2 -> pulse 2
         70 intent 2 Opened
         80 door 2 Open by intent 2
         90 door 2 Closed by intent 2
         100 stored PKG2 in 2",
    );
}

#[test]
fn c03_a_new_code_makes_the_old_digits_void() {
    check(
        "0 slots 1-1
         0 store PKG1 acme 90x90x90
         10 reissue PKG1 2 60
         20 type 1",
        "0 1 slots
         0 Stored in 1 since 0, version 1, code Some(Active)
         10 new code for PKG1
         20 digits Wrong, refused: CODE_WRONG",
    );
}

#[test]
fn whoever_is_left_signed_in_with_power_over_doors_is_signed_out_soon() {
    check(
        "0 store PKG1 acme 90x90x90 group 7
         0 store PKG2 acme 90x90x90 group 7
         10 pickup PKG1
         20 settled 1 opened
         30 door 1 open
         5000 door 1 closed
         5010 taken
         35009 deadline
         35010 deadline
         35020 next
         40000 staff 1
         70000 deadline
         70010 inspect 2",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 Stored in 2 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1
         20 intent 3 Opened
         30 door 1 Open by intent 3
         5000 door 1 Closed by intent 3
         5010 Collected PKG1 in 1
         35009 nothing
         35010 session Left
         35020 refused: NO_SESSION
         40000 staff 1 in
         70000 session Left
         70010 refused: NO_SESSION",
    );
}

#[test]
fn c09_a_courier_signs_in_with_the_digits_of_the_day() {
    check(
        "0 couriers 9:acme:1000-90000 8:zeta:50000-100000
         0 book PKG1 acme 90x90x90
         10 type 9
         2000 type 9
         2010 scan PKG1
         2020 type 9
         2030 settled 1 opened
         2040 door 1 open
         2050 door 1 closed
         2060 deposited
         3000 type 9
         3010 finish
         4000 type 8
         9000 type 9 7
         90000 type 9
         95000 type 8",
        "0 couriers' codes 1 accepted
         0 booked PKG1
         10 digits Wrong, refused: CODE_WRONG
         2000 digits Right; courier acme in
         2010 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         2020 refused: SESSION_BUSY
         2030 intent 1 Opened
         2040 door 1 Open by intent 1
         2050 door 1 Closed by intent 1
         2060 stored PKG1 in 1
         3000 session Left; courier acme in
         3010 session Finished
         4000 digits Wrong, refused: CODE_WRONG
         9000 digits Wrong, refused: CODE_WRONG
         90000 digits Wrong, refused: CODE_WRONG
         95000 digits Right; courier zeta in",
    );
}

#[test]
fn c09_couriers_codes_are_replaced_as_a_whole_and_never_share_a_slot_with_a_parcel() {
    check(
        "0 slots 1-1
         0 couriers 9:acme:0-90000
         10 couriers 8:acme:0-90000 8:acme:0-90000
         10 couriers 1:acme:0-90000
         10 couriers 8:acme:90000-0
         20 slots 9-9
         30 couriers 8:acme:0-90000
         40 type 9
         2000 type 8",
        "0 1 slots
         0 couriers' codes 1 accepted
         10 CourierCodes 2 refused Unsound
         10 CourierCodes 2 refused Unsound
         10 CourierCodes 2 refused Unsound
         20 grant refused slots Stale
         30 couriers' codes 2 accepted
         40 digits Wrong, refused: CODE_WRONG
         2000 digits Right; courier acme in",
    );
}

#[test]
fn c09_a_couriers_digits_count_against_the_guess_budget_and_lift_no_lockdown() {
    let mut world = super::world::World::new();
    world.play("+0 couriers 9:acme:90000000-170000000");
    let said: Vec<String> = (0..27).map(|_| world.play("+60000 type 9")).collect();
    let wrong = said.iter().filter(|line| line.ends_with("digits Wrong, refused: CODE_WRONG"));
    assert_eq!(wrong.count(), 25, "tomorrow's code counts as any wrong one");
    assert!(said[26].ends_with("refused: KEYPAD_CLOSED"));
    world.play("+100000000 staff 1");
    world.play("+1 lockdown");
    world.play("+1 finish");
    assert!(world.play("+1 book PKG1 acme 90x90x90").ends_with("booked PKG1"));
    assert!(world.play("+1 type 9").ends_with("digits Right; courier acme in"));
    assert!(world.play("+1 scan PKG1").ends_with("refused: LOCKED_DOWN"), "as after a badge");
}

#[test]
fn a_restored_hub_of_a_later_epoch_is_followed_and_an_older_one_is_not() {
    check(
        "0 layout_of 5 7 1:100x100x100 2:200x200x200
         0 mode_of 5 7
         0 quota_of 5 7
         0 couriers_of 5 7
         10 layout_of 5 7 1:100x100x100
         10 layout_of 4 9 1:100x100x100
         10 mode_of 4 9
         10 quota_of 4 9
         10 couriers_of 4 9
         20 layout_of 6 1 1:100x100x100
         20 mode_of 6 1
         20 quota_of 6 1
         20 couriers_of 6 1
         30 layout_of 6 2
         30 mode_of 5 8
         40 couriers_of 6 2",
        "0 layout 7 accepted
         0 maintenance true
         0 quota 7 accepted
         0 couriers' codes 7 accepted
         10 nothing
         10 nothing
         10 nothing
         10 nothing
         10 nothing
         20 layout 1 accepted
         20 maintenance true
         20 quota 1 accepted
         20 couriers' codes 1 accepted
         30 Layout 2 refused Unsound
         30 nothing
         40 couriers' codes 2 accepted",
    );
}

#[test]
fn c03_a_code_issued_again_takes_its_digits_back_and_gives_new_ones_while_there_are_any() {
    check(
        "0 slots 1-2
         0 store PKG1 acme 90x90x90
         10 reissue PKG1 2 60
         20 type 1
         2000 type 2
         2010 settled 1 shut
         2020 cancel
         3000 reissue PKG1 3 61
         3010 type 2
         9000 delegate 61
         9010 settled 1 opened
         9020 door 1 open",
        "0 2 slots
         0 Stored in 1 since 0, version 1, code Some(Active)
         10 new code for PKG1; digits 2 for PKG1
         20 digits Wrong, refused: CODE_WRONG
         2000 digits Right; recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         2010 intent 2 NotOpened
         2020 NotOpened PKG1 in 1; session Finished
         3000 new code for PKG1
         3010 digits Wrong, refused: CODE_WRONG
         9000 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1
         9010 intent 3 Opened
         9020 door 1 Open by intent 3",
    );
}

#[test]
fn c03_a_code_issued_again_before_the_parcel_comes_takes_no_digits() {
    check(
        "0 slots 1-1
         0 book PKG1 acme 90x90x90
         10 reissue PKG1 2 60
         20 badge acme
         20 scan PKG1
         30 settled 1 opened
         40 door 1 open
         50 door 1 closed
         60 deposited",
        "0 1 slots
         0 booked PKG1
         10 new code for PKG1
         20 courier acme in
         20 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         30 intent 1 Opened
         40 door 1 Open by intent 1
         50 door 1 Closed by intent 1
         60 stored PKG1 in 1 with digits 1",
    );
}

#[test]
fn c03_a_recipients_code_that_is_withdrawn_takes_its_digits_along_and_a_delegates_does_not() {
    check(
        "0 slots 1-1
         0 store PKG1 acme 90x90x90
         10 lend PKG1 2 60 999999
         20 revoke PKG1 3 60
         30 type 1
         40 settled 1 shut
         50 cancel
         60 revoke PKG1 4 1
         70 type 1",
        "0 1 slots
         0 Stored in 1 since 0, version 1, code Some(Active)
         10 second code for PKG1
         20 code of PKG1 withdrawn
         30 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         40 intent 2 NotOpened
         50 NotOpened PKG1 in 1; session Finished
         60 code of PKG1 withdrawn
         70 digits Wrong, refused: CODE_WRONG",
    );
}

#[test]
fn k05_whoever_walked_off_may_open_the_same_compartment_again_for_two_minutes() {
    check(
        "0 slots 1-1
         0 store PKG1 acme 90x90x90
         10 pickup PKG1
         20 settled 1 opened
         30 door 1 open
         5000 door 1 closed
         5010 taken
         60000 pickup PKG1
         60000 show 1
         60005 taken
         60010 settled 1 opened
         60020 door 1 open
         60030 taken
         65000 door 1 closed
         65010 taken
         65010 show 1
         65010 show PKG1
         80000 type 1
         80010 settled 1 opened
         80020 door 1 open
         85000 door 1 closed
         115000 deadline
         115000 show 1
         125009 pickup PKG1
         125020 settled 1 opened
         125030 door 1 closed
         125040 foundempty
         125050 pickup PKG1
         125060 type 1",
        "0 1 slots
         0 Stored in 1 since 0, version 1, code Some(Active)
         10 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         20 intent 2 Opened
         30 door 1 Open by intent 2
         5000 door 1 Closed by intent 2
         5010 Collected PKG1 in 1; session Finished
         60000 recipient in; look into 1; intent 3 on 1 -> pulse 1
         60000 Quarantined InspectionUnfinished nothing known, Closed, Empty(Attested), Ok
         60005 refused: NOT_NOW
         60010 intent 3 Opened
         60020 door 1 Open by intent 3
         60030 refused: DOOR_OPEN
         65000 door 1 Closed by intent 3
         65010 1 found Empty; session Finished
         65010 Free, Closed, Empty(DoorCycle), Ok
         65010 Collected at 5010, version 1, code Some(Consumed)
         80000 recipient in; look into 1; intent 4 on 1 -> pulse 1
         80010 intent 4 Opened
         80020 door 1 Open by intent 4
         85000 door 1 Closed by intent 4
         115000 1 found Empty; session Left
         115000 Free, Closed, Empty(DoorCycle), Ok
         125009 recipient in; look into 1; intent 5 on 1 -> pulse 1
         125020 intent 5 Opened
         125030 door 1 Closed by intent 5
         125040 1 found Empty; session Finished
         125050 refused: CODE_USED
         125060 refused: CODE_USED",
    );
}

/// Parcel 1 was fetched from compartment 1 a moment ago. Then `lines` happen; the last one is told.
fn a_moment_after_a_pickup(lines: &[&str]) -> String {
    let mut world = super::world::World::new();
    for line in [
        "0 store PKG1 acme 90x90x90",
        "0 lend PKG1 2 60 999999999",
        "10 pickup PKG1",
        "20 settled 1 opened",
        "30 door 1 open",
        "5000 door 1 closed",
        "5010 taken",
    ] {
        world.play(line);
    }
    let said: Vec<String> = lines.iter().map(|line| world.play(line)).collect();
    world.rebuilds();
    let last = said.last().unwrap();
    last.split_once(' ').unwrap().1.to_owned()
}

#[test]
fn k05_nobody_looks_into_a_compartment_that_somebody_else_was_given() {
    let used = "refused: CODE_USED";
    let again = "+10 pickup PKG1";
    assert!(a_moment_after_a_pickup(&[again]).contains("look into 1"));
    assert_eq!(a_moment_after_a_pickup(&["+10 store PKG2 acme 90x90x90", again]), used);
    let fetched = [
        "+10 store PKG2 acme 90x90x90",
        "+10 pickup PKG2",
        "+10 settled 1 opened",
        "+10 door 1 closed",
        "+5000 taken",
        again,
    ];
    assert_eq!(a_moment_after_a_pickup(&fetched), used, "emptied by somebody else");
    assert_eq!(a_moment_after_a_pickup(&["+10 book PKG2 acme 90x90x90 hard", again]), used);
    let staff = [
        "+10 staff 1",
        "+10 inspect 1",
        "+10 settled 1 opened",
        "+10 door 1 closed",
        "+10 found empty",
        again,
    ];
    assert_eq!(a_moment_after_a_pickup(&staff), used);
    assert_eq!(a_moment_after_a_pickup(&["+10 door 1 open", again]), used, "opened by force");
    assert_eq!(a_moment_after_a_pickup(&["+10 reboot", again]), used, "for how long?");
    assert_eq!(a_moment_after_a_pickup(&["+10 delegate 60"]), used, "another's code");
    assert_eq!(a_moment_after_a_pickup(&["4000 pickup PKG1"]), used, "the clock was set back");
    let locked = ["+10 staff 1", "+10 lockdown", "+10 finish", again];
    assert_eq!(a_moment_after_a_pickup(&locked), "refused: LOCKED_DOWN");
    let busy = ["+10 badge acme", "+10 book PKG2 acme 90x90x90", "+10 scan PKG2", again];
    assert_eq!(a_moment_after_a_pickup(&busy), "refused: SESSION_BUSY");
}

#[test]
fn k05_a_look_that_leaves_the_door_open_or_its_end_unknown_is_for_staff() {
    let closed_off = "Quarantined InspectionUnfinished nothing known, ";
    let look = ["+10 pickup PKG1", "+10 settled 1 opened", "+10 door 1 open"];
    let after = |rest: &[&str]| {
        let lines: Vec<&str> = look.iter().chain(rest).copied().collect();
        a_moment_after_a_pickup(&lines)
    };
    assert_eq!(after(&["+300000 deadline"]), "1 found Unfinished; session Left");
    assert!(after(&["+300000 deadline", "+0 show 1"]).starts_with(closed_off));
    assert!(after(&["+10 reboot", "+0 show 1"]).starts_with(closed_off));
    for said in ["nottaken", "refuse", "wrongparcel"] {
        let said = format!("+10 {said}");
        let rest = ["+10 door 1 closed", &said];
        assert_eq!(after(&rest), "1 found Unfinished; session Finished");
        let rest = ["+10 door 1 closed", &said, "+0 show 1"];
        assert!(after(&rest).starts_with(closed_off), "something may be inside");
        let rest = ["+10 door 1 closed", &said, "+10 pickup PKG1"];
        assert_eq!(after(&rest), "refused: CODE_USED");
    }
    let unknown = ["+10 pickup PKG1", "+10 settled 1 unknown"];
    assert_eq!(
        a_moment_after_a_pickup(&unknown),
        "intent 3 Unknown; 1 found Unfinished; session Finished"
    );
}

#[test]
fn k05_a_look_whose_door_does_not_open_changes_nothing() {
    let free = "Free, Closed, Empty(Attested), Ok";
    let twice = ["+10 pickup PKG1", "+10 settled 1 shut", "+10 again", "+10 settled 1 shut"];
    assert_eq!(
        a_moment_after_a_pickup(&twice),
        "intent 4 NotOpened; 1 found NotOpened; session Finished"
    );
    let and = |rest: &'static str| {
        let lines: Vec<&str> = twice.iter().copied().chain([rest]).collect();
        a_moment_after_a_pickup(&lines)
    };
    assert_eq!(and("+0 show 1"), free);
    assert!(and("+10 pickup PKG1").contains("look into 1"), "within the two minutes");
    let given_up = ["+10 pickup PKG1", "+10 settled 1 shut", "+10 cancel"];
    assert_eq!(a_moment_after_a_pickup(&given_up), "1 found NotOpened; session Finished");
    let left = ["+10 pickup PKG1", "+10 settled 1 shut", "+60000 deadline", "+0 show 1"];
    assert_eq!(a_moment_after_a_pickup(&left), free);
}
