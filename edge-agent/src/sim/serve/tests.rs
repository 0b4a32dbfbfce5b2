//! The simulated board on a wire.

use tokio::io::duplex;

use super::super::bank::SimConfig;
use super::*;

const STATUS: [u8; 6] = [0x02, 0x00, 0x00, 0x50, 0x03, 0x55];
const ALL_CLOSED: [u8; 12] =
    [0x02, 0x00, 0x00, 0x65, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x03, 0x64];

async fn ask(wire: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> [u8; 12] {
    wire.write_all(&STATUS).await.unwrap();
    let mut reply = [0; 12];
    wire.read_exact(&mut reply).await.unwrap();
    reply
}

#[tokio::test(start_paused = true)]
async fn bytes_take_the_time_of_the_line() {
    let sim = Sim::new(SimConfig::default());
    let least = sim.config().line_time(18) + sim.config().turnaround;
    let (mut near, far) = duplex(64);
    tokio::spawn(serve(far, sim));
    let begun = Instant::now();
    assert_eq!(ask(&mut near).await, ALL_CLOSED);
    assert!(begun.elapsed() >= least);
}

#[tokio::test]
async fn the_newest_client_of_a_gateway_is_the_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve_tcp(listener, Sim::new(SimConfig::default())));
    let mut old = TcpStream::connect(addr).await.unwrap();
    assert_eq!(ask(&mut old).await, ALL_CLOSED);
    let mut new = TcpStream::connect(addr).await.unwrap();
    assert_eq!(ask(&mut new).await, ALL_CLOSED);
    assert_eq!(old.read(&mut [0; 1]).await.unwrap_or(0), 0, "the old one is shown out");
}

#[tokio::test]
async fn the_control_port_answers_each_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sim = Sim::new(SimConfig::default());
    tokio::spawn(serve_control(listener, sim.clone()));
    let mut stream = BufReader::new(TcpStream::connect(addr).await.unwrap());
    stream.write_all(b"open 3\nnonsense\n\n").await.unwrap();
    let mut answers = String::new();
    for _ in 0..3 {
        stream.read_line(&mut answers).await.unwrap();
    }
    let starts: Vec<_> = answers.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["ok", "error", "error"]);
    assert_eq!(sim.history().len(), 1);
}
