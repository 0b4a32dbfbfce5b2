use std::sync::LazyLock;

use super::*;

static BERLIN: LazyLock<SiteZone> = LazyLock::new(|| zone("Europe/Berlin"));

pub(crate) const TOKEN: &str =
    "LK1:6BF0X2SU7H3Y1K8P-G0FVE2B.QBW4T%R5/8 HL-DMH9C+QUM/2E39+XKB88NFMWT0";

const OCCASIONS: [Occasion; 4] =
    [Occasion::Stored, Occasion::Reissued, Occasion::Extended, Occasion::Reminder];

fn sender() -> Mailbox {
    "Postern <lockers@postern.example>".parse().unwrap()
}

fn letter<'a>(from: &'a Mailbox, display_name: &'a str, bank_name: &'a str) -> PickupLetter<'a> {
    PickupLetter {
        notice_id: "0198f0c2",
        occasion: Occasion::Stored,
        from,
        email: "rita@example.org",
        display_name,
        bank_name,
        bank_address: "Platform 2, Main Station",
        zone: &BERLIN,
        expires: UnixMillis(1_795_543_200_000),
        unheard: None,
        token: TOKEN,
        keypad: None,
    }
}

#[test]
fn the_letter_says_where_until_when_and_the_code_but_not_the_compartment() {
    let from = sender();
    let text = letter(&from, "Rita", "Main Station").text();
    for part in [
        "Hello Rita,",
        "Main Station",
        "Platform 2",
        "\nuntil Tuesday, 24 November 2026, 19:00 (Europe/Berlin, UTC+1).\n",
        &format!("\n{TOKEN}\n"),
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    assert!(!text.to_lowercase().contains("compartment"));
}

#[test]
fn names_cannot_break_out_of_the_html() {
    let from = sender();
    let html = letter(&from, "<script>\"x\" & 'y'", "A<b>").html();
    assert!(html.contains("&lt;script&gt;&quot;x&quot; &amp; &#39;y&#39;"));
    assert!(!html.contains("<script>") && !html.contains("A<b>"));
}

#[test]
fn names_cannot_add_headers() {
    let from = sender();
    let bytes = letter(&from, "Rita\r\nBcc: eve@example.org", "Bank\r\nX-Evil: 1");
    let message = String::from_utf8(bytes.write().unwrap().formatted()).unwrap();
    let (head, _) = message.split_once("\r\n\r\n").unwrap();
    assert!(
        !head.lines().any(|line| line.starts_with("Bcc:") || line.starts_with("X-Evil:")),
        "{head}"
    );
}

#[test]
fn the_message_carries_text_html_and_the_picture_inline() {
    let from = sender();
    let message = letter(&from, "", "Main Station").write().unwrap();
    let raw = String::from_utf8(message.formatted()).unwrap();
    for part in [
        "Message-ID: <0198f0c2@postern.example>",
        "To: rita@example.org",
        "multipart/alternative",
        "multipart/related",
        "Content-Type: image/png",
        "Content-ID: <pickup-code>",
        "inline",
        "cid:pickup-code",
    ] {
        assert!(raw.contains(part), "{part:?} is missing in {raw}");
    }
    assert_eq!(message.envelope().to().len(), 1);
}

#[test]
fn a_bad_address_is_a_typed_error() {
    let from = sender();
    let letter = PickupLetter { email: "not an address", ..letter(&from, "", "B") };
    assert!(matches!(letter.write(), Err(WriteLetterError::Address)));
}

#[test]
fn the_letter_does_not_print_what_it_says() {
    let from = sender();
    let shown = format!("{:?}", letter(&from, "Rita", "Main Station"));
    assert!(!shown.contains("rita") && !shown.contains("Rita") && !shown.contains("LK1"));
}

#[test]
fn a_letter_says_why_it_was_written() {
    let from = sender();
    for (occasion, subject, words) in [
        (Occasion::Reissued, "Subject: Your new pickup code for", "opens nothing any more"),
        (Occasion::Extended, "Subject: New time for your parcel", "there is a new time"),
    ] {
        let letter = PickupLetter { occasion, ..letter(&from, "Rita", "Bank") };
        let text = String::from_utf8(letter.write().unwrap().formatted()).unwrap();
        assert!(text.contains(subject), "{text}");
        assert!(letter.text().contains(words) && letter.html().contains(words));
    }
}

fn keypad(asks_phone: bool) -> KeypadEntry {
    KeypadEntry { digits: Digits::from_number(20_456).unwrap(), asks_phone }
}

#[test]
fn a_letter_with_digits_is_as_it_was_agreed() {
    let from = sender();
    let letter =
        PickupLetter { keypad: Some(keypad(true)), ..letter(&from, "Rita", "Main Station") };
    assert_eq!(letter.text(), include_str!("tests/digits_and_phone.txt"));
    assert_eq!(letter.html(), include_str!("tests/digits_and_phone.html"));
    let alone = PickupLetter { keypad: Some(keypad(false)), ..letter };
    assert_eq!(alone.text(), include_str!("tests/digits_alone.txt"));
}

#[test]
fn r07_a_reminder_is_as_it_was_agreed() {
    let from = sender();
    let letter = PickupLetter {
        occasion: Occasion::Reminder,
        keypad: Some(keypad(true)),
        ..letter(&from, "Rita", "Main Station")
    };
    assert_eq!(letter.text(), include_str!("tests/reminder.txt"));
    let message = String::from_utf8(letter.write().unwrap().formatted()).unwrap();
    assert!(message.contains("Subject: Reminder: your parcel at Main Station\r\n"), "{message}");
    let unheard = Some(Unheard { since: Some(UnixMillis(1_795_420_800_000)) });
    let doubtful = PickupLetter { unheard, ..letter };
    assert_eq!(doubtful.text(), include_str!("tests/reminder_unheard.txt"));
    assert_eq!(doubtful.html(), include_str!("tests/reminder_unheard.html"));
}

#[test]
fn digits_are_grouped_for_the_eye_and_read_aloud_one_by_one() {
    assert_eq!(keypad(true).grouped(), "020 456");
    let html = html_of(keypad(true));
    assert!(html.contains("aria-label=\"0 2 0, 4 5 6\">020&nbsp;456<"), "{html}");
}

#[test]
fn every_occasion_shows_the_digits_and_a_letter_without_any_does_not_speak_of_them() {
    let from = sender();
    for occasion in OCCASIONS {
        let without = PickupLetter { occasion, ..letter(&from, "Rita", "Main Station") };
        for said in [without.text(), without.html()] {
            assert!(!said.contains("six digits") && !said.contains("phone number"), "{said}");
        }
        let with = PickupLetter { keypad: Some(keypad(true)), ..without };
        let lines = with.text();
        assert_eq!(lines.lines().filter(|line| *line == "020 456").count(), 1);
        assert!(with.html().contains("020&nbsp;456"));
        assert!(with.html().contains("and the last four digits of your phone number"));
    }
}

#[test]
fn neither_the_head_of_the_message_nor_debug_output_has_the_digits() {
    let from = sender();
    let letter = PickupLetter { keypad: Some(keypad(true)), ..letter(&from, "Rita", "Bank") };
    let shown = format!("{letter:?} {:?}", letter.keypad);
    let message = String::from_utf8(letter.write().unwrap().formatted()).unwrap();
    let (head, _) = message.split_once("\r\n\r\n").unwrap();
    for text in [shown.as_str(), head] {
        assert!(!text.contains("020") && !text.contains("456"), "{text}");
    }
}

fn zone(name: &str) -> SiteZone {
    name.parse().unwrap()
}

/// A parcel may stay five days: a span of 120 hours, whatever the clocks on the wall or the calendar
/// do meanwhile. More vectors stand with the zones.
#[test]
fn t06_a_letter_states_the_end_of_120_hours_as_the_sites_clocks_will_show_it() {
    const FIVE_DAYS_MS: u64 = 5 * 24 * 3_600 * 1_000;
    let from = sender();
    for (name, stored_ms, until, exact) in [
        // Clocks in Europe go back on 25 October 2026, forward on 28 March 2027.
        (
            "Europe/Berlin",
            1_792_771_200_000,
            "Wednesday, 28 October 2026, 17:00 (Europe/Berlin, UTC+1)",
            "2026-10-28T17:00:00+01:00",
        ),
        (
            "Europe/Berlin",
            1_805_994_000_000,
            "Tuesday, 30 March 2027, 19:00 (Europe/Berlin, UTC+2)",
            "2027-03-30T19:00:00+02:00",
        ),
        (
            "Europe/Berlin",
            1_835_024_400_000,
            "Tuesday, 29 February 2028, 18:00 (Europe/Berlin, UTC+1)",
            "2028-02-29T18:00:00+01:00",
        ),
        // Of a bank whose zone nobody has said.
        ("UTC", 1_834_963_200_000, "Tuesday, 29 February 2028, 00:00 UTC", "2028-02-29T00:00:00Z"),
    ] {
        let (zone, expires) = (zone(name), UnixMillis(stored_ms).plus_ms(FIVE_DAYS_MS));
        let letter = PickupLetter { zone: &zone, expires, ..letter(&from, "Rita", "Main Station") };
        let (text, html) = (letter.text(), letter.html());
        assert!(text.contains(&format!("\nuntil {until}.\n")), "{text}");
        let time = format!("until <time datetime=\"{exact}\">{until}</time>.");
        assert!(html.contains(&time), "{html}");
    }
}

/// When the last minute of a Tuesday passes in Auckland it is noon for a recipient in Berlin, and in
/// Honolulu Tuesday has just begun: what counts is the clock where the bank stands.
#[test]
fn t07_a_letter_states_the_sites_deadline_wherever_its_recipient_reads_it() {
    const END_OF_DAY_IN_AUCKLAND: UnixMillis = UnixMillis(1_795_517_940_000);
    let from = sender();
    for (name, until) in [
        ("Pacific/Auckland", "Tuesday, 24 November 2026, 23:59 (Pacific/Auckland, UTC+13)"),
        ("Europe/Berlin", "Tuesday, 24 November 2026, 11:59 (Europe/Berlin, UTC+1)"),
        ("Pacific/Honolulu", "Tuesday, 24 November 2026, 00:59 (Pacific/Honolulu, UTC-10)"),
        ("America/Los_Angeles", "Tuesday, 24 November 2026, 02:59 (America/Los Angeles, UTC-8)"),
        ("UTC", "Tuesday, 24 November 2026, 10:59 UTC"),
    ] {
        let zone = zone(name);
        let expires = END_OF_DAY_IN_AUCKLAND;
        let letter = PickupLetter { zone: &zone, expires, ..letter(&from, "Rita", "Station") };
        for written in [letter.text(), letter.html()] {
            assert_eq!(written.matches(until).count(), 1, "{written}");
            // No other time stands in it, and none without its zone.
            assert_eq!(written.matches(":59").count(), 1 + written.matches(":59:00").count());
        }
    }
}

#[test]
fn t08_a_letter_is_dated_with_an_offset() {
    let from = sender();
    let message = letter(&from, "Rita", "Main Station").write().unwrap().formatted();
    let message = String::from_utf8(message).unwrap();
    let date = message.lines().find_map(|line| line.strip_prefix("Date: ")).expect("a date");
    let (_, offset) = date.trim_end().rsplit_once(' ').unwrap();
    assert_eq!(offset, "+0000", "{date}");
}
