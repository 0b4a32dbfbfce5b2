//! A bank that sends what it should not: nothing of it moves the watermark, and whoever goes on
//! after three unreadable messages or with another history is stopped until a person has looked.

use anyhow::Result;
use locker_proto::message::Birth;
use locker_proto::topics::UpTopic;
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::fake_bank::{FakeBank, FakeJournal, Heard};
use system_tests::records::unreadable_messages;
use system_tests::world::World;

const GARBAGE: &[u8] = b"\xff\xff\xff this is no protobuf";

/// A hub that knows the bank `fake`, and a journal for it.
async fn world_and_journal() -> Result<(World, FakeJournal)> {
    let world = World::start(&["fake"]).await?;
    world.operator.create_bank(&BankSpec::new("fake", Wire::Tcp)).await?;
    Ok((world, FakeJournal::begin("fake")?))
}

async fn connect(world: &World) -> Result<FakeBank> {
    FakeBank::connect(&world.pki, world.hub.addresses().mqtt, "fake").await
}

/// Checks how far the hub has the bank, and why it takes no more.
async fn assert_bank(world: &World, committed_seq: u64, stopped_reason: &str) -> Result<()> {
    let what = format!("is at {committed_seq}, stopped: {stopped_reason:?}");
    let wanted = |bank: &locker_proto::wire::fleet::v1::Bank| {
        (bank.committed_seq, bank.stopped_reason.as_str()) == (committed_seq, stopped_reason)
    };
    world.operator.wait_for_bank("fake", &what, wanted).await.map(drop)
}

#[tokio::test]
async fn garbage_on_each_topic_is_quarantined_and_the_bank_goes_on() -> Result<()> {
    let (world, mut journal) = world_and_journal().await?;
    let mut bank = connect(&world).await?;
    for topic in [UpTopic::Telemetry, UpTopic::Presence] {
        bank.say(topic, GARBAGE.to_vec()).await?;
    }
    bank.say(UpTopic::Birth, GARBAGE.to_vec()).await?;
    bank.until(&Heard::Acknowledged).await?;

    let ack = bank.be_born(&journal).await?;
    assert_eq!(ack.committed_seq, 0);
    bank.say(UpTopic::Facts, GARBAGE.to_vec()).await?;
    bank.until(&Heard::Acknowledged).await?;
    assert_bank(&world, 0, "").await?;

    journal.add(3);
    bank.say(UpTopic::Facts, journal.batch_from(1).encode()).await?;
    assert_eq!(bank.until_committed(5).await?.committed_seq, 5);
    assert_bank(&world, 5, "").await?;
    // Those on topics without acknowledgement may be left out while the hub is busy.
    let kept = unreadable_messages(&world.hub.store_file(), "fake").await?;
    assert!((2..=4).contains(&kept), "{kept} messages were quarantined");
    Ok(())
}

#[tokio::test]
async fn the_third_unreadable_batch_in_a_row_stops_the_bank() -> Result<()> {
    let (world, mut journal) = world_and_journal().await?;
    let mut bank = connect(&world).await?;
    bank.be_born(&journal).await?;
    bank.say(UpTopic::Facts, journal.batch_from(1).encode()).await?;
    bank.until_committed(2).await?;

    for _ in 0..3 {
        bank.say(UpTopic::Facts, GARBAGE.to_vec()).await?;
    }
    bank.until_ended().await?;
    assert_bank(&world, 2, "UNREADABLE").await?;
    assert_eq!(unreadable_messages(&world.hub.store_file(), "fake").await?, 3);

    // It stays stopped when it comes back, whatever it says then.
    journal.add(1);
    let mut again = connect(&world).await?;
    again.say(UpTopic::Birth, journal.birth().encode()).await?;
    again.until(&Heard::Acknowledged).await?;
    again.say(UpTopic::Facts, journal.batch_from(3).encode()).await?;
    let heard = again.until_ended().await?;
    let answered = heard.iter().any(|heard| matches!(heard, Heard::Ack(_)));
    assert!(!answered, "a stopped bank was answered: {heard:?}");
    assert_bank(&world, 2, "UNREADABLE").await
}

#[tokio::test]
async fn a_batch_that_skips_records_is_not_taken_and_the_bank_may_try_again() -> Result<()> {
    let (world, mut journal) = world_and_journal().await?;
    journal.add(6);
    let mut bank = connect(&world).await?;
    bank.be_born(&journal).await?;
    bank.say(UpTopic::Facts, journal.batch_from(3).encode()).await?;
    bank.until_ended().await?;
    assert_bank(&world, 0, "").await?;

    let mut again = connect(&world).await?;
    again.be_born(&journal).await?;
    again.say(UpTopic::Facts, journal.batch_from(1).encode()).await?;
    again.until_committed(8).await?;
    assert_bank(&world, 8, "").await
}

#[tokio::test]
async fn a_batch_that_repeats_records_adds_only_the_new_ones() -> Result<()> {
    let (world, mut journal) = world_and_journal().await?;
    let mut bank = connect(&world).await?;
    bank.be_born(&journal).await?;
    for _ in 0..2 {
        bank.say(UpTopic::Facts, journal.batch_from(1).encode()).await?;
        bank.until_committed(2).await?;
    }
    journal.add(2);
    bank.say(UpTopic::Facts, journal.batch_from(1).encode()).await?;
    bank.until_committed(4).await?;
    assert_bank(&world, 4, "").await?;
    let stored = system_tests::records::of_bank(&world.hub.store_file(), "fake").await?;
    assert_eq!(stored.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    Ok(())
}

#[tokio::test]
async fn a_batch_that_breaks_the_chain_stops_the_bank() -> Result<()> {
    let (world, mut journal) = world_and_journal().await?;
    journal.add(3);
    let mut bank = connect(&world).await?;
    bank.be_born(&journal).await?;
    bank.say(UpTopic::Facts, journal.batch_from(1).encode()).await?;
    bank.until_committed(5).await?;

    // The same beginning, another past: as from a copied disk.
    journal.cut(3);
    journal.add(5);
    bank.say(UpTopic::Facts, journal.batch_from(6).encode()).await?;
    assert_bank(&world, 5, "FORK").await
}

#[tokio::test]
async fn a_birth_with_another_past_stops_the_bank() -> Result<()> {
    let (world, mut journal) = world_and_journal().await?;
    journal.add(3);
    let mut bank = connect(&world).await?;
    bank.be_born(&journal).await?;
    bank.say(UpTopic::Facts, journal.batch_from(1).encode()).await?;
    bank.until_committed(5).await?;
    drop(bank);

    let older = Birth { head_seq: 3, ..journal.birth() };
    let again = connect(&world).await?;
    again.say(UpTopic::Birth, older.encode()).await?;
    assert_bank(&world, 5, "BEHIND").await
}

#[tokio::test]
async fn facts_before_a_birth_and_oversized_messages_end_the_session() -> Result<()> {
    let (world, journal) = world_and_journal().await?;
    let mut early = connect(&world).await?;
    early.say(UpTopic::Facts, journal.batch_from(1).encode()).await?;
    early.until_ended().await?;

    let mut large = connect(&world).await?;
    large.be_born(&journal).await?;
    large.say(UpTopic::Facts, vec![0; 200 * 1024]).await?;
    large.until_ended().await?;
    assert_bank(&world, 0, "").await
}
