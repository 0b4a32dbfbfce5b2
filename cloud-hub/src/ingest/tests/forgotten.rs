//! Decisions that a hub made after the backup it was restored from, and that its banks still know.
//! Without sessions: what counts is what a bank has told when its log begins anew.

use locker_core::bank::{BookingLapsed, RecallEnd, RecallSettled, RecallStarted};
use locker_core::downlink::{Grant, GrantPosition, GrantRefusal, GrantRefused};
use locker_core::fact::Fact;
use locker_core::ids::{BankId, CompartmentNo, CredentialId, ParcelId, SessionId, Version};
use tempfile::{TempDir, tempdir};

use super::fixture::{
    Journal, NOW, add_bank_as, add_parcel, backed_up, bank_id, carrier, commit_as, commit_more_as,
    new_parcel, open_store, order, request, restored,
};
use super::state;
use crate::parcels::{
    BookError, BookingOrder, CancelError, NewParcel, ParcelChange, book_compartment, cancel_parcel,
    change_parcel, create_parcel,
};
use crate::store::{
    AlarmFilter, AlarmKind, AlarmRow, BeginGrantLog, EventKind, HubParcelState, NoticeOutcome,
    ParcelRow, Store,
};

const EDGES: &[u32] = &[300, 300, 300, 300];
/// Banks, as the tests number them.
const A: usize = 0;
const B: usize = 1;

struct Bank {
    id: BankId,
    journal: Journal,
    /// How much of the journal the hub's store has.
    committed: u64,
    held: GrantPosition,
}

/// A hub and two banks. Parcel and bank do what the test says.
struct Fleet {
    directory: TempDir,
    store: Store,
    banks: [Bank; 2],
    backed: [u64; 2],
    requests: u32,
}

impl Fleet {
    async fn start() -> Self {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        let held = GrantPosition { epoch: store.epoch(), gseq: 0 };
        let banks = [bank_id(), "bank-2".parse().unwrap()].map(|id| {
            let journal = Journal::commissioned(EDGES);
            Bank { id, committed: journal.head(), journal, held }
        });
        for bank in &banks {
            add_bank_as(&store, bank.id.clone(), EDGES).await;
            commit_as(&store, &bank.id, &bank.journal).await;
        }
        let mut fleet = Self { directory, store, banks, backed: [0; 2], requests: 0 };
        fleet.back_up().await;
        fleet
    }

    async fn back_up(&mut self) {
        backed_up(self.directory.path()).await;
        self.backed = [A, B].map(|at| self.banks[at].committed);
    }

    async fn restore(mut self) -> Self {
        self.store = restored(self.directory.path(), self.store).await;
        for (bank, backed) in self.banks.iter_mut().zip(self.backed) {
            bank.committed = backed;
        }
        self
    }

    fn request(&mut self) -> crate::store::RequestKey {
        self.requests += 1;
        request(&format!("call {}", self.requests))
    }

    async fn announce(&self, no: u8) {
        add_parcel(&self.store, no, 200).await;
    }

    /// Books a parcel with a code of this number.
    async fn try_book(&mut self, no: u8, at: usize, code: u8) -> Result<ParcelRow, BookError> {
        self.book_as(&format!("p{no}"), at, code).await
    }

    async fn book_as(&mut self, name: &str, at: usize, code: u8) -> Result<ParcelRow, BookError> {
        let bank = self.banks[at].id.clone();
        let order = BookingOrder { bank, fresh: CredentialId([code; 16]), ..order(1) };
        let request = self.request();
        book_compartment(&self.store, &carrier(), name, order, request, NOW).await
    }

    async fn book(&mut self, no: u8, at: usize, code: u8) {
        self.try_book(no, at, code).await.unwrap();
    }

    async fn cancel(&mut self, no: u8) -> Result<ParcelRow, CancelError> {
        let (name, request) = (format!("p{no}"), self.request());
        cancel_parcel(&self.store, &carrier(), &name, request, NOW).await
    }

    async fn reissue(&mut self, name: &str, code: u8) {
        let request = self.request();
        let change = ParcelChange::Reissue { fresh: CredentialId([code; 16]) };
        change_parcel(&self.store, &carrier(), name, change, request, NOW).await.unwrap();
    }

    /// What the bank is to be told and does not hold.
    async fn untold(&self, at: usize) -> Vec<Grant> {
        let Bank { id, held, .. } = &self.banks[at];
        let downlink = self.store.downlink(id, *held, 64).await.unwrap().unwrap();
        assert_eq!(downlink.ended, None, "its log waits");
        downlink.grants
    }

    /// The bank takes over all that it is told.
    async fn hear(&mut self, at: usize) {
        for grant in self.untold(at).await {
            let next = self.next(at);
            self.banks[at].journal.accept(next.epoch, next.gseq, grant);
        }
    }

    /// The bank answers the one thing that it is told with a refusal.
    async fn refuse(&mut self, at: usize, reason: GrantRefusal) {
        let untold = self.untold(at).await;
        let [grant] = &untold[..] else { panic!("{untold:?}") };
        let parcel = grant.about().map(|(parcel, _)| parcel);
        let position = self.next(at);
        let refused = GrantRefused { position, parcel, reason };
        self.banks[at].journal.append(Fact::GrantRefused(refused));
    }

    fn next(&mut self, at: usize) -> GrantPosition {
        let held = &mut self.banks[at].held;
        let epoch = held.epoch.max(self.store.epoch());
        let gseq = if epoch == held.epoch { held.gseq + 1 } else { 1 };
        *held = GrantPosition { epoch, gseq };
        *held
    }

    fn brings(&mut self, no: u8, at: usize) {
        self.banks[at].journal.deposit(no, u16::from(no));
    }

    fn takes_back(&mut self, no: u8, at: usize) {
        let (session, parcel) = (SessionId([5; 16]), ParcelId([no; 16]));
        let compartment = CompartmentNo(u16::from(no));
        let journal = &mut self.banks[at].journal;
        journal.append(Fact::RecallStarted(RecallStarted { session, parcel, compartment }));
        let (end, lock_failed) = (RecallEnd::Removed, false);
        let settled = RecallSettled { session, parcel, compartment, end, lock_failed };
        journal.append(Fact::RecallSettled(settled));
    }

    fn lapses(&mut self, no: u8, at: usize) {
        let parcel = ParcelId([no; 16]);
        self.banks[at].journal.append(Fact::BookingLapsed(BookingLapsed { parcel }));
    }

    /// The hub takes in what the bank has written.
    async fn tell(&mut self, at: usize) {
        let Bank { id, journal, committed, .. } = &mut self.banks[at];
        if journal.head() > *committed {
            commit_more_as(&self.store, id, journal, *committed).await;
            *committed = journal.head();
        }
    }

    /// The bank is there again after a restore: all its facts, then what it is to be told.
    async fn returns(&mut self, at: usize) {
        self.tell(at).await;
        let Bank { id, held, .. } = &self.banks[at];
        let (bank, held) = (id.clone(), *held);
        self.store.decide(BeginGrantLog { bank, held, code_master: None, now: NOW }).await.unwrap();
    }

    async fn row(&self, no: u8) -> ParcelRow {
        self.store.parcel_by_uid(ParcelId([no; 16])).await.unwrap().unwrap()
    }

    /// Where a parcel is and in which state, with what version and which code.
    async fn known(&self, no: u8) -> (HubParcelState, Option<usize>, u32, Option<u8>) {
        let row = self.row(no).await;
        let at = row.bank.and_then(|id| self.banks.iter().position(|bank| bank.id == id));
        (row.state, at, row.version.0, row.credential.map(|code| code.0[0]))
    }

    /// What the newest event of a parcel says.
    async fn newest(&self, no: u8) -> (EventKind, String) {
        let mut events = self.store.parcel_events(ParcelId([no; 16])).await.unwrap();
        let event = events.pop().unwrap();
        (event.kind, event.detail)
    }

    /// Letters that are due.
    async fn letters(&self, no: u8) -> usize {
        let letters = self.store.due_notices(NOW.plus_ms(1), 10).await.unwrap();
        letters.iter().filter(|letter| letter.parcel.uid == ParcelId([no; 16])).count()
    }

    async fn alarms(&self) -> Vec<AlarmRow> {
        self.store.alarms(&AlarmFilter::default(), 10).await.unwrap()
    }
}

fn restored_as(kind: EventKind) -> (EventKind, String) {
    (kind, "RESTORED".to_owned())
}

#[tokio::test]
async fn r06_a_parcel_that_was_withdrawn_after_the_backup_stays_withdrawn_and_its_code_dead() {
    let mut fleet = Fleet::start().await;
    for no in [1, 2, 3] {
        fleet.announce(no).await;
    }
    fleet.book(1, A, 11).await;
    fleet.book(2, A, 12).await;
    fleet.hear(A).await;
    fleet.lapses(2, A);
    fleet.tell(A).await;
    fleet.back_up().await;
    // Booked, not brought in time, and not even booked, when the backup was made.
    fleet.book(3, A, 13).await;
    fleet.hear(A).await;
    for no in [1, 2, 3] {
        assert_eq!(fleet.cancel(no).await.unwrap().state, HubParcelState::Cancelled);
    }
    fleet.hear(A).await;

    let mut fleet = fleet.restore().await;
    assert_eq!(state(&fleet.store, 1).await, HubParcelState::Booked);
    fleet.returns(A).await;
    let untold = fleet.untold(A).await;
    assert!(untold.is_empty(), "no code is made good again: {untold:?}");
    for no in [1, 2, 3] {
        let known = fleet.known(no).await;
        assert_eq!(known, (HubParcelState::Cancelled, Some(A), 3, Some(10 + no)), "{no}");
        assert_eq!(fleet.newest(no).await, restored_as(EventKind::ParcelCancelled));
    }
    assert!(fleet.try_book(1, A, 14).await.is_err());
    assert!(fleet.alarms().await.is_empty());
}

#[tokio::test]
async fn r06_a_booking_made_since_the_restore_wins_over_a_lost_cancellation_with_a_code_of_its_own()
{
    let mut fleet = Fleet::start().await;
    fleet.announce(1).await;
    fleet.back_up().await;
    fleet.book(1, A, 11).await;
    fleet.hear(A).await;
    fleet.cancel(1).await.unwrap();
    fleet.hear(A).await;

    let mut fleet = fleet.restore().await;
    fleet.book(1, A, 12).await;
    fleet.returns(A).await;
    let untold = fleet.untold(A).await;
    let [Grant::Book(booking)] = &untold[..] else { panic!("{untold:?}") };
    assert_eq!((booking.version, booking.credential), (Version(4), CredentialId([12; 16])));
    assert_eq!(fleet.known(1).await, (HubParcelState::Booked, Some(A), 4, Some(12)));
}

/// A parcel that is taken back at the first bank, then a backup.
async fn recalled_at_a() -> Fleet {
    let mut fleet = Fleet::start().await;
    fleet.announce(1).await;
    fleet.book(1, A, 11).await;
    fleet.hear(A).await;
    fleet.brings(1, A);
    fleet.takes_back(1, A);
    fleet.tell(A).await;
    for letter in fleet.store.due_notices(NOW.plus_ms(1), 10).await.unwrap() {
        fleet.store.settle_notice(letter.id, NoticeOutcome::Sent).await.unwrap();
    }
    fleet.back_up().await;
    assert_eq!(fleet.known(1).await, (HubParcelState::Recalled, Some(A), 2, Some(11)));
    fleet
}

#[tokio::test]
async fn r06_a_parcel_booked_again_elsewhere_after_the_backup_is_where_it_was_brought() {
    for order in [[A, B], [B, A]] {
        let mut fleet = recalled_at_a().await;
        fleet.book(1, B, 12).await;
        fleet.hear(B).await;
        fleet.brings(1, B);
        let mut fleet = fleet.restore().await;
        for at in order {
            fleet.returns(at).await;
        }
        assert_eq!(fleet.known(1).await, (HubParcelState::Stored, Some(B), 3, Some(12)));
        assert_eq!(fleet.newest(1).await, restored_as(EventKind::ParcelStored));
        assert_eq!(fleet.letters(1).await, 1);
        assert!(fleet.untold(A).await.is_empty() && fleet.alarms().await.is_empty());
        // The bank speaks for it from now on.
        fleet.takes_back(1, B);
        fleet.tell(B).await;
        assert_eq!(state(&fleet.store, 1).await, HubParcelState::Recalled);
    }
}

#[tokio::test]
async fn r06_a_parcel_booked_again_at_the_same_bank_after_the_backup_is_inside() {
    let mut fleet = recalled_at_a().await;
    fleet.book(1, A, 12).await;
    fleet.hear(A).await;
    fleet.brings(1, A);
    let mut fleet = fleet.restore().await;
    fleet.returns(A).await;
    assert_eq!(fleet.known(1).await, (HubParcelState::Stored, Some(A), 3, Some(12)));
    assert_eq!(fleet.letters(1).await, 1);
}

#[tokio::test]
async fn r06_what_became_of_a_lost_booking_is_known_also_when_it_is_over() {
    let mut fleet = recalled_at_a().await;
    fleet.book(1, B, 12).await;
    fleet.hear(B).await;
    fleet.lapses(1, B);
    let mut fleet = fleet.restore().await;
    fleet.returns(B).await;
    assert_eq!(fleet.known(1).await, (HubParcelState::BookingExpired, Some(B), 3, Some(12)));
    // Its courier comes after all, with a parcel that the bank has this code for.
    fleet.brings(1, B);
    fleet.tell(B).await;
    assert_eq!(fleet.known(1).await, (HubParcelState::Stored, Some(B), 3, Some(12)));
    assert_eq!(fleet.letters(1).await, 1);
}

#[tokio::test]
async fn r06_an_expired_booking_that_was_renewed_after_the_backup_has_the_code_of_its_bank() {
    let mut fleet = Fleet::start().await;
    fleet.announce(1).await;
    fleet.book(1, A, 11).await;
    fleet.hear(A).await;
    fleet.lapses(1, A);
    fleet.tell(A).await;
    fleet.back_up().await;
    fleet.book(1, A, 12).await;
    fleet.hear(A).await;
    let mut fleet = fleet.restore().await;
    fleet.returns(A).await;
    assert_eq!(fleet.known(1).await, (HubParcelState::Booked, Some(A), 3, Some(12)));
    assert_eq!(fleet.newest(1).await, restored_as(EventKind::ParcelBooked));
    assert!(fleet.untold(A).await.is_empty());
}

#[tokio::test]
async fn r06_a_parcel_that_one_bank_refused_is_at_the_next_whichever_is_there_first() {
    for order in [[A, B], [B, A]] {
        let mut fleet = Fleet::start().await;
        fleet.announce(1).await;
        fleet.book(1, A, 11).await;
        fleet.back_up().await;
        fleet.refuse(A, GrantRefusal::NoRoom).await;
        fleet.tell(A).await;
        fleet.book(1, B, 12).await;
        fleet.hear(B).await;
        fleet.brings(1, B);
        let mut fleet = fleet.restore().await;
        for at in order {
            fleet.returns(at).await;
        }
        let (state, at, _, code) = fleet.known(1).await;
        assert_eq!((state, at, code), (HubParcelState::Stored, Some(B), Some(12)));
        let booked = |grant: &Grant| matches!(grant, Grant::Book(_));
        assert!(!fleet.untold(A).await.iter().any(booked));
    }
}

#[tokio::test]
async fn r06_a_parcel_that_was_inside_one_bank_and_then_another_is_in_the_later_one() {
    for order in [[A, B], [B, A]] {
        let mut fleet = Fleet::start().await;
        fleet.announce(1).await;
        fleet.book(1, A, 11).await;
        fleet.hear(A).await;
        fleet.brings(1, A);
        fleet.tell(A).await;
        fleet.back_up().await;
        fleet.takes_back(1, A);
        fleet.tell(A).await;
        fleet.book(1, B, 12).await;
        fleet.hear(B).await;
        fleet.brings(1, B);
        let mut fleet = fleet.restore().await;
        for at in order {
            fleet.returns(at).await;
        }
        assert_eq!(fleet.known(1).await, (HubParcelState::Stored, Some(B), 3, Some(12)));
    }
}

#[tokio::test]
async fn r06_a_booking_made_since_the_restore_replaces_one_that_was_lost() {
    let mut fleet = Fleet::start().await;
    fleet.announce(1).await;
    fleet.back_up().await;
    fleet.book(1, A, 11).await;
    fleet.hear(A).await;
    let mut fleet = fleet.restore().await;
    fleet.book(1, A, 12).await;
    fleet.returns(A).await;
    // The bank would open to a code that the hub never writes to anybody.
    let untold = fleet.untold(A).await;
    let [Grant::Book(booking)] = &untold[..] else { panic!("{untold:?}") };
    assert_eq!((booking.version, booking.credential), (Version(3), CredentialId([12; 16])));
    fleet.hear(A).await;
    fleet.brings(1, A);
    fleet.tell(A).await;
    assert_eq!(fleet.known(1).await, (HubParcelState::Stored, Some(A), 3, Some(12)));
}

#[tokio::test]
async fn r06_a_parcel_booked_elsewhere_since_the_restore_is_at_one_bank_only() {
    // Where it lies counts more than where it was to go.
    let mut fleet = recalled_at_a().await;
    fleet.book(1, B, 12).await;
    fleet.hear(B).await;
    fleet.brings(1, B);
    let mut fleet = fleet.restore().await;
    fleet.returns(A).await;
    fleet.book(1, A, 13).await;
    fleet.hear(A).await;
    fleet.returns(B).await;
    assert_eq!(fleet.known(1).await, (HubParcelState::Stored, Some(B), 4, Some(12)));
    let untold = fleet.untold(A).await;
    assert!(matches!(untold[..], [Grant::Cancel { version: Version(4), .. }]), "{untold:?}");

    // A bank that only waits for it is told not to.
    let mut fleet = recalled_at_a().await;
    fleet.book(1, B, 12).await;
    fleet.hear(B).await;
    let mut fleet = fleet.restore().await;
    fleet.book(1, A, 13).await;
    fleet.returns(B).await;
    assert_eq!(fleet.known(1).await, (HubParcelState::Booked, Some(A), 4, Some(13)));
    let untold = fleet.untold(B).await;
    assert!(matches!(untold[..], [Grant::Cancel { version: Version(4), .. }]), "{untold:?}");
    fleet.returns(A).await;
    let untold = fleet.untold(A).await;
    let [Grant::Book(booking)] = &untold[..] else { panic!("{untold:?}") };
    assert_eq!((booking.version, booking.credential), (Version(3), CredentialId([13; 16])));
    assert!(fleet.alarms().await.is_empty());
}

#[tokio::test]
async fn r06_a_code_reissued_since_the_restore_outlives_a_lost_booking() {
    let mut fleet = Fleet::start().await;
    fleet.announce(1).await;
    fleet.book(1, A, 11).await;
    fleet.hear(A).await;
    fleet.brings(1, A);
    fleet.tell(A).await;
    fleet.back_up().await;
    fleet.takes_back(1, A);
    fleet.tell(A).await;
    for code in [12, 13] {
        fleet.book(1, A, code).await;
        fleet.hear(A).await;
        fleet.brings(1, A);
        if code == 12 {
            fleet.takes_back(1, A);
        }
        fleet.tell(A).await;
    }
    let mut fleet = fleet.restore().await;
    fleet.reissue("p1", 14).await;
    fleet.returns(A).await;
    assert_eq!(fleet.known(1).await, (HubParcelState::Stored, Some(A), 5, Some(14)));
    let untold = fleet.untold(A).await;
    let [Grant::Reissue { version: Version(5), credential, .. }] = untold[..] else {
        panic!("{untold:?}")
    };
    assert_eq!(credential, CredentialId([14; 16]));
}

#[tokio::test]
async fn r06_a_parcel_inside_that_was_withdrawn_since_the_restore_is_named_by_an_alarm() {
    let mut fleet = Fleet::start().await;
    fleet.announce(1).await;
    fleet.announce(2).await;
    fleet.back_up().await;
    for (no, code) in [(1, 11), (2, 12)] {
        fleet.book(no, A, code).await;
    }
    fleet.hear(A).await;
    fleet.brings(1, A);
    let mut fleet = fleet.restore().await;
    fleet.cancel(1).await.unwrap();
    fleet.cancel(2).await.unwrap();
    fleet.returns(A).await;
    let alarms = fleet.alarms().await;
    let [alarm] = &alarms[..] else { panic!("{alarms:?}") };
    assert_eq!(alarm.kind, AlarmKind::UnknownParcels);
    assert!(alarm.detail.contains(&ParcelId([1; 16]).to_string()), "{}", alarm.detail);
    assert!(!alarm.detail.contains(&ParcelId([2; 16]).to_string()), "{}", alarm.detail);
    let untold = fleet.untold(A).await;
    let [Grant::Cancel { parcel, version: Version(3) }] = untold[..] else { panic!("{untold:?}") };
    assert_eq!(parcel, ParcelId([2; 16]));
}

/// The first parcel is inside the first bank, and this store has never heard of it.
async fn unknown_at_a() -> Fleet {
    let mut fleet = Fleet::start().await;
    fleet.announce(1).await;
    fleet.book(1, A, 11).await;
    fleet.hear(A).await;
    fleet.brings(1, A);
    let mut fleet = fleet.restore().await;
    fleet.returns(A).await;
    let alarms = fleet.alarms().await;
    assert!(alarms[0].detail.contains("BC1 of acme"), "{}", alarms[0].detail);
    fleet
}

impl Fleet {
    /// A carrier announces something with the barcode of the first parcel, and an id of this number.
    async fn announce_again(&mut self, by: &str, uid: u8) -> ParcelRow {
        let (name, uid) = (format!("p{uid}"), ParcelId([uid; 16]));
        let new = NewParcel { uid, carrier: by.parse().unwrap(), name, ..new_parcel(1, 200) };
        let request = self.request();
        create_parcel(&self.store, new, request, NOW).await.unwrap()
    }
}

#[tokio::test]
async fn r06_an_unknown_parcel_announced_again_with_its_barcode_is_the_one_inside() {
    let mut fleet = unknown_at_a().await;
    // Not by somebody else's announcement, nor by that of another parcel.
    let others = fleet.announce_again("other", 7).await;
    assert_eq!((others.uid, others.state), (ParcelId([7; 16]), HubParcelState::Announced));
    fleet.announce(2).await;
    assert_eq!(state(&fleet.store, 2).await, HubParcelState::Announced);

    let row = fleet.announce_again("acme", 8).await;
    assert_eq!((row.uid, row.name.as_str()), (ParcelId([1; 16]), "p8"));
    assert_eq!(fleet.known(1).await, (HubParcelState::Stored, Some(A), 2, Some(11)));
    assert_eq!(row, fleet.row(1).await);
    assert!(row.expires_at.is_some());
    assert_eq!(fleet.letters(1).await, 1);
    let events = fleet.store.parcel_events(row.uid).await.unwrap();
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::ParcelAnnounced, EventKind::ParcelStored]);
    // The bank takes what is decided of it, and speaks for it.
    fleet.reissue("p8", 12).await;
    fleet.hear(A).await;
    fleet.takes_back(1, A);
    fleet.tell(A).await;
    assert_eq!(fleet.known(1).await, (HubParcelState::Recalled, Some(A), 3, Some(12)));
    // Once is enough: the next one with this barcode is another.
    let next = fleet.announce_again("acme", 9).await;
    assert_eq!((next.uid, next.state), (ParcelId([9; 16]), HubParcelState::Announced));
}

#[tokio::test]
async fn r06_an_unknown_parcel_that_has_left_is_not_the_one_announced_again() {
    let mut fleet = unknown_at_a().await;
    fleet.takes_back(1, A);
    fleet.tell(A).await;
    let row = fleet.announce_again("acme", 8).await;
    assert_eq!((row.uid, row.state), (ParcelId([8; 16]), HubParcelState::Announced));
    fleet.book_as("p8", A, 12).await.unwrap();
}
