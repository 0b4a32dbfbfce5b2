//! What a client may do, by its identity alone: pure rules, one table of tests.

use std::time::Duration;

use bytes::Bytes;
use locker_core::ids::BankId;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, LastWill, Publish, Subscribe, SubscribeFilter,
};

use super::SessionLimits;
use super::topic::{BankTopics, DownFilter, DownTopic, UpTopic, down_qos, up_qos};
use super::wire::WireError;
use crate::identity::{Identity, IdentityKind};

/// Largest will: a presence message is a session id and a few flags.
const WILL_BYTES_MAX: usize = 1024;

/// A CONNECT that was accepted.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) bank: BankId,
    pub(super) topics: BankTopics,
    /// The presence message to deliver when the session ends without DISCONNECT.
    pub(super) will: Option<Bytes>,
    /// How long the client may be silent: one and a half times what it promised.
    pub(super) silence: Duration,
}

/// Decides on a CONNECT.
pub(super) fn connect(
    identity: &Identity,
    connect: Connect,
    limits: &SessionLimits,
) -> Result<Greeting, ConnectRefusal> {
    let bank = match identity {
        Identity::Bank(bank) => bank.clone(),
        Identity::Carrier(_) | Identity::Operator(_) | Identity::Hub(_) => {
            return Err(ConnectRefusal::NotABank(identity.kind()));
        }
    };
    if connect.client_id != bank.as_str() {
        return Err(ConnectRefusal::ClientId);
    }
    if !connect.clean_session {
        return Err(ConnectRefusal::StoredSession);
    }
    if connect.keep_alive == 0 || connect.keep_alive > limits.keep_alive_max_s {
        return Err(ConnectRefusal::KeepAlive { seconds: connect.keep_alive });
    }
    let topics = BankTopics::of(&bank);
    let will = connect.last_will.map(|will| presence_of_will(will, &topics)).transpose()?;
    let silence = Duration::from_secs(connect.keep_alive.into()) * 3 / 2;
    Ok(Greeting { bank, topics, will, silence })
}

fn presence_of_will(will: LastWill, topics: &BankTopics) -> Result<Bytes, ConnectRefusal> {
    let own = topics.up(&will.topic) == Some(UpTopic::Presence);
    let fits = will.message.len() <= WILL_BYTES_MAX;
    if own && fits && !will.retain && will.qos != QoS::ExactlyOnce {
        // A copy, so that it does not keep the whole read buffer alive as long as the session.
        Ok(Bytes::copy_from_slice(&will.message))
    } else {
        Err(ConnectRefusal::Will)
    }
}

/// Decides on a PUBLISH.
pub(super) fn publish(topics: &BankTopics, publish: &Publish) -> Result<UpTopic, Violation> {
    if publish.qos == QoS::ExactlyOnce {
        return Err(Violation::QosTwo);
    }
    if publish.retain {
        return Err(Violation::Retained);
    }
    if !publish.topic.is_ascii() {
        return Err(Violation::NotAscii);
    }
    let topic = topics.up(&publish.topic).ok_or_else(|| Violation::foreign(&publish.topic))?;
    if publish.qos == up_qos(topic) { Ok(topic) } else { Err(Violation::Qos { topic }) }
}

/// Decides on a SUBSCRIBE: what each filter covers and the QoS granted, in the order asked.
pub(super) fn subscribe(
    topics: &BankTopics,
    subscribe: &Subscribe,
) -> Result<Vec<(DownFilter, QoS)>, Violation> {
    if subscribe.pkid == 0 {
        return Err(Violation::PacketIdZero);
    }
    if subscribe.filters.len() > DownTopic::ALL.len() + 1 {
        return Err(Violation::TooManyFilters);
    }
    subscribe.filters.iter().map(|filter| one_filter(topics, filter)).collect()
}

fn one_filter(
    topics: &BankTopics,
    asked: &SubscribeFilter,
) -> Result<(DownFilter, QoS), Violation> {
    if !asked.path.is_ascii() {
        return Err(Violation::NotAscii);
    }
    let filter = topics.filter(&asked.path).ok_or_else(|| Violation::foreign(&asked.path))?;
    let needed = match filter {
        DownFilter::All => QoS::AtLeastOnce,
        DownFilter::One(topic) => down_qos(topic),
    };
    match asked.qos {
        QoS::AtMostOnce if needed == QoS::AtLeastOnce => Err(Violation::SubscriptionQos),
        QoS::AtMostOnce => Ok((filter, QoS::AtMostOnce)),
        // A server may grant less than was asked for (OASIS MQTT 3.1.1, section 3.8.4).
        QoS::AtLeastOnce | QoS::ExactlyOnce => Ok((filter, QoS::AtLeastOnce)),
    }
}

/// Why a connection did not become a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectRefusal {
    /// No complete CONNECT came in time.
    #[error("no CONNECT in time")]
    Timeout,
    /// The connection broke before a complete CONNECT.
    #[error("connection lost before CONNECT")]
    ConnectionLost,
    /// Not a packet that we accept, or not MQTT 3.1.1.
    #[error("refused bytes before CONNECT")]
    Wire(#[source] WireError),
    /// Another packet came first.
    #[error("first packet is not CONNECT")]
    NotConnect,
    /// The certificate is neither a bank's nor, where the live lane is served, an operator's.
    #[error("a client of kind {0} may not connect here")]
    NotABank(IdentityKind),
    /// The operator has no banks to listen to.
    #[error("no banks for this operator")]
    NoBanks,
    /// The operator, or all of them, have as many sessions as there may be.
    #[error("too many sessions")]
    TooManySessions,
    /// The client id is not the bank id of the certificate.
    #[error("client id differs from the certificate's bank id")]
    ClientId,
    /// It asked for a stored session.
    #[error("stored sessions are not kept: ask for a clean one")]
    StoredSession,
    /// No keep-alive, or one beyond the limit.
    #[error("keep-alive of {seconds} s is not allowed")]
    KeepAlive {
        /// What was asked for.
        seconds: u16,
    },
    /// The will is not a small, unretained presence message of QoS 0 or 1 on the own topic.
    #[error("will is not a presence message of this bank")]
    Will,
    /// The hub is stopping.
    #[error("hub is stopping")]
    HubStopping,
}

impl ConnectRefusal {
    /// What the client is told; nothing when it has not spoken MQTT 3.1.1.
    pub(super) const fn return_code(&self) -> Option<ConnectReturnCode> {
        match self {
            Self::Timeout | Self::ConnectionLost | Self::NotConnect => None,
            Self::Wire(WireError::ProtocolLevel(_)) => {
                Some(ConnectReturnCode::RefusedProtocolVersion)
            }
            Self::Wire(
                WireError::ServerPacket(_)
                | WireError::PacketType(_)
                | WireError::Flags(_)
                | WireError::Length(_)
                | WireError::Oversize { .. }
                | WireError::Malformed(_),
            ) => None,
            Self::ClientId => Some(ConnectReturnCode::BadClientId),
            Self::NotABank(_)
            | Self::NoBanks
            | Self::StoredSession
            | Self::KeepAlive { .. }
            | Self::Will => Some(ConnectReturnCode::NotAuthorized),
            Self::TooManySessions | Self::HubStopping => {
                Some(ConnectReturnCode::ServiceUnavailable)
            }
        }
    }
}

/// The rule that a session broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Bytes that are no packet we accept.
    #[error("refused bytes")]
    Wire(#[source] WireError),
    /// A second CONNECT.
    #[error("CONNECT inside a session")]
    SecondConnect,
    /// QoS 2.
    #[error("QoS 2 is not spoken here")]
    QosTwo,
    /// A retained publish.
    #[error("retained publishes are not kept")]
    Retained,
    /// A topic or filter beyond ASCII.
    #[error("topic is not ASCII")]
    NotAscii,
    /// A publish of an operator.
    #[error("operators may not publish")]
    MayNotPublish,
    /// A topic or filter that is not the bank's own.
    #[error("topic {0:?} is not this bank's")]
    ForeignTopic(String),
    /// The topic is published with another QoS.
    #[error("wrong QoS for {topic:?}")]
    Qos {
        /// Which topic.
        topic: UpTopic,
    },
    /// A subscription below the QoS that its topics are published with.
    #[error("subscription needs QoS 1")]
    SubscriptionQos,
    /// More filters than there are topics.
    #[error("too many filters in one SUBSCRIBE")]
    TooManyFilters,
    /// A packet id of zero.
    #[error("packet id is zero")]
    PacketIdZero,
    /// A packet id that an unacknowledged publish still holds.
    #[error("packet id {0} is in use")]
    PacketIdInUse(u16),
    /// A PUBACK for something that we did not send.
    #[error("PUBACK for unknown packet id {0}")]
    UnknownPacketId(u16),
    /// More unacknowledged batches than allowed.
    #[error("too many unacknowledged batches")]
    TooManyFacts,
    /// A second birth while the first is unacknowledged.
    #[error("birth before the last one was acknowledged")]
    TooManyBirths,
    /// More answers owed than any well-behaved client asks for without reading.
    #[error("too many requests without reading the answers")]
    Flood,
}

impl Violation {
    fn foreign(topic: &str) -> Self {
        const CHARS: usize = 96;
        Self::ForeignTopic(topic.chars().take(CHARS).collect())
    }
}

#[cfg(test)]
mod tests;
