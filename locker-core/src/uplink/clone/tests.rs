//! The table of introductions, and what one honest agent may do without being taken for two.

use proptest::prelude::*;

use super::*;

const STREAM: StreamId = StreamId([1; 16]);
const CLOSED: StreamId = StreamId([9; 16]);
const MINUTE_MS: u64 = 60_000;

fn said(boot: u8, boot_count: u64, connection_count: u64) -> Introduction {
    Introduction { stream: STREAM, boot: BootId([boot; 16]), boot_count, connection_count }
}

fn known(last: Option<Introduction>) -> Known<'static> {
    Known { last, closed: &[CLOSED], took_over: false, too_many: false }
}

#[test]
fn r14_an_introduction_is_compared_with_the_one_before() {
    use BirthVerdict::{GoOn, Unrelated};
    let behind = BirthVerdict::Restore { from: 3 };
    let fork = BirthVerdict::Fork { last_common: None };
    let successor = BirthVerdict::Successor { behind: false };
    let last = known(Some(said(5, 5, 3)));
    let taking = Known { took_over: true, ..last };
    let quarrel = Known { took_over: true, too_many: true, ..last };
    let not_higher = Takeover::Clone(CloneSign::CountersNotHigher);
    let other_stream = |stream| Introduction { stream, ..said(1, 1, 1) };
    for (known, new, chain, expected) in [
        (known(None), said(1, 1, 1), GoOn, Takeover::Normal(GoOn)),
        // The same agent: another connection, another start, whether or not the old session had ended.
        (last, said(5, 5, 4), GoOn, Takeover::Normal(GoOn)),
        (last, said(6, 6, 1), GoOn, Takeover::Normal(GoOn)),
        (last, said(8, 8, 1), GoOn, Takeover::Normal(GoOn)),
        (taking, said(5, 5, 4), GoOn, Takeover::Normal(GoOn)),
        (taking, said(6, 6, 1), GoOn, Takeover::Normal(GoOn)),
        // What only its journal shows.
        (last, said(6, 6, 1), behind, Takeover::Normal(behind)),
        (taking, said(6, 6, 1), behind, Takeover::Normal(behind)),
        (last, said(6, 6, 1), fork, Takeover::Normal(fork)),
        // An old copy, or flash that lost the last start, too: alone it is restored, beside another it is one of two.
        (last, said(4, 4, 9), behind, Takeover::Normal(behind)),
        (last, said(9, 5, 1), behind, Takeover::Normal(behind)),
        (taking, said(4, 4, 9), behind, not_higher),
        (taking, said(9, 5, 1), behind, not_higher),
        // Counters that stand still or go back.
        (last, said(5, 5, 3), GoOn, not_higher),
        (last, said(5, 5, 2), GoOn, not_higher),
        (last, said(4, 4, 9), GoOn, not_higher),
        // Two starts with one number: two agents that began on copies of one disk.
        (last, said(6, 5, 4), GoOn, not_higher),
        // One start with two numbers is a lie.
        (last, said(5, 6, 1), GoOn, not_higher),
        (taking, said(5, 5, 3), behind, not_higher),
        (last, said(4, 4, 9), fork, not_higher),
        // A known seq with another hash, while the other one is there.
        (taking, said(6, 6, 1), fork, Takeover::Clone(CloneSign::OtherHash)),
        // Streams: a new one counts from the beginning, a closed one is over.
        (last, other_stream(StreamId([2; 16])), successor, Takeover::Normal(successor)),
        (last, other_stream(StreamId([2; 16])), Unrelated, Takeover::Normal(Unrelated)),
        (last, other_stream(CLOSED), Unrelated, Takeover::Clone(CloneSign::ClosedStream)),
        (known(None), other_stream(CLOSED), GoOn, Takeover::Clone(CloneSign::ClosedStream)),
        // A quarrel, though each of them counts up.
        (quarrel, said(6, 6, 1), GoOn, Takeover::Clone(CloneSign::TooManyTakeovers)),
    ] {
        assert_eq!(judge(known, new, chain), expected, "{known:?} {new:?} {chain:?}");
    }
}

#[test]
fn r14_more_than_six_takeovers_in_ten_minutes_from_two_addresses_are_too_many() {
    let takeovers = |times: &[(u64, &'static str)]| {
        let mut takeovers = Takeovers::default();
        times.iter().for_each(|(minute, from)| takeovers.note(*from, minute * MINUTE_MS));
        takeovers
    };
    let six = [(0, "a"), (1, "b"), (2, "a"), (3, "b"), (4, "a"), (5, "b")];
    assert!(!takeovers(&six).are_too_many(5 * MINUTE_MS));
    let seven = [&six[..], &[(6, "a")]].concat();
    assert!(takeovers(&seven).are_too_many(6 * MINUTE_MS));
    // The first of them is ten minutes old then.
    assert!(takeovers(&seven).are_too_many(10 * MINUTE_MS - 1));
    assert!(!takeovers(&seven).are_too_many(10 * MINUTE_MS));
    assert!(takeovers(&seven).are_over(16 * MINUTE_MS));
    // One address is a bad line, however often.
    let line: Vec<_> = (0..60).map(|at| (at / 10, "a")).collect();
    assert!(!takeovers(&line).are_too_many(6 * MINUTE_MS));
    // And a bank that moved to another address once is one bank, at every moment of it.
    for until in 1..20 {
        let moved: Vec<_> =
            (0..until).map(|at| (at / 10, if at < 8 { "a" } else { "b" })).collect();
        assert!(!takeovers(&moved).are_too_many(2 * MINUTE_MS), "{until}");
    }
    assert!(!Takeovers::<&str>::default().are_too_many(0));
    assert!(Takeovers::<&str>::default().are_over(0));
}

proptest! {
    /// Whatever its line does, one agent that keeps its disk is never taken for two.
    #[test]
    fn r14_an_agent_that_counts_is_one(restarts in prop::collection::vec(any::<bool>(), 1..40)) {
        let mut now = said(1, 1, 1);
        let mut last = None;
        for restart in restarts {
            let known = Known { took_over: true, ..known(last) };
            let verdict = judge(known, now, BirthVerdict::GoOn);
            prop_assert_eq!(verdict, Takeover::Normal(BirthVerdict::GoOn));
            last = Some(now);
            now = if restart {
                let boot = now.boot.0[0] + 1;
                said(boot, now.boot_count + 1, 1)
            } else {
                Introduction { connection_count: now.connection_count + 1, ..now }
            };
        }
    }

    /// Two agents on copies of one disk that both come back are found out by the third introduction
    /// at the latest, whatever each has counted before.
    #[test]
    fn r14_two_agents_on_copies_are_found_out(
        first in (1..9_u64, 1..9_u64),
        second in (1..9_u64, 1..9_u64),
    ) {
        let mut pair = [said(100, first.0, first.1), said(200, second.0, second.1)];
        let mut last = None;
        let mut found = false;
        for turn in [0, 1, 0] {
            match judge(known(last), pair[turn], BirthVerdict::GoOn) {
                Takeover::Normal(_) => last = Some(pair[turn]),
                Takeover::Clone(sign) => {
                    prop_assert_eq!(sign, CloneSign::CountersNotHigher);
                    found = true;
                    break;
                }
            }
            pair[turn].connection_count += 1;
        }
        prop_assert!(found);
    }
}
