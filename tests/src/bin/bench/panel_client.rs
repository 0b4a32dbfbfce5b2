//! A screen: one kept-alive HTTP connection to the panel, and the moment each request left.

use anyhow::{Context, ensure};
use edge_agent::panel::Access;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Longest answer of the panel that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 16 * 1024;

/// A connected screen.
pub(crate) struct PanelClient {
    stream: TcpStream,
    access: Access,
    buffer: Vec<u8>,
}

impl PanelClient {
    pub(crate) async fn connect(access: Access) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(access.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, access, buffer: Vec::new() })
    }

    /// Sends one request and answers when it left; fails unless the panel says 200.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<Instant> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.access.address,
            self.access.token,
            body.len()
        );
        let sent = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        let (status, answer) = self.answer().await?;
        ensure!(status == 200, "{path} answered {status}: {answer}");
        Ok(sent)
    }

    async fn answer(&mut self) -> anyhow::Result<(u16, String)> {
        self.buffer.clear();
        loop {
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let status = head.split(' ').nth(1).context("no status")?.parse()?;
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    let named = name.eq_ignore_ascii_case("content-length");
                    named.then(|| value.trim().parse::<usize>().ok()).flatten()
                });
                if body.len() >= length.context("no content-length")? {
                    return Ok((status, body.to_owned()));
                }
            }
            ensure!(self.buffer.len() < ANSWER_MAX_BYTES, "the answer is too long");
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the panel hung up");
        }
    }
}
