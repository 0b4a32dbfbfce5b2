//! Tests of when notices are due and what they know, over a real store.

use locker_core::bank::{BoundCode, DepositConfirmed, DepositStarted, KeepLapsed, PickupEnd};
use locker_core::code::second_factor::SuffixTag;
use locker_core::downlink::{Grant, GrantPosition};
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, CredentialId, SessionId};
use tempfile::tempdir;

use super::*;
use crate::ingest::tests::fixture::{
    Journal, NOW, add_bank, add_parcel, bank_id, book, carrier, commit_more, open_store, request,
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
    let due = store.due_notices(NOW, 9).await.unwrap();
    for notice in &due {
        store.settle_notice(notice.id, NoticeOutcome::Sent).await.unwrap();
    }
    due
}

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
    let sent = sent(&store).await;
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
    let sent = sent(&store).await;
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
async fn an_extensions_letter_waits_until_the_bank_keeps_the_parcel_so_long() {
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
async fn a_parcel_that_went_out_before_the_bank_heard_leaves_no_letter_behind() {
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

#[tokio::test]
async fn a_notice_has_the_digits_that_hold_and_says_whether_the_phone_is_asked_for() {
    for suffix in [None, Some(SuffixTag([4; 8]))] {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        let mut bank = Bank::with_booked(&store, suffix).await;
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
        let sent = sent(&store).await;
        let [notice] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(notice.code, Some((slot, sealed)));
        assert_eq!(notice.at_bank.unwrap().asks_phone, suffix.is_some());
    }
}
