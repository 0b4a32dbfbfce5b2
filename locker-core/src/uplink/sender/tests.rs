//! What the agent may send, what acks change, and both ends together over a bad line.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::ids::StreamId;
use crate::journal::{CHAIN_START, next_hash};
use crate::uplink::inlet::{Batch, BatchVerdict, Cursor, on_batch};

const HASH: ChainHash = ChainHash([1; 32]);
const OTHER: ChainHash = ChainHash([2; 32]);

#[test]
fn nothing_is_sent_before_the_birth_is_answered() {
    let mut sender = Sender::new(5);
    assert_eq!(from(&sender, 9), None);
    sender.born(0);
    assert_eq!(from(&sender, 9), None);
    acked(&mut sender, 3, 9, 10);
    assert_eq!(sender.committed(), 3, "the hub's watermark counts, even below ours");
    assert_eq!(from(&sender, 9), Some(4));
    assert_eq!(from(&sender, 3), None, "nothing new in the journal");
}

#[test]
fn nothing_is_sent_twice_inside_a_connection() {
    let mut sender = connected(0, 10);
    sender.sent(4, 0);
    assert_eq!(from(&sender, 10), Some(5));
    acked(&mut sender, 2, 10, 1);
    assert_eq!(from(&sender, 10), Some(5));
    sender.disconnected();
    assert_eq!(from(&sender, 10), None);
    sender.born(2);
    acked(&mut sender, 2, 10, 3);
    assert_eq!(from(&sender, 10), Some(3), "a new connection begins at the watermark");
}

#[test]
fn r04_four_batches_may_be_under_way() {
    let mut sender = connected(0, 100);
    for last in 1..=4 {
        assert_eq!(from(&sender, 100), Some(last));
        sender.sent(last, 0);
    }
    assert_eq!(BATCHES_OUTSTANDING_MAX, 4);
    assert_eq!(from(&sender, 100), None);
    acked(&mut sender, 2, 100, 1);
    sender.sent(5, 1);
    sender.sent(6, 1);
    assert_eq!(from(&sender, 100), None);
    acked(&mut sender, 6, 100, 2);
    assert_eq!(from(&sender, 100), Some(7));
}

#[test]
fn an_ack_above_the_own_head_is_refused() {
    let mut sender = connected(0, 10);
    let said = sender.acknowledged(11, HASH, 10, None, 0);
    assert_eq!(said, Err(AckError::AboveHead { committed: 11, head: 10 }));
    assert_eq!(sender.committed(), 0);
}

#[test]
fn an_ack_with_another_hash_is_refused() {
    let mut sender = connected(0, 10);
    let said = sender.acknowledged(4, HASH, 10, Some(OTHER), 0);
    assert_eq!(said, Err(AckError::Forked { committed: 4 }));
    assert_eq!(sender.committed(), 0);
    assert_eq!(sender.acknowledged(4, HASH, 10, Some(HASH), 0), Ok(()));
    assert_eq!(sender.acknowledged(5, HASH, 10, None, 0), Ok(()), "pruned: nothing to compare");
    assert_eq!(sender.committed(), 5);
}

#[test]
fn an_ack_that_comes_late_or_twice_changes_nothing() {
    let mut sender = connected(0, 10);
    sender.sent(10, 0);
    acked(&mut sender, 8, 10, 1);
    acked(&mut sender, 8, 10, 2);
    acked(&mut sender, 3, 10, 3);
    assert_eq!(sender.committed(), 8);
    assert_eq!(sender.stalls_at_ms(), Some(1 + STALL_MS));
    sender.disconnected();
    acked(&mut sender, 9, 10, 4);
    assert_eq!(sender.committed(), 8, "an ack of a connection that is gone");
}

#[test]
fn what_the_hub_commits_of_an_earlier_connection_is_not_sent_again() {
    let mut sender = connected(3, 10);
    acked(&mut sender, 7, 10, 1);
    assert_eq!(from(&sender, 10), Some(8));
    acked(&mut sender, 10, 10, 2);
    assert_eq!(from(&sender, 10), None);
    assert!(!sender.stalled(2 + STALL_MS), "nothing is under way");
}

#[test]
fn a_connection_without_progress_stalls() {
    let mut sender = Sender::new(0);
    assert!(!sender.stalled(u64::MAX));
    sender.born(100);
    assert!(!sender.stalled(100 + STALL_MS - 1), "an unanswered birth");
    assert!(sender.stalled(100 + STALL_MS));
    acked(&mut sender, 0, 10, 200);
    assert!(!sender.stalled(u64::MAX), "nothing is under way");
    sender.sent(5, 1_000);
    sender.sent(10, 2_000);
    assert!(sender.stalled(1_000 + STALL_MS), "the second batch is no progress");
    acked(&mut sender, 5, 10, 20_000);
    assert!(!sender.stalled(20_000 + STALL_MS - 1));
    assert!(sender.stalled(20_000 + STALL_MS));
    acked(&mut sender, 10, 10, 20_001);
    assert!(!sender.stalled(u64::MAX));
}

/// What a bad line does next.
#[derive(Clone, Debug)]
enum Turn {
    Append(u64),
    Send(u64),
    /// The hub reads the n-th message on its way, which need not be the first.
    Deliver(usize),
    DeliverTwice(usize),
    Ack,
    /// The agent reads the first ack on its way.
    Hear,
    Lose,
    Reconnect,
    AgentRestarts,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (1..6_u64).prop_map(Turn::Append),
        6 => (1..4_u64).prop_map(Turn::Send),
        4 => Just(Turn::Deliver(0)),
        1 => (0..4_usize).prop_map(Turn::Deliver),
        1 => (0..4_usize).prop_map(Turn::DeliverTwice),
        3 => Just(Turn::Ack),
        3 => Just(Turn::Hear),
        1 => Just(Turn::Lose),
        1 => Just(Turn::Reconnect),
        1 => Just(Turn::AgentRestarts),
    ]
}

/// A journal, the line, and a hub that stores what its inlet says.
struct Line {
    journal: Vec<Vec<u8>>,
    sender: Sender,
    up: VecDeque<(u64, ChainHash, Vec<Vec<u8>>)>,
    down: VecDeque<(u64, ChainHash)>,
    cursor: Cursor,
    stored: Vec<Vec<u8>>,
    now_ms: u64,
}

impl Line {
    fn new() -> Self {
        let cursor = Cursor { stream: StreamId([1; 16]), committed: 0, hash: CHAIN_START };
        Self {
            journal: Vec::new(),
            sender: Sender::new(0),
            up: VecDeque::new(),
            down: VecDeque::new(),
            cursor,
            stored: Vec::new(),
            now_ms: 0,
        }
    }

    fn hash(&self, seq: u64) -> ChainHash {
        let known = usize::try_from(seq).unwrap();
        self.journal[..known].iter().fold(CHAIN_START, |hash, record| next_hash(hash, record))
    }

    fn play(&mut self, turn: &Turn) {
        self.now_ms += 1_000;
        match *turn {
            Turn::Append(records) => {
                for _ in 0..records {
                    self.journal.push(self.journal.len().to_be_bytes().to_vec());
                }
            }
            Turn::Send(records) => self.send(records),
            Turn::Deliver(at) => {
                if let Some(message) = self.up.remove(at) {
                    self.arrives(&message);
                }
            }
            Turn::DeliverTwice(at) => {
                if let Some(message) = self.up.get(at).cloned() {
                    self.arrives(&message);
                }
            }
            Turn::Ack => self.down.push_back((self.cursor.committed, self.cursor.hash)),
            Turn::Hear => self.hear(),
            Turn::Lose => {
                self.up.pop_front();
            }
            Turn::Reconnect => self.reconnect(),
            Turn::AgentRestarts => {
                self.sender = Sender::new(0);
                self.reconnect();
            }
        }
    }

    fn send(&mut self, records: u64) {
        let head = self.journal.len() as u64;
        let Some(window) = self.sender.window(head) else { return };
        let last = (window.from_seq + records - 1).min(head);
        let (first, end) =
            (usize::try_from(window.from_seq).unwrap(), usize::try_from(last).unwrap());
        let batch = self.journal[first - 1..end].to_vec();
        self.up.push_back((window.from_seq, self.hash(window.from_seq - 1), batch));
        self.sender.sent(last, self.now_ms);
        assert!(self.up.len() <= 4 * BATCHES_OUTSTANDING_MAX);
    }

    fn arrives(&mut self, (first_seq, previous, records): &(u64, ChainHash, Vec<Vec<u8>>)) {
        let batch = Batch {
            stream: self.cursor.stream,
            first_seq: *first_seq,
            previous: *previous,
            records,
        };
        match on_batch(self.cursor, batch).unwrap() {
            BatchVerdict::Commit { skip, next } => {
                self.stored.extend_from_slice(&records[skip..]);
                self.cursor = next;
            }
            BatchVerdict::Duplicate | BatchVerdict::Gap { .. } => {}
            BatchVerdict::Fork { seq } => panic!("a fork at {seq} of an honest journal"),
        }
    }

    fn hear(&mut self) {
        let Some((committed, hash)) = self.down.pop_front() else { return };
        let ours = self.hash(committed);
        let head = self.journal.len() as u64;
        self.sender.acknowledged(committed, hash, head, Some(ours), self.now_ms).unwrap();
    }

    /// Acks die with their connection; what the hub has received it may still be working on.
    fn reconnect(&mut self) {
        self.up.truncate(2);
        self.down.clear();
        self.sender.disconnected();
        self.sender.born(self.now_ms);
        self.down.push_back((self.cursor.committed, self.cursor.hash));
    }

    /// An undisturbed line, on which only a stall is answered with a new connection.
    fn settle(&mut self) {
        self.reconnect();
        for _ in 0..10_000 {
            let all = self.sender.committed() == self.journal.len() as u64;
            if all && self.up.is_empty() && self.down.is_empty() {
                return;
            }
            if self.sender.stalled(self.now_ms) {
                self.reconnect();
            }
            let acks = self.cursor.committed;
            for turn in [Turn::Hear, Turn::Send(3), Turn::Deliver(0)] {
                self.play(&turn);
            }
            if self.cursor.committed > acks {
                self.play(&Turn::Ack);
            }
        }
        panic!("the line never settles");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn r02_each_record_is_committed_once_and_in_order(turns in prop::collection::vec(turn(), 0..120)) {
        let mut line = Line::new();
        for turn in &turns {
            line.play(turn);
            prop_assert!(line.journal.starts_with(&line.stored));
            prop_assert!(line.sender.committed() <= line.stored.len() as u64);
        }
        line.settle();
        prop_assert_eq!(&line.journal, &line.stored);
        prop_assert!(!line.sender.stalled(u64::MAX), "a settled line does not stall");
    }
}

fn connected(committed: u64, head: u64) -> Sender {
    let mut sender = Sender::new(0);
    sender.born(0);
    acked(&mut sender, committed, head, 0);
    sender
}

fn acked(sender: &mut Sender, committed: u64, head: u64, now_ms: u64) {
    sender.acknowledged(committed, HASH, head, Some(HASH), now_ms).unwrap();
}

fn from(sender: &Sender, head: u64) -> Option<u64> {
    sender.window(head).map(|window| window.from_seq)
}
