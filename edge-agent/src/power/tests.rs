//! The file that says what the machine runs on, as it comes, flickers and goes.

use tempfile::TempDir;
use tokio::time::{advance, timeout};

use super::*;

const EVERY: Duration = Duration::from_secs(1);

struct World {
    dir: TempDir,
    inbox: mpsc::Receiver<Event>,
    stop: watch::Sender<bool>,
}

impl World {
    fn new(first: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("online");
        std::fs::write(&file, first).unwrap();
        let config = PowerConfig { mains_file: Some(file), ..PowerConfig::default() };
        let ((events, inbox), stop) = (mpsc::channel(8), watch::Sender::new(false));
        tokio::spawn(run(config, events, stop.subscribe()));
        Self { dir, inbox, stop }
    }

    fn says(&self, text: &str) {
        std::fs::write(self.dir.path().join("online"), text).unwrap();
    }

    async fn told(&mut self) -> PowerSource {
        let event = timeout(EVERY * 60, self.inbox.recv()).await.expect("told").unwrap();
        let Event::Power(source) = event else { panic!("{event:?}") };
        // Half way to the next look, so that it is certain how many there are in a whole number.
        advance(EVERY / 2).await;
        source
    }

    /// Nothing is told while the file is looked at `looks` times.
    async fn is_quiet_for(&mut self, looks: u32) {
        let event = timeout(EVERY * looks, self.inbox.recv()).await;
        assert!(event.is_err(), "{event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p_k_a_change_of_the_supply_is_told_once_when_it_has_lasted() {
    let mut world = World::new("1\n");
    assert_eq!(world.told().await, PowerSource::Mains);
    world.is_quiet_for(20).await;
    world.says("0\n");
    world.is_quiet_for(STEADY_READINGS - 1).await;
    assert_eq!(world.told().await, PowerSource::Battery);
    world.is_quiet_for(20).await;
    // Programmable supplies say 2.
    world.says("2");
    assert_eq!(world.told().await, PowerSource::Mains);
    world.stop.send_replace(true);
    assert!(world.inbox.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn p_k_a_supply_that_flickers_or_says_nothing_is_no_news() {
    let mut world = World::new("1");
    assert_eq!(world.told().await, PowerSource::Mains);
    for said in ["0", "1", "0", "", "0", "1"] {
        world.says(said);
        world.is_quiet_for(1).await;
    }
    std::fs::remove_file(world.dir.path().join("online")).unwrap();
    world.is_quiet_for(20).await;
    world.says("0");
    assert_eq!(world.told().await, PowerSource::Battery);
}

#[tokio::test]
async fn p_k_a_bank_that_cannot_tell_counts_as_on_the_mains() {
    let ((events, mut inbox), stop) = (mpsc::channel(8), watch::Sender::new(false));
    run(PowerConfig::default(), events, stop.subscribe()).await;
    assert!(matches!(inbox.recv().await, Some(Event::Power(PowerSource::Mains))));
    assert!(inbox.recv().await.is_none());
}
