use std::time::Duration;

use locker_core::uplink::clone::Known;

use super::*;
use crate::ingest::tests::fixture::{Journal, bank_id};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[tokio::test(start_paused = true)]
async fn r14_who_comes_long_after_a_session_that_took_over_and_died_has_taken_over_from_nobody() {
    let (mut quarrels, bank) = (Quarrels::default(), bank_id());
    // One that comes at once, or from behind a long queue, is the one that it gave way to.
    for waits_ms in [0, FOLLOWS_WITHIN_MS] {
        quarrels.displaced(&bank);
        tokio::time::advance(Duration::from_millis(waits_ms)).await;
        assert!(quarrels.began(&bank, ADDRESS), "after {waits_ms} ms");
        assert!(!quarrels.began(&bank, ADDRESS), "and only that one");
    }
    quarrels.displaced(&bank);
    tokio::time::advance(Duration::from_millis(FOLLOWS_WITHIN_MS + 1)).await;
    assert!(!quarrels.began(&bank, ADDRESS));
}

#[tokio::test(start_paused = true)]
async fn p_i_an_older_disk_that_comes_after_a_lost_takeover_is_given_its_records_back() {
    let (mut quarrels, bank) = (Quarrels::default(), bank_id());
    quarrels.displaced(&bank);
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let introduction = |boot_count, connection_count| {
        let stream = Journal::new(1).stream;
        let boot = locker_core::ids::BootId([1; 16]);
        Introduction { stream, boot, boot_count, connection_count }
    };
    let known = Known {
        last: Some(introduction(7, 3)),
        closed: &[],
        took_over: quarrels.began(&bank, ADDRESS),
        too_many: quarrels.are_too_many(&bank),
    };
    let chain = BirthVerdict::Restore { from: 1 };
    assert_eq!(clone::judge(known, introduction(5, 1), chain), Takeover::Normal(chain));
}
