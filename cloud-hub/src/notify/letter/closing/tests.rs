use super::*;

const UNTIL: UnixMillis = UnixMillis(1_795_543_200_000);
const EARLIER: UnixMillis = UnixMillis(1_795_420_800_000);

fn written(news: News) -> [String; 3] {
    let from: Mailbox = "Postern <lockers@postern.example>".parse().unwrap();
    let zone: SiteZone = "Europe/Berlin".parse().unwrap();
    let letter = ClosingLetter {
        notice_id: "0198f0c2",
        news,
        from: &from,
        email: "rita@example.org",
        display_name: "Rita",
        bank_name: "Main Station",
        bank_address: "Platform 2, Main Station",
        zone: &zone,
    };
    assert!(!format!("{letter:?}").contains("ita"), "{letter:?}");
    let message = String::from_utf8(letter.write().unwrap().formatted()).unwrap();
    [letter.text(), letter.html(), message.replace("\r\n ", " ")]
}

#[test]
fn r07_a_letter_about_the_end_of_a_stay_is_as_it_was_agreed() {
    let [text, html, message] = written(News::Expired { until: UNTIL, unheard: None });
    assert_eq!(text, include_str!("tests/expired.txt"));
    assert_eq!(html, include_str!("tests/expired.html"));
    let subject = "\r\nSubject: Your parcel was not picked up in time at Main Station\r\n";
    assert!(message.contains(subject), "{message}");
    let unheard = Some(Unheard { since: None });
    let [text, ..] = written(News::Expired { until: UNTIL, unheard });
    let said = "\n\nWe do not have the latest news from this locker. If you have already picked your \
                parcel up, please ignore this message.\n\n";
    assert!(text.contains(said), "{text}");
}

#[test]
fn r07_a_correction_is_as_it_was_agreed() {
    let [text, html, message] = written(News::WasCollected { letter_at: EARLIER });
    assert_eq!(text, include_str!("tests/corrected.txt"));
    assert_eq!(html, include_str!("tests/corrected.html"));
    let subject =
        "\r\nSubject: Please ignore our last message about your parcel at Main Station\r\n";
    assert!(message.contains(subject), "{message}");
    let [text, ..] = written(News::WasTakenOut { letter_at: EARLIER });
    assert_eq!(text, include_str!("tests/taken_out.txt"));
}

#[test]
fn a_letter_without_a_code_carries_none_and_names_no_compartment() {
    for news in [
        News::Expired { until: UNTIL, unheard: None },
        News::WasCollected { letter_at: EARLIER },
        News::WasTakenOut { letter_at: EARLIER },
    ] {
        for written in written(news) {
            assert!(!written.contains("LK1:") && !written.contains("ompartment"), "{written}");
            assert!(!written.contains("image/png"), "{written}");
        }
    }
}
