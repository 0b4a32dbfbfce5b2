//! What people do at one bank, told as it happens, measured, and written into the script.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use edge_agent::bank::PanelPhase;
use locker_proto::wire::carrier::v1::parcel::State;
use serde_json::{Value, json};
use system_tests::bank::{Bank, BankSpec};
use system_tests::board::read_log;
use system_tests::callers::Order;
use system_tests::mailbox::{Letter, wait_for_letter};
use system_tests::panel::{Finding, Panel, Refused};
use system_tests::visit::opening;
use system_tests::wait::now_ms;
use system_tests::watch::{Seen, Watch};
use system_tests::world::{CARRIER, World};

use crate::door::{Doors, Handover, Opening, state_name};
use crate::script::{Refusal, Story, Turn};
use crate::timeline::Timeline;

/// How long the carrier or the mailbox may have to wait for news.
const NEWS_LIMIT: Duration = Duration::from_secs(20);
/// What makes doors stay open until they are shut by command: longer than anything takes.
const DOORS_STAY_OPEN: &str = "crack * 600000";
const DOORS_SHUT_AGAIN: &str = "crack * off";

/// One bank and the people around it.
pub(crate) struct Stage<'a> {
    world: &'a World,
    pub(crate) bank: &'a mut Bank,
    timeline: &'a Timeline,
    watch: Watch,
    doors: Doors,
    badge: String,
    /// What has happened, story by story.
    pub(crate) stories: Vec<Story>,
    /// Of each handover, by parcel.
    pub(crate) latencies: Vec<Value>,
}

/// What opens a door for a recipient.
pub(crate) enum Code<'a> {
    /// The QR code of the letter.
    Qr,
    /// Its six digits, with the last four of the phone number.
    Digits { digits: &'a str, phone: Option<&'a str> },
}

/// A bank that somebody goes to by mistake.
pub(crate) struct OtherBank {
    id: String,
    panel: Panel,
    log: PathBuf,
}

impl OtherBank {
    pub(crate) fn of(bank: &Bank) -> Self {
        let log = bank.board.log_file().to_owned();
        Self { id: bank.spec.id.clone(), panel: bank.panel.clone(), log }
    }
}

impl<'a> Stage<'a> {
    pub(crate) async fn new(
        world: &'a World,
        bank: &'a mut Bank,
        timeline: &'a Timeline,
    ) -> Result<Self> {
        let watch = Watch::from_beginning(&world.carrier);
        let badge = world.operator.badge(&bank.spec.id, CARRIER).await.context("no badge")?.text;
        let doors = Doors::of(bank);
        Ok(Self {
            world,
            bank,
            timeline,
            watch,
            doors,
            badge,
            stories: Vec::new(),
            latencies: Vec::new(),
        })
    }

    pub(crate) fn story(&self, name: &'static str) -> Story {
        Story::new(name, &self.bank.spec.id)
    }

    fn say(&self, who: &str, what: &str) {
        self.timeline.say(&self.bank.spec.id, who, what);
    }

    /// The carrier announces a parcel and books room for it.
    pub(crate) async fn announce(&self, story: &mut Story, order: &Order) -> Result<()> {
        let [length, width, height] = order.size_mm;
        self.world.carrier.announce(order).await.context("CreateParcel failed")?;
        let bank = &self.bank.spec.id;
        self.world.carrier.book(&order.name, bank).await.context("BookCompartment failed")?;
        let what = format!(
            "announces {} (CreateParcel), {length} x {width} x {height} mm, and books room \
             (BookCompartment)",
            order.name
        );
        self.say("carrier", &what);
        story.begin(order);
        Ok(())
    }

    /// The carrier withdraws a parcel that nobody has brought yet.
    pub(crate) async fn cancel(&self, story: &mut Story, order: &Order) -> Result<()> {
        self.world.carrier.cancel(&order.name).await.context("CancelParcel failed")?;
        self.say("carrier", &format!("withdraws {} again (CancelParcel)", order.name));
        story.went_on(order, &[Turn::Cancelled]);
        Ok(())
    }

    pub(crate) async fn courier_comes(&self) -> Result<()> {
        self.bank.sign_in(&self.badge).await
    }

    pub(crate) async fn courier_leaves(&self) -> Result<()> {
        self.bank.sign_out().await
    }

    /// A courier who is signed in puts a parcel in; its recipient gets a letter.
    pub(crate) async fn deposit(&mut self, story: &mut Story, order: &Order) -> Result<Letter> {
        self.say("courier", &format!("scans the badge and the label of {}", order.name));
        let (_, scanned_ms) = self.bank.scan_label(&order.barcode).await?;
        self.store(story, order, scanned_ms).await
    }

    /// As [`Self::deposit`], but the first compartment is too small.
    pub(crate) async fn deposit_after_misfit(
        &mut self,
        story: &mut Story,
        order: &Order,
    ) -> Result<Letter> {
        self.say("courier", &format!("scans the badge and the label of {}", order.name));
        self.bank.scan_label(&order.barcode).await?;
        let (small, door) =
            tokio::try_join!(self.bank.find_too_small(), self.doors.follow(self.timeline))?;
        ensure!(door.compartment == small, "{} opened, not {small}", door.compartment);
        let scanned_ms = now_ms();
        let what = format!("\"{} does not fit into {small}\": a larger one opens", order.name);
        self.say("courier", &what);
        story.openings.push(small);
        story.misfits.push(small);
        story.went_on(order, &[Turn::Depositing(small), Turn::DidNotFit(small)]);
        let letter = self.store(story, order, scanned_ms).await?;
        let second = story.place_of(order).context("it is inside")?;
        let larger = is_larger(&self.bank.spec, second, small);
        ensure!(larger, "compartment {second} is not larger than {small}");
        Ok(letter)
    }

    async fn store(&mut self, story: &mut Story, order: &Order, scanned_ms: u64) -> Result<Letter> {
        let (visit, door, stored) = tokio::try_join!(
            self.bank.store(scanned_ms),
            self.doors.follow(self.timeline),
            self.watch.until("the deposit", NEWS_LIMIT, is(order, State::Stored)),
        )?;
        same_door(visit.compartment, &door)?;
        let bank = &self.bank.spec.id;
        let what = format!("\"{} is inside\", in compartment {}", order.name, visit.compartment);
        self.timeline.say_at(visit.said_ms, bank, "courier", &what);
        let handover = Handover::of(&visit, &door, &stored);
        handover.tell(&stored, bank, self.timeline);
        let (letter, came_ms) = letter_to(&self.world.hub.mailbox_folder(), order).await?;
        let to_mail = came_ms.saturating_sub(visit.said_ms);
        let measure = format!("deposit to mail {to_mail} ms");
        self.tell_of(&letter, came_ms, Some(&measure));
        self.latencies.push(json!({
            "bank": bank,
            "parcel": order.name,
            "deposit": handover.latencies(),
            "deposit_to_mail": to_mail,
        }));
        story.openings.push(visit.compartment);
        let turns = [Turn::Depositing(visit.compartment), Turn::Stored(visit.compartment)];
        story.went_on(order, &turns);
        Ok(letter)
    }

    /// The recipient comes with the letter and takes the parcel.
    pub(crate) async fn pickup(
        &mut self,
        story: &mut Story,
        order: &Order,
        letter: &Letter,
        code: Code<'_>,
    ) -> Result<()> {
        let inside = story.place_of(order);
        self.say("recipient", code.what());
        let bank = &mut *self.bank;
        let collect = async {
            match code {
                Code::Qr => bank.collect(&letter.token).await,
                Code::Digits { digits, phone } => bank.collect_by_digits(digits, phone).await,
            }
        };
        let (visit, door, collected) = tokio::try_join!(
            collect,
            self.doors.follow(self.timeline),
            self.watch.until("the pickup", NEWS_LIMIT, is(order, State::Collected)),
        )?;
        same_door(visit.compartment, &door)?;
        let from = visit.compartment;
        ensure!(inside == Some(from), "{} was in {inside:?}, not in {from}", order.name);
        let bank = &self.bank.spec.id;
        let what = format!("\"I have {}\", out of compartment {from}", order.name);
        self.timeline.say_at(visit.said_ms, bank, "recipient", &what);
        let handover = Handover::of(&visit, &door, &collected);
        handover.tell(&collected, bank, self.timeline);
        let latencies = handover.latencies();
        self.latencies.push(json!({ "bank": bank, "parcel": order.name, "pickup": latencies }));
        story.openings.push(from);
        story.went_on(order, &[Turn::Collecting(from), Turn::Collected(from)]);
        Ok(())
    }

    /// The recipient shows a good code to a bank that it is not for.
    pub(crate) async fn show_at_wrong_bank(
        &self,
        story: &mut Story,
        letter: &Letter,
        other: &OtherBank,
    ) -> Result<()> {
        let logs = [self.bank.board.log_file(), &other.log];
        let before = pulses(&logs)?;
        let answer = other.panel.scan(&letter.token).await?;
        let what = format!("shows a QR code of {}", self.bank.spec.id);
        self.refused(story, &other.id, &what, answer.err(), "CODE_OTHER_BANK")?;
        ensure!(pulses(&logs)? == before, "a code for another bank moved a lock");
        Ok(())
    }

    /// The recipient mistypes one digit, and waits until the keypad takes another try.
    pub(crate) async fn mistype(
        &mut self,
        story: &mut Story,
        digits: &str,
        phone: Option<&str>,
    ) -> Result<()> {
        let log = self.bank.board.log_file().to_owned();
        let before = pulses(&[&log])?;
        let answer = self.bank.panel.type_digits(&one_off(digits), phone).await?;
        let (bank, what) = (&self.bank.spec.id, "types six digits, one of them wrong");
        self.refused(story, bank, what, answer.err(), "CODE_WRONG")?;
        self.bank.wait_for_keypad().await?;
        ensure!(pulses(&[&log])? == before, "wrong digits moved a lock");
        Ok(())
    }

    /// A courier scans the label of a parcel that is not expected any more.
    pub(crate) async fn bring_cancelled(&self, story: &mut Story, order: &Order) -> Result<()> {
        let answer = self.bank.panel.scan(&order.barcode).await?;
        let (bank, what) = (&self.bank.spec.id, format!("scans the label of {}", order.name));
        self.refused(story, bank, &what, answer.err(), "PARCEL_CANCELLED")
    }

    fn refused(
        &self,
        story: &mut Story,
        bank: &str,
        what: &str,
        answer: Option<Refused>,
        wanted: &str,
    ) -> Result<()> {
        let Some(Refused(reason)) = answer else { bail!("{what} at {bank} was not refused") };
        ensure!(reason == wanted, "{what} at {bank} was refused with {reason}, not {wanted}");
        let who = if wanted.starts_with("CODE") { "recipient" } else { "courier" };
        self.timeline.say(bank, who, &format!("{what}: {reason}, nothing opens"));
        story.refusals.push(Refusal { bank: bank.to_owned(), reason });
        Ok(())
    }

    /// The power fails while a courier who is signed in has a door open; nobody shuts it before.
    /// Gives its number.
    pub(crate) async fn cut_power_in_deposit(
        &mut self,
        story: &mut Story,
        order: &Order,
    ) -> Result<u16> {
        self.bank.board.command(DOORS_STAY_OPEN).await?;
        self.say("courier", &format!("scans the badge and the label of {}", order.name));
        self.bank.scan_label(&order.barcode).await?;
        let door = self.doors.until_open(self.timeline).await?;
        let compartment = door.compartment;
        let is_open = |state: &_| opening(state) == Some((compartment, PanelPhase::Open));
        self.bank.wait_for_screen("shows an open door", NEWS_LIMIT, is_open).await?;
        self.bank.kill_agent()?;
        self.say("demo", "POWER FAILS while the door is open (the agent is killed)");
        self.bank.board.command(&format!("close {}", door.lock)).await?;
        self.doors.until_shut(self.timeline).await?;
        self.bank.board.command(DOORS_SHUT_AGAIN).await?;
        self.bank.start_agent().await?;
        self.say("demo", "power is back");
        story.power_cuts += 1;
        let unresolved = is(order, State::Unresolved);
        let seen = self.watch.until("the doubt", NEWS_LIMIT, unresolved).await?;
        let what = format!("hears that {} is {} (WatchParcels)", order.name, state_name(&seen));
        self.say("carrier", &what);
        let id = self.bank.spec.id.clone();
        let doubtful = |bank: &locker_proto::wire::fleet::v1::Bank| {
            bank.connected
                && bank.compartments.iter().any(|held| {
                    held.number == u32::from(compartment) && held.allocation == "QUARANTINED"
                })
        };
        self.world.operator.wait_for_bank(&id, "is back and has a doubt", doubtful).await?;
        self.world.operator.wait_until_ready(&id).await?;
        let what = format!("sees that compartment {compartment} is QUARANTINED: full or empty?");
        self.say("operator", &what);
        story.openings.push(compartment);
        story.quarantined.push(compartment);
        story.went_on(order, &[Turn::Depositing(compartment), Turn::Unresolved(compartment)]);
        Ok(compartment)
    }

    /// Staff looks into a compartment and finds the parcel there; its recipient gets a letter.
    pub(crate) async fn find_inside(
        &mut self,
        story: &mut Story,
        order: &Order,
        compartment: u16,
    ) -> Result<Letter> {
        let badge = self.world.operator.staff_badge(&self.bank.spec.id).await?.text;
        self.say("staff", &format!("signs in with a badge and looks into {compartment}"));
        let finding = Finding::Holds { carrier: CARRIER, barcode: &order.barcode };
        let (_, door, stored) = tokio::try_join!(
            self.bank.look_into(&badge, compartment, finding),
            self.doors.follow(self.timeline),
            self.watch.until("the finding", NEWS_LIMIT, is(order, State::Stored)),
        )?;
        same_door(compartment, &door)?;
        self.say("staff", &format!("\"{} is inside\": released", order.name));
        let what = format!("hears that {} is {} (WatchParcels)", order.name, state_name(&stored));
        self.say("carrier", &what);
        let (letter, came_ms) = letter_to(&self.world.hub.mailbox_folder(), order).await?;
        self.tell_of(&letter, came_ms, None);
        story.openings.push(compartment);
        story.went_on(order, &[Turn::FoundByStaff(compartment)]);
        Ok(letter)
    }

    fn tell_of(&self, letter: &Letter, came_ms: u64, measure: Option<&str>) {
        let codes = if letter.digits.is_some() { "QR code and six digits" } else { "QR code" };
        let what = format!("has a letter with {codes}");
        let bank = &self.bank.spec.id;
        match measure {
            None => self.timeline.say_at(came_ms, bank, "recipient", &what),
            Some(measure) => self.timeline.measure(came_ms, bank, "recipient", &what, measure),
        }
    }
}

impl Code<'_> {
    const fn what(&self) -> &'static str {
        match self {
            Self::Qr => "shows the QR code to the scanner",
            Self::Digits { phone: Some(_), .. } => {
                "types the six digits, and the last four of the phone number"
            }
            Self::Digits { phone: None, .. } => "types the six digits",
        }
    }
}

fn is(order: &Order, state: State) -> impl FnMut(&Seen) -> bool {
    let name = order.name.clone();
    move |seen| seen.parcel == name && seen.state == state
}

async fn letter_to(mailbox: &Path, order: &Order) -> Result<(Letter, u64)> {
    let letter = wait_for_letter(mailbox, &order.email, NEWS_LIMIT).await?;
    Ok((letter, now_ms()))
}

/// What the screen said and what the lock boards did.
fn same_door(said: u16, door: &Opening) -> Result<()> {
    ensure!(door.compartment == said, "the screen said {said}, and {} opened", door.compartment);
    Ok(())
}

/// Whether a compartment has more room than another in some direction, and less in none.
fn is_larger(bank: &BankSpec, number: u16, than: u16) -> bool {
    let room = |number: u16| usize::from(number).checked_sub(1).and_then(|at| bank.rooms.get(at));
    let Some((room, other)) = room(number).zip(room(than)) else { return false };
    room != other && room.iter().zip(other).all(|(edge, of_other)| edge >= of_other)
}

/// How many pulses there are in these logs. A log begins with the first.
fn pulses(logs: &[&Path]) -> Result<usize> {
    let mut count = 0;
    for log in logs.iter().filter(|log| log.exists()) {
        count += read_log(log)?.iter().filter(|line| line.pulse.is_some()).count();
    }
    Ok(count)
}

/// One slip away: no two codes of a bank are that close.
fn one_off(digits: &str) -> String {
    let (rest, last) = digits.split_at(digits.len() - 1);
    let other = if last == "9" { "0" } else { "9" };
    format!("{rest}{other}")
}
