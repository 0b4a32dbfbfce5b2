//! Real sockets and pseudo-terminals.

use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_serial::{SerialPortBuilderExt, SerialStream};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

async fn ask(wire: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> [u8; 12] {
    wire.write_all(&STATUS).await.unwrap();
    let mut reply = [0; 12];
    timeout(PATIENCE, wire.read_exact(&mut reply)).await.expect("a reply in time").unwrap();
    reply
}

async fn gateway() -> (Sim, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sim = Sim::new(SimConfig::default());
    tokio::spawn(serve_tcp(listener, sim.clone()));
    (sim, addr)
}

fn open_tty(path: &Path) -> SerialStream {
    tokio_serial::new(path.to_string_lossy(), 19_200).open_native_async().expect("a terminal")
}

#[tokio::test]
async fn the_newest_client_of_a_gateway_is_the_one() {
    let (_, addr) = gateway().await;
    let mut old = TcpStream::connect(addr).await.unwrap();
    assert_eq!(ask(&mut old).await, ALL_CLOSED);
    let mut new = TcpStream::connect(addr).await.unwrap();
    assert_eq!(ask(&mut new).await, ALL_CLOSED);
    assert_eq!(old.read(&mut [0; 1]).await.unwrap_or(0), 0, "the old one is shown out");
}

#[tokio::test]
async fn a_half_open_gateway_accepts_and_says_nothing() {
    let (sim, addr) = gateway().await;
    assert_eq!(sim.command("half-open swallow").unwrap(), "ok");
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(&cu48_unlock(0, 3)).await.unwrap();
    client.write_all(&STATUS).await.unwrap();
    let silence = timeout(Duration::from_millis(200), client.read(&mut [0; 1])).await;
    assert!(silence.is_err(), "neither bytes nor an end");
    assert_eq!(sim.pulses(), 0);
    assert_eq!(sim.command("reset").unwrap(), "ok");
    assert_eq!(ask(&mut client).await, ALL_CLOSED);
}

#[tokio::test]
async fn an_unplugged_gateway_cuts_its_client_until_it_is_replugged() {
    let (sim, addr) = gateway().await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    assert_eq!(ask(&mut client).await, ALL_CLOSED);
    assert_eq!(sim.command("unplug").unwrap(), "ok");
    assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let mut next = TcpStream::connect(addr).await.unwrap();
    assert_eq!(next.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(sim.command("replug").unwrap(), "ok");
    let mut last = TcpStream::connect(addr).await.unwrap();
    assert_eq!(ask(&mut last).await, ALL_CLOSED);
}

#[tokio::test]
async fn a_replugged_terminal_is_another_one_at_the_same_link() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("tty");
    let port = PtyPort::open_at(&link).unwrap();
    let first_path = port.path().to_owned();
    assert_eq!(std::fs::read_link(&link).unwrap(), first_path);
    let sim = Sim::new(SimConfig::default());
    tokio::spawn(port.serve(sim.clone()));
    let mut tty = open_tty(&link);
    assert_eq!(ask(&mut tty).await, ALL_CLOSED);

    assert_eq!(sim.command("unplug").unwrap(), "ok");
    let ended = timeout(PATIENCE, tty.read(&mut [0; 1])).await.expect("an end in time");
    assert_eq!(ended.unwrap_or(0), 0);
    while link.symlink_metadata().is_ok() {
        tokio::task::yield_now().await;
    }

    assert_eq!(sim.command("replug").unwrap(), "ok");
    while link.symlink_metadata().is_err() {
        tokio::task::yield_now().await;
    }
    assert_ne!(std::fs::read_link(&link).unwrap(), first_path, "the old one is still held");
    drop(tty);
    let mut tty = open_tty(&link);
    assert_eq!(ask(&mut tty).await, ALL_CLOSED);
    let state = sim.command("state").unwrap();
    let path = std::fs::read_link(&link).unwrap().display().to_string();
    assert!(state.contains(&path), "{state}");
}

#[tokio::test]
async fn a_link_replaces_links_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    assert!(PtyPort::open_at(&file).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
}

#[tokio::test]
async fn the_control_port_answers_each_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sim = Sim::new(SimConfig::default());
    tokio::spawn(serve_control(listener, sim.clone()));
    let mut stream = BufReader::new(TcpStream::connect(addr).await.unwrap());
    stream.write_all(b"open 3\nnonsense\n\n\xFF\nlog").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let lines: Vec<_> = answers.lines().collect();
    assert_eq!(lines[..2], ["ok", "error no such command: \"nonsense\"; try help"]);
    assert_eq!(lines[2], "error the line is empty; try help");
    assert!(lines[3].starts_with("error no such command"));
    assert!(lines[4].starts_with(r#"  {"board":0,"door":"open","lock":3,"t_ms":"#), "{lines:?}");
    assert_eq!(lines[5..], ["ok"]);
    assert_eq!(sim.history().len(), 1);
}

#[tokio::test]
async fn a_line_without_end_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve_control(listener, Sim::new(SimConfig::default())));
    let mut stream = BufReader::new(TcpStream::connect(addr).await.unwrap());
    stream.write_all(&[b'x'; 256]).await.unwrap();
    let mut answer = String::new();
    stream.read_line(&mut answer).await.unwrap();
    assert_eq!(answer, "error a line has less than 256 bytes\n");
    assert_eq!(stream.read_line(&mut answer).await.unwrap(), 0);
}
