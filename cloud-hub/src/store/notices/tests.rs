//! Tests of when notices are due and what they know, over a real store.

use locker_core::bank::{BoundCode, DepositConfirmed, DepositStarted, Finding};
use locker_core::bank::{InspectionSettled, InspectionStarted, KeepLapsed, PickupEnd};
use locker_core::code::second_factor::SuffixTag;
use locker_core::code::tag::FINGERPRINT_BYTES;
use locker_core::downlink::{Grant, GrantPosition, GrantRefusal, GrantRefused};
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, CredentialId, Generation, SessionId};
use locker_proto::message::Birth;
use tempfile::tempdir;

use super::*;
use crate::codes::key_file::Secret;
use crate::ingest::tests::fixture::{
    Journal, NOW, World, add_bank, add_parcel, bank_id, book, carrier, commit_more, open_store,
    request,
};
use crate::parcels::{ParcelChange, change_parcel};
use crate::store::{HubParcelState, Store};

/// A bank that does nothing until it is told to.
struct Bank {
    store: Store,
    journal: Journal,
    /// Records that the hub has.
    known: u64,
    /// Grants that it has taken over.
    gseq: u64,
}

impl Bank {
    /// Parcel 1 is booked; with the phone's digits if `suffix`.
    async fn with_booked(store: &Store, suffix: Option<SuffixTag>) -> Self {
        add_bank(store, &[300]).await;
        add_parcel(store, 1, 200).await;
        let mut journal = Journal::commissioned(&[300]);
        commit_more(store, &journal, 0).await;
        book(store, 1).await;
        let known = journal.head();
        let Grant::Book(mut booking) = grants(store, 0).await.remove(0) else { panic!() };
        booking.terms.suffix = suffix;
        journal.accept(store.epoch(), 1, Grant::Book(booking));
        Self { store: store.clone(), journal, known, gseq: 1 }
    }

    /// As before, and inside.
    async fn with_stored(store: &Store) -> Self {
        let mut bank = Self::with_booked(store, None).await;
        bank.journal.deposit(1, 1);
        bank.tell().await;
        bank
    }

    /// Takes over all that it has not.
    async fn hear(&mut self) {
        for grant in grants(&self.store, self.gseq).await {
            self.gseq += 1;
            self.journal.accept(self.store.epoch(), self.gseq, grant);
        }
        self.tell().await;
    }

    /// Refuses all that it has not taken over.
    async fn refuse(&mut self, reason: GrantRefusal) {
        for grant in grants(&self.store, self.gseq).await {
            self.gseq += 1;
            let position = GrantPosition { epoch: self.store.epoch(), gseq: self.gseq };
            let parcel = grant.about().map(|(parcel, _)| parcel);
            self.journal.append(Fact::GrantRefused(GrantRefused { position, parcel, reason }));
        }
        self.tell().await;
    }

    /// Sends what the hub has not.
    async fn tell(&mut self) {
        commit_more(&self.store, &self.journal, self.known).await;
        self.known = self.journal.head();
    }
}

async fn grants(store: &Store, after: u64) -> Vec<Grant> {
    let after = GrantPosition { epoch: store.epoch(), gseq: after };
    store.downlink(&bank_id(), after, 9).await.unwrap().unwrap().grants
}

async fn decide(store: &Store, change: ParcelChange) -> ParcelRow {
    let call = request(&format!("{change:?}"));
    change_parcel(store, &carrier(), "p1", change, call, NOW).await.unwrap()
}

async fn reissue(store: &Store, no: u8) -> ParcelRow {
    decide(store, ParcelChange::Reissue { fresh: CredentialId([no; 16]) }).await
}

/// Claims what is due and settles it as sent.
async fn sent(store: &Store) -> Vec<NoticeRow> {
    sent_at(store, NOW).await
}

async fn sent_at(store: &Store, now: UnixMillis) -> Vec<NoticeRow> {
    let due = store.due_notices(now, 9).await.unwrap();
    for notice in &due {
        store.settle_notice(notice.id, NoticeOutcome::Sent).await.unwrap();
    }
    due
}

/// When a new code's letter goes that the bank took over just now.
const SETTLED: UnixMillis = NOW.plus_ms(NEW_CODE_SETTLES_MS);

async fn kinds(store: &Store) -> Vec<NoticeKind> {
    sent(store).await.iter().map(|notice| notice.kind).collect()
}

#[tokio::test]
async fn c03_a_new_codes_letter_waits_until_the_bank_knows_the_code() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut bank = Bank::with_stored(&store).await;
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelStored]);
    let row = reissue(&store, 9).await;
    assert!(kinds(&store).await.is_empty(), "the bank is dark");
    bank.hear().await;
    assert!(kinds(&store).await.is_empty(), "its digits may come with the next batch");
    let sent = sent_at(&store, SETTLED).await;
    let [notice] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((notice.kind, notice.version), (NoticeKind::CodeReissued, row.version));
    assert_eq!(notice.at_bank.unwrap().credential, CredentialId([9; 16]));
}

#[tokio::test]
async fn c03_two_new_codes_in_the_dark_are_one_letter() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut bank = Bank::with_stored(&store).await;
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelStored]);
    reissue(&store, 8).await;
    let newest = reissue(&store, 9).await;
    bank.hear().await;
    let sent = sent_at(&store, SETTLED).await;
    let [notice] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((notice.kind, notice.version), (NoticeKind::CodeReissued, newest.version));
    assert!(bank.store.due_notices(NOW.plus_ms(1 << 40), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_letter_that_is_still_to_be_sent_knows_that_the_bank_has_another_code() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    Bank::with_stored(&store).await;
    let row = reissue(&store, 9).await;
    let sent = sent(&store).await;
    let [notice] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(notice.kind, NoticeKind::ParcelStored);
    assert_eq!(notice.at_bank.unwrap().credential, CredentialId([1; 16]));
    assert_eq!(notice.parcel.credential, row.credential);
}

#[tokio::test]
async fn r07_an_extensions_letter_waits_until_the_bank_keeps_the_parcel_so_long() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut bank = Bank::with_stored(&store).await;
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelStored]);
    let until = NOW.plus_ms(5_000_000);
    decide(&store, ParcelChange::Extend { until }).await;
    // The bank turns the recipient away meanwhile, whatever their token says.
    bank.journal.append(Fact::KeepLapsed(KeepLapsed { parcel: ParcelId([1; 16]) }));
    bank.tell().await;
    assert!(kinds(&store).await.is_empty());
    bank.hear().await;
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelExtended]);
    let row = store.parcel_by_uid(ParcelId([1; 16])).await.unwrap().unwrap();
    assert_eq!((row.state, row.expires_at), (HubParcelState::Stored, Some(until)));
}

#[tokio::test]
async fn r07_a_parcel_that_went_out_before_the_bank_heard_leaves_no_letter_behind() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut bank = Bank::with_stored(&store).await;
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelStored]);
    reissue(&store, 9).await;
    let end = PickupEnd::Collected { presumed: false };
    bank.journal.pick_up(1, 1, end);
    bank.tell().await;
    assert!(kinds(&store).await.is_empty());
}

/// A stored parcel with a code at a bank that has said this of its code keys.
async fn with_code(
    store: &Store,
    suffix: Option<SuffixTag>,
    told: Option<[u8; FINGERPRINT_BYTES]>,
) -> (SlotId, Sealed) {
    let mut bank = Bank::with_booked(store, suffix).await;
    let (slot, sealed) = (SlotId([7; 16]), Sealed::try_from(vec![1, 2, 3]).unwrap());
    let (session, parcel) = (SessionId([3; 16]), ParcelId([1; 16]));
    let compartment = CompartmentNo(1);
    let tried = Vec::new();
    let started = DepositStarted { session, parcel, compartment, tried };
    bank.journal.append(Fact::DepositStarted(started));
    let code = Some(BoundCode { slot, sealed: sealed.clone() });
    let confirmed = DepositConfirmed { session, parcel, compartment, presumed: false, code };
    bank.journal.append(Fact::DepositConfirmed(confirmed));
    bank.tell().await;
    let mut world = World::start(store).await;
    world.birth_with(Birth { code_keys: told, ..bank.journal.birth() }).await;
    world.stop().await;
    (slot, sealed)
}

fn master() -> CodeMaster {
    CodeMaster::new(Secret::from([1; 32]))
}

fn fingerprint() -> [u8; FINGERPRINT_BYTES] {
    master().tag_keys(&bank_id(), Generation(1)).fingerprint()
}

#[tokio::test]
async fn a_notice_has_the_digits_that_hold_and_says_whether_the_phone_is_asked_for() {
    for suffix in [None, Some(SuffixTag([4; 8]))] {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await.with_code_master(Arc::new(master()));
        let code = with_code(&store, suffix, Some(fingerprint())).await;
        let sent = sent(&store).await;
        let [notice] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(notice.code, Some(code));
        assert_eq!(notice.at_bank.unwrap().asks_phone, suffix.is_some());
    }
}

#[tokio::test]
async fn a_letter_has_no_digits_that_the_banks_keypad_would_call_wrong() {
    for told in [None, Some([9; FINGERPRINT_BYTES])] {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await.with_code_master(Arc::new(master()));
        with_code(&store, None, told).await;
        let sent = sent(&store).await;
        let [notice] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((notice.kind, &notice.code), (NoticeKind::ParcelStored, &None));
    }
}

/// Runs statements as nobody else would.
struct Meddle(&'static str);

impl Decision for Meddle {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        tx.execute("notices", self.0, []).await?;
        Ok(())
    }
}

async fn meddle(store: &Store, sql: &'static str) {
    store.decide(Meddle(sql)).await.unwrap();
}

const FAR: UnixMillis = NOW.plus_ms(1 << 40);

#[tokio::test]
async fn a_letter_of_a_parcel_that_is_at_no_bank_any_more_is_not_told() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    Bank::with_stored(&store).await;
    // It was recalled, booked again, and the bank has refused that.
    meddle(&store, "UPDATE parcels SET bank = NULL, state = 'ANNOUNCED'").await;
    for _ in 0..2 {
        assert!(store.due_notices(FAR, 9).await.unwrap().is_empty());
    }
    let count = "UPDATE notices SET attempts = 0 WHERE outcome = 'UNNEEDED' AND due_at IS NULL";
    assert_eq!(changed(&store, count).await, 1);
}

/// How many notices a statement changes.
async fn changed(store: &Store, sql: &'static str) -> u64 {
    let of = |store: &Store| store.rows_written().get("notices").copied().unwrap_or_default();
    let before = of(store);
    meddle(store, sql).await;
    of(store) - before
}

#[tokio::test]
async fn a_notice_that_cannot_be_read_keeps_no_other_waiting() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut bank = Bank::with_stored(&store).await;
    let until = NOW.plus_ms(5_000_000);
    decide(&store, ParcelChange::Extend { until }).await;
    bank.hear().await;
    let damage = "UPDATE notices SET kind = 'SOMETHING' WHERE kind = 'PARCEL_STORED'";
    assert_eq!(changed(&store, damage).await, 1);
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelExtended]);
    // It is looked at again, and not lost.
    meddle(&store, "UPDATE notices SET kind = 'PARCEL_STORED' WHERE kind = 'SOMETHING'").await;
    assert!(store.due_notices(NOW, 9).await.unwrap().is_empty());
    assert_eq!(store.due_notices(FAR, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn r07_a_bank_that_is_behind_stopped_or_not_understood_has_not_told_all() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let bank = Bank::with_stored(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&bank.journal).await;
    let first = store.due_notices(NOW, 9).await.unwrap().remove(0);
    assert_eq!(first.told_all, None, "nobody asks");
    let sent = NoticeOutcome::Sent;
    store.settle_letter(first.id, sent, Some(NOW.plus_ms(5)), NOW).await.unwrap();
    assert!(store.due_notices(NOW.plus_ms(4), 9).await.unwrap().is_empty());
    let told_all = async |n: u64| {
        let due = store.due_notices(FAR.plus_ms(n << 20), 9).await.unwrap();
        let [notice] = &due[..] else { panic!("{due:?}") };
        assert_eq!(
            (notice.kind, notice.moment),
            (NoticeKind::ParcelReminder, Some(NOW.plus_ms(5)))
        );
        notice.told_all.is_some()
    };
    assert!(told_all(0).await);
    let cases = [
        [
            "UPDATE introductions SET head_seq = head_seq + 1",
            "UPDATE introductions SET head_seq = head_seq - 1",
        ],
        ["UPDATE cursors SET incomplete = TRUE", "UPDATE cursors SET incomplete = FALSE"],
        ["UPDATE banks SET stopped_reason = 'FORK'", "UPDATE banks SET stopped_reason = NULL"],
    ];
    for (n, [otherwise, back]) in (1..).zip(cases) {
        meddle(&store, otherwise).await;
        assert!(!told_all(2 * n).await, "{otherwise}");
        meddle(&store, back).await;
        assert!(told_all(2 * n + 1).await);
    }
    world.stop().await;
}

#[tokio::test]
async fn r07_a_hub_that_starts_again_does_not_look_at_all_reminders_at_once() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    Bank::with_stored(&store).await;
    let first = store.due_notices(NOW, 9).await.unwrap().remove(0);
    let later = NOW.plus_ms(5);
    store.settle_letter(first.id, NoticeOutcome::Sent, Some(later), NOW).await.unwrap();
    store.close().await;
    let store = open_store(directory.path()).await;
    assert!(store.due_notices(NOW, 9).await.unwrap().is_empty());
    assert_eq!(store.due_notices(later, 9).await.unwrap().len(), 1);
}

/// Details of the events that say that a recipient was not told.
async fn failed(store: &Store) -> Vec<String> {
    let events = store.events_after(0, None, 200).await.unwrap();
    let failed = events.into_iter().filter(|event| event.kind == EventKind::ParcelNoticeFailed);
    failed.map(|event| event.detail).collect()
}

async fn parcel(store: &Store) -> ParcelRow {
    store.parcel_by_uid(ParcelId([1; 16])).await.unwrap().unwrap()
}

#[tokio::test]
async fn c03_a_new_code_that_the_bank_refuses_is_told_to_whoever_watches_and_taken_back() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut bank = Bank::with_stored(&store).await;
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelStored]);
    reissue(&store, 9).await;
    bank.refuse(GrantRefusal::TooMany).await;
    assert_eq!(failed(&store).await, ["TOO_MANY"]);
    let row = parcel(&store).await;
    assert_eq!((row.state, row.credential), (HubParcelState::Stored, Some(CredentialId([1; 16]))));
    assert!(sent_at(&store, FAR).await.is_empty());
    // What is decided next goes its way with the code that opens.
    decide(&store, ParcelChange::Extend { until: NOW.plus_ms(5_000_000) }).await;
    bank.hear().await;
    let sent = sent(&store).await;
    let [notice] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(notice.kind, NoticeKind::ParcelExtended);
    assert_eq!(notice.parcel.credential, notice.at_bank.map(|known| known.credential));
}

#[tokio::test]
async fn r11_an_extension_that_the_bank_refuses_is_told_to_whoever_watches_and_taken_back() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut bank = Bank::with_stored(&store).await;
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelStored]);
    let before = parcel(&store).await;
    decide(&store, ParcelChange::Extend { until: NOW.plus_ms(5_000_000_000) }).await;
    bank.refuse(GrantRefusal::Stale).await;
    assert_eq!(failed(&store).await, ["STALE"]);
    let after = parcel(&store).await;
    assert_eq!(after.terms.keep_until, None);
    let held = |row: &ParcelRow| row.expires_at.unwrap().0 / 1_000;
    assert_eq!(held(&after), held(&before));
    assert!(sent_at(&store, FAR).await.is_empty());
}

#[tokio::test]
async fn a_letter_that_could_go_is_thrown_away_only_when_the_newer_one_can() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut bank = Bank::with_stored(&store).await;
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelStored]);
    let extend = async |days: u64| {
        let until = NOW.plus_ms(days * 86_400_000);
        decide(&store, ParcelChange::Extend { until }).await.version
    };
    let first = extend(10).await;
    bank.hear().await;
    extend(11).await;
    bank.refuse(GrantRefusal::Stale).await;
    let due = store.due_notices(NOW, 9).await.unwrap();
    assert_eq!(due.iter().map(|notice| notice.version).collect::<Vec<_>>(), [first]);
    let row = parcel(&store).await;
    assert_eq!(row.expires_at, Some(NOW.plus_ms(10 * 86_400_000)));
    let newest = extend(12).await;
    bank.hear().await;
    let sent = sent_at(&store, FAR).await;
    assert_eq!(sent.iter().map(|notice| notice.version).collect::<Vec<_>>(), [newest]);
}

#[tokio::test]
async fn p_j_letters_of_decisions_that_a_reimaged_bank_never_hears_of_are_given_up_once() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    Bank::with_stored(&store).await;
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelStored]);
    reissue(&store, 9).await;
    let mut world = World::start(&store).await;
    world.birth(&Journal::new(2)).await;
    world.stop().await;
    let mut committed = store.committed_events();
    while failed(&store).await.is_empty() {
        committed.changed().await.unwrap();
    }
    assert_eq!(failed(&store).await, ["GRANTS_BEGAN_ANEW"]);
    assert!(sent_at(&store, FAR).await.is_empty());
}

#[tokio::test]
async fn k07_who_was_not_told_while_the_parcel_was_missing_is_told_when_it_is_found() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut bank = Bank::with_stored(&store).await;
    let inspect = |bank: &mut Bank, finding| {
        let (session, compartment) = (SessionId([5; 16]), CompartmentNo(1));
        let started = InspectionStarted { session, compartment };
        bank.journal.append(Fact::InspectionStarted(started));
        let settled = InspectionSettled { session, compartment, finding };
        bank.journal.append(Fact::InspectionSettled(settled));
    };
    inspect(&mut bank, Finding::Empty);
    bank.tell().await;
    assert_eq!(parcel(&store).await.state, HubParcelState::Missing);
    let due = store.due_notices(NOW, 9).await.unwrap();
    store.settle_notice(due[0].id, NoticeOutcome::Unneeded).await.unwrap();
    for _ in 0..2 {
        inspect(&mut bank, Finding::Holds(ParcelId([1; 16])));
        inspect(&mut bank, Finding::Empty);
    }
    inspect(&mut bank, Finding::Holds(ParcelId([1; 16])));
    bank.tell().await;
    assert_eq!(kinds(&store).await, [NoticeKind::ParcelStored]);
    // Who was told needs no second letter.
    inspect(&mut bank, Finding::Empty);
    inspect(&mut bank, Finding::Holds(ParcelId([1; 16])));
    bank.tell().await;
    assert!(sent_at(&store, FAR).await.is_empty());
}
