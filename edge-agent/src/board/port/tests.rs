//! The real transports: a TCP socket and a pseudo-terminal, with a bus and a simulated board at
//! their ends.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::board::{
    Backoff, BoardConfig, Bus, BusConfig, BusCounters, BusEvent, BusTiming, LineConfig, LockConfig,
    Polarity, PollForm, PortLink, PulseOutcome, UnknownReason, UnlockRequest,
};
use crate::sim::{PtyPort, Sim, SimConfig, serve_tcp};

fn start(port: PortConfig) -> (Bus, mpsc::Receiver<BusEvent>) {
    start_with(port, BusTiming::default())
}

fn start_with(port: PortConfig, timing: BusTiming) -> (Bus, mpsc::Receiver<BusEvent>) {
    let lock = LockConfig { index: 3.try_into().unwrap(), polarity: Polarity::OneIsLocked };
    let board =
        BoardConfig { addr: 0.try_into().unwrap(), locks: vec![lock], poll: PollForm::default() };
    let connector = PortConnector::new(port.clone());
    // A busy machine may be slower than a board: its replies may be, too.
    let timing = BusTiming {
        reply_timeout_ms: timing.offline_after_ms.min(1_000),
        inter_byte_gap_ms: 500,
        gateway_proof_ms: 5_000,
        ..timing
    };
    let line = LineConfig::default();
    let backoff = Backoff::default();
    let config = BusConfig { port, boards: vec![board], line, timing, backoff };
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

/// A pulse on lock 3, which the simulated board has shut.
async fn pulse(bus: &Bus, events: &mut mpsc::Receiver<BusEvent>, intent: u64) -> PulseOutcome {
    let (board, lock) = (0.try_into().unwrap(), 3.try_into().unwrap());
    bus.try_unlock(UnlockRequest { intent, board, lock, issued_at: Instant::now() }).unwrap();
    let settled =
        |event: &BusEvent| matches!(event, BusEvent::Settled { intent: of, .. } if *of == intent);
    let BusEvent::Settled { outcome, .. } = until(events, settled).await else {
        unreachable!("that was awaited")
    };
    outcome
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

/// The adapter is pulled out while a pulse is watched, and comes back as another device under the same
/// name, as the links in /dev/serial/by-path do.
#[tokio::test]
async fn an_adapter_that_is_pulled_out_and_put_back_is_opened_again_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("by-path");
    let port = PtyPort::open().unwrap();
    std::os::unix::fs::symlink(port.path(), &path).unwrap();
    let sim = Sim::new(SimConfig { auto_open: None, ..SimConfig::default() });
    let board = tokio::spawn(port.serve(sim.clone()));
    let (bus, mut events) = start(PortConfig::Serial { path: path.clone(), baud: 19_200 });
    until(&mut events, |event| matches!(event, BusEvent::Baseline { .. })).await;
    let (addr, lock) = (0.try_into().unwrap(), 3.try_into().unwrap());
    bus.try_unlock(UnlockRequest { intent: 1, board: addr, lock, issued_at: Instant::now() })
        .unwrap();
    until(&mut events, |event| matches!(event, BusEvent::PulseWritten { .. })).await;
    board.abort();
    std::fs::remove_file(&path).unwrap();
    until(&mut events, |event| matches!(event, BusEvent::Port { state: PortLink::Down { .. } }))
        .await;
    let settled = until(&mut events, |event| matches!(event, BusEvent::Settled { .. })).await;
    let outcome = PulseOutcome::Unknown(UnknownReason::PortLost);
    assert_eq!(settled, BusEvent::Settled { intent: 1, outcome });
    // A second time it fails to open: the reason is another one.
    let missing = |event: &BusEvent| matches!(event, BusEvent::Port { state: PortLink::Down { reason } } if reason.contains("cannot open serial port"));
    until(&mut events, missing).await;

    let again = PtyPort::open().unwrap();
    std::os::unix::fs::symlink(again.path(), &path).unwrap();
    let sim = Sim::new(SimConfig::default());
    let _board = tokio::spawn(again.serve(sim.clone()));
    until(&mut events, |event| matches!(event, BusEvent::Baseline { .. })).await;
    assert_eq!(sim.pulses(), 0, "the lost pulse is not sent again");
    assert!(matches!(pulse(&bus, &mut events, 2).await, PulseOutcome::Opened { .. }));
    assert_eq!(sim.pulses(), 1);
}

/// What a gateway does to a reply.
async fn through_a_gateway(
    hand_over: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> BusCounters {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let gateway = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let reply = [0x02, 0x00, 0x00, 0x65, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x03, 0x64];
        let mut request = [0; 6];
        for _ in 0..5 {
            stream.read_exact(&mut request).await.unwrap();
            for part in hand_over(&reply) {
                stream.write_all(&part).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        // One more question: the last answer has been judged.
        stream.read_exact(&mut request).await.unwrap();
        stream
    });
    let (bus, mut events) = start(PortConfig::Tcp { addr });
    let keep_up = async { while events.recv().await.is_some() {} };
    tokio::select! {
        stream = gateway => drop(stream),
        () = keep_up => panic!("the bus ended"),
    }
    bus.counters()
}

#[tokio::test]
async fn a_gateway_that_splits_replies_into_bytes_changes_nothing() {
    let counters = through_a_gateway(|reply| reply.iter().map(|byte| vec![*byte]).collect()).await;
    assert_eq!((counters.replies, counters.timeouts, counters.noise_bytes), (5, 0, 0));
}

#[tokio::test]
async fn a_gateway_that_merges_two_replies_gives_no_reading() {
    let counters = through_a_gateway(|reply| vec![[reply, reply].concat()]).await;
    assert_eq!((counters.replies, counters.foreign), (0, 5));
}

#[tokio::test]
async fn a_gateway_that_accepts_and_says_nothing_gets_no_pulse_and_is_dialled_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let sim = Sim::new(SimConfig::default());
    let served = sim.clone();
    // Some connections are taken and left alone; each is aborted, not closed: nothing of it can arrive
    // later. Then the gateway comes to its senses.
    let gateway = tokio::spawn(async move {
        for _ in 0..4 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            let aborted = stream.read_to_end(&mut heard).await.unwrap_err();
            assert_eq!(aborted.kind(), io::ErrorKind::ConnectionReset);
            let unlock = [0x02, 0x00, 0x03, 0x51, 0x03, 0x59];
            assert!(!heard.windows(6).any(|frame| frame == unlock), "{heard:02x?}");
        }
        serve_tcp(listener, served).await
    });
    let timing = BusTiming { offline_after_ms: 300, ..BusTiming::default() };
    let (bus, mut events) = start_with(PortConfig::Tcp { addr }, timing);
    let refused = pulse(&bus, &mut events, 1).await;
    assert!(matches!(refused, PulseOutcome::NotSent(_)), "{refused:?}");
    assert_eq!(sim.pulses(), 0);
    until(&mut events, |event| matches!(event, BusEvent::Baseline { .. })).await;
    assert!(matches!(pulse(&bus, &mut events, 2).await, PulseOutcome::Opened { .. }));
    assert!(!gateway.is_finished());
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
