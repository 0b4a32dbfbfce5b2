use super::*;

#[test]
fn a_sessions_topics_are_those_of_the_protocol() {
    let bank: BankId = "bank-1".parse().unwrap();
    let topics = BankTopics::of(&bank);
    for topic in UpTopic::ALL {
        assert_eq!(topics.up(&topic.of(&bank)), Some(topic));
        assert_eq!(topics.filter(&topic.of(&bank)), None);
    }
    for topic in DownTopic::ALL {
        assert_eq!(topics.down(topic), topic.of(&bank));
        assert_eq!(topics.filter(&topic.of(&bank)), Some(DownFilter::One(topic)));
        assert_eq!(topics.up(&topic.of(&bank)), None);
    }
    assert_eq!(topics.filter(&down_filter(&bank)), Some(DownFilter::All));
}
