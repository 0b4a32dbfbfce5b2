//! One parcel's way through one bank, measured.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use locker_proto::wire::carrier::v1::parcel::State;
use serde_json::{Value, json};
use system_tests::bank::Bank;
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::mailbox::{Letter, wait_for_letter};
use system_tests::visit::Visit;
use system_tests::wait::now_ms;
use system_tests::watch::{Seen, Watch};
use system_tests::world::{CARRIER, World};

use crate::timeline::Timeline;

/// How long the carrier or the mailbox may have to wait for news.
const NEWS_LIMIT: Duration = Duration::from_secs(15);

/// What happened to a parcel.
pub(crate) struct Journey {
    pub(crate) bank: String,
    pub(crate) order: Order,
    pub(crate) compartment: u16,
    deposit: Handover,
    pickup: Handover,
    deposit_to_mail_ms: u64,
}

/// The times of one handover, in milliseconds.
struct Handover {
    scan_to_pulse: u64,
    shut_to_watch: u64,
    said_to_watch: u64,
}

impl Journey {
    /// All latencies, by name.
    pub(crate) fn latencies(&self) -> Value {
        let handover = |times: &Handover| {
            json!({
                "scan_to_pulse": times.scan_to_pulse,
                "door_shut_to_watch": times.shut_to_watch,
                "confirmed_to_watch": times.said_to_watch,
            })
        };
        json!({
            "bank": self.bank,
            "deposit": handover(&self.deposit),
            "pickup": handover(&self.pickup),
            "deposit_to_mail": self.deposit_to_mail_ms,
        })
    }
}

/// Takes one parcel all the way.
pub(crate) async fn run(
    world: &World,
    bank: &mut Bank,
    watch: &mut Watch,
    timeline: &Timeline,
) -> Result<Journey> {
    let order = order_for(bank);
    announce(world, bank, &order, timeline).await?;

    let badge = world.operator.badge(&bank.spec.id, CARRIER).await.context("no badge")?;
    timeline.say(&bank.spec.id, "courier scans the badge, then the label");
    bank.sign_in(&badge.text).await?;
    let mailbox = world.hub.mailbox_folder();
    let (visit, stored, letter) = tokio::try_join!(
        bank.deposit(&order.barcode),
        watch.until("the deposit", NEWS_LIMIT, is(&order, State::Stored)),
        letter_to(&mailbox, &order),
    )?;
    bank.sign_out().await?;
    let deposit = tell(bank, &visit, "the parcel is inside", &stored, timeline)?;
    let (letter, letter_ms) = letter;
    let deposit_to_mail_ms = letter_ms.saturating_sub(visit.said_ms);
    let mail = format!("letter with the QR code to {}", letter.to);
    timeline.say_after("recipient", &mail, "deposit to mail", deposit_to_mail_ms);

    timeline.say(&bank.spec.id, "recipient holds the QR code in front of the scanner");
    let (visit, collected) = tokio::try_join!(
        bank.collect(&letter.token),
        watch.until("the pickup", NEWS_LIMIT, is(&order, State::Collected)),
    )?;
    let pickup = tell(bank, &visit, "the parcel is taken", &collected, timeline)?;
    let compartment = visit.compartment;
    ensure!(
        stored.compartment == u32::from(compartment),
        "the watch says compartment {}, the screen {compartment}",
        stored.compartment
    );
    let bank = bank.spec.id.clone();
    Ok(Journey { bank, order, compartment, deposit, pickup, deposit_to_mail_ms })
}

/// A parcel of another size for each bank.
fn order_for(bank: &Bank) -> Order {
    let name = format!("order-{}", bank.spec.id);
    match bank.spec.wire {
        Wire::Tcp => Order::small(&name),
        Wire::Pty => Order { size_mm: [350, 180, 300], ..Order::small(&name) },
    }
}

async fn announce(world: &World, bank: &Bank, order: &Order, timeline: &Timeline) -> Result<()> {
    let [length, width, height] = order.size_mm;
    world.carrier.announce(order).await.context("CreateParcel failed")?;
    let what = format!("CreateParcel {}, {length} x {width} x {height} mm", order.name);
    timeline.say("carrier", &what);
    let id = &bank.spec.id;
    world.carrier.book(&order.name, id).await.context("BookCompartment failed")?;
    timeline.say("carrier", &format!("BookCompartment at {id}"));
    Ok(())
}

fn is(order: &Order, state: State) -> impl FnMut(&Seen) -> bool {
    let name = order.name.clone();
    move |seen| seen.parcel == name && seen.state == state
}

async fn letter_to(mailbox: &std::path::Path, order: &Order) -> Result<(Letter, u64)> {
    let letter = wait_for_letter(mailbox, &order.email, NEWS_LIMIT).await?;
    Ok((letter, now_ms()))
}

/// Prints a handover from the board's, the person's and the carrier's view.
fn tell(
    bank: &Bank,
    visit: &Visit,
    said: &str,
    seen: &Seen,
    timeline: &Timeline,
) -> Result<Handover> {
    let id = &bank.spec.id;
    let pulses = bank.board.pulses()?;
    let pulse = pulses.last().context("the lock board has logged no pulse")?;
    let shut = bank.board.moved_ms("closed", pulse.t_ms)?;
    let shut_ms = shut.context("the lock board has not logged that the door shut")?;
    let times = Handover {
        scan_to_pulse: pulse.t_ms.saturating_sub(visit.scanned_ms),
        shut_to_watch: seen.came_ms.saturating_sub(shut_ms),
        said_to_watch: seen.came_ms.saturating_sub(visit.said_ms),
    };
    let door = visit.compartment;
    let opened = format!("compartment {door} opens (lock {} is pulsed)", pulse.lock);
    timeline.say_after(id, &opened, "scan to pulse", times.scan_to_pulse);
    let asked_ms = visit.asked_ms.saturating_sub(shut_ms);
    timeline.say_after(id, "the door is shut; the screen asks", "shut to asked", asked_ms);
    timeline.say(id, &format!("\"{said}\""));
    let state = seen.state.as_str_name().trim_start_matches("STATE_");
    let news = format!("WatchParcels: {} is {state}", seen.parcel);
    timeline.say_after("carrier", &news, "said to watch", times.said_to_watch);
    Ok(times)
}
