use super::*;

fn note(n: u8) -> Note {
    Note { bank: "lobby".parse().unwrap(), kind: Kind::Telemetry, payload: vec![n].into() }
}

#[tokio::test]
async fn the_oldest_notes_go_when_there_is_no_room_and_are_counted() {
    let counters = Arc::<Counters>::default();
    let queue = Queue::new(3, Arc::clone(&counters));
    for n in 1..=5 {
        queue.push(note(n));
    }
    queue.filled().await;
    assert_eq!(queue.take(2), [note(3), note(4)]);
    assert_eq!(queue.take(2), [note(5)]);
    assert_eq!(counters.get(Count::QueueDropped), 2);
}

#[tokio::test]
async fn a_taker_that_waits_is_woken_by_the_first_note() {
    let queue = Arc::new(Queue::new(3, Arc::default()));
    let waiting = Arc::clone(&queue);
    let taken = tokio::spawn(async move {
        waiting.filled().await;
        waiting.take(9)
    });
    tokio::task::yield_now().await;
    queue.push(note(1));
    assert_eq!(taken.await.unwrap(), [note(1)]);
}
