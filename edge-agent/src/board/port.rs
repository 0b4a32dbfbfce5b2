//! How the bytes get to the boards: a serial line, or a gateway that carries one over TCP.
//!
//! A gateway is the dangerous one: bytes of an unlock that sit in a socket behind a broken link are
//! delivered when it heals, to an empty pavement. So each connection gives up after two seconds
//! without an acknowledgement, and closing it throws away what was not sent.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_serial::{DataBits, FlowControl, Parity, SerialPortBuilderExt, SerialStream, StopBits};

/// Longest wait for a gateway to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes unacknowledged for this long end the connection (`TCP_USER_TIMEOUT`).
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(2);
/// Idle time before the kernel probes a gateway. Polls keep the line busy; this is for when they do not.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
/// Between two such probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// Anything that carries bytes to the boards and back.
pub trait Port: AsyncRead + AsyncWrite + Unpin + Send {}

impl<P: AsyncRead + AsyncWrite + Unpin + Send> Port for P {}

/// Opens the port of a bus, again and again if need be. The bus drops the old one first.
pub trait Connect: Send + 'static {
    /// Opens it.
    fn connect(&mut self) -> impl Future<Output = Result<Box<dyn Port>, ConnectError>> + Send;

    /// Whether what is behind the port may hold bytes back and deliver them later, as a TCP gateway
    /// may. The bus then aborts a connection that does not prove that a pulse has arrived.
    fn may_deliver_late(&self) -> bool {
        false
    }
}

/// Where the boards of a bus are reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PortConfig {
    /// A serial port of this machine.
    Serial {
        /// Device; use a name below `/dev/serial/by-path`, which survives unplugging.
        path: PathBuf,
        /// Line rate in bits per second.
        baud: u32,
    },
    /// A gateway from TCP to the serial line.
    Tcp {
        /// Host and port.
        addr: String,
    },
}

/// Why a port did not open.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The serial device cannot be opened or set up.
    #[error("cannot open serial port {path}")]
    Serial {
        /// The device.
        path: PathBuf,
        /// What the system says.
        source: tokio_serial::Error,
    },
    /// The gateway refuses or is not there.
    #[error("cannot connect to gateway {addr}")]
    Tcp {
        /// Its address.
        addr: String,
        /// What the system says.
        source: io::Error,
    },
    /// The gateway does not answer.
    #[error("gateway {addr} did not accept within {} s", CONNECT_TIMEOUT.as_secs())]
    TcpTimeout {
        /// Its address.
        addr: String,
    },
    /// Another transport failed.
    #[error("cannot open the port")]
    Other(#[source] io::Error),
}

/// Opens what a [`PortConfig`] names.
#[derive(Clone, Debug)]
pub struct PortConnector {
    config: PortConfig,
}

impl PortConnector {
    /// A connector to this port.
    #[must_use]
    pub fn new(config: PortConfig) -> Self {
        Self { config }
    }
}

impl Connect for PortConnector {
    async fn connect(&mut self) -> Result<Box<dyn Port>, ConnectError> {
        match &self.config {
            PortConfig::Serial { path, baud } => Ok(Box::new(open_serial(path.clone(), *baud)?)),
            PortConfig::Tcp { addr } => Ok(Box::new(open_tcp(addr.clone()).await?)),
        }
    }

    fn may_deliver_late(&self) -> bool {
        matches!(self.config, PortConfig::Tcp { .. })
    }
}

fn open_serial(path: PathBuf, baud: u32) -> Result<SerialLine, ConnectError> {
    tokio_serial::new(path.to_string_lossy(), baud)
        .data_bits(DataBits::Eight)
        .parity(Parity::None)
        .stop_bits(StopBits::One)
        .flow_control(FlowControl::None)
        .open_native_async()
        .map(SerialLine)
        .map_err(|source| ConnectError::Serial { path, source })
}

async fn open_tcp(addr: String) -> Result<TcpStream, ConnectError> {
    let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(&addr)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(ConnectError::Tcp { addr, source }),
        Err(_) => return Err(ConnectError::TcpTimeout { addr }),
    };
    match tune(&stream) {
        Ok(()) => Ok(stream),
        Err(source) => Err(ConnectError::Tcp { addr, source }),
    }
}

/// Linger 0 makes every close an abort: bytes not yet delivered are dropped, never sent later.
fn tune(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL),
    )
}

/// A serial port whose flush does nothing: the real one is `tcdrain`, which blocks the thread for as
/// long as the line needs. The bus reckons that time instead.
#[derive(Debug)]
struct SerialLine(SerialStream);

impl AsyncRead for SerialLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for SerialLine {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
