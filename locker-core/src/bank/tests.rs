//! Scripts of what people and doors do at a bank, and the trace each must leave.

mod random;
mod stories;
mod world;

use world::World;

#[test]
fn a_parcel_is_booked_deposited_and_picked_up() {
    check(
        "10 book PKG1 acme 90x90x90
         20 badge acme
         30 scan PKG1
         110 settled 1 opened
         120 door 1 open
         2000 door 1 closed
         2100 deposited
         2200 finish
         3000 show 1
         3000 show PKG1
         9000 pickup PKG1
         9090 settled 1 opened
         9095 door 1 open
         9096 show PKG1
         15000 door 1 closed
         16000 taken
         16000 show 1
         16000 show PKG1",
        "10 booked PKG1
         20 courier acme in
         30 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         110 intent 1 Opened
         120 door 1 Open by intent 1
         2000 door 1 Closed by intent 1
         2100 stored PKG1 in 1
         2200 session Finished
         3000 Occupied PKG1, Closed, Full(Attested), Ok
         3000 Stored in 1 since 2100, version 1, code Some(Active)
         9000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         9090 intent 2 Opened
         9095 door 1 Open by intent 2
         9096 Collecting from 1, version 1, code Some(UsedPending)
         15000 door 1 Closed by intent 2
         16000 Collected PKG1 in 1; session Finished
         16000 Free, Closed, Empty(Attested), Ok
         16000 Collected at 16000, version 1, code Some(Consumed)",
    );
}

#[test]
fn the_smallest_compartment_that_fits_opens_and_a_parcel_may_be_turned() {
    check(
        "0 book PKG1 acme 150x90x90
         0 book PKG2 acme 90x90x100
         0 book PKG3 acme 101x1x1
         0 badge acme
         10 scan PKG2
         20 settled 1 opened
         30 door 1 open
         40 door 1 closed
         50 deposited
         60 scan PKG1
         70 settled 2 opened
         80 door 2 open
         90 door 2 closed
         100 deposited
         110 scan PKG3",
        "0 booked PKG1
         0 booked PKG2
         0 booked PKG3
         0 courier acme in
         10 deposit PKG2 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         40 door 1 Closed by intent 1
         50 stored PKG2 in 1
         60 deposit PKG1 in 2; intent 2 on 2 -> pulse 2
         70 intent 2 Opened
         80 door 2 Open by intent 2
         90 door 2 Closed by intent 2
         100 stored PKG1 in 2
         110 deposit PKG3 in 3; intent 3 on 3 -> pulse 3",
    );
}

#[test]
fn what_fits_nowhere_is_too_large_and_what_fits_only_where_it_is_taken_must_wait() {
    check(
        "0 book PKG1 acme 300x300x301
         0 book PKG2 acme 250x250x250
         0 book PKG3 acme 250x250x250
         0 badge acme
         10 scan PKG1
         20 scan PKG2
         30 settled 3 opened
         40 door 3 open
         50 door 3 closed
         60 deposited
         70 scan PKG3",
        "0 booked PKG1
         0 booked PKG2
         0 booked PKG3
         0 courier acme in
         10 refused: PARCEL_TOO_LARGE
         20 deposit PKG2 in 3; intent 1 on 3 -> pulse 3
         30 intent 1 Opened
         40 door 3 Open by intent 1
         50 door 3 Closed by intent 1
         60 stored PKG2 in 3
         70 refused: NO_FREE_COMPARTMENT",
    );
}

#[test]
fn d12_an_unknown_barcode_opens_nothing() {
    check(
        "0 badge acme
         10 scan JD014600003SE",
        "0 courier acme in
         10 refused: BARCODE_UNKNOWN",
    );
}

#[test]
fn c09_a_courier_brings_parcels_of_his_own_carrier_only() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge zeta
         10 scan PKG1",
        "0 booked PKG1
         0 courier zeta in
         10 refused: OTHER_CARRIERS_PARCEL",
    );
}

#[test]
fn d11_a_parcel_is_deposited_once() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 badge acme
         3010 scan PKG1
         3020 finish
         4000 pickup PKG1
         4010 settled 1 opened
         4020 door 1 open
         4030 door 1 closed
         4040 taken
         5000 badge acme
         5010 scan PKG1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 courier acme in
         3010 refused: ALREADY_DEPOSITED
         3020 session Finished
         4000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         4010 intent 2 Opened
         4020 door 1 Open by intent 2
         4030 door 1 Closed by intent 2
         4040 Collected PKG1 in 1; session Finished
         5000 courier acme in
         5010 refused: ALREADY_COLLECTED",
    );
}

#[test]
fn d04_a_parcel_that_does_not_fit_is_offered_the_next_larger_compartment() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         40 misfit
         50 door 1 closed
         60 misfit
         60 show 1
         70 settled 2 opened
         80 door 2 open
         90 door 2 closed
         100 deposited
         100 show PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         40 refused: DOOR_OPEN
         50 door 1 Closed by intent 1
         60 misfit PKG1 in 1; deposit PKG1 in 2 after 1; intent 2 on 2 -> pulse 2
         60 Free, Closed, Empty(Attested), Ok
         70 intent 2 Opened
         80 door 2 Open by intent 2
         90 door 2 Closed by intent 2
         100 stored PKG1 in 2
         100 Stored in 2 since 100, version 1, code Some(Active)",
    );
}

#[test]
fn d04_when_no_larger_compartment_is_left_the_parcel_stays_booked() {
    check(
        "0 book PKG1 acme 250x250x250
         0 badge acme
         10 scan PKG1
         20 settled 3 opened
         30 door 3 open
         40 door 3 closed
         50 misfit
         50 show 3
         50 show PKG1
         60 finish",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 3; intent 1 on 3 -> pulse 3
         20 intent 1 Opened
         30 door 3 Open by intent 1
         40 door 3 Closed by intent 1
         50 misfit PKG1 in 3, no larger one
         50 Free, Closed, Empty(Attested), Ok
         50 Booked, version 1, code Some(Issued)
         60 session Finished",
    );
}

#[test]
fn d02_a_lock_that_opens_at_the_second_try_is_used() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         900 settled 1 shut
         900 show 1
         950 deposited
         5000 again
         5090 settled 1 opened
         5095 door 1 open
         6000 door 1 closed
         6100 deposited
         6100 show 1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         900 intent 1 NotOpened
         900 Depositing PKG1, Closed, Empty(Inspected), Ok
         950 refused: NOT_NOW
         5000 intent 2 on 1 -> pulse 1
         5090 intent 2 Opened
         5095 door 1 Open by intent 2
         6000 door 1 Closed by intent 2
         6100 stored PKG1 in 1
         6100 Occupied PKG1, Closed, Full(Attested), Ok",
    );
}

#[test]
fn d02_a_lock_that_does_not_open_twice_is_given_up_for_another_compartment() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         900 settled 1 shut
         1000 again
         1900 settled 1 shut
         1900 show 1
         1950 again
         2000 settled 2 opened
         2100 door 2 open
         2200 door 2 closed
         2300 deposited
         3000 book PKG2 acme 90x90x90
         3010 scan PKG2",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         900 intent 1 NotOpened
         1000 intent 2 on 1 -> pulse 1
         1900 intent 2 NotOpened; aborted PKG1 in 1 Untouched lock failed; deposit PKG1 in 2 after 1; intent 3 on 2 -> pulse 2
         1900 Free, Closed, Empty(Inspected), OpenFailed
         1950 refused: NOT_NOW
         2000 intent 3 Opened
         2100 door 2 Open by intent 3
         2200 door 2 Closed by intent 3
         2300 stored PKG1 in 2
         3000 booked PKG2
         3010 deposit PKG2 in 3; intent 4 on 3 -> pulse 3",
    );
}

#[test]
fn d02_when_every_lock_fails_the_parcel_stays_booked() {
    check(
        "0 book PKG1 acme 250x250x250
         0 badge acme
         10 scan PKG1
         900 settled 3 shut
         1000 again
         1900 settled 3 shut
         1900 show PKG1
         2000 scan PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 3; intent 1 on 3 -> pulse 3
         900 intent 1 NotOpened
         1000 intent 2 on 3 -> pulse 3
         1900 intent 2 NotOpened; aborted PKG1 in 3 Untouched lock failed
         1900 Booked, version 1, code Some(Issued)
         2000 refused: NO_FREE_COMPARTMENT",
    );
}

#[test]
fn d08_a_courier_who_leaves_a_shut_door_has_deposited() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         1000 door 1 closed
         30999 deadline
         31000 deadline
         31000 show 1
         31000 show PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         1000 door 1 Closed by intent 1
         30999 nothing
         31000 stored PKG1 in 1 presumed; session Left
         31000 Occupied PKG1, Closed, Full(DoorCycle), Ok
         31000 Stored in 1 since 31000, version 1, code Some(Active)",
    );
}

#[test]
fn d08_where_nothing_is_presumed_a_silent_deposit_is_unresolved() {
    check(
        "0 presume nothing
         0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         1000 door 1 closed
         31000 deadline
         31000 show 1
         31000 show PKG1
         32000 pickup PKG1
         33000 badge acme
         33010 scan PKG1",
        "0 noted
         0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         1000 door 1 Closed by intent 1
         31000 aborted PKG1 in 1 DepositUnresolved; session Left
         31000 Quarantined DepositUnresolved PKG1, Closed, Unknown, Ok
         31000 Unresolved in 1, version 1, code Some(Issued)
         32000 refused: NOT_DEPOSITED
         33000 courier acme in
         33010 refused: PARCEL_UNRESOLVED",
    );
}

#[test]
fn d08_a_courier_who_leaves_an_open_door_leaves_a_quarantined_compartment() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         300029 deadline
         300030 deadline
         300030 show 1
         300030 show PKG1
         400000 door 1 closed
         400000 show 1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         300029 alarm DoorOpenTooLong(CompartmentNo(1))
         300030 aborted PKG1 in 1 DoorLeftOpen; session Left
         300030 Quarantined DoorLeftOpen PKG1, Open, Unknown, Ok
         300030 Unresolved in 1, version 1, code Some(Issued)
         400000 door 1 Closed by nobody
         400000 Quarantined DoorLeftOpen PKG1, Closed, Unknown, Ok",
    );
}

#[test]
fn d08_a_courier_who_leaves_a_stuck_door_leaves_everything_as_it_was() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         900 settled 1 shut
         60900 deadline
         60900 show 1
         60900 show PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         900 intent 1 NotOpened
         60900 aborted PKG1 in 1 Untouched; session Left
         60900 Free, Closed, Empty(Inspected), Ok
         60900 Booked, version 1, code Some(Issued)",
    );
}

#[test]
fn d09_a_deposit_cancelled_after_the_door_was_open_is_never_free_again() {
    check(
        "0 book PKG1 acme 90x90x90
         0 book PKG2 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         2040 door 1 closed
         2050 cancel
         2050 show 1
         2050 show PKG1
         2060 scan PKG1
         2070 scan PKG2
         2080 settled 2 opened
         2090 door 2 open
         2100 cancel
         2100 show 2",
        "0 booked PKG1
         0 booked PKG2
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         2040 door 1 Closed by intent 1
         2050 aborted PKG1 in 1 DepositUnresolved
         2050 Quarantined DepositUnresolved PKG1, Closed, Unknown, Ok
         2050 Unresolved in 1, version 1, code Some(Issued)
         2060 refused: PARCEL_UNRESOLVED
         2070 deposit PKG2 in 2; intent 2 on 2 -> pulse 2
         2080 intent 2 Opened
         2090 door 2 Open by intent 2
         2100 aborted PKG2 in 2 DepositUnresolved
         2100 Quarantined DepositUnresolved PKG2, Open, Unknown, Ok",
    );
}

#[test]
fn a_deposit_cancelled_before_the_door_opened_frees_the_compartment() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 cancel
         900 settled 1 shut
         1000 cancel
         1000 show 1
         1000 show PKG1
         1100 scan PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 refused: NOT_NOW
         900 intent 1 NotOpened
         1000 aborted PKG1 in 1 Untouched
         1000 Free, Closed, Empty(Inspected), Ok
         1000 Booked, version 1, code Some(Issued)
         1100 deposit PKG1 in 1; intent 2 on 1 -> pulse 1",
    );
}

#[test]
fn k01_a_code_whose_door_does_not_open_stays_good() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3900 settled 1 shut
         4000 again
         4900 settled 1 shut
         4900 show 1
         4900 show PKG1
         6000 pickup PKG1
         6090 settled 1 opened
         6095 door 1 open
         7000 door 1 closed
         7100 taken
         7100 show 1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3900 intent 2 NotOpened
         4000 intent 3 on 1 -> pulse 1
         4900 intent 3 NotOpened; NotOpened PKG1 in 1 lock failed; session Finished
         4900 Occupied PKG1, Closed, Full(Attested), OpenFailed
         4900 Stored in 1 since 2100, version 1, code Some(Active)
         6000 recipient in; pickup PKG1 from 1; intent 4 on 1 -> pulse 1
         6090 intent 4 Opened
         6095 door 1 Open by intent 4
         7000 door 1 Closed by intent 4
         7100 Collected PKG1 in 1; session Finished
         7100 Free, Closed, Empty(Attested), Ok",
    );
}

#[test]
fn k01_a_recipient_who_gives_up_at_a_stuck_door_keeps_the_code() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3900 settled 1 shut
         4000 cancel
         4000 show PKG1
         5000 pickup PKG1
         5900 settled 1 shut
         65900 deadline
         65900 show PKG1
         65900 show 1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3900 intent 2 NotOpened
         4000 NotOpened PKG1 in 1; session Finished
         4000 Stored in 1 since 2100, version 1, code Some(Active)
         5000 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1
         5900 intent 3 NotOpened
         65900 NotOpened PKG1 in 1; session Left
         65900 Stored in 1 since 2100, version 1, code Some(Active)
         65900 Occupied PKG1, Closed, Full(Attested), Ok",
    );
}

#[test]
fn k01_a_door_pushed_open_while_the_recipient_is_asked_to_push_it_counts_as_open() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3900 settled 1 shut
         4000 door 1 open
         4000 show PKG1
         4100 again
         4200 cancel
         5000 door 1 closed
         5100 taken",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3900 intent 2 NotOpened
         4000 door 1 Open by intent 2
         4000 Collecting from 1, version 1, code Some(UsedPending)
         4100 refused: NOT_NOW
         4200 refused: DOOR_OPEN
         5000 door 1 Closed by intent 2
         5100 Collected PKG1 in 1; session Finished",
    );
}

#[test]
fn k03_a_parcel_not_taken_stays_and_its_code_stays_good() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3090 settled 1 opened
         3095 door 1 open
         3100 nottaken
         4000 door 1 closed
         4100 nottaken
         4100 show 1
         4100 show PKG1
         5000 pickup PKG1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3090 intent 2 Opened
         3095 door 1 Open by intent 2
         3100 refused: DOOR_OPEN
         4000 door 1 Closed by intent 2
         4100 NotTaken PKG1 in 1; session Finished
         4100 Occupied PKG1, Closed, Full(Attested), Ok
         4100 Stored in 1 since 2100, version 1, code Some(Active)
         5000 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1",
    );
}

#[test]
fn k05_a_door_opened_again_before_the_answer_is_still_the_same_pickup() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3090 settled 1 opened
         3095 door 1 open
         4000 door 1 closed
         5000 door 1 open
         6000 door 1 closed
         6000 show session
         6100 taken",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3090 intent 2 Opened
         3095 door 1 Open by intent 2
         4000 door 1 Closed by intent 2
         5000 door 1 Open by intent 2
         6000 door 1 Closed by intent 2
         6000 due Some(36000)
         6100 Collected PKG1 in 1; session Finished",
    );
}

#[test]
fn a_recipient_who_leaves_a_shut_door_has_taken_the_parcel() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3090 settled 1 opened
         3095 door 1 open
         6000 door 1 closed
         35999 deadline
         36000 deadline
         36000 show 1
         36000 show PKG1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3090 intent 2 Opened
         3095 door 1 Open by intent 2
         6000 door 1 Closed by intent 2
         35999 nothing
         36000 Collected presumed PKG1 in 1; session Left
         36000 Free, Closed, Empty(DoorCycle), Ok
         36000 Collected at 36000, version 1, code Some(Consumed)",
    );
}

#[test]
fn k06_a_door_left_open_after_a_pickup_is_collected_but_not_free() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3090 settled 1 opened
         3095 door 1 open
         303095 deadline
         303095 show 1
         303095 show PKG1
         400000 door 1 closed
         400000 show 1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3090 intent 2 Opened
         3095 door 1 Open by intent 2
         303095 CollectedDoorOpen PKG1 in 1; session Left
         303095 Quarantined DoorLeftOpen nothing known, Open, Unknown, Ok
         303095 Collected at 303095, version 1, code Some(Consumed)
         400000 door 1 Closed by nobody
         400000 Quarantined DoorLeftOpen nothing known, Closed, Unknown, Ok",
    );
}

#[test]
fn c01_a_code_is_used_once() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3090 settled 1 opened
         3095 door 1 open
         4000 door 1 closed
         4100 taken
         124100 pickup PKG1
         125000 reboot
         126000 pickup PKG1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3090 intent 2 Opened
         3095 door 1 Open by intent 2
         4000 door 1 Closed by intent 2
         4100 Collected PKG1 in 1; session Finished
         124100 refused: CODE_USED
         125000 booted 2
         126000 refused: CODE_USED",
    );
}

#[test]
fn a_code_opens_nothing_before_its_parcel_is_in_or_after_it_was_withdrawn() {
    check(
        "0 pickup PKG1
         10 book PKG1 acme 90x90x90
         20 pickup PKG1
         30 withdraw PKG1 2
         40 pickup PKG1
         50 badge acme
         60 scan PKG1
         70 book PKG1 acme 90x90x90 v 3
         80 show PKG1",
        "0 refused: CODE_UNKNOWN
         10 booked PKG1
         20 refused: NOT_DEPOSITED
         30 withdrawn PKG1
         40 refused: CODE_REVOKED
         50 courier acme in
         60 refused: PARCEL_CANCELLED
         70 booked PKG1
         80 Booked, version 3, code Some(Issued)",
    );
}

#[test]
fn c03_a_code_issued_again_takes_the_place_of_the_first() {
    check(
        "0 book PKG1 acme 90x90x90
         10 book PKG1 acme 90x90x90 v 2 code 11
         20 pickup PKG1
         30 pickup PKG11
         40 badge acme
         50 scan PKG1
         60 settled 1 opened
         70 door 1 open
         80 door 1 closed
         90 deposited
         100 finish
         110 pickup PKG1
         120 pickup PKG11",
        "0 booked PKG1
         10 booked PKG1
         20 refused: CODE_REVOKED
         30 refused: NOT_DEPOSITED
         40 courier acme in
         50 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         60 intent 1 Opened
         70 door 1 Open by intent 1
         80 door 1 Closed by intent 1
         90 stored PKG1 in 1
         100 session Finished
         110 refused: CODE_REVOKED
         120 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1",
    );
}

#[test]
fn k10_the_second_person_at_the_kiosk_waits() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3010 pickup PKG1
         3090 settled 1 opened
         3100 pickup PKG1
         3200 badge acme
         3300 scan PKG1
         3400 finish",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3010 refused: PICKUP_IN_PROGRESS
         3090 intent 2 Opened
         3100 refused: PICKUP_IN_PROGRESS
         3200 refused: SESSION_BUSY
         3300 refused: NOT_NOW
         3400 refused: NOT_NOW",
    );
}

#[test]
fn p_a_a_power_cut_after_the_pulse_of_a_deposit_quarantines() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         5000 reboot
         5000 show 1
         5000 show PKG1
         5100 baseline 1:closed 2:closed 3:closed
         5100 show 1
         5200 badge acme
         5300 scan PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         5000 booted 2; intent 1 Recovered; aborted PKG1 in 1 Interrupted; session Interrupted
         5000 Quarantined Interrupted PKG1, Unknown, Unknown, Ok
         5000 Unresolved in 1, version 1, code Some(Issued)
         5100 doors read 1:Closed 2:Closed 3:Closed
         5100 Quarantined Interrupted PKG1, Closed, Unknown, Ok
         5200 courier acme in
         5300 refused: PARCEL_UNRESOLVED",
    );
}

#[test]
fn p_a_a_power_cut_after_the_pulse_of_a_pickup_keeps_the_code_good() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         5000 reboot
         5000 show 1
         5000 show PKG1
         5100 baseline 1:closed 2:closed 3:closed
         6000 pickup PKG1
         6090 settled 1 opened
         6095 door 1 open
         7000 door 1 closed
         7100 taken
         7100 show 1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         5000 booted 2; intent 2 Recovered; Interrupted PKG1 in 1; session Interrupted
         5000 Quarantined Interrupted PKG1, Unknown, Unknown, Ok
         5000 Stored in 1 since 2100, version 1, code Some(Active)
         5100 doors read 1:Closed 2:Closed 3:Closed
         6000 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1
         6090 intent 3 Opened
         6095 door 1 Open by intent 3
         7000 door 1 Closed by intent 3
         7100 Collected PKG1 in 1; session Finished
         7100 Free, Closed, Empty(Attested), Ok",
    );
}

#[test]
fn p_a_a_power_cut_before_the_person_answered_does_not_answer_for_them() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3090 settled 1 opened
         3095 door 1 open
         4000 door 1 closed
         5000 reboot
         5000 show 1
         5000 show PKG1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3090 intent 2 Opened
         3095 door 1 Open by intent 2
         4000 door 1 Closed by intent 2
         5000 booted 2; Interrupted PKG1 in 1; session Interrupted
         5000 Quarantined Interrupted PKG1, Unknown, Unknown, Ok
         5000 Stored in 1 since 2100, version 1, code Some(Active)",
    );
}

#[test]
fn p_b_a_power_cut_between_the_facts_of_a_step_quarantines() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 torn 1 scan PKG1
         10 show 1
         10 show PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1 | booted 2; aborted PKG1 in 1 Interrupted; session Interrupted
         10 Quarantined Interrupted PKG1, Unknown, Unknown, Ok
         10 Unresolved in 1, version 1, code Some(Issued)",
    );
}

#[test]
fn p_c_a_door_found_open_at_a_start_is_no_event_but_bars_its_compartment() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 reboot
         3000 show 2
         3100 baseline 1:open 2:open 3:closed
         3100 show 1
         3100 show 2
         3200 book PKG2 acme 150x150x150
         3210 badge acme
         3220 scan PKG2",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 booted 2
         3000 Free, Unknown, Empty(Inspected), Ok
         3100 doors read 1:Open 2:Open 3:Closed; alarm DoorOpenTooLong(CompartmentNo(1)); alarm DoorOpenTooLong(CompartmentNo(2))
         3100 Occupied PKG1, Open, Full(Attested), Ok
         3100 Quarantined OpenedByNobody nothing known, ForcedOpen, Unknown, Ok
         3200 booked PKG2
         3210 courier acme in
         3220 deposit PKG2 in 3; intent 2 on 3 -> pulse 3",
    );
}

#[test]
fn p_c_a_power_cut_with_the_door_open_leaves_it_overdue_until_somebody_shuts_it() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3090 settled 1 opened
         3095 door 1 open
         5000 reboot
         5010 baseline 1:open 2:closed 3:closed
         5010 show 1
         5010 show PKG1
         5020 baseline 1:open 2:closed 3:closed
         6000 door 1 closed
         6000 show 1
         6010 pickup PKG1
         6020 settled 1 opened
         6025 door 1 open
         126025 deadline
         126030 reboot
         126040 baseline 1:closed 2:closed 3:closed
         127000 pickup PKG1
         127010 settled 1 opened
         127015 door 1 open
         247015 deadline",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3090 intent 2 Opened
         3095 door 1 Open by intent 2
         5000 booted 2; Interrupted PKG1 in 1; session Interrupted
         5010 doors read 1:Open 2:Closed 3:Closed; alarm DoorOpenTooLong(CompartmentNo(1))
         5010 Quarantined Interrupted PKG1, Open, Unknown, Ok
         5010 Stored in 1 since 2100, version 1, code Some(Active)
         5020 doors read 1:Open 2:Closed 3:Closed
         6000 door 1 Closed by nobody
         6000 Quarantined Interrupted PKG1, Closed, Unknown, Ok
         6010 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1
         6020 intent 3 Opened
         6025 door 1 Open by intent 3
         126025 alarm DoorOpenTooLong(CompartmentNo(1))
         126030 booted 3; Interrupted PKG1 in 1; session Interrupted
         126040 doors read 1:Closed 2:Closed 3:Closed
         127000 recipient in; pickup PKG1 from 1; intent 4 on 1 -> pulse 1
         127010 intent 4 Opened
         127015 door 1 Open by intent 4
         247015 alarm DoorOpenTooLong(CompartmentNo(1))",
    );
}

#[test]
fn p_k_on_battery_nothing_is_brought_and_everything_can_be_fetched() {
    check(
        "0 store PKG1 acme 90x90x90
         0 book PKG2 acme 90x90x90
         10 mains gone
         11 mains gone
         20 badge acme
         30 scan PKG2
         40 pickup PKG1
         50 settled 1 opened
         60 door 1 open
         5000 door 1 closed
         5010 taken
         5015 reboot
         5020 baseline 1:closed 2:closed 3:closed
         5030 badge acme
         5040 scan PKG2
         5050 mains back
         5060 scan PKG2",
        "0 Stored in 1 since 0, version 1, code Some(Active)
         0 booked PKG2
         10 on Battery
         11 nothing
         20 courier acme in
         30 refused: ON_BATTERY
         40 session Left; recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         50 intent 2 Opened
         60 door 1 Open by intent 2
         5000 door 1 Closed by intent 2
         5010 Collected PKG1 in 1; session Finished
         5015 booted 2
         5020 doors read 1:Closed 2:Closed 3:Closed
         5030 courier acme in
         5040 refused: ON_BATTERY
         5050 on Mains
         5060 deposit PKG2 in 1; intent 3 on 1 -> pulse 1",
    );
}

#[test]
fn p_k_a_deposit_that_the_battery_finds_under_way_ends_but_opens_no_other_compartment() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         35 mains gone
         40 door 1 closed
         50 misfit
         60 mains back
         70 scan PKG1
         80 settled 2 opened
         85 door 2 open
         90 mains gone
         95 door 2 closed
         99 deposited",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         35 on Battery
         40 door 1 Closed by intent 1
         50 misfit PKG1 in 1, no larger one
         60 on Mains
         70 deposit PKG1 in 2; intent 2 on 2 -> pulse 2
         80 intent 2 Opened
         85 door 2 Open by intent 2
         90 on Battery
         95 door 2 Closed by intent 2
         99 stored PKG1 in 2",
    );
}

#[test]
fn p_d_an_interrupted_step_of_recovery_is_recovered_again() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 torn 1 reboot
         20 show 1
         30 reboot",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 booted 2 | booted 3; intent 1 Recovered; aborted PKG1 in 1 Interrupted; session Interrupted
         20 Quarantined Interrupted PKG1, Unknown, Unknown, Ok
         30 booted 4",
    );
}

#[test]
fn p_e_the_first_reading_of_a_board_is_a_baseline() {
    check(
        "0 book PKG1 acme 90x90x90
         10 reboot
         20 badge acme
         30 scan PKG1
         40 baseline 1:closed 2:closed 3:closed
         50 door 1 closed
         60 scan PKG1",
        "0 booked PKG1
         10 booted 2
         20 courier acme in
         30 refused: NO_FREE_COMPARTMENT
         40 doors read 1:Closed 2:Closed 3:Closed
         50 nothing
         60 deposit PKG1 in 1; intent 1 on 1 -> pulse 1",
    );
}

#[test]
fn p_g_a_disk_nearly_full_stops_deposits_and_no_pickup() {
    check(
        "2100 store PKG1 acme 90x90x90
         2900 book PKG2 acme 90x90x90
         3000 disk full
         3010 badge acme
         3020 scan PKG2
         3030 pickup PKG1
         3040 settled 1 opened
         3050 door 1 open
         3060 door 1 closed
         3070 taken",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         2900 booked PKG2
         3000 noted
         3010 courier acme in
         3020 refused: BANK_NOT_ACCEPTING
         3030 session Left; recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3040 intent 2 Opened
         3050 door 1 Open by intent 2
         3060 door 1 Closed by intent 2
         3070 Collected PKG1 in 1; session Finished",
    );
}

#[test]
fn p_g_a_misfit_on_a_disk_nearly_full_opens_no_other_compartment() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 opened
         30 door 1 open
         40 door 1 closed
         45 disk full
         50 misfit
         50 show 1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 Opened
         30 door 1 Open by intent 1
         40 door 1 Closed by intent 1
         45 noted
         50 misfit PKG1 in 1, no larger one
         50 Free, Closed, Empty(Attested), Ok",
    );
}

#[test]
fn a_door_that_nobody_opened_bars_a_free_compartment_and_raises_doubt_in_a_full_one() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 door 2 open
         3000 show 2
         3010 door 2 closed
         3010 show 2
         3020 door 1 open
         3020 show 1
         3030 door 1 closed
         3030 show 1
         3040 pickup PKG1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 door 2 Open by nobody (Forced)
         3000 Quarantined OpenedByNobody nothing known, ForcedOpen, Unknown, Ok
         3010 door 2 Closed by nobody
         3010 Quarantined OpenedByNobody nothing known, Closed, Unknown, Ok
         3020 door 1 Open by nobody (Forced)
         3020 Occupied PKG1, ForcedOpen, Unknown, Ok
         3030 door 1 Closed by nobody
         3030 Occupied PKG1, Closed, Unknown, Ok
         3040 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1",
    );
}

#[test]
fn a_pulse_that_comes_late_leaves_no_compartment_free_and_open() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 door 1 open
         30 door 1 closed
         40 misfit
         50 door 1 open
         50 show 1
         60 settled 1 opened
         60 show 1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 door 1 Open by intent 1
         30 door 1 Closed by intent 1
         40 misfit PKG1 in 1; deposit PKG1 in 2 after 1; intent 2 on 2 -> pulse 2
         50 door 1 Open by nobody (Late)
         50 Quarantined OpenedByNobody nothing known, ForcedOpen, Unknown, Ok
         60 intent 1 Opened
         60 Quarantined OpenedByNobody nothing known, ForcedOpen, Unknown, Ok",
    );
}

#[test]
fn a_silent_board_means_an_unreachable_lock() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 board offline
         3000 show 1
         3010 pickup PKG1
         3020 book PKG2 acme 90x90x90
         3030 badge acme
         3040 scan PKG2
         3050 finish
         4000 board online
         4000 show 1
         4005 badge acme
         4010 scan PKG2
         4020 baseline 1:closed 2:closed 3:closed
         4030 scan PKG2",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 board 0 offline
         3000 Occupied PKG1, Unknown, Full(Attested), Unreachable
         3010 refused: LOCK_UNREACHABLE
         3020 booked PKG2
         3030 courier acme in
         3040 refused: NO_FREE_COMPARTMENT
         3050 session Finished
         4000 board 0 online
         4000 Occupied PKG1, Unknown, Full(Attested), Ok
         4005 courier acme in
         4010 refused: NO_FREE_COMPARTMENT
         4020 doors read 1:Closed 2:Closed 3:Closed
         4030 deposit PKG2 in 2; intent 2 on 2 -> pulse 2",
    );
}

#[test]
fn a_board_that_goes_silent_at_a_stuck_door_leaves_a_deposit_unresolved() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         900 settled 1 shut
         1000 board offline
         1000 show 1
         1100 again",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         900 intent 1 NotOpened
         1000 board 0 offline; aborted PKG1 in 1 DepositUnresolved
         1000 Quarantined DepositUnresolved PKG1, Unknown, Unknown, Unreachable
         1100 refused: NOT_NOW",
    );
}

#[test]
fn a_board_that_goes_silent_at_a_stuck_door_leaves_a_code_good() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3900 settled 1 shut
         4000 board offline
         4000 show PKG1
         4000 show 1
         5000 board online
         6000 pickup PKG1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3900 intent 2 NotOpened
         4000 board 0 offline; Interrupted PKG1 in 1; session Left
         4000 Stored in 1 since 2100, version 1, code Some(Active)
         4000 Quarantined Interrupted PKG1, Unknown, Unknown, Unreachable
         5000 board 0 online
         6000 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1",
    );
}

#[test]
fn a_deposit_whose_pulse_has_no_known_outcome_is_unresolved() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         900 settled 1 unknown
         900 show 1
         900 show PKG1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         900 intent 1 Unknown; aborted PKG1 in 1 DepositUnresolved
         900 Quarantined DepositUnresolved PKG1, Unknown, Unknown, Ok
         900 Unresolved in 1, version 1, code Some(Issued)",
    );
}

#[test]
fn a_pickup_whose_pulse_has_no_known_outcome_keeps_the_code_good() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3900 settled 1 unknown
         3900 show 1
         3900 show PKG1
         4000 pickup PKG1
         4900 settled 1 shut
         5000 cancel
         5000 show PKG1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3900 intent 2 Unknown; Interrupted PKG1 in 1; session Left
         3900 Quarantined Interrupted PKG1, Unknown, Unknown, Ok
         3900 Stored in 1 since 2100, version 1, code Some(Active)
         4000 recipient in; pickup PKG1 from 1; intent 3 on 1 -> pulse 1
         4900 intent 3 NotOpened
         5000 NotOpened PKG1 in 1; session Finished
         5000 Stored in 1 since 2100, version 1, code Some(Active)",
    );
}

#[test]
fn a_pulse_that_was_not_sent_does_not_count() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 settled 1 notsent
         30 again
         40 settled 1 notsent
         50 again
         900 settled 1 shut
         950 again
         1800 settled 1 shut",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 intent 1 NotSent
         30 intent 2 on 1 -> pulse 1
         40 intent 2 NotSent
         50 intent 3 on 1 -> pulse 1
         900 intent 3 NotOpened
         950 intent 4 on 1 -> pulse 1
         1800 intent 4 NotOpened; aborted PKG1 in 1 Untouched lock failed; deposit PKG1 in 2 after 1; intent 5 on 2 -> pulse 2",
    );
}

#[test]
fn h02_a_sensor_that_reads_open_bars_no_authorised_pickup() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 door 1 open
         3010 pickup PKG1
         3020 settled 1 already
         3020 show PKG1
         4000 door 1 closed
         4100 taken",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 door 1 Open by nobody (Forced)
         3010 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3020 intent 2 AlreadyOpen
         3020 Collecting from 1, version 1, code Some(UsedPending)
         4000 door 1 Closed by intent 2
         4100 Collected PKG1 in 1; session Finished",
    );
}

#[test]
fn a_door_that_was_shut_before_anybody_saw_it_open_was_open_all_the_same() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         90 settled 1 opened
         200 door 1 closed
         300 deposited",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         90 intent 1 Opened
         200 door 1 Closed by intent 1
         300 stored PKG1 in 1",
    );
}

#[test]
fn a_door_that_moves_before_its_outcome_has_moved() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 door 1 open
         30 door 1 closed
         40 settled 1 shut
         50 deposited
         50 show 1",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 door 1 Open by intent 1
         30 door 1 Closed by intent 1
         40 intent 1 NotOpened
         50 stored PKG1 in 1
         50 Occupied PKG1, Closed, Full(Attested), Ok",
    );
}

#[test]
fn an_outcome_is_heard_once_and_only_for_its_own_pulse() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         5 settled 1 opened
         10 scan PKG1
         20 settled 2 opened
         90 settled 1 opened
         95 settled 1 shut",
        "0 booked PKG1
         0 courier acme in
         5 nothing
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 nothing
         90 intent 1 Opened
         95 nothing",
    );
}

#[test]
fn an_idle_courier_makes_way_for_whoever_shows_a_code() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 badge acme
         3010 pickup PKG1
         4000 settled 1 opened
         4010 door 1 open
         4020 door 1 closed
         4030 taken
         200000 badge acme
         200010 badge zeta
         200020 pickup PKG1
         200030 finish",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 courier acme in
         3010 session Left; recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         4000 intent 2 Opened
         4010 door 1 Open by intent 2
         4020 door 1 Closed by intent 2
         4030 Collected PKG1 in 1; session Finished
         200000 courier acme in
         200010 session Left; courier zeta in
         200020 refused: CODE_USED
         200030 session Finished",
    );
}

#[test]
fn an_idle_courier_is_signed_out() {
    check(
        "0 show session
         0 badge acme
         0 show session
         119999 deadline
         120000 deadline
         120001 deadline",
        "0 due None
         0 courier acme in
         0 due Some(120000)
         119999 nothing
         120000 session Left
         120001 nothing",
    );
}

#[test]
fn nothing_happens_at_the_screen_for_nobody() {
    check(
        "0 scan PKG1
         0 again
         0 deposited
         0 misfit
         0 taken
         0 nottaken
         0 cancel
         0 finish
         0 deadline",
        "0 refused: NO_SESSION
         0 refused: NO_SESSION
         0 refused: NO_SESSION
         0 refused: NO_SESSION
         0 refused: NO_SESSION
         0 refused: NO_SESSION
         0 refused: NO_SESSION
         0 refused: NO_SESSION
         0 nothing",
    );
}

#[test]
fn what_makes_no_sense_now_is_refused() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         0 again
         0 deposited
         0 misfit
         0 taken
         0 nottaken
         0 cancel
         10 scan PKG1
         20 scan PKG1
         20 again
         20 deposited
         20 misfit
         20 taken
         20 cancel
         20 finish
         30 settled 1 opened
         40 deposited
         40 misfit
         40 taken
         40 again
         40 finish",
        "0 booked PKG1
         0 courier acme in
         0 refused: NOT_NOW
         0 refused: NOT_NOW
         0 refused: NOT_NOW
         0 refused: NOT_NOW
         0 refused: NOT_NOW
         0 refused: NOT_NOW
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 refused: NOT_NOW
         20 refused: NOT_NOW
         20 refused: NOT_NOW
         20 refused: NOT_NOW
         20 refused: NOT_NOW
         20 refused: NOT_NOW
         20 refused: NOT_NOW
         30 intent 1 Opened
         40 refused: DOOR_OPEN
         40 refused: DOOR_OPEN
         40 refused: NOT_NOW
         40 refused: NOT_NOW
         40 refused: NOT_NOW",
    );
}

#[test]
fn a_recipient_cannot_do_a_couriers_work() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3010 scan PKG1
         3020 settled 1 opened
         3030 door 1 open
         3040 door 1 closed
         3050 deposited
         3060 misfit
         3070 cancel",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3010 refused: NOT_NOW
         3020 intent 2 Opened
         3030 door 1 Open by intent 2
         3040 door 1 Closed by intent 2
         3050 refused: NOT_NOW
         3060 refused: NOT_NOW
         3070 refused: NOT_NOW",
    );
}

#[test]
fn r01_a_grant_that_comes_again_is_no_news() {
    check(
        "0 book PKG1 acme 90x90x90
         10 redeliver
         20 book PKG1 acme 90x90x90
         30 withdraw PKG1 1
         40 withdraw PKG1 2
         50 redeliver
         60 withdraw PKG1 2
         70 book PKG1 acme 90x90x90 v 2
         80 withdraw PKG2 1",
        "0 booked PKG1
         10 nothing
         20 grant refused PKG1 Stale
         30 grant refused PKG1 Stale
         40 withdrawn PKG1
         50 nothing
         60 grant refused PKG1 Stale
         70 grant refused PKG1 Stale
         80 grant refused PKG2 UnknownParcel",
    );
}

#[test]
fn r09_a_withdrawal_that_comes_after_the_courier_is_too_late() {
    check(
        "0 book PKG1 acme 90x90x90
         0 badge acme
         10 scan PKG1
         20 withdraw PKG1 2
         90 settled 1 opened
         95 door 1 open
         100 door 1 closed
         110 deposited
         120 withdraw PKG1 2
         130 book PKG1 acme 90x90x90 v 3
         140 pickup PKG1
         150 withdraw PKG1 3",
        "0 booked PKG1
         0 courier acme in
         10 deposit PKG1 in 1; intent 1 on 1 -> pulse 1
         20 grant refused PKG1 TooLate
         90 intent 1 Opened
         95 door 1 Open by intent 1
         100 door 1 Closed by intent 1
         110 stored PKG1 in 1
         120 grant refused PKG1 TooLate
         130 grant refused PKG1 TooLate
         140 session Left; recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         150 grant refused PKG1 TooLate",
    );
}

#[test]
fn r09_a_withdrawal_before_the_courier_wins() {
    check(
        "0 book PKG1 acme 90x90x90
         5 withdraw PKG1 2
         10 badge acme
         20 scan PKG1",
        "0 booked PKG1
         5 withdrawn PKG1
         10 courier acme in
         20 refused: PARCEL_CANCELLED",
    );
}

#[test]
fn a_barcode_names_one_live_parcel() {
    check(
        "0 book PKG1 acme 90x90x90
         10 book PKG2 zeta 90x90x90 as PKG1
         20 withdraw PKG1 2
         30 book PKG2 zeta 90x90x90 v 2 as PKG1
         40 book PKG1 acme 90x90x90 v 3
         50 withdraw PKG1 4
         60 badge zeta
         70 scan PKG1",
        "0 booked PKG1
         10 booked PKG2
         20 withdrawn PKG1
         30 booked PKG2
         40 booked PKG1
         50 withdrawn PKG1
         60 courier zeta in
         70 deposit PKG2 in 1; intent 1 on 1 -> pulse 1",
    );
}

#[test]
fn a_parcel_labelled_anew_is_found_by_its_new_label_only() {
    check(
        "0 book PKG1 acme 90x90x90
         10 book PKG1 acme 90x90x90 v 2 as PKG9
         20 badge acme
         30 scan PKG1
         40 scan PKG9",
        "0 booked PKG1
         10 booked PKG1
         20 courier acme in
         30 refused: BARCODE_UNKNOWN
         40 deposit PKG1 in 1; intent 1 on 1 -> pulse 1",
    );
}

#[test]
fn a_layout_may_change_what_is_free_and_nothing_else() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 layout 1:150x100x100 2:200x200x200 3:300x300x300
         3010 layout 2:200x200x200 3:300x300x300
         3020 layout 1:100x100x100@1 2:200x200x200@0
         3030 layout 1:100x100x100 2:250x200x200 4:400x400x400@2
         3030 show 2
         3030 show 3
         3030 show 4
         3040 baseline 1:closed 2:closed 3:closed
         3040 show 4",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 Layout 2 refused CompartmentInUse
         3010 Layout 2 refused CompartmentInUse
         3020 Layout 2 refused CompartmentInUse
         3030 layout 2 accepted
         3030 Free, Closed, Empty(Inspected), Ok
         3030 box 3 is gone
         3030 Free, Unknown, Empty(Inspected), Ok
         3040 doors read 1:Closed 2:Closed 4:Closed
         3040 Free, Closed, Empty(Inspected), Ok",
    );
}

#[test]
fn a_compartment_wired_to_another_lock_waits_for_a_reading() {
    check(
        "0 layout 1:100x100x100@1 2:200x200x200@0 3:300x300x300
         0 show 1
         0 show 3
         10 baseline 1:closed 2:open 3:closed
         10 show 1
         10 show 2",
        "0 layout 2 accepted
         0 Free, Unknown, Empty(Inspected), Ok
         0 Free, Closed, Empty(Inspected), Ok
         10 doors read 2:Closed 1:Open 3:Closed; alarm DoorOpenTooLong(CompartmentNo(1))
         10 Quarantined OpenedByNobody nothing known, ForcedOpen, Unknown, Ok
         10 Free, Closed, Empty(Inspected), Ok",
    );
}

#[test]
fn an_unsound_layout_is_refused() {
    check(
        "0 layout
         0 layout 1:100x100x100 1:200x200x200@1
         0 layout 1:100x100x100 2:200x200x200@0
         0 layout 1:100x0x100",
        "0 Layout 2 refused Unsound
         0 Layout 2 refused Unsound
         0 Layout 2 refused Unsound
         0 Layout 2 refused Unsound",
    );
}

#[test]
fn a_settled_parcel_is_forgotten_at_a_start_after_thirty_days() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3090 settled 1 opened
         3095 door 1 open
         4000 door 1 closed
         4100 taken
         2592004100 reboot
         2592004100 show PKG1
         2592004101 reboot
         2592004101 show PKG1
         2592004200 pickup PKG1
         2592004300 badge acme
         2592004400 scan PKG1",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3090 intent 2 Opened
         3095 door 1 Open by intent 2
         4000 door 1 Closed by intent 2
         4100 Collected PKG1 in 1; session Finished
         2592004100 booted 2
         2592004100 Collected at 4100, version 1, code Some(Consumed)
         2592004101 booted 3
         2592004101 PKG1 is not known
         2592004200 refused: CODE_UNKNOWN
         2592004300 courier acme in
         2592004400 refused: BARCODE_UNKNOWN",
    );
}

#[test]
fn a_settled_parcel_is_found_again_once_its_label_is_nobody_elses() {
    check(
        "2100 store PKG1 acme 90x90x90
         3000 pickup PKG1
         3090 settled 1 opened
         3095 door 1 open
         4000 door 1 closed
         4100 taken
         5000 book PKG2 acme 90x90x90 as PKG1
         5010 book PKG2 acme 90x90x90 v 2
         5020 badge acme
         5030 scan PKG1
         5040 scan PKG2",
        "2100 Stored in 1 since 2100, version 1, code Some(Active)
         3000 recipient in; pickup PKG1 from 1; intent 2 on 1 -> pulse 1
         3090 intent 2 Opened
         3095 door 1 Open by intent 2
         4000 door 1 Closed by intent 2
         4100 Collected PKG1 in 1; session Finished
         5000 booked PKG2
         5010 booked PKG2
         5020 courier acme in
         5030 refused: ALREADY_COLLECTED
         5040 deposit PKG2 in 1; intent 3 on 1 -> pulse 1",
    );
}

/// Plays `script` at a bank of three cubes (100, 200, 300 mm) and compares what is said, line by
/// line. The state follows from the facts; `show` prints it.
#[track_caller]
fn check(script: &str, want: &str) {
    let mut world = World::new();
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let got: Vec<String> = lines(script).iter().map(|line| world.play(line)).collect();
    world.rebuilds();
    assert!(got == lines(want), "the trace is\n{}\n", got.join("\n"));
}
