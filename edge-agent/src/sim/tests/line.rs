//! The line itself, on a paused clock.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use super::*;

struct Wire {
    sim: Sim,
    near: DuplexStream,
}

impl Wire {
    fn new(config: SimConfig) -> Self {
        let sim = Sim::new(config);
        let (near, far) = duplex(1_024);
        tokio::spawn(serve(far, sim.clone()));
        Self { sim, near }
    }

    fn tell(&self, line: &str) {
        assert_eq!(self.sim.command(line).unwrap(), "ok", "{line}");
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.near.write_all(bytes).await.unwrap();
    }

    /// All pieces that come until the line is silent for a second.
    async fn pieces(&mut self) -> Vec<(Instant, Vec<u8>)> {
        let mut pieces = Vec::new();
        let mut chunk = [0; 256];
        let patience = Duration::from_secs(1);
        while let Ok(read) = timeout(patience, self.near.read(&mut chunk)).await {
            let count = read.unwrap();
            if count == 0 {
                break;
            }
            pieces.push((Instant::now(), chunk[..count].to_vec()));
        }
        pieces
    }

    async fn bytes(&mut self) -> Vec<u8> {
        self.pieces().await.into_iter().flat_map(|(_, bytes)| bytes).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_take_the_time_of_the_line() {
    for profile in [Profile::Cu16, Profile::Cu48] {
        let mut wire = Wire::new(SimConfig { profile, ..SimConfig::default() });
        let (request, both) = match profile {
            Profile::Cu16 => (vec![0x02, 0x00, 0x30, 0x03, 0x35], 5 + 9),
            Profile::Cu48 => (STATUS.to_vec(), 6 + 12),
        };
        let least = wire.sim.config().line_time(both) + wire.sim.config().turnaround;
        let begun = Instant::now();
        wire.send(&request).await;
        let pieces = wire.pieces().await;
        let took = pieces.last().unwrap().0 - begun;
        assert!(took >= least && took < least + Duration::from_millis(25), "{took:?} {least:?}");
        let bytes: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(bytes, profile.reply_bytes());
        assert!(pieces.len() > 1, "one after another");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_is_late() {
    let mut wire = Wire::new(SimConfig::default());
    wire.tell("late 300");
    let begun = Instant::now();
    wire.send(&STATUS).await;
    let pieces = wire.pieces().await;
    assert!(pieces[0].0 - begun >= Duration::from_millis(300));
    assert!(pieces[0].0 - begun < Duration::from_millis(320));
}

#[tokio::test(start_paused = true)]
async fn an_echoing_line_brings_each_request_back_before_its_reply() {
    let mut wire = Wire::new(SimConfig::default());
    wire.tell("echo on");
    wire.send(&cu48_unlock(0, 3)).await;
    assert_eq!(wire.bytes().await, cu48_unlock(0, 3));
    wire.send(&STATUS).await;
    let heard = wire.bytes().await;
    assert_eq!(heard[..6], STATUS);
    assert_eq!(heard[6..], summed(vec![0x02, 0, 0, 0x65, 0xF7, 255, 255, 255, 255, 255, 0x03]));
    wire.tell("echo off");
    wire.send(&STATUS).await;
    assert_eq!(wire.bytes().await.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_split_reply_comes_in_single_bytes_with_gaps() {
    let mut wire = Wire::new(SimConfig::default());
    wire.tell("split 30");
    wire.send(&STATUS).await;
    let pieces = wire.pieces().await;
    assert_eq!(pieces.len(), 12);
    for pair in pieces.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_millis(30));
    }
}

#[tokio::test(start_paused = true)]
async fn merged_replies_come_in_one_piece() {
    let mut wire = Wire::new(SimConfig::default());
    wire.tell("merge on");
    wire.send(&STATUS).await;
    assert!(wire.bytes().await.is_empty());
    wire.send(&STATUS).await;
    let pieces = wire.pieces().await;
    assert_eq!(pieces.len(), 1);
    assert_eq!(pieces[0].1, [ALL_CLOSED, ALL_CLOSED].concat());
}

#[tokio::test(start_paused = true)]
async fn a_babbling_line_brings_bytes_at_line_rate_and_drowns_replies() {
    let mut wire = Wire::new(SimConfig::default());
    wire.tell("babble 255");
    let mut thousand = [0; 1_000];
    let begun = Instant::now();
    wire.near.read_exact(&mut thousand).await.unwrap();
    assert!(thousand.iter().all(|byte| *byte == 255));
    assert!(begun.elapsed() >= wire.sim.config().line_time(999));
    wire.send(&STATUS).await;
    wire.near.read_exact(&mut thousand).await.unwrap();
    assert!(thousand.iter().all(|byte| *byte == 255), "the reply is gone");
    wire.tell("babble noise");
    wire.near.read_exact(&mut thousand).await.unwrap();
    assert!(thousand.windows(2).any(|pair| pair[0] != pair[1]));
    wire.tell("babble off");
    wire.bytes().await;
    wire.send(&STATUS).await;
    assert_eq!(wire.bytes().await, ALL_CLOSED);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_swallows() {
    let mut wire = Wire::new(SimConfig::default());
    wire.tell("half-open swallow");
    wire.send(&cu48_unlock(0, 3)).await;
    wire.send(&STATUS).await;
    assert!(wire.bytes().await.is_empty());
    wire.tell("half-open off");
    wire.send(&STATUS).await;
    assert_eq!(wire.bytes().await, ALL_CLOSED);
    assert_eq!(wire.sim.pulses(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_delivers_later_what_it_held() {
    let mut wire = Wire::new(SimConfig::default());
    wire.tell("half-open hold");
    wire.send(&cu48_unlock(0, 3)).await;
    assert!(wire.bytes().await.is_empty());
    assert_eq!(wire.sim.pulses(), 0);
    wire.tell("half-open off");
    wire.send(&STATUS).await;
    assert_eq!(wire.bytes().await.len(), 12);
    assert_eq!(wire.sim.pulses(), 1, "to an empty pavement");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_dies_with_its_connection() {
    let Wire { sim, mut near } = Wire::new(SimConfig::default());
    assert_eq!(sim.command("half-open hold").unwrap(), "ok");
    near.write_all(&cu48_unlock(0, 3)).await.unwrap();
    drop(near);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sim.command("half-open off").unwrap(), "ok");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sim.pulses(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unplugged_stream_ends_even_if_it_is_replugged_at_once() {
    let mut wire = Wire::new(SimConfig::default());
    wire.send(&STATUS).await;
    assert_eq!(wire.bytes().await, ALL_CLOSED);
    wire.tell("unplug");
    wire.tell("replug");
    assert_eq!(wire.near.read(&mut [0; 1]).await.unwrap(), 0);
}
