//! What is a name and what is not, and that the spelling of names decides nothing else.

use proptest::prelude::*;

use super::*;

#[test]
fn names_are_short_lower_case_words() {
    let longest = "a".repeat(NAME_MAX_BYTES);
    for good in ["a", "7", "bank-1", "a--b", &longest] {
        assert_eq!(good.parse::<BankId>().map(|id| id.to_string()), Ok(good.to_owned()));
    }
    let too_long = "a".repeat(NAME_MAX_BYTES + 1);
    for bad in ["", &too_long] {
        assert!(matches!(bad.parse::<BankId>(), Err(ParseIdError::Length { .. })), "{bad:?}");
    }
    for bad in ["Bank", "bank 1", "-bank", "bank-", "bänk", "a/b", "a+", "#", "a.b", "a\0", "a\n"]
    {
        assert!(matches!(bad.parse::<BankId>(), Err(ParseIdError::Grammar { .. })), "{bad:?}");
    }
}

#[test]
fn barcodes_are_printable_and_keep_their_case() {
    for good in ["JD014600003SE", "a", "(00)123", "~!", &"9".repeat(BARCODE_MAX_BYTES)] {
        assert_eq!(good.parse::<Barcode>().map(|code| code.to_string()), Ok(good.to_owned()));
    }
    for bad in ["", "A B", "A\t", "\u{1d}01", "ß", &"9".repeat(BARCODE_MAX_BYTES + 1)] {
        assert!(bad.parse::<Barcode>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_trace_parent_has_its_standard_form() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(good.parse::<TraceParent>().unwrap().as_str(), good);
    for bad in [
        "",
        "00",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-02",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    ] {
        assert_eq!(bad.parse::<TraceParent>(), Err(ParseIdError::TraceParent), "{bad:?}");
    }
}

#[test]
fn an_id_has_sixteen_bytes() {
    assert_eq!(ParcelId::try_from([7; 16].as_slice()), Ok(ParcelId([7; 16])));
    assert_eq!(ParcelId([0xab; 16]).to_string(), "ab".repeat(16));
    for wrong in [0, 15, 17] {
        let bytes = vec![0; wrong];
        assert!(ParcelId::try_from(bytes.as_slice()).is_err());
    }
}

#[test]
fn shards_and_tags_stay_as_they_are() {
    let bank: BankId = "bank-1".parse().unwrap();
    assert_eq!((bank.shard().as_str(), bank.tag()), ("54", 3_893_716_218));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_a_name_is_one_segment_of_a_topic(text in "[ -~]{0,40}") {
        if let Ok(bank) = text.parse::<BankId>() {
            prop_assert!(!text.contains(['/', '+', '#', '$']));
            prop_assert_eq!(bank.shard().len(), 2);
        }
        let _ = text.parse::<Barcode>();
        let _ = text.parse::<TraceParent>();
    }
}
