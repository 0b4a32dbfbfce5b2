use rumqttc::mqttbytes::v4::{Packet, Publish};

use super::super::Lane;
use super::*;

fn letters(mailbox: &Mailbox) -> Vec<Publish> {
    let mut buffer = BytesMut::new();
    mailbox.take_into(&mut buffer, usize::MAX);
    let mut found = Vec::new();
    while let Ok(packet) = Packet::read(&mut buffer, usize::MAX) {
        let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
        found.push(publish);
    }
    assert!(buffer.is_empty());
    found
}

#[test]
fn what_is_written_is_read_as_publish_whatever_its_length() {
    let lane = Lane::deaf();
    let mailbox = Mailbox::new(10, 1 << 20, &lane);
    for length in [0, 1, 100, 121, 122, 127, 128, 16_000, 20_000] {
        mailbox.put("a/b/c".into(), vec![7; length].into());
        let read = letters(&mailbox);
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].topic.as_str(), read[0].payload.len()), ("a/b/c", length));
    }
}

#[test]
fn the_oldest_go_first_by_count_and_by_size_and_the_newest_always_stays() {
    let lane = Lane::deaf();
    let mailbox = Mailbox::new(2, 12, &lane);
    for n in 1..=3 {
        mailbox.put("t".into(), vec![n].into());
    }
    mailbox.put("t".into(), vec![4; 100].into());
    let read = letters(&mailbox);
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].payload.len(), 100);
    assert_eq!(lane.counters().get(Count::MailboxDropped), 3);
    mailbox.put("t".into(), vec![5].into());
    assert_eq!(letters(&mailbox).len(), 1, "its size is counted out");
}
