//! The job over a real store, with a bank whose journal the test writes.

mod couriers;

use std::collections::BTreeSet;

use locker_core::bank::PickupEnd;
use locker_core::code::digits::Digits;
use locker_core::code::pool::POOL_MIN;
use locker_core::code::second_factor::PhoneSuffix;
use locker_core::code::slot::{DISTANCE_MIN, REUSE_AFTER_MS, Sealed, Slot, SlotId};
use locker_core::code::tag::Tag;
use locker_core::downlink::{GRANTS_PER_BATCH_MAX, Grant, GrantPosition, GrantRefusal};
use locker_core::ids::{Generation, ParcelId, StreamId};
use locker_core::units::UnixMillis;
use locker_proto::message::{Birth, Grants, MESSAGE_MAX_BYTES};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};
use tokio::sync::oneshot;

use super::*;
use crate::codes::key_file::Secret;
use crate::codes::mint::HeldSlot;
use crate::codes::pepper::CodeMaster;
use crate::codes::sealing::SealingKeys;
use crate::ingest::Count as IngestCount;
use crate::ingest::tests::fixture::{
    Journal, NOW, World, add_bank, add_parcel, bank_id, book, carrier, commit, new_parcel,
    open_store, order, request,
};
use crate::mqtt::DownTopic;
use crate::parcels::{book_compartment, create_parcel};
use crate::store::{
    CodeStep, CodesWrite, Decision, IngestWrite, Looking, OpenStream, StopBank, StopReason, Tx,
};

const EDGES: &[u32] = &[300, 300, 300];
const POOL: usize = POOL_MIN as usize;

fn keys() -> CodeKeys {
    CodeKeys {
        master: Arc::new(CodeMaster::new(Secret::from([1; 32]))),
        sealing: Arc::new(SealingKeys::new(&[(1, Secret::from([2; 32]))]).unwrap()),
    }
}

fn job(store: &Store) -> MintingJob {
    MintingJob {
        store: store.clone(),
        keys: keys(),
        dark_days: 3,
        every: Duration::from_secs(3_600),
        counters: Arc::default(),
    }
}

/// How a bank introduces itself that hashes digits with the keys made for it.
fn birth(journal: &Journal) -> Birth {
    let code_keys = keys().master.tag_keys(&bank_id(), Generation(1)).fingerprint();
    Birth { code_keys: Some(code_keys), ..journal.birth() }
}

/// Waits until everything is committed that was on its way.
async fn committed(store: &Store) {
    store.decide(SweepCodes { now: UnixMillis(0) }).await.unwrap();
}

/// A hub and a bank, which says at once what the test has written into its journal.
struct Site {
    directory: TempDir,
    store: Store,
    job: MintingJob,
    world: World,
    journal: Journal,
    said: u64,
    /// How many grants the bank has answered.
    answered: u64,
    token: u32,
}

impl Site {
    async fn open() -> Self {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        add_bank(&store, EDGES).await;
        let journal = Journal::commissioned(EDGES);
        commit(&store, &journal).await;
        let mut world = World::start(&store).await;
        world.birth_with(birth(&journal)).await;
        committed(&store).await;
        let (job, said) = (job(&store), journal.head());
        Self { directory, store, job, world, journal, said, answered: 0, token: 0 }
    }

    /// Stops the hub and starts it again.
    async fn restart(self) -> Self {
        self.world.stop().await;
        self.store.close().await;
        let store = open_store(self.directory.path()).await;
        let mut world = World::start(&store).await;
        let mut birth = birth(&self.journal);
        birth.grants = GrantPosition { epoch: store.epoch(), gseq: self.answered };
        world.birth_with(birth).await;
        committed(&store).await;
        Self { job: job(&store), store, world, ..self }
    }

    async fn say(&mut self) {
        self.token += 1;
        let (first, last) = (self.said + 1, self.journal.head());
        self.world.facts(self.journal.batch(first, last), self.token).await;
        self.world.acknowledged(self.token).await;
        self.said = last;
    }

    async fn mint(&self) -> More {
        self.job.run_for(&bank_id(), true).await.unwrap()
    }

    async fn grants(&self) -> Vec<Grant> {
        let after = GrantPosition { epoch: self.store.epoch(), gseq: self.answered };
        self.store.downlink(&bank_id(), after, 64).await.unwrap().unwrap().grants
    }

    /// The bank takes over what it has been granted; gives the slots among that.
    async fn take_over(&mut self) -> Vec<Slot> {
        let mut slots = Vec::new();
        for grant in self.grants().await {
            self.answered += 1;
            if let Grant::Slots(some) = &grant {
                slots.extend(some.clone());
            }
            self.journal.accept(self.store.epoch(), self.answered, grant);
        }
        self.say().await;
        slots
    }

    async fn deposit(&mut self, parcel: u8, compartment: u16, slot: &Slot) {
        add_parcel(&self.store, parcel, 200).await;
        book(&self.store, parcel).await;
        self.take_over().await;
        self.journal.deposit_with_code(parcel, compartment, slot);
        self.say().await;
    }

    async fn collect(&mut self, parcel: u8, compartment: u16) {
        self.journal.pick_up(parcel, compartment, PickupEnd::Collected { presumed: false });
        self.say().await;
    }

    /// Unused, in use, retired.
    async fn counts(&self) -> [usize; 3] {
        let (codes, _) = self.store.bank_codes(&bank_id()).await.unwrap();
        [codes.unused.len(), codes.in_use.len(), codes.retired.len()]
    }

    fn digits(&self, slot: SlotId, sealed: &Sealed) -> Digits {
        self.job.keys.sealing.open(&bank_id(), slot, sealed).unwrap()
    }
}

#[tokio::test]
async fn c07_a_bank_gets_slots_binds_them_and_gets_as_many_again() {
    let mut site = Site::open().await;
    assert_eq!(site.mint().await, More::No);
    assert_eq!(site.counts().await, [POOL, 0, 0]);
    assert_eq!(site.job.counters.get(Count::Minted), POOL as u64);
    let slots = site.take_over().await;
    assert_eq!(slots.len(), POOL);
    // What the bank was given is no lack.
    assert_eq!(site.mint().await, More::No);
    assert!(site.grants().await.is_empty());

    site.deposit(1, 1, &slots[3]).await;
    let (bank, slot, sealed) = site.store.code_of(ParcelId([1; 16])).await.unwrap().unwrap();
    assert_eq!((bank, slot), (bank_id(), slots[3].id));
    let typed = keys().master.tag_keys(&bank_id(), Generation(1));
    assert_eq!(
        typed.tag(site.digits(slot, &sealed)).as_bytes(),
        slots[3].tag.as_bytes(),
        "the letter's digits open the door"
    );
    assert_eq!(site.counts().await, [POOL - 1, 1, 0]);
    site.mint().await;
    assert_eq!(site.counts().await, [POOL, 1, 0]);

    let mut site = site.restart().await;
    site.mint().await;
    assert_eq!(site.counts().await, [POOL, 1, 0]);
    site.take_over().await;
    site.collect(1, 1).await;
    assert_eq!(site.store.code_of(ParcelId([1; 16])).await.unwrap(), None);
    // The bank keeps it to say that it was used, so it takes a place there.
    assert_eq!(site.counts().await, [POOL, 1, 0]);
    site.world.stop().await;
}

#[tokio::test]
async fn c07_slots_reach_a_connected_bank_and_a_deposit_brings_more() {
    let mut site = Site::open().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(job(&site.store).run(async {
        let _ = stopped.await;
    }));
    let heard = Grants::decode(&site.world.heard(DownTopic::Grants).await).unwrap();
    let [Grant::Slots(slots)] = &heard.grants[..] else { panic!("{heard:?}") };
    assert_eq!((heard.first.gseq, slots.len()), (1, POOL));
    let slots = site.take_over().await;
    // One is not worth a run, a second one is.
    site.deposit(1, 1, &slots[0]).await;
    site.deposit(2, 2, &slots[1]).await;
    loop {
        let heard = Grants::decode(&site.world.heard(DownTopic::Grants).await).unwrap();
        if let Some(Grant::Slots(more)) = heard.grants.last() {
            assert!((1..=2).contains(&more.len()));
            break;
        }
    }
    stop.send(()).unwrap();
    running.await.unwrap();
    site.world.stop().await;
}

#[tokio::test]
async fn c07_a_refusal_stops_minting_until_something_settles() {
    let mut site = Site::open().await;
    site.mint().await;
    let slots = site.take_over().await;
    site.deposit(1, 1, &slots[0]).await;
    site.mint().await;
    site.answered += 1;
    site.journal.refuse(site.store.epoch(), site.answered, GrantRefusal::TooMany);
    site.say().await;
    assert_eq!(site.world.counters.get(IngestCount::SlotsRefused), 1);
    // The refused one is none of the bank's codes.
    assert_eq!(site.counts().await, [POOL - 1, 1, 1]);
    for _ in 0..3 {
        assert_eq!(site.mint().await, More::No);
    }
    assert!(site.grants().await.is_empty());
    let site = site.restart().await;
    site.mint().await;
    assert!(site.grants().await.is_empty());
    let mut site = site;
    site.collect(1, 1).await;
    site.mint().await;
    assert_eq!(site.take_over().await.len(), 1);
    site.world.stop().await;
}

#[tokio::test]
async fn c07_nobody_gets_slots_who_is_not_ready_for_them() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, EDGES).await;
    let job = job(&store);
    // Without a layout, then without ever having been connected.
    assert_eq!(store.code_pool(&bank_id(), NOW).await.unwrap(), None);
    let mut journal = Journal::commissioned(EDGES);
    commit(&store, &journal).await;
    assert_eq!(store.code_pool(&bank_id(), NOW).await.unwrap(), None);
    // Behind with its facts, as after the hub was restored.
    let mut world = World::start(&store).await;
    let other = learned(1);
    journal.deposit_with_code(9, 1, &other);
    world.birth_with(birth(&journal)).await;
    committed(&store).await;
    assert_eq!(store.code_pool(&bank_id(), NOW).await.unwrap(), None);
    assert_eq!(job.run_for(&bank_id(), true).await.unwrap(), More::No);
    // What it says of codes that the hub has forgotten is learned from its record.
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    job.run_for(&bank_id(), true).await.unwrap();
    let (codes, _) = store.bank_codes(&bank_id()).await.unwrap();
    assert_eq!((codes.unused.len(), codes.in_use), (POOL, vec![held(&other)]));
    // A bank that was stopped.
    let stop = StopBank {
        bank: bank_id(),
        reason: StopReason::Fork,
        detail: String::new(),
        parties: Vec::new(),
        apart: None,
        event_id: "stop".to_owned(),
        now: NOW,
    };
    store.decide(stop).await.unwrap();
    assert_eq!(store.code_pool(&bank_id(), NOW).await.unwrap(), None);
    world.stop().await;
}

#[tokio::test]
async fn c07_slots_minted_without_a_look_at_newer_codes_are_not_given() {
    let site = Site::open().await;
    let (_, seen) = site.store.bank_codes(&bank_id()).await.unwrap();
    let place = |number, seen| PlaceSlots {
        bank: bank_id(),
        generation: Generation(1),
        slots: vec![learned(number)],
        seen,
        now: NOW,
    };
    let news = learned(123_456);
    let step = CodeStep::Held { slot: news.id, sealed: news.sealed };
    write(&site.store, CodesWrite { steps: vec![step], ..CodesWrite::default() }, NOW).await;
    assert!(!site.store.decide(place(123_457, seen)).await.unwrap());
    assert_eq!((site.counts().await, site.grants().await.len()), ([1, 0, 0], 0));
    let other_keys = PlaceSlots { generation: Generation(2), ..place(123_467, seen + 1) };
    assert!(!site.store.decide(other_keys).await.unwrap());
    assert!(site.store.decide(place(123_467, seen + 1)).await.unwrap());
    assert_eq!((site.counts().await, site.grants().await.len()), ([2, 0, 0], 1));
    site.world.stop().await;
}

fn learned(number: u32) -> Slot {
    let id = SlotId(u128::from(number).to_be_bytes());
    let digits = Digits::from_number(number).unwrap();
    let sealed = keys().sealing.seal(&bank_id(), id, digits).unwrap();
    Slot { id, tag: Tag::from_bytes([0; 16]), sealed }
}

fn held(slot: &Slot) -> HeldSlot {
    HeldSlot { id: slot.id, sealed: slot.sealed.clone() }
}

#[tokio::test]
async fn c07_a_bank_that_lost_its_journal_is_given_only_codes_that_nobody_has() {
    let mut site = Site::open().await;
    site.mint().await;
    let slots = site.take_over().await;
    site.deposit(1, 1, &slots[0]).await;
    let loaded = site.store.load_bank(&bank_id()).await.unwrap().unwrap();
    let open = OpenStream {
        bank: bank_id(),
        closes: loaded.cursor.unwrap(),
        opens: StreamId([2; 16]),
        looking: Looking::Everywhere,
        carries: false,
        party: loaded.last.unwrap(),
        code_master: None,
        event_id: "open".to_owned(),
        now: NOW,
    };
    assert!(site.store.decide(open).await.unwrap());
    // Its new journal has bound nothing and holds nothing: all are out of use, and none is sent.
    assert_eq!(site.store.code_of(ParcelId([1; 16])).await.unwrap(), None);
    assert_eq!(site.counts().await, [0, 0, POOL]);
    site.answered = 0;
    assert!(site.grants().await.is_empty());
    assert_eq!(site.mint().await, More::No, "nobody has looked inside yet");
    site.world.stop().await;
}

#[tokio::test]
async fn a_bank_with_other_code_keys_or_none_is_given_no_codes() {
    for told in [None, Some([9; 8])] {
        let mut site = Site::open().await;
        site.world.disconnect().await;
        site.world.birth_with(Birth { code_keys: told, ..site.journal.birth() }).await;
        committed(&site.store).await;
        assert_eq!(site.mint().await, More::No);
        let mut queue = Queue::default();
        site.job.look_at_all(&mut queue).await;
        assert_eq!((site.counts().await, queue.next()), ([0, 0, 0], None));
        // Once somebody has put the right file there.
        site.world.disconnect().await;
        site.world.birth_with(birth(&site.journal)).await;
        committed(&site.store).await;
        site.job.look_at_all(&mut queue).await;
        assert_eq!(queue.next(), Some((bank_id(), true)));
        site.mint().await;
        assert_eq!(site.counts().await, [POOL, 0, 0]);
        site.world.stop().await;
    }
}

/// Grants slots, as many at a time as there may be.
struct Fill(Vec<Slot>);

impl Decision for Fill {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        for slots in self.0.chunks(GRANTS_PER_BATCH_MAX) {
            tx.grant(&bank_id(), &Grant::Slots(slots.to_vec()), NOW).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn full_slot_grants_are_sent_in_messages_that_an_agent_takes() {
    let site = Site::open().await;
    let sealed = Sealed::try_from(vec![7; 64]).unwrap();
    let slot = |number: u128| Slot {
        id: SlotId(number.to_be_bytes()),
        tag: Tag::from_bytes([255; 16]),
        sealed: sealed.clone(),
    };
    let slots: Vec<Slot> = (0..64 * 64).map(slot).collect();
    let held = |slot: &Slot| CodeStep::Held { slot: slot.id, sealed: slot.sealed.clone() };
    let steps = slots.iter().map(held).collect();
    write(&site.store, CodesWrite { steps, ..CodesWrite::default() }, NOW).await;
    site.store.decide(Fill(slots)).await.unwrap();
    let mut world = site.world;
    let (mut gseq, mut messages) = (1, 0);
    while gseq <= 64 {
        let bytes = world.heard(DownTopic::Grants).await;
        // The envelope adds a signature.
        assert!(bytes.len() + 128 <= MESSAGE_MAX_BYTES, "{}", bytes.len());
        let grants = Grants::decode(&bytes).unwrap();
        assert_eq!(grants.first.gseq, gseq);
        gseq += grants.grants.len() as u64;
        messages += 1;
    }
    assert!((5..=9).contains(&messages), "{messages} messages");
    world.stop().await;
}

#[tokio::test]
async fn c05_a_booking_asks_for_phone_digits_once_there_are_codes() {
    let site = Site::open().await;
    let phone = || Some("+491700004711".parse().unwrap());
    let parcel = |no| crate::parcels::NewParcel { phone: phone(), ..new_parcel(no, 200) };
    let with_codes = site.store.clone().with_code_master(keys().master);
    for (store, no) in [(&site.store, 1), (&with_codes, 2)] {
        create_parcel(store, parcel(no), request(&format!("c{no}")), NOW).await.unwrap();
        let (name, id) = (format!("p{no}"), request(&format!("b{no}")));
        book_compartment(store, &carrier(), &name, order(no), id, NOW).await.unwrap();
    }
    add_parcel(&with_codes, 3, 200).await;
    book(&with_codes, 3).await;
    let suffixes: Vec<_> = site
        .grants()
        .await
        .into_iter()
        .map(|grant| {
            let Grant::Book(booking) = grant else { panic!("{grant:?}") };
            booking.terms.suffix
        })
        .collect();
    let tag_keys = keys().master.tag_keys(&bank_id(), Generation(1));
    let wanted = PhoneSuffix::typed("4711").unwrap().tag(&tag_keys);
    assert_eq!(suffixes, [None, Some(wanted), None]);
    site.world.stop().await;
}

#[tokio::test]
async fn a_banks_busy_days_are_remembered_and_old_ones_forgotten() {
    let site = Site::open().await;
    let day = |day: u64| UnixMillis(day * 86_400_000 + 5);
    let today = 20_000;
    for (days, at) in [(vec![today - 70, today - 3, today - 3], 1), (vec![today, today - 3], 2)] {
        let codes = CodesWrite { deposit_days: days, ..CodesWrite::default() };
        write(&site.store, codes, day(at)).await;
    }
    let deposits = |now| {
        let store = site.store.clone();
        async move { store.code_pool(&bank_id(), now).await.unwrap().unwrap().deposits_a_day }
    };
    assert_eq!(deposits(day(today)).await, [3, 0, 0, 1]);
    assert_eq!(deposits(day(today - 70)).await, [1]);
    assert!(!site.store.decide(SweepCodes { now: day(today) }).await.unwrap());
    assert!(deposits(day(today - 70)).await.is_empty());
    site.world.stop().await;
}

/// Writes what a batch without records would say of codes.
async fn write(store: &Store, codes: CodesWrite, now: UnixMillis) {
    let loaded = store.load_bank(&bank_id()).await.unwrap().unwrap();
    let next = loaded.cursor.unwrap();
    let write = IngestWrite {
        bank: bank_id(),
        follows: Some(next.committed),
        next,
        incomplete: false,
        introduced: None,
        facts: Vec::new(),
        entities: Vec::new(),
        effects: Vec::new(),
        codes,
        alarms: Vec::new(),
        now,
    };
    store.ingest(write).await.unwrap().await.unwrap().unwrap();
}

#[test]
fn banks_take_turns() {
    let mut queue = Queue::default();
    let bank = |name: &str| name.parse::<BankId>().unwrap();
    for name in ["b", "a", "c", "b"] {
        queue.add(bank(name), name == "c");
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        let (next, any_lack) = queue.next().unwrap();
        assert_eq!(any_lack, next == bank("c"));
        queue.add(next.clone(), any_lack);
        order.push(next);
    }
    assert_eq!(order, ["a", "b", "c", "a", "b"].map(bank));
}

#[derive(Clone, Debug)]
enum Step {
    Mint,
    Bind { unused: prop::sample::Index, parcel: u8 },
    Settle { parcel: u8 },
    Forget { live: prop::sample::Index },
    Learn { number: u32 },
    Wait { days: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => Just(Step::Mint),
        6 => (index(), 0_u8..6).prop_map(|(unused, parcel)| Step::Bind { unused, parcel }),
        3 => (0_u8..6).prop_map(|parcel| Step::Settle { parcel }),
        1 => index().prop_map(|live| Step::Forget { live }),
        1 => (0_u32..1_000_000).prop_map(|number| Step::Learn { number }),
        1 => (1_u8..40).prop_map(|days| Step::Wait { days }),
    ]
}

async fn live_codes_stay_apart(steps: Vec<Step>) {
    let site = Site::open().await;
    let mut time = NOW;
    for step in steps {
        let (codes, _) = site.store.bank_codes(&bank_id()).await.unwrap();
        let live: Vec<HeldSlot> = codes.unused.iter().chain(&codes.in_use).cloned().collect();
        let said = match step {
            Step::Mint => {
                site.mint().await;
                None
            }
            Step::Bind { unused, parcel } if !codes.unused.is_empty() => {
                let HeldSlot { id: slot, sealed } = unused.get(&codes.unused).clone();
                Some(CodeStep::Bound { slot, sealed, parcel: ParcelId([parcel; 16]) })
            }
            Step::Settle { parcel } => Some(CodeStep::Settled(ParcelId([parcel; 16]))),
            Step::Forget { live: which } if !live.is_empty() => {
                Some(CodeStep::Retired(which.get(&live).id))
            }
            // Another hub minted it, which looked at the codes as this one does.
            Step::Learn { number } => {
                let slot = learned(number);
                let digits = Digits::from_number(number).unwrap();
                let apart = |held: &HeldSlot| {
                    site.digits(held.id, &held.sealed).distance(&digits) >= DISTANCE_MIN
                };
                live.iter()
                    .all(apart)
                    .then_some(CodeStep::Held { slot: slot.id, sealed: slot.sealed })
            }
            Step::Wait { days } => {
                time = time.plus_ms(u64::from(days) * 86_400_000);
                site.store.decide(SweepCodes { now: time }).await.unwrap();
                None
            }
            Step::Bind { .. } | Step::Forget { .. } => None,
        };
        let codes = CodesWrite { steps: said.into_iter().collect(), ..CodesWrite::default() };
        write(&site.store, codes, time).await;
        check(&site, time).await;
    }
    site.world.stop().await;
}

async fn check(site: &Site, time: UnixMillis) {
    let (codes, rows) = site.store.bank_codes(&bank_id()).await.unwrap();
    let digits = |held: &HeldSlot| site.digits(held.id, &held.sealed);
    let live: Vec<Digits> = codes.unused.iter().chain(&codes.in_use).map(digits).collect();
    for (place, one) in live.iter().enumerate() {
        assert!(live[..place].iter().all(|other| one.distance(other) >= DISTANCE_MIN));
    }
    let recent = codes.retired.iter().filter(|(_, at)| time.since_ms(*at) < REUSE_AFTER_MS);
    let recent: BTreeSet<Digits> = recent.map(|(held, _)| digits(held)).collect();
    assert!(codes.unused.iter().all(|held| !recent.contains(&digits(held))));
    assert_eq!(rows, live.len() + codes.retired.len());
    let parcels: Vec<_> = codes.in_use.iter().map(|held| held.id).collect();
    assert!(parcels.len() <= 6, "a parcel has one code at a time");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn c07_live_codes_in_the_store_always_differ_in_two_places(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(live_codes_stay_apart(steps));
    }
}
