//! People: couriers who deposit and abandon, recipients who fetch, staff who look. Most do what the
//! screen asks of them.

use locker_core::compartment::{Allocation, Health};
use locker_core::ids::{CompartmentNo, ParcelId};
use locker_core::journal::{MemoryView, View};
use locker_core::parcel::{Parcel, ParcelState};
use locker_core::session::{Actor, Phase, Session, Task};

use super::{Plot, fate, person};
use crate::cast::{self, LOCKS};
use crate::rng::Rng;
use crate::step::{Ask, Found, Phone, What};
use crate::world::World;

impl Plot {
    /// What somebody at the screen, or a door, does next.
    pub(super) fn at_screen(&mut self, world: &World, bank: u8) -> What {
        let site = &world.sites[usize::from(bank)];
        let Some(agent) = &site.agent else { return What::Tick { bank } };
        let listed = world.hub.stores[usize::from(bank)].parcels.len();
        let view = &agent.view;
        let rng = &mut self.rng;
        if rng.chance(30) {
            return What::Ask { bank, ask: anything(rng, listed) };
        }
        if !agent.pulses.is_empty() && rng.chance(800) {
            return What::Settle { bank, fate: fate(rng) };
        }
        if let Some(board) = site.read.iter().zip(site.boards).position(|(read, up)| *read != up) {
            let board = u8::try_from(board).unwrap_or_default();
            return What::Board { bank, board, up: site.boards[usize::from(board)] };
        }
        let Some(session) = view.session() else {
            return nobody(rng, bank, view, listed);
        };
        let Some(opening) = session.opening() else {
            return What::Ask { bank, ask: between(rng, view, &session, listed) };
        };
        let lock = lock_of(view, opening.compartment);
        match opening.phase {
            Phase::Opening => What::Settle { bank, fate: fate(rng) },
            Phase::Stuck => match rng.below(10) {
                0..=5 => What::Ask { bank, ask: Ask::TryAgain },
                6..=7 => What::Ask { bank, ask: Ask::Cancel },
                8 => What::Door { bank, lock, open: true },
                _ => What::Tick { bank },
            },
            Phase::Open => match rng.below(20) {
                0..=15 => What::Door { bank, lock, open: false },
                16 => What::Ask { bank, ask: Ask::DoorWillNotShut },
                17 => What::Door { bank, lock: rng.small(LOCKS), open: rng.chance(700) },
                _ => What::Tick { bank },
            },
            Phase::Shut => match rng.below(12) {
                0 => What::Tick { bank },
                1 => What::Ask { bank, ask: Ask::Reopen },
                _ => What::Ask { bank, ask: said(rng, view, &session) },
            },
        }
    }
}

/// Nobody is at the screen: who comes?
fn nobody(rng: &mut Rng, bank: u8, view: &MemoryView, listed: usize) -> What {
    let stopped = view.compartments().iter().any(|held| held.health == Health::Stopped);
    let quarantined = |held: &locker_core::compartment::Compartment| {
        matches!(held.allocation, Allocation::Quarantined { .. })
    };
    let in_doubt = view.compartments().iter().filter(|held| quarantined(held)).count();
    let locked = view.meta().lockdown.is_some();
    let open = view.compartments().into_iter().find(|held| held.door.is_open());
    if let Some(held) = open
        && rng.chance(300)
    {
        return What::Door { bank, lock: lock_of(view, held.spec.no), open: false };
    }
    let (inside, booked) = (parcels(view, is_stored), parcels(view, is_booked));
    let couriers = match (inside.is_empty(), booked.is_empty()) {
        (true, false) => 80,
        (false, true) => 5,
        (true, true) | (false, false) => 40,
    };
    let staff = if locked || stopped || in_doubt > 1 { 400 } else { 20 };
    let ask = match rng.below(100) {
        _ if rng.chance(staff) => Ask::StaffBadge { person: person(rng) },
        at if at < couriers => Ask::CourierBadge { carrier: rng.small(2) },
        at if at < couriers + 3 => Ask::CourierDigits { n: rng.small(4) },
        at if at < couriers + 6 => Ask::Guess { n: rng.small(9) },
        _ => {
            let Some(parcel) = some(rng, &inside, listed) else {
                return What::Tick { bank };
            };
            match rng.below(20) {
                0..=4 => {
                    let phone = *rng.pick(&[Phone::Right, Phone::Right, Phone::Wrong, Phone::None]);
                    Ask::Digits { parcel, phone }
                }
                // A code that was replaced, or used up before.
                5..=6 => Ask::Show { parcel, nth: rng.small(3) },
                7 => Ask::Show { parcel: any_parcel(rng, listed), nth: rng.small(2) },
                _ => Ask::Show { parcel, nth: 0 },
            }
        }
    };
    What::Ask { bank, ask }
}

/// Signed in, between two parcels.
fn between(rng: &mut Rng, view: &MemoryView, session: &Session, listed: usize) -> Ask {
    match &session.actor {
        Actor::Courier { carrier, .. } => match rng.below(12) {
            0..=7 => {
                let own = |parcel: &Parcel| is_booked(parcel) && parcel.carrier == *carrier;
                let booked = parcels(view, own);
                let parcel = number(rng, &booked).unwrap_or_else(|| any_parcel(rng, listed));
                Ask::Scan { parcel }
            }
            8 => {
                let asked_back = recalled(view);
                number(rng, &asked_back).map_or(Ask::Finish, |parcel| Ask::Recall { parcel })
            }
            _ => Ask::Finish,
        },
        Actor::Recipient { .. } => {
            if rng.chance(600) {
                Ask::OpenNext
            } else {
                Ask::Finish
            }
        }
        Actor::Staff { .. } => staff(rng, view),
    }
}

fn staff(rng: &mut Rng, view: &MemoryView) -> Ask {
    let compartments = view.compartments();
    if view.meta().lockdown.is_some() {
        return if rng.chance(700) { Ask::LiftLockdown } else { Ask::Finish };
    }
    if let Some(held) = compartments.iter().find(|held| held.health == Health::Stopped)
        && rng.chance(600)
    {
        return Ask::ResetBoard { board: held.spec.lock.board };
    }
    let in_doubt: Vec<CompartmentNo> = compartments
        .iter()
        .filter(|held| matches!(held.allocation, Allocation::Quarantined { .. }))
        .map(|held| held.spec.no)
        .collect();
    match rng.below(20) {
        0..=12 if !in_doubt.is_empty() => Ask::Inspect { no: rng.pick(&in_doubt).0 },
        13 => Ask::Inspect { no: u16::from(rng.small(LOCKS)) + 1 },
        14 if rng.chance(100) => Ask::LockDown,
        15 => Ask::ResetKeypad,
        16..=17 => {
            let asked_back = recalled(view);
            number(rng, &asked_back).map_or(Ask::Finish, |parcel| Ask::Recall { parcel })
        }
        _ => Ask::Finish,
    }
}

/// What is said of a door that is shut again.
fn said(rng: &mut Rng, view: &MemoryView, session: &Session) -> Ask {
    let own = session.parcel().map_or(0, number_of);
    match &session.task {
        Task::Deposit(_) => match rng.below(20) {
            0..=12 => Ask::Deposited { no: None },
            13..=14 => Ask::Deposited { no: Some(u16::from(rng.small(LOCKS)) + 1) },
            15 => Ask::TookBack,
            16 => Ask::FoundOccupied,
            17..=18 => Ask::DoesNotFit,
            _ => Ask::Cancel,
        },
        Task::Pickup(_) => match rng.below(20) {
            0..=14 => Ask::Taken,
            15 => Ask::NotTaken,
            16 => Ask::RefuseParcel,
            17 => Ask::FoundEmpty,
            18 => Ask::WrongParcel,
            _ => Ask::Cancel,
        },
        Task::Recall(_) => match rng.below(10) {
            0..=6 => Ask::Removed { parcel: own },
            7 => Ask::FoundEmpty,
            8 => Ask::NotTaken,
            _ => Ask::Removed { parcel: own + 1 },
        },
        Task::Inspection(opening) => {
            if matches!(session.actor, Actor::Recipient { .. }) {
                return if rng.chance(700) { Ask::Taken } else { Ask::NotTaken };
            }
            let thought = view.compartment(opening.compartment).and_then(|held| held.parcel());
            match (thought.map(number_of), rng.below(10)) {
                (Some(parcel), 0..=3) => Ask::Found { what: Found::Inside, parcel },
                (Some(parcel), 4..=5) => Ask::Found { what: Found::TakenOut, parcel },
                (Some(parcel), 6) => Ask::Found { what: Found::HandedOver, parcel },
                (None, 0) => {
                    let known = parcels(view, |_| true);
                    let parcel = number(rng, &known).unwrap_or(0);
                    Ask::Found { what: Found::Inside, parcel }
                }
                _ => Ask::Found { what: Found::Nothing, parcel: 0 },
            }
        }
        Task::Idle => Ask::Finish,
    }
}

/// Anything, from anybody.
fn anything(rng: &mut Rng, listed: usize) -> Ask {
    let parcel = any_parcel(rng, listed);
    match rng.below(28) {
        0 => Ask::Show { parcel, nth: rng.small(3) },
        1 => Ask::Digits { parcel, phone: Phone::Right },
        2 => Ask::CourierBadge { carrier: rng.small(2) },
        3 => Ask::StaffBadge { person: person(rng) },
        4 => Ask::Scan { parcel },
        5 => Ask::TryAgain,
        6 => Ask::Reopen,
        7 => Ask::OpenNext,
        8 => Ask::Deposited { no: None },
        9 => Ask::TookBack,
        10 => Ask::FoundOccupied,
        11 => Ask::DoorWillNotShut,
        12 => Ask::DoesNotFit,
        13 => Ask::Taken,
        14 => Ask::NotTaken,
        15 => Ask::RefuseParcel,
        16 => Ask::FoundEmpty,
        17 => Ask::WrongParcel,
        18 => Ask::Recall { parcel },
        19 => Ask::Removed { parcel },
        20 => Ask::Inspect { no: u16::from(rng.small(LOCKS)) + 1 },
        21 => Ask::Found { what: Found::Nothing, parcel },
        22 => Ask::ResetBoard { board: rng.small(2) },
        23 => Ask::ResetKeypad,
        24 => Ask::LiftLockdown,
        25 => Ask::Cancel,
        26 => Ask::Guess { n: rng.small(20) },
        _ => Ask::Finish,
    }
}

fn parcels(view: &MemoryView, wanted: impl Fn(&Parcel) -> bool) -> Vec<ParcelId> {
    let all = view.parcels().into_iter();
    all.filter(|parcel| wanted(parcel)).map(|parcel| parcel.id).collect()
}

fn is_stored(parcel: &Parcel) -> bool {
    matches!(parcel.state, ParcelState::Stored { .. })
}

fn is_booked(parcel: &Parcel) -> bool {
    parcel.state == ParcelState::Booked
}

fn recalled(view: &MemoryView) -> Vec<ParcelId> {
    parcels(view, |parcel| parcel.recall.is_some() && is_stored(parcel))
}

fn number(rng: &mut Rng, of: &[ParcelId]) -> Option<u16> {
    if of.is_empty() { None } else { Some(number_of(*rng.pick(of))) }
}

fn some(rng: &mut Rng, of: &[ParcelId], listed: usize) -> Option<u16> {
    number(rng, of).or_else(|| (listed > 0).then(|| any_parcel(rng, listed)))
}

/// The number in [`cast::parcel`].
const fn number_of(parcel: ParcelId) -> u16 {
    u16::from_be_bytes([parcel.0[4], parcel.0[5]])
}

fn any_parcel(rng: &mut Rng, listed: usize) -> u16 {
    u16::try_from(rng.index(listed + 1)).unwrap_or_default()
}

fn lock_of(view: &MemoryView, no: CompartmentNo) -> u8 {
    let lock = view.compartment(no).map_or(0, |held| cast::lock_no(held.spec.lock));
    u8::try_from(lock).unwrap_or_default()
}
