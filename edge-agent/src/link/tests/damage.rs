//! Damage in a segment that was closed long ago: what the hub has of it matters to nobody, what it needs ends the agent.

use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use locker_core::journal::stream::ladder;

use super::*;
use crate::store::tests::sled_let_go;

/// Two calls of this many records never share a segment.
const SEGMENTS: Limits = Limits { segment_bytes: 16 << 10, call_bytes: 1 << 20, ballast_bytes: 0 };
const RECORDS: usize = 250;
/// Calls; the fold is exported twice on the way.
const CALLS: usize = 36;

/// The segment with the second lowest rung of the first birth is damaged in its middle.
struct Damaged {
    world: World,
    hub: Hub,
    head: u64,
    seqs: RangeInclusive<u64>,
}

impl Damaged {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let open = || Ledger::open(dir.path(), SEGMENTS, &keeper(), stamp()).unwrap().0;
        let mut ledger = open();
        let fact = Fact::BoardChanged(BoardChanged { board: 0, online: true });
        for _ in 0..CALLS {
            ledger.commit(&vec![fact.clone(); RECORDS], None, stamp()).unwrap();
            ledger.snapshot_if_due().unwrap();
        }
        // The next start says that it is one.
        let head = ledger.head().0 + 1;
        drop(ledger);
        let rungs = ladder(1, head, None);
        let rung = rungs[rungs.len() - 2];
        let mut files: Vec<(u64, PathBuf)> = fs::read_dir(dir.path().join("journal"))
            .unwrap()
            .filter_map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name()?.to_str()?;
                let first = name.strip_prefix("seg-")?.strip_suffix(".log")?.parse().unwrap();
                Some((first, path))
            })
            .collect();
        files.sort();
        let at = files.partition_point(|(first, _)| *first <= rung) - 1;
        let seqs = files[at].0..=files[at + 1].0 - 1;
        assert!(*seqs.start() > 1 && rung < *seqs.end(), "{rung} in {seqs:?}");
        let mut bytes = fs::read(&files[at].1).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(&files[at].1, bytes).unwrap();

        sled_let_go(&dir.path().join("sled"));
        let ledger = open();
        assert_eq!(ledger.head().0, head, "it starts as if nothing were wrong");
        let pki = Pki::new();
        let hub = Hub::bind(0, pki.hub()).await;
        let time = KnownTime::heard(stamp().at, Instant::now());
        let world = World::start_on(dir, ledger, time, pki, hub.port());
        Self { world, hub, head, seqs }
    }
}

fn damage(event: Event) -> Option<String> {
    if let Event::Damaged(damage) = event { Some(damage.to_string()) } else { None }
}

#[tokio::test]
async fn p_f_damage_in_what_the_hub_has_costs_a_rung_and_pruning_heals_it() {
    let Damaged { mut world, hub, head, seqs } = Damaged::start().await;
    let (mut session, birth) = hub.born().await;
    let said: Vec<u64> = birth.ladder.iter().map(|rung| rung.seq).collect();
    let mut whole = ladder(1, head, None);
    whole.retain(|seq| !seqs.contains(seq));
    assert_eq!(said, whole);
    assert!(birth.ladder.iter().all(|rung| rung.hash == world.hash_at(rung.seq)));

    session.ack(&birth, head - 1, world.hash_at(head - 1)).await;
    assert!(world.linked().await);
    assert_eq!(session.batch().await.first_seq, head);
    world.commit_to(head + 1);
    assert_eq!(session.batch().await.first_seq, head + 1, "it stays connected");
    let safe = |event| if let Event::Safe { safe } = event { Some(safe) } else { None };
    let safe = world.event(safe).await;
    world.ledger.prune(safe).unwrap();
    let reader = world.ledger.reader();
    assert!(reader.oldest_seq() > *seqs.end());
    reader.read(reader.oldest_seq(), usize::MAX, usize::MAX).unwrap();
    drop(session);
    let (_session, birth) = world.welcome(&hub, head).await;
    assert_eq!(birth.ladder.len(), ladder(birth.oldest_seq, head + 1, None).len());
}

#[tokio::test]
async fn p_f_damage_in_what_the_hub_needs_is_told_with_its_place() {
    let Damaged { mut world, hub, seqs, .. } = Damaged::start().await;
    // The records from there on are asked for; then the ack itself stands among them.
    let before = *seqs.start() - 1;
    for (seq, hash) in [(before, world.hash_at(before)), (before + 2, ChainHash([9; 32]))] {
        let (mut session, birth) = hub.born().await;
        session.ack(&birth, seq, hash).await;
        session.ends().await;
        let said = world.event(damage).await;
        let segment = format!("seg-{:020}.log is damaged at byte ", seqs.start());
        assert!(said.contains(&segment), "{said}");
    }
}
