//! What a vandal at the keypad can and cannot get answered.

use proptest::prelude::*;

use super::*;

/// Noon of some day.
const NOON: UnixMillis = UnixMillis(20_000 * DAY_MS + DAY_MS / 2);
const BOOT: BootId = BootId([1; 16]);

fn known(at: UnixMillis, uptime_ms: u64) -> Now {
    let clock = ClockInterval { earliest: at, latest: Some(at.plus_ms(50)) };
    Now { clock, boot: BOOT, uptime_ms }
}

fn unknown(floor: UnixMillis, uptime_ms: u64) -> Now {
    let clock = ClockInterval { earliest: floor, latest: None };
    Now { clock, boot: BOOT, uptime_ms }
}

fn suffix(number: u64) -> Option<SuffixTag> {
    Some(SuffixTag(number.to_be_bytes()))
}

const fn typed(suffix: Option<SuffixTag>, verdict: Verdict) -> Entry {
    Entry::Keypad { suffix, verdict }
}

/// Wrong codes with ever new phone digits (or none), each as soon as the keypad takes it.
fn spend(budget: &Budget, tries: u64, alone: bool, start: Now) -> (Budget, Now) {
    let mut now = start;
    let mut budget = budget.clone();
    for number in 0..tries {
        let suffix = if alone { None } else { suffix(number) };
        let (decision, next) = judge(&budget, typed(suffix, Verdict::Wrong), &now);
        let Decision::Wrong { wait_ms } = decision else { panic!("try {number}: {decision:?}") };
        now.uptime_ms += wait_ms;
        budget = next;
    }
    (budget, now)
}

fn decision(budget: &Budget, suffix: Option<SuffixTag>, verdict: Verdict, now: &Now) -> Decision {
    judge(budget, typed(suffix, verdict), now).0
}

#[test]
fn c05_a_bank_answers_a_hundred_wrong_codes_a_day() {
    let (budget, now) = spend(&Budget::default(), 99, false, known(NOON, 0));
    assert!(!budget.is_lockout());
    assert_eq!(decision(&budget, suffix(1_000), Verdict::Right, &now), Decision::Pass);
    let (budget, now) = spend(&budget, 1, false, now);
    assert!(budget.is_lockout());
    let lockout = Decision::Refused(Closed::Lockout);
    assert_eq!(decision(&budget, suffix(1_000), Verdict::Right, &now), lockout);
    assert_eq!(decision(&budget, suffix(1_000), Verdict::Wrong, &now), lockout, "no hint");
}

#[test]
fn c05_phone_digits_are_tried_five_times_a_day() {
    let (mut budget, mut now) = (Budget::default(), known(NOON, 0));
    for _ in 0..WRONG_PER_SUFFIX {
        budget = judge(&budget, typed(suffix(7), Verdict::Wrong), &now).1;
        now.uptime_ms += WAIT_MAX_MS;
    }
    let used_up = Decision::Refused(Closed::SuffixUsedUp);
    assert_eq!(decision(&budget, suffix(7), Verdict::Right, &now), used_up);
    assert_eq!(decision(&budget, suffix(8), Verdict::Right, &now), Decision::Pass);
    assert_eq!(admit(&budget, suffix(7), &now), Err(Closed::SuffixUsedUp));
}

#[test]
fn c05_tries_without_phone_digits_have_a_quarter_of_the_budget() {
    let (budget, now) = spend(&Budget::default(), 25, true, known(NOON, 0));
    let used_up = Decision::Refused(Closed::AloneUsedUp);
    assert_eq!(decision(&budget, None, Verdict::Right, &now), used_up);
    assert_eq!(decision(&budget, suffix(1), Verdict::Right, &now), Decision::Pass);
    let (budget, now) = spend(&budget, 75, false, now);
    assert_eq!(admit(&budget, suffix(1_000), &now), Err(Closed::Lockout));
}

#[test]
fn c05_a_right_code_does_not_refill_the_day() {
    let (budget, now) = spend(&Budget::default(), 60, false, known(NOON, 0));
    let (passed, budget) = judge(&budget, typed(suffix(1_000), Verdict::Right), &now);
    assert_eq!((passed, budget.wrong, budget.row), (Decision::Pass, 60, 0));
    let (budget, now) = spend(&budget, 40, false, now);
    assert_eq!(admit(&budget, suffix(1_001), &now), Err(Closed::Lockout));
}

#[test]
fn c05_each_wrong_code_doubles_the_wait_for_everybody() {
    let (mut budget, mut now) = (Budget::default(), known(NOON, 500));
    for expected in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        let (answer, next) = judge(&budget, typed(suffix(expected), Verdict::Wrong), &now);
        assert_eq!(answer, Decision::Wrong { wait_ms: expected });
        now.uptime_ms += expected - 1;
        let wait = Closed::Wait { left_ms: 1 };
        assert_eq!(admit(&next, suffix(1), &now), Err(wait));
        assert_eq!(decision(&next, None, Verdict::Right, &now), Decision::Refused(wait));
        let (_, same) = judge(&next, typed(None, Verdict::Wrong), &now);
        assert_eq!(same, next, "what is not looked at is not counted");
        now.uptime_ms += 1;
        assert_eq!(admit(&next, None, &now), Ok(()));
        budget = next;
    }
    budget.row = u16::MAX;
    assert_eq!(decision(&budget, None, Verdict::Wrong, &now), Decision::Wrong { wait_ms: 60_000 });
}

#[test]
fn c05_the_wait_begins_again_with_a_restart() {
    let (budget, _) = spend(&Budget::default(), 6, false, known(NOON, 900_000));
    let mut now = known(NOON, 31_999);
    now.boot = BootId([2; 16]);
    assert_eq!(admit(&budget, None, &now), Err(Closed::Wait { left_ms: 1 }));
    now.uptime_ms += 1;
    assert_eq!(admit(&budget, None, &now), Ok(()));
}

#[test]
fn c01_a_used_code_is_a_reuse_and_not_a_guess() {
    let now = known(NOON, 0);
    let before = judge(&Budget::default(), typed(suffix(1), Verdict::Right), &now).1;
    let (answer, after) = judge(&before, typed(suffix(1), Verdict::Spent), &now);
    assert_eq!((answer, after), (Decision::Spent, before));
}

#[test]
fn c06_lockout_leaves_signed_codes_open_and_staff_open_the_keypad() {
    let (budget, now) = spend(&Budget::default(), 100, false, known(NOON, 0));
    assert_eq!(judge(&budget, Entry::SignedToken, &now), (Decision::Pass, budget.clone()));
    let reset = budget.reset_by_staff();
    assert_eq!(decision(&reset, None, Verdict::Right, &now), Decision::Pass);
    let (again, now) = spend(&reset, 100, false, now);
    assert_eq!(admit(&again, None, &now), Err(Closed::Lockout), "a reset is one budget more");
    assert_eq!(again.day, budget.day);
}

#[test]
fn k09_a_signed_code_costs_nothing_wherever_it_is_shown() {
    let (budget, now) = spend(&Budget::default(), 3, true, known(NOON, 0));
    for at in [now, known(NOON.plus_ms(DAY_MS), 0), unknown(NOON, 0)] {
        assert_eq!(judge(&budget, Entry::SignedToken, &at), (Decision::Pass, budget.clone()));
    }
}

#[test]
fn the_budget_is_refilled_when_the_day_has_surely_ended() {
    let (budget, now) = spend(&Budget::default(), 100, false, known(NOON, 0));
    let midnight = UnixMillis(20_001 * DAY_MS);
    let later = |at| Now { uptime_ms: now.uptime_ms, ..known(at, 0) };
    assert_eq!(admit(&budget, None, &later(midnight.minus_ms(1))), Err(Closed::Lockout));
    assert_eq!(admit(&budget, None, &later(midnight)), Ok(()));
    // Around midnight it is not sure which day it is: what is counted then counts for both.
    let around = later(midnight.minus_ms(20));
    let (budget, _) = spend(&budget.reset_by_staff(), 1, false, around);
    assert_eq!(budget.day, BudgetDay::Day(20_001));
    assert_eq!(judge(&budget, typed(None, Verdict::Spent), &later(midnight)).1.wrong, 1);
}

#[test]
fn a_clock_that_is_unknown_or_set_back_refills_nothing() {
    let (budget, now) = spend(&Budget::default(), 100, false, known(NOON, 0));
    let next_day = NOON.plus_ms(2 * DAY_MS);
    assert_eq!(admit(&budget, None, &unknown(next_day, now.uptime_ms)), Err(Closed::Lockout));
    let back = known(NOON.minus_ms(9 * DAY_MS), now.uptime_ms);
    assert_eq!(admit(&budget, None, &back), Err(Closed::Lockout));
    assert_eq!(judge(&budget, typed(None, Verdict::Wrong), &back).1.day, budget.day);
}

#[test]
fn what_was_counted_without_a_clock_counts_on_the_day_it_is_known_again() {
    let floor = NOON.minus_ms(30 * DAY_MS);
    let (budget, now) = spend(&Budget::default(), 100, false, unknown(floor, 0));
    assert_eq!(budget.day, BudgetDay::Undated);
    let noon = known(NOON, now.uptime_ms);
    let (refused, budget) = judge(&budget, typed(None, Verdict::Right), &noon);
    assert_eq!(refused, Decision::Refused(Closed::Lockout));
    assert_eq!(budget.day, BudgetDay::Day(20_000));
    assert_eq!(admit(&budget, None, &known(NOON.plus_ms(DAY_MS), now.uptime_ms)), Ok(()));
}

/// One step of somebody who may also pull the plug.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass { ms: u64 },
    Restart,
    LoseClock,
    HearTime { early_ms: u64, late_ms: u64 },
    Type { suffix: Option<u64>, verdict: Verdict },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdict = prop_oneof![
        12 => Just(Verdict::Wrong),
        1 => Just(Verdict::Right),
        1 => Just(Verdict::Spent),
    ];
    let step = prop_oneof![
        4 => (0..7_200_000_u64).prop_map(|ms| Step::Pass { ms }),
        1 => (0..DAY_MS).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Restart),
        1 => Just(Step::LoseClock),
        3 => (0..3_600_000_u64, 0..3_600_000_u64)
            .prop_map(|(early_ms, late_ms)| Step::HearTime { early_ms, late_ms }),
        150 => (proptest::option::weighted(0.7, 0..30_u64), verdict)
            .prop_map(|(suffix, verdict)| Step::Type { suffix, verdict }),
    ];
    proptest::collection::vec(step, 0..600)
}

/// The true time, and what the bank makes of it.
struct World {
    truth: UnixMillis,
    boots: u8,
    uptime_ms: u64,
    /// How far the bank's interval reaches before and after the truth; none while unknown.
    clock: Option<(u64, u64)>,
    floor: UnixMillis,
}

impl World {
    fn now(&mut self) -> Now {
        let clock = match self.clock {
            Some((early_ms, late_ms)) => {
                self.floor = self.floor.max(self.truth.minus_ms(early_ms));
                ClockInterval { earliest: self.floor, latest: Some(self.truth.plus_ms(late_ms)) }
            }
            None => ClockInterval { earliest: self.floor, latest: None },
        };
        Now { clock, boot: BootId([self.boots; 16]), uptime_ms: self.uptime_ms }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass { ms } => {
                self.truth = self.truth.plus_ms(ms);
                self.uptime_ms += ms;
            }
            Step::Restart => {
                (self.boots, self.uptime_ms, self.clock) = (self.boots.wrapping_add(1), 0, None);
            }
            Step::LoseClock => self.clock = None,
            Step::HearTime { early_ms, late_ms } => self.clock = Some((early_ms, late_ms)),
            Step::Type { .. } => self.pass_the_wait(),
        }
    }

    /// An impatient vandal would only be refused; a patient one waits.
    fn pass_the_wait(&mut self) {
        self.step(Step::Pass { ms: WAIT_MAX_MS });
    }
}

#[test]
fn p_j_wrong_codes_of_two_branches_count_together_and_a_later_day_wins() {
    let day_after = UnixMillis(NOON.0 + DAY_MS);
    let (own, end) = spend(&Budget::default(), 30, false, known(NOON, 0));
    let (other, _) = spend(&Budget::default(), 20, true, known(NOON, 0));
    let both = own.merged(&other);
    assert_eq!(
        (both.day, both.wrong, both.wrong_alone),
        (own.day, own.wrong + other.wrong, other.wrong_alone)
    );
    assert_eq!(both.by_suffix, own.by_suffix);
    assert_eq!(both, other.merged(&own));
    assert_eq!(own.merged(&own), own);

    let (later, _) = spend(&Budget::default(), 3, false, known(day_after, end.uptime_ms));
    assert_eq!((own.merged(&later), later.merged(&own)), (later.clone(), later.clone()));
    // What was counted without a clock may be of today.
    let (undated, _) = spend(&Budget::default(), 5, false, unknown(NOON, 0));
    let both = later.merged(&undated);
    assert_eq!((both.day, both.wrong), (BudgetDay::Undated, later.wrong + undated.wrong));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn c05_no_day_has_more_wrong_answers_than_the_budget(steps in steps()) {
        let clock = Some((0, 0));
        let mut world = World { truth: NOON, boots: 0, uptime_ms: 0, clock, floor: NOON };
        let mut budget = Budget::default();
        let mut answered: BTreeMap<(u64, Option<u64>), u16> = BTreeMap::new();
        for step in steps {
            world.step(step);
            let Step::Type { suffix: number, verdict } = step else { continue };
            let entry = typed(number.and_then(suffix), verdict);
            let now = world.now();
            let (decision, next) = judge(&budget, entry, &now);
            prop_assert!(next.wrong >= budget.wrong || next.day != budget.day, "monotone");
            prop_assert!(next.by_suffix.len() <= usize::from(WRONG_PER_DAY));
            prop_assert_eq!(
                admit(&budget, number.and_then(suffix), &now).is_ok(),
                !matches!(decision, Decision::Refused(_))
            );
            if matches!(decision, Decision::Wrong { .. }) {
                *answered.entry((day_of(world.truth), number)).or_default() += 1;
            }
            budget = next;
        }
        let mut days: BTreeMap<u64, u16> = BTreeMap::new();
        for ((day, number), count) in answered {
            *days.entry(day).or_default() += count;
            let most = if number.is_some() { WRONG_PER_SUFFIX } else { WRONG_ALONE_PER_DAY };
            prop_assert!(count <= most, "{count} with {number:?}");
        }
        prop_assert!(days.values().all(|count| *count <= WRONG_PER_DAY), "{days:?}");
    }

    #[test]
    fn c05_a_restart_never_gets_an_answer_that_patience_would_not(
        wrong in 1..30_u64, waited_ms in 0..90_000_u64, off_ms in 0..90_000_u64,
        known_after: bool,
    ) {
        let (budget, end) = spend(&Budget::default(), wrong, false, known(NOON, 0));
        // `end` is when the wait of the last one is over; go back to when it began.
        let began_ms = budget.wait.unwrap().since_uptime_ms;
        prop_assert!(began_ms < end.uptime_ms);
        let patient = known(NOON, began_ms + waited_ms);
        let up_ms = waited_ms.saturating_sub(off_ms);
        let mut restarted =
            if known_after { known(NOON, up_ms) } else { unknown(NOON, up_ms) };
        restarted.boot = BootId([9; 16]);
        for tried in [None, suffix(0), suffix(1_000)] {
            if admit(&budget, tried, &restarted).is_ok() {
                prop_assert_eq!(admit(&budget, tried, &patient), Ok(()));
            }
            // Once both have waited long enough, they are in the same place.
            let (patient, restarted) = (
                Now { uptime_ms: began_ms + WAIT_MAX_MS, ..patient },
                Now { uptime_ms: WAIT_MAX_MS, ..restarted },
            );
            prop_assert_eq!(admit(&budget, tried, &patient), admit(&budget, tried, &restarted));
        }
    }
}
