use super::*;

fn identity(uri: &str) -> Identity {
    uri.parse().unwrap()
}

fn root(bank: &str) -> String {
    let bank: BankId = bank.parse().unwrap();
    format!("lk/{}/{bank}/", bank.shard())
}

/// What a client may try, and what comes of it when it is allowed at all.
enum Action {
    Connect(Connect),
    Publish(&'static str, QoS, bool),
    Subscribe(&'static str, QoS),
}

/// `Ok`, or the refusal as text.
fn attempt(uri: &str, action: Action) -> Result<(), String> {
    let limits = SessionLimits::default();
    let client = identity(uri);
    let id = uri.rsplit(':').next().unwrap();
    let plain = if let Action::Connect(asked) = &action { asked.clone() } else { Connect::new(id) };
    let greeting = connect(&client, plain, &limits).map_err(|refusal| refusal.to_string())?;
    match action {
        Action::Connect(_) => Ok(()),
        Action::Publish(topic, qos, retain) => {
            let mut asked = Publish::new(fill(topic), qos, "payload");
            asked.retain = retain;
            publish(&greeting.topics, &asked).map(drop).map_err(|refusal| refusal.to_string())
        }
        Action::Subscribe(filter, qos) => {
            let mut asked = Subscribe::new(fill(filter), qos);
            asked.pkid = 1;
            subscribe(&greeting.topics, &asked).map(drop).map_err(|refusal| refusal.to_string())
        }
    }
}

/// `{own}` and `{other}` in a pattern are the roots of bank-1 and bank-2.
fn fill(pattern: &str) -> String {
    pattern.replace("{own}", &root("bank-1")).replace("{other}", &root("bank-2"))
}

fn hello(change: impl FnOnce(&mut Connect)) -> Action {
    let mut asked = Connect::new("bank-1");
    change(&mut asked);
    Action::Connect(asked)
}

fn will(topic: &str, qos: QoS, retain: bool, bytes: usize) -> Action {
    let topic = fill(topic);
    hello(|asked| asked.last_will = Some(LastWill::new(topic, vec![0; bytes], qos, retain)))
}

const BANK: &str = "urn:postern:bank:bank-1";
const Q0: QoS = QoS::AtMostOnce;
const Q1: QoS = QoS::AtLeastOnce;
const Q2: QoS = QoS::ExactlyOnce;

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn the_authorisation_matrix_holds() {
    use Action::{Publish as Pub, Subscribe as Sub};
    let allowed = [
        hello(|_| {}),
        hello(|asked| asked.keep_alive = 300),
        will("{own}up/presence", Q0, false, 1024),
        will("{own}up/presence", Q1, false, 0),
        Pub("{own}up/birth", Q1, false),
        Pub("{own}up/facts", Q1, false),
        Pub("{own}up/telemetry", Q0, false),
        Pub("{own}up/presence", Q0, false),
        Sub("{own}down/+", Q1),
        Sub("{own}down/+", Q2),
        Sub("{own}down/ack", Q0),
        Sub("{own}down/ack", Q1),
        Sub("{own}down/grants", Q1),
        Sub("{own}down/config", Q1),
        Sub("{own}down/command", Q1),
    ];
    for (row, action) in allowed.into_iter().enumerate() {
        assert_eq!(attempt(BANK, action), Ok(()), "allowed row {row}");
    }
    let other_kinds = [
        ("urn:postern:carrier:bank-1", "kind carrier"),
        ("urn:postern:operator:bank-1", "kind operator"),
        ("urn:postern:hub:bank-1", "kind hub"),
    ];
    for (uri, word) in other_kinds {
        for action in [hello(|_| {}), Pub("{own}up/facts", Q1, false), Sub("{own}down/+", Q1)] {
            assert!(attempt(uri, action).unwrap_err().contains(word), "{uri}");
        }
    }
    let refused = [
        (hello(|asked| asked.client_id = "bank-2".to_owned()), "client id"),
        (hello(|asked| asked.client_id = String::new()), "client id"),
        (hello(|asked| asked.client_id = "bank-1/x".to_owned()), "client id"),
        (hello(|asked| asked.clean_session = false), "stored sessions"),
        (hello(|asked| asked.keep_alive = 0), "keep-alive of 0 s"),
        (hello(|asked| asked.keep_alive = 301), "keep-alive of 301 s"),
        (will("{other}up/presence", Q0, false, 1), "will"),
        (will("{own}up/facts", Q1, false, 1), "will"),
        (will("{own}down/command", Q0, false, 1), "will"),
        (will("{own}up/presence", Q0, true, 1), "will"),
        (will("{own}up/presence", Q2, false, 1), "will"),
        (will("{own}up/presence", Q0, false, 1025), "will"),
        (Pub("{other}up/facts", Q1, false), "not this bank's"),
        (Pub("{own}down/command", Q1, false), "not this bank's"),
        (Pub("{own}down/ack", Q0, false), "not this bank's"),
        (Pub("{own}up/", Q1, false), "not this bank's"),
        (Pub("{own}up/facts/x", Q1, false), "not this bank's"),
        (Pub("{own}up/+", Q1, false), "not this bank's"),
        (Pub("/{own}up/facts", Q1, false), "not this bank's"),
        (Pub("lk/zz/bank-1/up/facts", Q1, false), "not this bank's"),
        (Pub("", Q1, false), "not this bank's"),
        (Pub("$SYS/broker", Q0, false), "not this bank's"),
        (Pub("{own}up/facts\u{0}", Q1, false), "not this bank's"),
        (Pub("\u{e9}/x", Q0, false), "not ASCII"),
        (Pub("{own}up/f\u{430}cts", Q1, false), "not ASCII"),
        (Pub("{own}up/facts", Q2, false), "QoS 2"),
        (Pub("{own}up/facts", Q1, true), "retained"),
        (Pub("{own}up/facts", Q0, false), "wrong QoS"),
        (Pub("{own}up/birth", Q0, false), "wrong QoS"),
        (Pub("{own}up/telemetry", Q1, false), "wrong QoS"),
        (Sub("{other}down/+", Q1), "not this bank's"),
        (Sub("{own}up/facts", Q1), "not this bank's"),
        (Sub("{own}down/#", Q1), "not this bank's"),
        (Sub("{own}#", Q1), "not this bank's"),
        (Sub("#", Q1), "not this bank's"),
        (Sub("+/+/+/down/+", Q1), "not this bank's"),
        (Sub("lk/+/bank-1/down/ack", Q1), "not this bank's"),
        (Sub("$share/g/{own}down/+", Q1), "not this bank's"),
        (Sub("{own}down/other", Q1), "not this bank's"),
        (Sub("{own}down/\u{e9}", Q1), "not ASCII"),
        (Sub("{own}down/+", Q0), "needs QoS 1"),
        (Sub("{own}down/grants", Q0), "needs QoS 1"),
    ];
    for (row, (action, word)) in refused.into_iter().enumerate() {
        let refusal = attempt(BANK, action).expect_err(&format!("refused row {row}"));
        assert!(refusal.contains(word), "refused row {row}: {refusal}");
    }
}

#[test]
fn a_silent_client_has_one_and_a_half_keep_alive_times() {
    let mut asked = Connect::new("bank-1");
    asked.keep_alive = 45;
    let greeting = connect(&identity(BANK), asked, &SessionLimits::default()).unwrap();
    assert_eq!(greeting.silence, Duration::from_millis(67_500));
}

#[test]
fn a_subscribe_needs_a_packet_id_and_no_more_filters_than_there_are_topics() {
    let topics = BankTopics::of(&"bank-1".parse().unwrap());
    let mut asked = Subscribe::new(topics.down(DownTopic::Ack), Q0);
    assert_eq!(subscribe(&topics, &asked), Err(Violation::PacketIdZero));
    asked.pkid = 1;
    for _ in 0..=DownTopic::ALL.len() {
        asked.add(topics.down(DownTopic::Ack), Q0);
    }
    assert_eq!(subscribe(&topics, &asked), Err(Violation::TooManyFilters));
}

#[test]
fn foreign_topics_are_clipped_in_errors() {
    let topics = BankTopics::of(&"bank-1".parse().unwrap());
    let asked = Publish::new("x".repeat(60_000), Q0, "");
    assert!(publish(&topics, &asked).unwrap_err().to_string().len() < 200);
}
