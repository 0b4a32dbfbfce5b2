//! Makes up what happens next: mostly what people and machines would do in the state that the world is
//! in, and now and then anything at all.

mod people;

use locker_core::journal::View;
use locker_core::parcel::{Parcel, ParcelState};

use crate::cast::{BOARDS, LOCKS, STAFF};
use crate::rng::Rng;
use crate::step::{Decision, Document, End, Fate, Order, Step, Way, What};
use crate::watch::HUB_AHEAD_MAX_MS;
use crate::world::World;

/// Open parcels of a bank beyond which nothing is booked.
const LISTED_MAX: usize = 400;

/// Parcels of a bank that are on their way, beyond which few more are booked.
const EXPECTED_MAX: usize = 6;

/// Unused codes of a bank, beyond which none are placed.
const UNUSED_SLOTS_MAX: usize = 12;

/// One of so many steps may be about a disk.
const DISKS_ONE_IN: u64 = 60_000;

/// A source of steps.
#[derive(Debug)]
pub struct Plot {
    rng: Rng,
    banks: u8,
    /// Per mille of steps that are faults: some lives are quiet, some are not.
    trouble: u64,
    /// Longest pause of people who know what they do, in milliseconds.
    pause_ms: u64,
    /// How many such pauses there are to one that is longer.
    rush: u64,
}

impl Plot {
    /// The story of one life.
    #[must_use]
    pub fn new(mut rng: Rng, banks: u8) -> Self {
        let trouble = *rng.pick(&[2, 5, 15, 40, 100]);
        let (pause_ms, rush) = *rng.pick(&[(60, 600), (600, 60), (4_000, 40), (4_000, 40)]);
        Self { rng, banks, trouble, pause_ms, rush }
    }

    /// What happens next.
    pub fn next(&mut self, world: &World) -> Step {
        let bank = self.rng.small(self.banks);
        let what = self.what(world, bank);
        Step { after_ms: self.after_ms(&what), what }
    }

    fn what(&mut self, world: &World, bank: u8) -> What {
        let site = &world.sites[usize::from(bank)];
        if !world.hub.up && self.rng.chance(80) {
            return What::HubStarts;
        }
        if self.rng.below(900) == 0 {
            return What::Heal;
        }
        if world.hub.awaits_somebody(usize::from(bank)) && self.rng.chance(40) {
            return What::Cleared { bank };
        }
        if let Some(what) = self.disks(world, bank) {
            return what;
        }
        // Sooner if the bank does not start, later if nobody has noticed.
        if site.disk.damaged().is_some()
            && self.rng.chance(if site.agent.is_none() { 200 } else { 4 })
        {
            let effects = if self.rng.chance(150) { self.rng.small(40) } else { 0 };
            return What::BegunAnew { bank, kept: self.rng.chance(300), effects };
        }
        if self.rng.chance(self.trouble) {
            return self.trouble(bank);
        }
        let Some(agent) = &site.agent else {
            let effects = if self.rng.chance(150) { self.rng.small(20) } else { 0 };
            return What::Starts { bank, effects };
        };
        if self.rng.chance(30)
            && let Some(repair) = repair(world, bank)
        {
            return repair;
        }
        let linked = agent.connection.as_ref().is_some_and(|held| held.linked);
        let talks = if linked { 250 } else { 450 };
        match self.rng.below(1_000) {
            at if at < talks => self.talk(world, bank),
            at if at < talks + 70 => self.decide(world, bank),
            at if at < talks + 90 => What::Tick { bank },
            _ => self.at_screen(world, bank),
        }
    }

    /// People do something to a bank's disk: about once in a life, or everything else would be about that.
    fn disks(&mut self, world: &World, bank: u8) -> Option<What> {
        let copied = world.sites.iter().find(|site| site.is_copied()).map(|site| site.n);
        match (self.rng.below(DISKS_ONE_IN), copied) {
            (0..=29, None) => Some(What::DiskCopied { bank, coin: self.rng.next() }),
            (0..=23, Some(bank)) => Some(What::DiskPutBack { bank }),
            (24..=29, Some(_)) => Some(What::DiskCopied { bank, coin: self.rng.next() }),
            (30, _) => Some(What::DiskLost { bank }),
            (31..=32, _) => Some(What::Damaged { bank, coin: self.rng.next() }),
            _ => None,
        }
    }

    /// Seconds, mostly; sometimes an hour or a night.
    fn after_ms(&mut self, what: &What) -> u64 {
        let hurries = self.rush > 100 && self.rng.chance(950);
        if matches!(what, What::Tick { .. }) && !hurries {
            // As long as somebody at a screen may take over something.
            return *self.rng.pick(&[0, 0, 0, 1_000, 30_000, 60_000, 120_000, 310_000]);
        }
        if self.rng.below(self.rush) > 0 {
            return self.rng.below(self.pause_ms);
        }
        match self.rng.below(20) {
            0 => 3_600_000 + self.rng.below(3_600_000),
            1 => 36_000_000 + self.rng.below(86_400_000),
            _ => 60_000 + self.rng.below(400_000),
        }
    }

    /// Bank and hub talk.
    fn talk(&mut self, world: &World, bank: u8) -> What {
        let site = &world.sites[usize::from(bank)];
        let n = usize::from(bank);
        let connected = site.agent.as_ref().is_some_and(|agent| agent.connection.is_some());
        if !connected {
            return What::Dial { bank };
        }
        let way = |rng: &mut Rng, trouble: u64| match rng.below(1_000) {
            at if at < trouble / 8 => Way::IsLost,
            at if at < trouble / 4 => Way::ArrivesAndStays,
            at if at < trouble / 3 => Way::IsOvertaken,
            _ => Way::Arrives,
        };
        let stalled = site.agent.as_ref().is_some_and(|agent| agent.is_stalled(world.now_ms));
        let has_facts = site.agent.as_ref().is_some_and(|agent| agent.has_facts());
        match self.rng.below(10) {
            _ if stalled => What::Dial { bank },
            0..=2 if has_facts => What::Send { bank },
            0..=4 if !site.net.up.is_empty() => {
                What::Up { bank, way: way(&mut self.rng, self.trouble) }
            }
            0..=6 if !site.net.down.is_empty() => {
                What::Down { bank, way: way(&mut self.rng, self.trouble) }
            }
            0..=7 if world.hub.has_pending(n) => What::Commit { bank },
            8 => What::Ack { bank },
            9 if self.rng.chance(100) => What::Backup,
            _ if !site.net.up.is_empty() => {
                What::Up { bank, way: way(&mut self.rng, self.trouble) }
            }
            _ if has_facts => What::Send { bank },
            _ => self.at_screen(world, bank),
        }
    }

    fn decide(&mut self, world: &World, bank: u8) -> What {
        let store = &world.hub.stores[usize::from(bank)];
        let listed = store.parcels.len();
        let booked = |parcel: &Parcel| parcel.state == ParcelState::Booked;
        let expected = store.view.parcels().iter().filter(|parcel| booked(parcel)).count();
        let unused = store.view.slots().iter().filter(|held| held.parcel.is_none()).count();
        let rng = &mut self.rng;
        let some = |rng: &mut Rng| {
            // Mostly one of the latest.
            let back = rng.index(12.min(listed.max(1)));
            let at =
                if rng.chance(900) { listed.saturating_sub(1 + back) } else { rng.index(listed) };
            u16::try_from(at).unwrap_or_default()
        };
        let decision = match rng.below(100) {
            0..=44 if expected < EXPECTED_MAX && listed < LISTED_MAX => {
                let parcel = u16::try_from(listed).unwrap_or_default();
                let size = if rng.chance(20) { 3 } else { *rng.pick(&[0, 0, 0, 1, 1, 2]) };
                let terms = if rng.chance(500) { 1 } else { rng.small(32) };
                Decision::Book { parcel, carrier: rng.small(2), size, terms }
            }
            45..=49 => {
                let (parcel, terms) = (some(rng), rng.small(32));
                Decision::Book { parcel, carrier: 0, size: 0, terms }
            }
            50..=57 => Decision::Cancel { parcel: some(rng) },
            58..=62 => Decision::Keep { parcel: some(rng), for_ms: rng.below(7_200_000) },
            63..=67 => Decision::Recall { parcel: some(rng) },
            68..=72 => Decision::Reissue { parcel: some(rng) },
            73..=77 => Decision::Delegate { parcel: some(rng), for_ms: rng.below(7_200_000) },
            78..=82 => Decision::Revoke { parcel: some(rng), nth: rng.small(2) },
            83..=90 if unused < UNUSED_SLOTS_MAX => Decision::Slots { count: rng.small(8) },
            91..=93 => {
                return What::Document {
                    bank,
                    document: Document::Layout { variant: rng.small(3) },
                };
            }
            94 => {
                let document = Document::Mode { maintenance: rng.chance(200) };
                return What::Document { bank, document };
            }
            95..=96 => {
                return What::Document { bank, document: Document::Quota { kept: rng.small(3) } };
            }
            97 => {
                let document = Document::CourierCodes { count: rng.small(4) };
                return What::Document { bank, document };
            }
            98 if rng.chance(100) => {
                let order = *rng.pick(&[Order::Fresh, Order::Late, Order::OfOldConnection]);
                return What::Order { bank, order };
            }
            _ => return What::Ack { bank },
        };
        What::Decide { bank, decision }
    }

    /// Something fails.
    fn trouble(&mut self, bank: u8) -> What {
        let rng = &mut self.rng;
        let effects = |rng: &mut Rng| rng.small(24);
        match rng.below(100) {
            0..=15 => What::Dies { bank, effects: effects(rng) },
            16..=27 => What::PowerCut { bank, coin: rng.next() },
            28..=31 => What::SyncFails { bank },
            32..=33 => What::WriteFails { bank },
            34..=38 => {
                let room_bytes = u32::try_from(rng.below(20_000)).unwrap_or_default();
                What::Full { bank, room_bytes }
            }
            39..=44 => What::Roomy { bank },
            45..=52 => {
                let end = *rng.pick(&[End::Agent, End::Hub, End::Both]);
                What::HangUp { bank, end }
            }
            53 if rng.chance(300) => What::HubRestored,
            53..=57 => What::HubDies { effects: rng.small(6) },
            58..=63 => What::Board { bank, board: rng.small(BOARDS), up: rng.chance(400) },
            64..=67 => What::Board { bank, board: rng.small(BOARDS), up: true },
            68..=73 => What::Door { bank, lock: rng.small(LOCKS), open: rng.chance(500) },
            74..=76 => What::Lie { bank, lock: rng.small(LOCKS), open: rng.chance(500) },
            77 => What::Doubt { bank, lock: rng.small(LOCKS) },
            78 => What::Power { bank, board: rng.small(BOARDS) },
            79..=84 => What::Replay { bank, n: rng.small(32) },
            85..=86 => What::LyingAck { bank, above_head: rng.chance(500) },
            87..=90 => {
                let by_ms = i64::try_from(rng.below(7_200_000)).unwrap_or_default() - 3_600_000;
                What::ClockSet { bank, by_ms: by_ms * 24 }
            }
            91..=92 => {
                let ahead = i64::try_from(HUB_AHEAD_MAX_MS).unwrap_or_default();
                let by_ms = i64::try_from(rng.below(2 * HUB_AHEAD_MAX_MS)).unwrap_or_default();
                What::HubClock { by_ms: by_ms - ahead }
            }
            93..=95 => What::Mains { bank, on: rng.chance(700) },
            _ => What::Settle { bank, fate: fate(rng) },
        }
    }
}

/// What ends a fault that goes on.
fn repair(world: &World, bank: u8) -> Option<What> {
    let site = &world.sites[usize::from(bank)];
    let view = &site.agent.as_ref()?.view;
    if let Some(board) = (0..BOARDS).find(|board| !site.boards[usize::from(*board)]) {
        return Some(What::Board { bank, board, up: true });
    }
    let lies = |lock: &u8| {
        let door = site.doors[usize::from(*lock)];
        door.open != door.reads_open
    };
    if let Some(lock) = (0..LOCKS).find(lies) {
        let open = site.doors[usize::from(lock)].open;
        return Some(What::Door { bank, lock, open });
    }
    if site.disk.is_limited() {
        return Some(What::Roomy { bank });
    }
    if view.meta().on_battery {
        return Some(What::Mains { bank, on: true });
    }
    let serves = What::Document { bank, document: Document::Mode { maintenance: false } };
    view.meta().mode.maintenance.then_some(serves)
}

fn fate(rng: &mut Rng) -> Fate {
    match rng.below(100) {
        0..=79 => Fate::Opens,
        80..=85 => Fate::Sticks,
        86..=88 => Fate::OpensUnseen,
        89..=90 => Fate::WasOpen,
        91..=92 => Fate::OpensSilently,
        93..=94 => Fate::SticksSilently,
        95..=96 => Fate::NotSent,
        _ => Fate::OpensTwo,
    }
}

fn person(rng: &mut Rng) -> u8 {
    rng.small(STAFF)
}
