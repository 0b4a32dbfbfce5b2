//! The `board-sim` program as another process: its addresses, its doors and its log.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use edge_agent::board::{
    Backoff, BoardConfig, Bus, BusConfig, BusEvent, BusTiming, LineConfig, LockConfig, Polarity,
    PollForm, PortConfig, PortConnector, PulseOutcome, UnlockRequest,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

struct BoardSim(Child);

impl BoardSim {
    fn start(args: &[&str]) -> (Self, impl Iterator<Item = String> + use<>) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_board-sim"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("board-sim starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        (Self(child), lines.map(|line| line.expect("readable")))
    }
}

impl Drop for BoardSim {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn bus(port: PortConfig) -> (Bus, mpsc::Receiver<BusEvent>) {
    let index = 3.try_into().expect("a lock");
    let locks = vec![LockConfig { index, polarity: Polarity::OneIsLocked }];
    let board =
        BoardConfig { addr: 1.try_into().expect("a board"), locks, poll: PollForm::default() };
    let timing =
        BusTiming { reply_timeout_ms: 1_000, inter_byte_gap_ms: 500, ..BusTiming::default() };
    let connector = PortConnector::new(port.clone());
    let (sender, events) = mpsc::channel(64);
    let line = LineConfig::default();
    let backoff = Backoff::default();
    let config = BusConfig { port, boards: vec![board], line, timing, backoff };
    (Bus::spawn(config, connector, sender).0, events)
}

async fn outcome(bus: &Bus, events: &mut mpsc::Receiver<BusEvent>, intent: u64) -> PulseOutcome {
    let (board, lock) = (1.try_into().expect("a board"), 3.try_into().expect("a lock"));
    bus.try_unlock(UnlockRequest { intent, board, lock, issued_at: Instant::now() })
        .expect("taken");
    loop {
        if let BusEvent::Settled { outcome, .. } = events.recv().await.expect("the bus goes on") {
            return outcome;
        }
    }
}

#[tokio::test]
async fn board_sim_opens_doors_over_tcp_and_pty_and_logs_each_pulse() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, link) = (folder.path().join("board.log"), folder.path().join("tty"));
    let (log_arg, link_arg) = (log.display().to_string(), link.display().to_string());
    let (_sim, mut lines) = BoardSim::start(&[
        "--listen",
        "127.0.0.1:0",
        "--pty",
        "--link",
        &link_arg,
        "--control",
        "127.0.0.1:0",
        "--boards",
        "0,1",
        "--auto-open-ms",
        "80",
        "--log",
        &log_arg,
    ]);
    let mut address = |what: &str| {
        let line = lines.next().expect("an address");
        line.strip_prefix(&format!("listening {what} "))
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned()
    };
    let (tcp, pty, control) = (address("tcp"), address("pty"), address("control"));
    assert!(pty.starts_with("/dev/pts/"));

    let (first, mut events) = bus(PortConfig::Tcp { addr: tcp });
    assert!(matches!(outcome(&first, &mut events, 1).await, PulseOutcome::Opened { .. }));

    let mut control = BufReader::new(TcpStream::connect(control).expect("control port"));
    control.get_mut().write_all(b"close 1:3\njam 1:3 on\n").expect("written");
    let mut answers = String::new();
    for _ in 0..2 {
        control.read_line(&mut answers).expect("answered");
    }
    assert_eq!(answers, "ok\nok\n");

    let (second, mut events) = bus(PortConfig::Serial { path: link, baud: 19_200 });
    assert_eq!(outcome(&second, &mut events, 2).await, PulseOutcome::NotOpened);

    let text = std::fs::read_to_string(&log).expect("the log");
    let entries: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let pulses: Vec<_> = entries.iter().filter(|entry| entry.get("pulse").is_some()).collect();
    assert_eq!(pulses.len(), 2, "{text}");
    assert!(pulses.iter().all(|entry| entry["board"] == 1 && entry["lock"] == 3));
    assert!(entries.iter().any(|entry| entry["door"] == "open"), "{text}");
}

#[test]
fn board_sim_refuses_what_makes_no_sense() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("script");
    std::fs::write(&script, "100 open sesame\n").expect("written");
    let script = script.display().to_string();
    for (args, said) in [
        (vec![], "<--listen <ADDR>|--pty>"),
        (vec!["--pty", "--boards", "10"], "10 is not in 0..=9"),
        (vec!["--pty", "--boards", "1,1"], "named twice"),
        (vec!["--pty", "--script", &script], "line 1 of the script"),
    ] {
        let ran = Command::new(env!("CARGO_BIN_EXE_board-sim")).args(&args).output().expect("runs");
        let words = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && words.contains(said), "{args:?}: {words}");
    }
}
