//! The real transports: a TCP socket and a pseudo-terminal, with a bus and a simulated board at
//! their ends.

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::board::{
    Backoff, BoardConfig, Bus, BusConfig, BusEvent, BusTiming, LockConfig, Polarity, PollForm,
    PortLink, PulseOutcome, UnlockRequest,
};
use crate::sim::{PtyPort, Sim, SimConfig, serve_tcp};

fn start(port: PortConfig) -> (Bus, mpsc::Receiver<BusEvent>) {
    let lock = LockConfig { index: 3.try_into().unwrap(), polarity: Polarity::OneIsLocked };
    let board =
        BoardConfig { addr: 0.try_into().unwrap(), locks: vec![lock], poll: PollForm::default() };
    let connector = PortConnector::new(port.clone());
    // A busy machine may be slower than a board: its replies may be, too.
    let timing =
        BusTiming { reply_timeout_ms: 1_000, inter_byte_gap_ms: 500, ..BusTiming::default() };
    let config = BusConfig { port, boards: vec![board], timing, backoff: Backoff::default() };
    let (sender, events) = mpsc::channel(64);
    let (bus, _) = Bus::spawn(config, connector, sender);
    (bus, events)
}

async fn until(
    events: &mut mpsc::Receiver<BusEvent>,
    wanted: impl Fn(&BusEvent) -> bool,
) -> BusEvent {
    loop {
        let event = events.recv().await.expect("the bus goes on");
        if wanted(&event) {
            return event;
        }
    }
}

async fn opens_a_door(bus: &Bus, events: &mut mpsc::Receiver<BusEvent>, sim: &Sim) {
    until(events, |event| matches!(event, BusEvent::Baseline { .. })).await;
    let (board, lock) = (0.try_into().unwrap(), 3.try_into().unwrap());
    bus.try_unlock(UnlockRequest { intent: 1, board, lock, issued_at: Instant::now() }).unwrap();
    let settled = until(events, |event| matches!(event, BusEvent::Settled { .. })).await;
    let opened = |event: &BusEvent| {
        matches!(event, BusEvent::Settled { outcome: PulseOutcome::Opened { .. }, .. })
    };
    assert!(opened(&settled), "{settled:?}");
    assert_eq!(sim.pulses(), 1);
}

#[tokio::test]
async fn a_door_opens_through_a_tcp_gateway_and_its_loss_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let sim = Sim::new(SimConfig::default());
    let gateway = tokio::spawn(serve_tcp(listener, sim.clone()));
    let (bus, mut events) = start(PortConfig::Tcp { addr });
    opens_a_door(&bus, &mut events, &sim).await;
    gateway.abort();
    until(&mut events, |event| matches!(event, BusEvent::Port { state: PortLink::Down { .. } }))
        .await;
}

#[tokio::test]
async fn a_door_opens_through_a_serial_port_and_its_loss_is_noticed() {
    let port = PtyPort::open().unwrap();
    let path = port.path().to_owned();
    let sim = Sim::new(SimConfig::default());
    let board = tokio::spawn(port.serve(sim.clone()));
    let (bus, mut events) = start(PortConfig::Serial { path, baud: 19_200 });
    opens_a_door(&bus, &mut events, &sim).await;
    board.abort();
    until(&mut events, |event| matches!(event, BusEvent::Port { state: PortLink::Down { .. } }))
        .await;
}

#[tokio::test]
async fn a_second_agent_on_the_same_serial_port_is_refused() {
    let port = PtyPort::open().unwrap();
    let config = PortConfig::Serial { path: port.path().to_owned(), baud: 19_200 };
    let _first = PortConnector::new(config.clone()).connect().await.unwrap();
    let Err(error) = PortConnector::new(config).connect().await else {
        panic!("two agents on one port")
    };
    assert!(matches!(error, ConnectError::Serial { .. }), "{error}");
}

#[tokio::test]
async fn a_gateway_connection_never_delivers_late() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = open_tcp(listener.local_addr().unwrap().to_string()).await.unwrap();
    let socket = SockRef::from(&stream);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn what_does_not_open_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let refused = PortConnector::new(PortConfig::Tcp { addr }).connect().await;
    assert!(matches!(refused.err(), Some(ConnectError::Tcp { .. })));
    let path = PathBuf::from("/nonexistent/port");
    let missing = PortConnector::new(PortConfig::Serial { path, baud: 19_200 }).connect().await;
    assert!(matches!(missing.err(), Some(ConnectError::Serial { .. })));
}
