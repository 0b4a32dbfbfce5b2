//! The simulated bank behind TCP: the serial gateway, and the control port.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::serve::serve;
use super::shared::Sim;

/// Control connections served at once; more wait for their turn.
const CONTROL_CLIENTS: usize = 8;
/// Longer lines are no commands; the connection is closed after the answer.
const LINE_BYTES: u64 = 256;

/// Plays a gateway: one client at a time, and the newest is the one, as with an agent that comes back
/// before the gateway has noticed that it left.
///
/// # Errors
/// When the listener fails or the log cannot be written.
pub async fn serve_tcp(listener: TcpListener, sim: Sim) -> io::Result<()> {
    let mut client = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                client.shutdown().await;
                client.spawn(serve(stream, sim.clone()));
            }
            // A client that goes away is no failure of the gateway.
            Some(_) = client.join_next() => {}
        }
    }
}

/// Answers commands, one a line, for several clients.
///
/// # Errors
/// When the listener fails.
pub async fn serve_control(listener: TcpListener, sim: Sim) -> io::Result<()> {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < CONTROL_CLIENTS => {
                clients.spawn(control(accepted?.0, sim.clone()));
            }
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn control(mut stream: TcpStream, sim: Sim) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let count = (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line).await?;
        if count == 0 {
            return Ok(());
        }
        let too_long = line.len() as u64 == LINE_BYTES && line.last() != Some(&b'\n');
        let mut answer = if too_long {
            format!("error a line has less than {LINE_BYTES} bytes")
        } else {
            sim.command(&String::from_utf8_lossy(&line))?
        };
        answer.push('\n');
        writer.write_all(answer.as_bytes()).await?;
        if too_long {
            return Ok(());
        }
    }
}
