//! One spelling for each topic, and one bank for each spelling.

use locker_core::ids::{BankId, ParseIdError};
use locker_proto::topics::{DownTopic, ParseTopicError, UpTopic, down_filter};

use crate::samples;

#[test]
fn every_topic_parses_as_itself_and_not_as_the_other_direction() {
    let bank = samples::bank();
    for topic in UpTopic::ALL {
        assert_eq!(UpTopic::parse(&topic.of(&bank)), Ok((bank.clone(), topic)));
        assert_eq!(DownTopic::parse(&topic.of(&bank)), Err(ParseTopicError::Kind));
    }
    for topic in DownTopic::ALL {
        assert_eq!(DownTopic::parse(&topic.of(&bank)), Ok((bank.clone(), topic)));
        assert_eq!(UpTopic::parse(&topic.of(&bank)), Err(ParseTopicError::Kind));
    }
}

#[test]
fn what_is_no_topic_is_refused_with_the_reason() {
    let bank = samples::bank();
    let shard = bank.shard();
    let other_shard = if shard == "00" { "01" } else { "00" };
    let grammar = ParseTopicError::Bank(ParseIdError::Grammar { kind: "bank id" });
    let empty = ParseTopicError::Bank(ParseIdError::Length { kind: "bank id", max: 32 });
    let table = [
        (String::new(), ParseTopicError::Shape),
        (format!("lk/{shard}/{bank}/up"), ParseTopicError::Shape),
        (format!("lk/{shard}/{bank}/up/facts/"), ParseTopicError::Shape),
        (format!("/lk/{shard}/{bank}/up/facts"), ParseTopicError::Shape),
        (format!("LK/{shard}/{bank}/up/facts"), ParseTopicError::Shape),
        (format!("lk/{shard}/Berlin-07/up/facts"), grammar.clone()),
        (format!("lk/{shard}/+/up/facts"), grammar),
        (format!("lk/{shard}//up/facts"), empty),
        (format!("lk/{other_shard}/{bank}/up/facts"), ParseTopicError::Shard),
        (format!("lk/{}/{bank}/up/facts", shard.to_uppercase() + "0"), ParseTopicError::Shard),
        (format!("lk/+/{bank}/up/facts"), ParseTopicError::Shard),
        (format!("lk/{shard}/{bank}/up/"), ParseTopicError::Kind),
        (format!("lk/{shard}/{bank}/up/fact"), ParseTopicError::Kind),
        (format!("lk/{shard}/{bank}/UP/facts"), ParseTopicError::Kind),
        (format!("lk/{shard}/{bank}/up/#"), ParseTopicError::Kind),
    ];
    for (text, reason) in table {
        assert_eq!(UpTopic::parse(&text), Err(reason), "{text:?}");
    }
}

#[test]
fn a_bank_subscribes_to_its_own_down_topics() {
    let bank: BankId = "a".parse().unwrap();
    let filter = down_filter(&bank);
    let prefix = filter.strip_suffix('+').unwrap();
    for topic in DownTopic::ALL {
        assert_eq!(topic.of(&bank).strip_prefix(prefix), Some(topic.as_str()));
    }
}
