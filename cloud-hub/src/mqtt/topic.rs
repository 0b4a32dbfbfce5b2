//! The topics of one bank as its session checks them: names come from `locker_proto`, the QoS of
//! each and the work done once per session instead of once per packet are added here.

use locker_core::ids::BankId;
use locker_proto::topics::down_filter;
pub use locker_proto::topics::{DownTopic, UpTopic};
use rumqttc::mqttbytes::QoS;

/// The end of the one wildcard filter that a bank may subscribe to.
const ALL_DOWN: &str = "down/+";

/// The QoS that a bank publishes the topic with.
pub(super) const fn up_qos(topic: UpTopic) -> QoS {
    match topic {
        UpTopic::Birth | UpTopic::Facts => QoS::AtLeastOnce,
        UpTopic::Telemetry | UpTopic::Presence => QoS::AtMostOnce,
    }
}

/// The QoS that the hub publishes the topic with.
pub(super) const fn down_qos(topic: DownTopic) -> QoS {
    match topic {
        DownTopic::Ack => QoS::AtMostOnce,
        DownTopic::Grants | DownTopic::Config | DownTopic::Command | DownTopic::Restore => {
            QoS::AtLeastOnce
        }
    }
}

/// What a subscription filter of a bank covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DownFilter {
    /// `down/+`.
    All,
    /// One topic by name.
    One(DownTopic),
}

/// The topics of one bank, with the common part worked out once: the shard in it is a hash.
#[derive(Debug, Clone)]
pub(super) struct BankTopics {
    root: Box<str>,
}

impl BankTopics {
    pub(super) fn of(bank: &BankId) -> Self {
        let filter = down_filter(bank);
        Self { root: filter.strip_suffix(ALL_DOWN).unwrap_or(&filter).into() }
    }

    /// The topic, if it is one that this bank publishes on.
    pub(super) fn up(&self, topic: &str) -> Option<UpTopic> {
        let last = topic.strip_prefix(&*self.root)?.strip_prefix("up/")?;
        UpTopic::ALL.into_iter().find(|topic| topic.as_str() == last)
    }

    /// What the filter covers, if it is one that this bank subscribes to.
    pub(super) fn filter(&self, filter: &str) -> Option<DownFilter> {
        let rest = filter.strip_prefix(&*self.root)?;
        if rest == ALL_DOWN {
            return Some(DownFilter::All);
        }
        let last = rest.strip_prefix("down/")?;
        DownTopic::ALL.into_iter().find(|topic| topic.as_str() == last).map(DownFilter::One)
    }

    /// The full name of a topic to this bank.
    pub(super) fn down(&self, topic: DownTopic) -> String {
        format!("{}down/{}", self.root, topic.as_str())
    }
}

#[cfg(test)]
mod tests;
