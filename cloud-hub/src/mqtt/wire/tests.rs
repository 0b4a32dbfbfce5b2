use proptest::prelude::*;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Connect, PubAck, Publish, Subscribe};

use super::*;

const MAX: usize = 1024;

fn bytes_of(packet: &Packet) -> BytesMut {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    bytes
}

fn first(bytes: &[u8]) -> Result<Option<Packet>, WireError> {
    take(&mut BytesMut::from(bytes), MAX, Speaker::Bank)
}

#[test]
fn packets_of_a_client_come_out_whole_one_after_the_other_and_byte_by_byte() {
    let mut subscribe = Subscribe::new("a/b", QoS::AtLeastOnce);
    subscribe.pkid = 7;
    let mut publish = Publish::new("a/b", QoS::AtLeastOnce, "payload");
    publish.pkid = 3;
    let packets = [
        Packet::Connect(Connect::new("id")),
        Packet::Subscribe(subscribe),
        Packet::Publish(publish),
        Packet::PubAck(PubAck::new(9)),
        Packet::PingReq,
        Packet::Disconnect,
    ];
    let stream: Vec<u8> = packets.iter().flat_map(|packet| bytes_of(packet).to_vec()).collect();
    let mut whole = BytesMut::from(&stream[..]);
    let mut drip = BytesMut::new();
    let mut dripped = Vec::new();
    for byte in stream {
        drip.extend_from_slice(&[byte]);
        dripped.extend(take(&mut drip, MAX, Speaker::Bank).unwrap());
    }
    for packet in &packets {
        assert_eq!(take(&mut whole, MAX, Speaker::Bank).unwrap().as_ref(), Some(packet));
    }
    assert_eq!(take(&mut whole, MAX, Speaker::Bank), Ok(None));
    assert_eq!(dripped, packets);
}

#[test]
fn packets_of_a_server_are_refused_by_their_first_byte() {
    for packet_type in [2_u8, 9, 11, 13] {
        for flags in 0..16 {
            let refused = first(&[packet_type << 4 | flags]);
            assert_eq!(refused, Err(WireError::ServerPacket(packet_type)));
        }
    }
}

#[test]
fn packets_that_we_do_not_speak_are_refused_by_their_first_byte() {
    for packet_type in [0_u8, 5, 6, 7, 10, 15] {
        assert_eq!(first(&[packet_type << 4]), Err(WireError::PacketType(packet_type)));
        assert_eq!(first(&[packet_type << 4 | 2]), Err(WireError::PacketType(packet_type)));
    }
}

#[test]
fn reserved_flags_are_refused() {
    for byte in [0x11_u8, 0x42, 0x80, 0xc1, 0xe8] {
        assert_eq!(first(&[byte]), Err(WireError::Flags(byte >> 4)));
    }
}

#[test]
fn a_packet_over_the_limit_is_refused_by_its_header() {
    // Remaining length 1,025 in two bytes.
    let refused = first(&[0x30, 0x81, 0x08]);
    assert_eq!(refused, Err(WireError::Oversize { bytes: 1025, max_bytes: MAX }));
    assert_eq!(first(&[0x30, 0x80, 0x08]), Ok(None));
}

#[test]
fn a_length_of_five_bytes_is_malformed() {
    let refused = first(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert!(matches!(refused, Err(WireError::Malformed(_))), "{refused:?}");
}

#[test]
fn only_protocol_level_four_is_spoken() {
    let mut bytes = bytes_of(&Packet::Connect(Connect::new("id")));
    for level in [0, 3, 5, 6, 0x84] {
        bytes[8] = level;
        assert_eq!(first(&bytes), Err(WireError::ProtocolLevel(level)));
    }
    let old = [&[0x10, 9, 0, 6][..], b"MQIsdp", &[3]].concat();
    assert_eq!(first(&old), Err(WireError::ProtocolLevel(3)));
    let other = [&[0x10, 7, 0, 4][..], b"HTTP", &[4]].concat();
    assert!(matches!(first(&other), Err(WireError::Malformed(_))));
}

#[test]
fn the_reserved_connect_flag_is_refused() {
    let mut bytes = bytes_of(&Packet::Connect(Connect::new("id")));
    bytes[9] |= 1;
    assert_eq!(first(&bytes), Err(WireError::Flags(1)));
}

#[test]
fn a_ping_or_disconnect_with_content_is_refused() {
    assert_eq!(first(&[0xc0, 1, 0]), Err(WireError::Length(12)));
    assert_eq!(first(&[0xe0, 1, 0]), Err(WireError::Length(14)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        fuzz_packets(&bytes);
    }

    /// Random bytes seldom get past the header: start from what a client really sends.
    #[test]
    fn no_mutation_of_real_packets_makes_it_panic(
        which in 0_usize..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut connect = Connect::new("bank-1");
        connect.set_login("user", "password");
        let mut publish = Publish::new("lk/00/bank-1/up/facts", QoS::AtLeastOnce, vec![1; 40]);
        publish.pkid = 3;
        let mut subscribe = Subscribe::new("lk/00/bank-1/down/+", QoS::AtLeastOnce);
        subscribe.pkid = 1;
        let packets = [
            Packet::Connect(connect),
            Packet::Publish(publish),
            Packet::Subscribe(subscribe),
            Packet::PubAck(PubAck::new(5)),
        ];
        let mut bytes = bytes_of(&packets[which]).to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        fuzz_packets(&bytes);
    }
}

#[test]
fn only_operators_may_unsubscribe() {
    let bytes = [0xa2, 5, 0, 7, 0, 1, b'a'];
    let take = |speaker| take(&mut BytesMut::from(&bytes[..]), MAX, speaker);
    assert_eq!(take(Speaker::Bank), Err(WireError::PacketType(10)));
    let Ok(Some(Packet::Unsubscribe(unsubscribe))) = take(Speaker::Operator) else { panic!() };
    assert_eq!((unsubscribe.pkid, unsubscribe.topics), (7, vec!["a".to_owned()]));
}
