//! How ingest hears from banks and speaks to them, whoever carries it: sessions of our own, or a
//! foreign broker later. Tests stand in with channels.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::net::SocketAddr;

use bytes::Bytes;
use locker_core::ids::BankId;

use crate::mqtt::{
    AckToken, DownTopic, EndReason, MqttEvent, SendError, SessionId, Sessions, UpTopic,
};
use crate::tls::DeviceKey;

/// What ingest does to sessions. No call waits.
pub trait Link: Send + 'static {
    /// Names a session, never used twice.
    type Session: Copy + Eq + Hash + Debug + Display + Send + Sync + 'static;
    /// The right to acknowledge one message, once.
    type Token: Debug + Send + 'static;

    /// Puts a signed message in the session's queue.
    ///
    /// # Errors
    ///
    /// When the session is gone or does not take it.
    fn send(
        &self,
        session: Self::Session,
        topic: DownTopic,
        payload: Vec<u8>,
    ) -> Result<(), SendError>;

    /// How many messages the session's queue still takes; `None` when it is gone.
    fn room(&self, session: Self::Session) -> Option<usize>;

    /// Acknowledges a message, after commit.
    fn acknowledge(&self, token: Self::Token);

    /// Ends a session, which is then heard of as ended.
    fn end(&self, session: Self::Session, reason: &'static str);
}

impl Link for Sessions {
    type Session = SessionId;
    type Token = AckToken;

    fn send(
        &self,
        session: SessionId,
        topic: DownTopic,
        payload: Vec<u8>,
    ) -> Result<(), SendError> {
        Self::send(self, session, topic, payload)
    }

    fn room(&self, session: SessionId) -> Option<usize> {
        Self::room(self, session)
    }

    fn acknowledge(&self, token: AckToken) {
        Self::acknowledge(self, token);
    }

    fn end(&self, session: SessionId, reason: &'static str) {
        Self::end(self, session, EndReason::Ingest(reason));
    }
}

/// What ingest hears. For each session: `Connected` first, `Ended` last; for each bank: the end of
/// a session before the beginning of the next.
#[derive(Debug)]
pub enum LinkEvent<S, T> {
    Connected {
        session: S,
        bank: BankId,
        caller: Caller,
    },
    /// The session hears what is sent to it from now on.
    Subscribed {
        session: S,
        bank: BankId,
    },
    Publish {
        session: S,
        bank: BankId,
        topic: UpTopic,
        payload: Bytes,
        /// Absent for messages that may be lost.
        ack: Option<T>,
    },
    Ended {
        session: S,
        bank: BankId,
        /// Another session of the bank has taken its place while it was open.
        taken_over: bool,
    },
}

/// Where a session comes from, and with which certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub address: SocketAddr,
    /// SHA-256 of the certificate's DER bytes.
    pub certificate: [u8; 32],
    /// The certificate's key, if that is one of a device: with it a bank seals its journal.
    pub key: Option<DeviceKey>,
}

impl From<MqttEvent> for LinkEvent<SessionId, AckToken> {
    fn from(event: MqttEvent) -> Self {
        match event {
            MqttEvent::Connected { session, bank, peer: address, certificate, key } => {
                Self::Connected { session, bank, caller: Caller { address, certificate, key } }
            }
            MqttEvent::Subscribed { session, bank } => Self::Subscribed { session, bank },
            MqttEvent::Publish { session, bank, topic, payload, ack } => {
                Self::Publish { session, bank, topic, payload, ack }
            }
            MqttEvent::Ended { session, bank, reason } => {
                let taken_over = reason == EndReason::TakenOver;
                Self::Ended { session, bank, taken_over }
            }
        }
    }
}
