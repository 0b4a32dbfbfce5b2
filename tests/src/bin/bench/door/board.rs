//! The lock board that is measured with: the simulator on TCP at the line's pace.

use std::time::Duration;

use edge_agent::board::{
    Backoff, BoardAddr, BoardConfig, Bus, BusConfig, BusTiming, LineConfig, LockConfig, LockIndex,
    Polarity, PollForm, PortConfig, PortConnector, Profile,
};
use edge_agent::sim::{self, Sim, SimConfig, serve_tcp};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub(super) type BoardBus = (Bus, mpsc::Receiver<edge_agent::board::BusEvent>);

/// A simulated board on TCP at 19200 baud whose doors spring open and shut at once, and a bus whose
/// supply needs little rest, so that many samples fit into a minute.
pub(super) async fn start_board(profile: Profile) -> anyhow::Result<BoardBus> {
    let pulse = Duration::from_millis(20);
    let family = match profile {
        Profile::Cu48 => sim::Profile::Cu48,
        Profile::Cu16 => sim::Profile::Cu16,
    };
    let sim = Sim::new(SimConfig {
        profile: family,
        pulse,
        auto_open: Some(Duration::from_millis(10)),
        auto_close: Some(Duration::from_millis(60)),
        ..SimConfig::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?.to_string();
    tokio::spawn(serve_tcp(listener, sim));
    let lock = LockConfig { index: LockIndex::try_from(0)?, polarity: Polarity::OneIsLocked };
    let board =
        BoardConfig { addr: BoardAddr::try_from(0)?, locks: vec![lock], poll: PollForm::default() };
    let timing = BusTiming {
        pulse_ms: 20,
        pulse_gap_ms: 5,
        first_confirm_ms: 15,
        confirm_interval_ms: 20,
        recheck_ms: 5,
        closed_stable_ms: 20,
        reply_timeout_ms: 500,
        inter_byte_gap_ms: 250,
        ..BusTiming::default()
    };
    let port = PortConfig::Tcp { addr };
    let connector = PortConnector::new(port.clone());
    let line = LineConfig { profile, ..LineConfig::default() };
    let backoff = Backoff::default();
    let config = BusConfig { port, boards: vec![board], line, timing, backoff };
    let (outbox, inbox) = mpsc::channel(64);
    let (bus, _) = Bus::spawn(config, connector, outbox);
    Ok((bus, inbox))
}
