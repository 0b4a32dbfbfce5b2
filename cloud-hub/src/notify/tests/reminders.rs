//! Reminders as their recipient gets them, over a real store, real sessions and a mailbox folder.

use std::collections::BTreeSet;
use std::path::PathBuf;

use locker_core::bank::{KeepLapsed, PickupEnd};
use locker_core::clock::TimeQuality;
use locker_core::fact::Fact;
use locker_core::ids::ParcelId;

use super::*;
use crate::ingest::tests::fixture::{NOW, bank_id, carrier, commit_more_at, request};
use crate::parcels::{ParcelChange, change_parcel};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// A week, as the store has it by default.
const STAY: u64 = 7 * DAY;
/// Long enough for whatever is held to be looked at again.
const LOOK: u64 = due::HELD_LOOK_MS + 1;

const fn at(ms: u64) -> UnixMillis {
    NOW.plus_ms(ms)
}

/// A bank with parcel 1 in it, its hub, and the mailbox of the recipient. Time is what is told.
struct Story {
    _folder: tempfile::TempDir,
    mailbox: PathBuf,
    store: Store,
    world: World,
    journal: Journal,
    /// Records that the hub has.
    known: u64,
    gseq: u64,
    deliverer: Deliverer,
    counters: Arc<Counters>,
    read: BTreeSet<PathBuf>,
}

impl Story {
    /// Put in at [`NOW`], and heard of `late` milliseconds after that.
    async fn begun(late: u64) -> Self {
        let folder = tempdir().unwrap();
        let store = open_store(folder.path()).await;
        add_bank(&store, &[300]).await;
        let mut journal = Journal::commissioned(&[300]);
        commit(&store, &journal).await;
        let known = journal.head();
        add_parcel(&store, 1, 200).await;
        book(&store, 1).await;
        let after = GrantPosition { epoch: store.epoch(), gseq: 0 };
        let grant = store.downlink(&bank_id(), after, 1).await.unwrap().unwrap().grants.remove(0);
        journal.accept(store.epoch(), 1, grant);
        journal.deposit(1, 1);
        commit_more_at(&store, &bank_id(), &journal, known, at(late)).await;
        let mut world = World::start(&store).await;
        world.birth(&journal).await;
        let mailbox = folder.path().join("mailbox");
        let notices = Notices {
            from: "lockers@postern.example".into(),
            mailbox: Some(mailbox.clone()),
            smtp: None,
            limits: NoticeLimits::default(),
        };
        let post = Post::new(&notices, Arc::new(test_keys()), None).unwrap();
        let post = post.knowing(world.presence.clone());
        let counters = post.counters();
        let deliverer = Deliverer::new(store.clone(), post);
        let (known, gseq, read) = (journal.head(), 1, BTreeSet::new());
        let mut story = Self {
            _folder: folder,
            mailbox,
            store,
            world,
            journal,
            known,
            gseq,
            deliverer,
            counters,
            read,
        };
        story.hears(at(late)).await;
        let first = story.letters(at(late + 1_000)).await;
        assert!(first.contains("Subject: Your parcel is waiting at Bank"), "{first}");
        story
    }

    /// The letters that come at this time, one after the other; none if none come.
    async fn letters(&mut self, now: UnixMillis) -> String {
        self.deliverer.round(now).await.unwrap();
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.mailbox)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !self.read.contains(path))
            .collect();
        files.sort();
        self.read.extend(files.iter().cloned());
        let text = |path: &PathBuf| {
            // Long lines made whole again (RFC 2045, section 6.7), and long headers.
            std::fs::read_to_string(path).unwrap().replace("=\r\n", "").replace("\r\n ", " ")
        };
        files.iter().map(text).collect()
    }

    /// As [`Self::letters`], and nothing comes.
    async fn no_letter(&mut self, now: UnixMillis) {
        let letters = self.letters(now).await;
        assert!(letters.is_empty(), "{letters}");
    }

    async fn goes_dark(&self) {
        self.world.disconnect().await;
        while self.world.presence.is_connected(&bank_id()) {
            tokio::task::yield_now().await;
        }
    }

    /// Introduces itself, with all that it has to tell still to be told.
    async fn comes_back(&mut self) {
        self.world.birth(&self.journal).await;
    }

    /// Tells what the hub does not know. Not through its session, which has a time of its own.
    async fn tells(&mut self, now: UnixMillis) {
        commit_more_at(&self.store, &bank_id(), &self.journal, self.known, now).await;
        self.known = self.journal.head();
    }

    /// Takes over what the hub has decided.
    async fn hears(&mut self, now: UnixMillis) {
        let after = GrantPosition { epoch: self.store.epoch(), gseq: self.gseq };
        let grants = self.store.downlink(&bank_id(), after, 9).await.unwrap().unwrap().grants;
        if grants.is_empty() {
            return;
        }
        self.journal.clock = now;
        for grant in grants {
            self.gseq += 1;
            self.journal.accept(self.store.epoch(), self.gseq, grant);
        }
        self.tells(now).await;
    }

    fn is_collected(&mut self, now: UnixMillis) {
        self.journal.clock = now;
        self.journal.pick_up(1, 1, PickupEnd::Collected { presumed: false });
    }

    async fn extends(&mut self, now: UnixMillis, until: UnixMillis) {
        let change = ParcelChange::Extend { until };
        let call = request(&format!("{change:?}"));
        change_parcel(&self.store, &carrier(), "p1", change, call, now).await.unwrap();
        self.hears(now).await;
        let told = self.letters(now.plus_ms(1_000)).await;
        assert!(told.contains("Subject: New time for your parcel at Bank"), "{told}");
    }

    fn count(&self, count: Count) -> u64 {
        self.counters.get(count)
    }
}

fn is_reminder(letters: &str) -> bool {
    let subject = letters.matches("Subject: Reminder: your parcel at Bank").count() == 1;
    subject && letters.matches("Subject: ").count() == 1 && letters.contains("LK1:")
}

const SORRY: &str = "Subject: Please ignore our last message about your parcel at Bank";
const UNHEARD: &str = "We have heard nothing from this locker since";

#[tokio::test]
async fn r07_a_recipient_is_reminded_at_half_and_at_four_fifths_of_the_stay() {
    let mut story = Story::begun(0).await;
    for percent in [50, 80] {
        let moment = STAY / 100 * percent;
        story.no_letter(at(moment - HOUR)).await;
        let letter = story.letters(at(moment + HOUR)).await;
        assert!(is_reminder(&letter) && !letter.contains("as far as we know"), "{letter}");
        story.no_letter(at(moment + 2 * HOUR)).await;
    }
    story.no_letter(at(2 * STAY)).await;
    assert_eq!((story.count(Count::Sent), story.count(Count::Held)), (3, 0));
}

#[tokio::test]
async fn r07_a_reminder_is_held_while_its_bank_is_dark_and_goes_out_when_it_is_back() {
    let mut story = Story::begun(0).await;
    story.goes_dark().await;
    let half = STAY / 2 + HOUR;
    story.no_letter(at(half)).await;
    story.no_letter(at(half + LOOK)).await;
    assert_eq!(story.count(Count::Held), 2);
    story.comes_back().await;
    story.no_letter(at(half + LOOK)).await;
    let letter = story.letters(at(half + 2 * LOOK)).await;
    assert!(is_reminder(&letter) && !letter.contains(UNHEARD), "{letter}");
    assert_eq!(story.count(Count::Reworded), 0);
}

#[tokio::test]
async fn r07_a_reminder_is_held_until_a_bank_that_is_back_has_told_all_and_dropped_if_it_is_gone() {
    let mut story = Story::begun(0).await;
    story.goes_dark().await;
    story.is_collected(at(STAY / 4));
    let half = STAY / 2 + HOUR;
    story.no_letter(at(half)).await;
    story.comes_back().await;
    // It is connected, and the hub has not heard of the pickup.
    story.no_letter(at(half + LOOK)).await;
    assert_eq!(story.count(Count::Held), 2);
    story.tells(at(half + LOOK)).await;
    story.no_letter(at(half + 2 * LOOK)).await;
    story.no_letter(at(2 * STAY)).await;
    assert_eq!((story.count(Count::Sent), story.count(Count::Corrected)), (1, 0));
}

#[tokio::test]
async fn r07_that_a_bank_had_told_all_on_another_connection_says_nothing_about_this_one() {
    let mut story = Story::begun(0).await;
    let half = at(STAY / 2 + HOUR);
    let due = story.store.due_notices(half, 9).await.unwrap();
    let [claimed] = &due[..] else { panic!("{due:?}") };
    let post = &story.deliverer.post;
    assert_eq!(post.attempt(claimed, half).await, NoticeOutcome::Sent);
    story.goes_dark().await;
    story.is_collected(half);
    story.comes_back().await;
    let held = NoticeOutcome::Held { look_at: half.plus_ms(due::HELD_LOOK_MS) };
    assert_eq!(story.deliverer.post.attempt(claimed, half).await, held);
}

#[tokio::test]
async fn r07_when_time_gets_short_one_reminder_goes_out_that_says_what_the_hub_does_not_know() {
    let mut story = Story::begun(0).await;
    story.goes_dark().await;
    let last_call = STAY - 12 * HOUR;
    // Past both reminders: they do not come in a bunch.
    for held in [STAY / 2 + HOUR, STAY / 5 * 4 + HOUR, last_call - HOUR] {
        story.no_letter(at(held)).await;
    }
    let letter = story.letters(at(last_call + HOUR)).await;
    assert!(is_reminder(&letter) && letter.matches(UNHEARD).count() == 2, "{letter}");
    assert!(letter.contains("please ignore this message"), "{letter}");
    story.comes_back().await;
    story.no_letter(at(2 * STAY)).await;
    assert_eq!(story.count(Count::Reworded), 1);
}

#[tokio::test]
async fn r07_a_reminder_of_a_parcel_that_had_been_collected_is_taken_back_once() {
    let mut story = Story::begun(0).await;
    story.goes_dark().await;
    story.is_collected(at(STAY / 4));
    let sent_at = at(STAY - HOUR);
    assert!(is_reminder(&story.letters(sent_at).await));
    story.comes_back().await;
    story.tells(at(STAY)).await;
    let letter = story.letters(at(STAY + HOUR)).await;
    assert!(letter.contains(SORRY) && !letter.contains("LK1:"), "{letter}");
    let minute = crate::site_zone::SiteZone::UTC.readable(sent_at);
    assert_eq!(letter.matches(&format!("our message of {minute}")).count(), 2, "{letter}");
    // What the bank says of it later changes nothing.
    story.is_collected(at(STAY / 4));
    story.tells(at(STAY + HOUR)).await;
    story.no_letter(at(2 * STAY)).await;
    assert_eq!((story.count(Count::Reworded), story.count(Count::Corrected)), (1, 1));
}

#[tokio::test]
async fn r07_a_line_that_breaks_unnoticed_is_made_good_with_a_correction() {
    let mut story = Story::begun(0).await;
    // The hub believes that the bank is there, and it has not said that it opened a door.
    let half = at(STAY / 2 + HOUR);
    story.is_collected(at(STAY / 2));
    assert!(is_reminder(&story.letters(half).await));
    story.tells(half.plus_ms(HOUR)).await;
    let letter = story.letters(half.plus_ms(HOUR)).await;
    assert!(letter.contains(SORRY), "{letter}");
}

#[tokio::test]
async fn r07_who_comes_because_of_a_reminder_gets_no_correction() {
    let mut story = Story::begun(0).await;
    let half = at(STAY / 2 + HOUR);
    assert!(is_reminder(&story.letters(half).await));
    story.is_collected(half.plus_ms(HOUR));
    story.tells(half.plus_ms(HOUR)).await;
    story.no_letter(half.plus_ms(2 * HOUR)).await;
    story.no_letter(at(2 * STAY)).await;
}

#[tokio::test]
async fn r07_t02_of_a_bank_that_does_not_know_the_time_a_correction_is_rather_sent_than_not() {
    let mut story = Story::begun(0).await;
    let half = at(STAY / 2 + HOUR);
    assert!(is_reminder(&story.letters(half).await));
    story.journal.quality = TimeQuality::Unknown;
    story.is_collected(at(3 * STAY));
    story.tells(half.plus_ms(HOUR)).await;
    assert!(story.letters(half.plus_ms(HOUR)).await.contains(SORRY));
}

#[tokio::test]
async fn r07_an_extension_moves_the_reminders_that_are_to_come() {
    let mut story = Story::begun(0).await;
    story.extends(at(DAY), at(2 * STAY)).await;
    story.no_letter(at(STAY / 5 * 4 + HOUR)).await;
    for percent in [50, 80] {
        let moment = 2 * STAY / 100 * percent;
        story.no_letter(at(moment - HOUR)).await;
        assert!(is_reminder(&story.letters(at(moment + HOUR)).await));
    }
    story.no_letter(at(3 * STAY)).await;
}

#[tokio::test]
async fn r07_an_extension_brings_no_reminder_whose_moment_is_past() {
    let mut story = Story::begun(0).await;
    assert!(is_reminder(&story.letters(at(STAY / 2 + HOUR)).await));
    assert!(is_reminder(&story.letters(at(STAY / 5 * 4 + HOUR)).await));
    // Half of eight days is past, four fifths are not quite.
    story.extends(at(6 * DAY), at(8 * DAY)).await;
    story.no_letter(at(6 * DAY + 2 * HOUR)).await;
    assert!(is_reminder(&story.letters(at(6 * DAY + 10 * HOUR)).await));
    story.no_letter(at(3 * STAY)).await;
}

#[tokio::test]
async fn r07_of_a_deposit_that_is_heard_of_late_the_moments_that_are_past_are_dropped() {
    let mut story = Story::begun(20 * DAY).await;
    // Promised a week from then on: half of the 27 days was over on the 14th.
    story.no_letter(at(21 * DAY)).await;
    assert!(is_reminder(&story.letters(at(22 * DAY)).await));
    story.no_letter(at(60 * DAY)).await;
}

#[tokio::test]
async fn r07_the_end_of_a_stay_is_told_once_and_as_the_bank_records_it() {
    let mut story = Story::begun(0).await;
    story.letters(at(STAY / 5 * 4 + HOUR)).await;
    story.no_letter(at(STAY + HOUR)).await;
    story.journal.clock = at(STAY + HOUR);
    story.journal.append(Fact::KeepLapsed(KeepLapsed { parcel: ParcelId([1; 16]) }));
    story.tells(at(STAY + HOUR)).await;
    let letter = story.letters(at(STAY + 2 * HOUR)).await;
    assert!(letter.contains("Subject: Your parcel was not picked up in time at Bank"), "{letter}");
    assert!(!letter.contains("LK1:"), "{letter}");
    story.no_letter(at(2 * STAY)).await;
}

#[tokio::test]
async fn r07_the_end_of_a_stay_is_told_only_once_all_is_heard() {
    let mut story = Story::begun(0).await;
    story.letters(at(STAY / 5 * 4 + HOUR)).await;
    story.goes_dark().await;
    story.journal.clock = at(STAY + HOUR);
    story.journal.append(Fact::KeepLapsed(KeepLapsed { parcel: ParcelId([1; 16]) }));
    let lapsed = story.journal.clone();
    story.is_collected(at(STAY + 2 * HOUR));
    story.comes_back().await;
    // The first of two batches.
    let heard_at = at(STAY + 3 * HOUR);
    commit_more_at(&story.store, &bank_id(), &lapsed, story.known, heard_at).await;
    story.known = lapsed.head();
    story.no_letter(heard_at).await;
    assert_eq!(story.count(Count::Held), 1);
    story.tells(heard_at).await;
    story.no_letter(heard_at.plus_ms(LOOK)).await;
    story.no_letter(at(3 * STAY)).await;
}

#[tokio::test]
async fn r07_without_moments_nobody_is_reminded() {
    let mut story = Story::begun(0).await;
    let limits = NoticeLimits { remind_at_percent: Vec::new(), ..NoticeLimits::default() };
    let notices = Notices {
        from: "lockers@postern.example".into(),
        mailbox: Some(story.mailbox.clone()),
        smtp: None,
        limits,
    };
    let post = Post::new(&notices, Arc::new(test_keys()), None).unwrap();
    let post = post.knowing(story.world.presence.clone());
    story.deliverer = Deliverer::new(story.store.clone(), post);
    story.no_letter(at(STAY / 2 + HOUR)).await;
    story.no_letter(at(STAY - HOUR)).await;
}

#[tokio::test]
async fn r07_a_pickup_that_is_heard_of_while_its_reminder_is_handed_over_is_made_good() {
    let mut story = Story::begun(0).await;
    let half = at(STAY / 2 + HOUR);
    let due = story.store.due_notices(half, 9).await.unwrap();
    let [reminder] = &due[..] else { panic!("{due:?}") };
    story.is_collected(half);
    story.tells(half).await;
    let outcome = NoticeOutcome::Sent;
    story.store.settle_letter(reminder.id, outcome, None, half.plus_ms(9)).await.unwrap();
    assert!(story.letters(half.plus_ms(HOUR)).await.contains(SORRY));
    story.no_letter(at(2 * STAY)).await;
}
