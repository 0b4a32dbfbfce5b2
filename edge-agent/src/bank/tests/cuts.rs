//! The power goes at every point of a step: before its facts are on the disk, in the middle of writing
//! them, and when they are there and nothing has followed yet, neither fold nor pulse nor answer. What
//! the next start makes of it is stated here, point by point; nothing is opened twice, and whoever was
//! promised something still gets it.

use std::fmt::Debug;

use locker_core::bank::StaffFinding;
use locker_core::ids::{CredentialId, ParcelId, Version};
use locker_core::parcel::RecallReason;

use super::world::{badge, staff};
use super::*;
use crate::store::tests::disk::{Cut, Kept};

/// What the bank holds for certain of parcel 1 and of its compartment, in a few words.
fn stated(world: &World) -> String {
    fn name(value: &impl Debug) -> String {
        let text = format!("{value:?}");
        text.split([' ', '{', '(']).next().unwrap().to_owned()
    }
    let view = world.view();
    let allocation = world.compartment(1).allocation;
    let allocation = if let Allocation::Quarantined { reason, .. } = allocation {
        format!("quarantined {reason:?}")
    } else {
        name(&allocation)
    };
    let code = view.credential(CredentialId([1; 16])).unwrap().state;
    format!("{} | {allocation} | code {}", name(&world.parcel(1).state), name(&code))
}

/// Cuts `story` at each of its syncs in each way. After the first `n` syncs of it, a start makes
/// `stated_after[n]` of it.
async fn cut_everywhere(
    begin: impl AsyncFn() -> World,
    story: impl AsyncFn(&World),
    stated_after: &[&str],
) {
    for nth in 1..=stated_after.len() {
        for kept in [Kept::Nothing, Kept::Half, Kept::All] {
            let cut = Cut { nth, kept };
            let begun = begin().await;
            let (world, whole) = begun.cut_during(cut, &story).await;
            assert_eq!(whole, nth == stated_after.len(), "{cut:?}: {:?}", world.facts());
            let on_disk = if whole || kept != Kept::All { nth - 1 } else { nth };
            holds(&world, cut).await;
            assert_eq!(stated(&world), stated_after[on_disk], "{cut:?}: {:?}", world.facts());
            is_kept(world, cut).await;
            if whole {
                break;
            }
        }
    }
}

/// Whatever the moment was.
async fn holds(world: &World, cut: Cut) {
    world.hear().await;
    for no in 1..=3 {
        // A door that somebody let stand, or that nobody saw: it is pushed shut.
        let _ = world.sim.command(&format!("close {}", no - 1));
    }
    world
        .until_journal("the doors are shut", |view| {
            view.compartments().iter().all(|held| held.door == Door::Closed)
        })
        .await;
    assert!(world.state.borrow().session.is_none(), "{cut:?}: nobody is at the screen");
    let (pulses, intents) = (world.sim.pulses(), world.intents() as u64);
    assert!(pulses <= intents, "{cut:?}: {pulses} pulses, {intents} intents");
    assert_eq!(world.outcomes().len() as u64, intents, "{cut:?}: every intent has its outcome");
    assert!(world.view().compartments().iter().all(|held| held.pulse.is_none()), "{cut:?}");
}

/// What was promised of parcel 1 before the cut is kept after it.
async fn is_kept(mut world: World, cut: Cut) {
    let pulses = world.sim.pulses();
    match world.parcel(1).state {
        ParcelState::Stored { .. } if world.parcel(1).recall.is_some() => {
            world.scan(&badge()).await.unwrap();
            world.ask(recall()).await.unwrap();
            world.through_the_door(removed()).await.unwrap();
        }
        ParcelState::Stored { .. } => {
            world.scan(&code(1)).await.unwrap_or_else(|refusal| panic!("{cut:?}: {refusal}"));
            world.through_the_door(Ask::Taken).await.unwrap();
        }
        ParcelState::Booked => {
            world.scan(&badge()).await.unwrap();
            world.scan("PKG1").await.unwrap();
            world.through_the_door(DEPOSITED).await.unwrap();
        }
        ParcelState::Unresolved { .. } => {
            world.scan(&badge()).await.unwrap();
            assert_eq!(world.scan("PKG1").await, Err(Refusal::ParcelUnresolved), "{cut:?}");
            world.courier_with(2).await;
            world.scan("PKG2").await.unwrap();
            assert_eq!(world.until_phase(PanelPhase::Open).await, 2, "{cut:?}: elsewhere");
        }
        ParcelState::Collected { .. } | ParcelState::Recalled { .. } => {
            assert!(world.scan(&code(1)).await.is_err(), "{cut:?}: a code opens once");
            assert_eq!(world.sim.pulses(), pulses);
            return;
        }
        state @ (ParcelState::Depositing { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. }
        | ParcelState::Cancelled { .. }
        | ParcelState::BookingExpired { .. }
        | ParcelState::Missing { .. }) => panic!("{cut:?}: {state:?}"),
    }
    assert_eq!(world.sim.pulses(), pulses + 1, "{cut:?}");
}

fn recall() -> Ask {
    Ask::Recall { carrier: None, barcode: "PKG1".parse().unwrap() }
}

fn removed() -> Ask {
    Ask::Removed("PKG1".parse().unwrap())
}

async fn stored() -> World {
    let mut world = World::ready().await;
    world.stored(1).await;
    world
}

const BOOKED: &str = "Booked | Free | code Issued";
const STORED: &str = "Stored | Occupied | code Active";
const NOBODY_KNOWS: &str = "Unresolved | quarantined Interrupted | code Issued";
/// The parcel is taken to be inside, its code opens it, and nobody else is given the compartment.
const MAY_BE_INSIDE: &str = "Stored | quarantined Interrupted | code Active";
const COLLECTED: &str = "Collected | Free | code Consumed";

#[tokio::test(start_paused = true)]
async fn p_a_p_b_a_deposit_that_is_cut_at_any_point_ends_in_a_stated_state() {
    let begin = async || {
        let mut world = World::ready().await;
        world.grant(Grant::Book(booking(1))).await;
        world
    };
    let story = async |world: &World| {
        world.scan(&badge()).await.unwrap();
        world.scan("PKG1").await.unwrap();
        world.through_the_door(DEPOSITED).await.unwrap();
        world.ask(Ask::Finish).await.unwrap();
    };
    let stated = [
        BOOKED,       // nobody has come yet
        BOOKED,       // the courier is in
        NOBODY_KNOWS, // the intent is there: the lock may have been pulsed
        NOBODY_KNOWS, // the pulse has its outcome
        NOBODY_KNOWS, // the door was seen open
        NOBODY_KNOWS, // and shut
        STORED,       // the courier has said so
        STORED,       // and gone
    ];
    cut_everywhere(begin, story, &stated).await;
}

#[tokio::test(start_paused = true)]
async fn p_a_p_b_a_pickup_that_is_cut_at_any_point_ends_in_a_stated_state() {
    let story = async |world: &World| {
        world.scan(&code(1)).await.unwrap();
        world.through_the_door(Ask::Taken).await.unwrap();
    };
    let stated = [STORED, MAY_BE_INSIDE, MAY_BE_INSIDE, MAY_BE_INSIDE, MAY_BE_INSIDE, COLLECTED];
    cut_everywhere(stored, story, &stated).await;
}

#[tokio::test(start_paused = true)]
async fn p_a_p_b_a_reopening_that_is_cut_at_any_point_ends_in_a_stated_state() {
    let story = async |world: &World| {
        world.scan(&code(1)).await.unwrap();
        world.through_the_door(Ask::Reopen).await.unwrap();
        world.through_the_door(Ask::Taken).await.unwrap();
    };
    let stated = [
        STORED,
        MAY_BE_INSIDE,
        MAY_BE_INSIDE,
        MAY_BE_INSIDE,
        MAY_BE_INSIDE,
        MAY_BE_INSIDE,
        MAY_BE_INSIDE,
        MAY_BE_INSIDE,
        MAY_BE_INSIDE,
        COLLECTED,
    ];
    cut_everywhere(stored, story, &stated).await;
}

#[tokio::test(start_paused = true)]
async fn p_a_p_b_a_recall_that_is_cut_at_any_point_ends_in_a_stated_state() {
    let begin = async || {
        let mut world = stored().await;
        let reason = RecallReason::Sender;
        let grant = Grant::Recall { parcel: ParcelId([1; 16]), version: Version(2), reason };
        world.grant(grant).await;
        world
    };
    let story = async |world: &World| {
        world.scan(&badge()).await.unwrap();
        world.ask(recall()).await.unwrap();
        world.through_the_door(removed()).await.unwrap();
        world.ask(Ask::Finish).await.unwrap();
    };
    let asked_back = "Stored | Occupied | code Active";
    let may_be_inside = "Stored | quarantined Interrupted | code Active";
    let gone = "Recalled | Free | code Revoked";
    let stated = [
        asked_back,
        asked_back,
        may_be_inside,
        may_be_inside,
        may_be_inside,
        may_be_inside,
        gone,
        gone,
    ];
    cut_everywhere(begin, story, &stated).await;
}

#[tokio::test(start_paused = true)]
async fn p_a_p_b_an_inspection_that_is_cut_at_any_point_ends_in_a_stated_state() {
    let story = async |world: &World| {
        world.scan(&staff(1)).await.unwrap();
        world.ask(Ask::Inspect(CompartmentNo(1))).await.unwrap();
        let (carrier, barcode) = ("acme".parse().unwrap(), "PKG1".parse().unwrap());
        let found = Ask::Found(StaffFinding::Holds { carrier, barcode });
        world.through_the_door(found).await.unwrap();
        world.ask(Ask::Finish).await.unwrap();
    };
    let unfinished = "Stored | quarantined InspectionUnfinished | code Active";
    let stated = [STORED, STORED, unfinished, unfinished, unfinished, unfinished, STORED, STORED];
    cut_everywhere(stored, story, &stated).await;
}
