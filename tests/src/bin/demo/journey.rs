//! One parcel's way through one bank, measured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use locker_proto::wire::carrier::v1::parcel::State;
use serde_json::{Value, json};
use system_tests::bank::Bank;
use system_tests::board::{LogLine, Wire, read_log};
use system_tests::callers::Order;
use system_tests::mailbox::{Letter, wait_for_letter};
use system_tests::visit::Visit;
use system_tests::wait::{now_ms, wait_for};
use system_tests::watch::{Seen, Watch};
use system_tests::world::{CARRIER, World};

use crate::SHUT_STABLE_MS;
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
    let id = bank.spec.id.clone();
    announce(world, &id, &order, timeline).await?;

    let badge = world.operator.badge(&id, CARRIER).await.context("no badge")?;
    timeline.say(&id, "a courier scans the badge and the parcel's label");
    bank.sign_in(&badge.text).await?;
    let (door, mailbox) = (Door::of(bank)?, world.hub.mailbox_folder());
    let (visit, doors, stored, letter) = tokio::try_join!(
        bank.deposit(&order.barcode),
        door.follow(timeline),
        watch.until("the deposit", NEWS_LIMIT, is(&order, State::Stored)),
        letter_to(&mailbox, &order),
    )?;
    bank.sign_out().await?;
    let deposit = Handover::of(&visit, &doors, &stored);
    timeline.say_at(visit.said_ms, &id, "courier: \"the parcel is inside\"");
    deposit.tell(&stored, timeline);
    let (letter, letter_ms) = letter;
    let deposit_to_mail_ms = letter_ms.saturating_sub(visit.said_ms);
    let mail = format!("has a letter with the QR code ({})", letter.to);
    timeline.measure(letter_ms, "recipient", &mail, "deposit to mail", deposit_to_mail_ms);

    timeline.say(&id, "the recipient shows the QR code to the scanner");
    let door = Door::of(bank)?;
    let (visit, doors, collected) = tokio::try_join!(
        bank.collect(&letter.token),
        door.follow(timeline),
        watch.until("the pickup", NEWS_LIMIT, is(&order, State::Collected)),
    )?;
    let pickup = Handover::of(&visit, &doors, &collected);
    timeline.say_at(visit.said_ms, &id, "recipient: \"I have taken it\"");
    pickup.tell(&collected, timeline);
    let compartment = visit.compartment;
    ensure!(
        stored.compartment == u32::from(compartment),
        "the watch says compartment {}, the screen {compartment}",
        stored.compartment
    );
    Ok(Journey { bank: id, order, compartment, deposit, pickup, deposit_to_mail_ms })
}

/// A parcel of another size for each bank.
fn order_for(bank: &Bank) -> Order {
    let (name, email, size_mm) = match bank.spec.wire {
        Wire::Tcp => ("radio", "robin@example.org", [300, 200, 80]),
        Wire::Pty => ("teapot", "kim@example.org", [350, 180, 300]),
    };
    Order { size_mm, email: email.to_owned(), ..Order::small(name) }
}

async fn announce(world: &World, bank: &str, order: &Order, timeline: &Timeline) -> Result<()> {
    let [length, width, height] = order.size_mm;
    world.carrier.announce(order).await.context("CreateParcel failed")?;
    let what = format!("announces {} (CreateParcel), {length} x {width} x {height} mm", order.name);
    timeline.say("carrier", &what);
    world.carrier.book(&order.name, bank).await.context("BookCompartment failed")?;
    timeline.say("carrier", &format!("books room at {bank} (BookCompartment)"));
    Ok(())
}

fn is(order: &Order, state: State) -> impl FnMut(&Seen) -> bool {
    let name = order.name.clone();
    move |seen| seen.parcel == name && seen.state == state
}

async fn letter_to(mailbox: &Path, order: &Order) -> Result<(Letter, u64)> {
    let letter = wait_for_letter(mailbox, &order.email, NEWS_LIMIT).await?;
    Ok((letter, now_ms()))
}

/// The next opening in a lock board's own log.
struct Door {
    bank: String,
    log: PathBuf,
    /// Lines that were there before.
    known: usize,
}

/// When a door was opened and shut, by the lock board's own log.
struct Opening {
    pulsed_ms: u64,
    shut_ms: u64,
}

impl Door {
    fn of(bank: &Bank) -> Result<Self> {
        let log = bank.board.log_file().to_owned();
        let known = if log.exists() { read_log(&log)?.len() } else { 0 };
        Ok(Self { bank: bank.spec.id.clone(), log, known })
    }

    /// Tells what happens as it happens.
    async fn follow(self, timeline: &Timeline) -> Result<Opening> {
        let pulse = self.next("is pulsed", |line| line.pulse.is_some()).await?;
        let what = format!("lock {} is pulsed: compartment {}", pulse.lock, pulse.lock + 1);
        timeline.say_at(pulse.t_ms, &self.bank, &what);
        let open = self.next("is open", |line| line.door.as_deref() == Some("open")).await?;
        let (lock, after) = (open.lock, open.t_ms.saturating_sub(pulse.t_ms));
        timeline.measure(open.t_ms, &self.bank, "the door is open", "after the pulse", after);
        let is_shut = |line: &LogLine| line.door.as_deref() == Some("closed") && line.lock == lock;
        let shut = self.next("is shut", is_shut).await?;
        timeline.say_at(shut.t_ms, &self.bank, "the door is pushed shut");
        Ok(Opening { pulsed_ms: pulse.t_ms, shut_ms: shut.t_ms })
    }

    async fn next(&self, what: &str, wanted: impl Fn(&LogLine) -> bool) -> Result<LogLine> {
        let what = format!("a door of {} {what}", self.bank);
        wait_for(&what, NEWS_LIMIT, async || {
            if !self.log.exists() {
                return Ok(None);
            }
            Ok(read_log(&self.log)?.into_iter().skip(self.known).find(&wanted))
        })
        .await
    }
}

impl Handover {
    fn of(visit: &Visit, opening: &Opening, seen: &Seen) -> Self {
        Self {
            scan_to_pulse: opening.pulsed_ms.saturating_sub(visit.scanned_ms),
            shut_to_watch: seen.came_ms.saturating_sub(opening.shut_ms),
            said_to_watch: seen.came_ms.saturating_sub(visit.said_ms),
        }
    }

    fn tell(&self, seen: &Seen, timeline: &Timeline) {
        let state = seen.state.as_str_name().trim_start_matches("STATE_");
        let what = format!("hears that {} is {state} (WatchParcels)", seen.parcel);
        timeline.measure(seen.came_ms, "carrier", &what, "said to watch", self.said_to_watch);
        let Self { scan_to_pulse, shut_to_watch, .. } = self;
        timeline.note(&format!("scan to pulse {scan_to_pulse} ms"));
        timeline.note(&format!(
            "door shut to watch {shut_to_watch} ms, {SHUT_STABLE_MS} of them to be sure of it"
        ));
    }
}
