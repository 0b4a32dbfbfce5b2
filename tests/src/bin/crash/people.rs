//! The people in front of one bank and around it. They come on though nobody answers, as people do:
//! they finish with their hands what they have begun, ask again when the screen is back, and call
//! staff when the bank does not know. Whatever they did and were told goes into their diary.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use edge_agent::bank::{PanelResult, PanelState};
use system_tests::bank::Bank;
use system_tests::callers::{Operator, Order};
use system_tests::mailbox::wait_for_letter;
use system_tests::panel::{Answer, Finding, Outcome, Panel, Refused};
use system_tests::visit::opening;
use system_tests::wait::wait_for;
use system_tests::world::{CARRIER, World};

use crate::chance::Chance;
use crate::diary::{Diary, What};
use crate::hands::Hands;
use crate::sender::Sender;

/// How long somebody tries to get a parcel in or out, whatever breaks meanwhile.
pub(crate) const VISIT_LIMIT: Duration = Duration::from_secs(100);
/// How long a door may take to open, or the bank to say that none will.
const DOOR_LIMIT: Duration = Duration::from_secs(60);
/// How long the bank may take to see that a door is shut.
const TELL_LIMIT: Duration = Duration::from_secs(30);
/// A letter comes again this late if its deliverer died with it in its hand.
const LETTER_LIMIT: Duration = Duration::from_secs(90);
/// How long a person waits before the next thing their hands do, in milliseconds. A door that is open
/// for less than that has jammed.
const HESITATION_MS: (u64, u64) = (150, 350);
/// Before somebody who was turned away asks again, in milliseconds.
const PATIENCE_MS: u64 = 60;

/// What came back from the screen.
enum Said {
    Yes(Box<PanelState>),
    No(String),
    Nothing,
}

/// The people of one bank.
pub(crate) struct Front {
    pub(crate) bank: String,
    sender: Sender,
    operator: Operator,
    panel: Panel,
    hands: Hands,
    mailbox: PathBuf,
    courier: String,
    staff: String,
    diary: Diary,
    chance: Mutex<Chance>,
    doing: Doing,
}

/// What the people of a bank are doing at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doing(Arc<Mutex<&'static str>>);

impl Doing {
    pub(crate) fn now(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, what: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }
}

impl Front {
    pub(crate) async fn of(
        world: &World,
        bank: &Bank,
        diary: &Diary,
        chance: Chance,
    ) -> Result<Self> {
        let id = bank.spec.id.clone();
        Ok(Self {
            sender: Sender::of(&world.carrier, &id, diary),
            operator: world.operator.clone(),
            panel: bank.panel.clone(),
            hands: Hands::of(bank),
            mailbox: world.hub.mailbox_folder(),
            courier: world.operator.badge(&id, CARRIER).await?.text,
            staff: world.operator.staff_badge(&id).await?.text,
            diary: diary.clone(),
            chance: Mutex::new(chance),
            doing: Doing::default(),
            bank: id,
        })
    }

    pub(crate) fn doing(&self) -> Doing {
        self.doing.clone()
    }

    /// A parcel is sent, brought, and fetched again unless it is to `stay`.
    pub(crate) async fn handle(&self, order: &Order, stay: bool) -> Result<()> {
        self.send(order).await?;
        let Some(code) = self.hand_in(order).await? else { return Ok(()) };
        if !stay {
            self.fetch(order, &code).await?;
        }
        self.doing.set("away");
        Ok(())
    }

    pub(crate) async fn send(&self, order: &Order) -> Result<()> {
        self.doing.set("sending");
        self.sender.send(order).await
    }

    /// Brings it and waits for the letter; gives its code, or none if the courier kept the parcel.
    pub(crate) async fn hand_in(&self, order: &Order) -> Result<Option<String>> {
        if !self.bring(order).await? {
            return Ok(None);
        }
        self.doing.set("waiting for the letter");
        let letter = wait_for_letter(&self.mailbox, &order.email, LETTER_LIMIT).await?;
        self.note(order, What::Letter).await?;
        Ok(Some(letter.token))
    }

    /// Why the bank opens no door for this label; none if it did not answer.
    pub(crate) async fn refusal(&self, order: &Order) -> Result<Option<String>> {
        if !matches!(self.hear(self.panel.scan(&self.courier).await), Said::Yes(_)) {
            return self.turned_away().await;
        }
        let said = self.ask(order, "label", self.panel.scan(&order.barcode).await).await?;
        self.sign_out().await;
        match said {
            Said::Yes(_) => bail!("a door opens for {}", order.name),
            Said::No(reason) => Ok(Some(reason)),
            Said::Nothing => Ok(None),
        }
    }

    /// Whether it is inside; else the courier has it.
    async fn bring(&self, order: &Order) -> Result<bool> {
        let what = format!("the courier is rid of {}", order.name);
        let mut put = None;
        wait_for(&what, VISIT_LIMIT, async || self.try_to_bring(order, &mut put).await).await
    }

    async fn try_to_bring(&self, order: &Order, put: &mut Option<u16>) -> Result<Option<bool>> {
        if !self.begin("signing in").await? {
            return Ok(None);
        }
        if !matches!(self.hear(self.panel.scan(&self.courier).await), Said::Yes(_)) {
            return self.turned_away().await;
        }
        self.doing.set("scanning the label");
        let mark = self.hands.mark()?;
        match self.ask(order, "label", self.panel.scan(&order.barcode).await).await? {
            Said::Yes(_) => self.note(order, What::LabelTaken).await?,
            Said::No(reason) => return self.label_refused(order, &reason, *put).await,
            Said::Nothing => {}
        }
        let Some(compartment) = self.wait_for_door(mark).await? else { return Ok(None) };
        if let Some(before) = *put {
            bail!("door {compartment} opened for {}, which lies in {before}", order.name);
        }
        self.doing.set("at the open door, the parcel in the hand");
        self.hesitate().await;
        self.hands.put(compartment).await?;
        *put = Some(compartment);
        self.note(order, What::Put { compartment }).await?;
        self.shut(compartment).await?;
        let told =
            self.tell(order, "deposited", async || self.panel.done(Outcome::DEPOSITED).await);
        match told.await? {
            Some(PanelResult::Stored { compartment: told }) => {
                ensure!(told == compartment, "put into {compartment}, stored in {told}");
                self.note(order, What::ToldStored { compartment }).await?;
                self.sign_out().await;
                Ok(Some(true))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// The bank does not open a door for the label.
    async fn label_refused(
        &self,
        order: &Order,
        reason: &str,
        put: Option<u16>,
    ) -> Result<Option<bool>> {
        match (reason, put) {
            ("ALREADY_DEPOSITED", Some(_)) => {
                self.note(order, What::ToldInside).await?;
                self.sign_out().await;
                Ok(Some(true))
            }
            ("PARCEL_MISSING", None) => {
                self.note(order, What::Kept).await?;
                self.sign_out().await;
                Ok(Some(false))
            }
            ("ALREADY_DEPOSITED" | "PARCEL_MISSING" | "ALREADY_COLLECTED", _) => {
                bail!("{} is {reason} to the bank, and lies in {put:?}", order.name)
            }
            ("PARCEL_UNRESOLVED", _) => {
                self.sign_out().await;
                self.look(order, put).await?;
                Ok(None)
            }
            _ => self.turned_away().await,
        }
    }

    /// Staff opens the compartment that the bank is in doubt about, and says what is inside.
    async fn look(&self, order: &Order, put: Option<u16>) -> Result<()> {
        self.doing.set("staff, about to look inside");
        let Some(compartment) = self.in_doubt(order, put).await else { return Ok(()) };
        if !matches!(self.hear(self.panel.scan(&self.staff).await), Said::Yes(_)) {
            return Ok(());
        }
        let mark = self.hands.mark()?;
        let answer = self.panel.inspect(compartment).await;
        if let Said::No(_) = self.ask(order, "inspection", answer).await? {
            return Ok(());
        }
        let Some(opened) = self.wait_for_door(mark).await? else { return Ok(()) };
        ensure!(opened == compartment, "{opened} opened for a look into {compartment}");
        self.shut(compartment).await?;
        let inside = put == Some(compartment);
        let finding = if inside {
            Finding::Holds { carrier: CARRIER, barcode: &order.barcode }
        } else {
            Finding::Empty
        };
        let told = self.tell(order, "finding", async || self.panel.found(finding).await).await?;
        if told.is_some() {
            self.note(order, What::Found { compartment, inside }).await?;
        }
        self.sign_out().await;
        Ok(())
    }

    /// Where staff looks: where the courier says, or where the hub knows of a doubt.
    async fn in_doubt(&self, order: &Order, put: Option<u16>) -> Option<u16> {
        if put.is_some() {
            return put;
        }
        let name = self.sender.name(order);
        let bank = self.operator.bank(&self.bank).await.ok()?;
        let doubtful = bank
            .compartments
            .iter()
            .find(|held| held.allocation == "QUARANTINED" && held.parcel == name);
        u16::try_from(doubtful?.number).ok()
    }

    pub(crate) async fn fetch(&self, order: &Order, code: &str) -> Result<()> {
        let what = format!("the recipient has {}", order.name);
        let mut took = None;
        wait_for(&what, VISIT_LIMIT, async || self.try_to_fetch(order, code, &mut took).await).await
    }

    async fn try_to_fetch(
        &self,
        order: &Order,
        code: &str,
        took: &mut Option<u16>,
    ) -> Result<Option<()>> {
        if !self.begin("showing the code").await? {
            return Ok(None);
        }
        let mark = self.hands.mark()?;
        match self.ask(order, "code", self.panel.scan(code).await).await? {
            Said::Yes(_) => self.note(order, What::CodeTaken).await?,
            Said::No(reason) => match (reason.as_str(), *took) {
                ("ALREADY_COLLECTED" | "CODE_USED", Some(_)) => {
                    self.note(order, What::ToldGone).await?;
                    return Ok(Some(()));
                }
                ("ALREADY_COLLECTED" | "CODE_USED", None) => {
                    bail!("{} is gone, and nobody took it", order.name)
                }
                _ => return self.turned_away().await,
            },
            Said::Nothing => {}
        }
        let Some(compartment) = self.wait_for_door(mark).await? else { return Ok(None) };
        if took.is_none() {
            self.doing.set("at the open door, the parcel inside");
            self.hesitate().await;
            self.hands.take(compartment).await?;
            *took = Some(compartment);
            self.note(order, What::Took { compartment }).await?;
        }
        self.shut(compartment).await?;
        let told = self.tell(order, "taken", async || self.panel.done(Outcome::Taken).await);
        match told.await? {
            Some(PanelResult::Collected { compartment }) => {
                self.note(order, What::ToldCollected { compartment }).await?;
                Ok(Some(()))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Whether the screen is there. Doors that stand open with nobody in front of them are pushed
    /// shut in passing.
    async fn begin(&self, doing: &'static str) -> Result<bool> {
        self.doing.set(doing);
        for compartment in self.hands.standing_open()? {
            self.hands.shut(compartment).await?;
        }
        Ok(self.panel.state().await.is_ok())
    }

    async fn hesitate(&self) {
        let (least, most) = HESITATION_MS;
        let more = self.chance.lock().unwrap_or_else(PoisonError::into_inner).below(most - least);
        let ms = least + more;
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    async fn turned_away<T>(&self) -> Result<Option<T>> {
        tokio::time::sleep(Duration::from_millis(PATIENCE_MS)).await;
        Ok(None)
    }

    /// Nobody opens a door and shuts it at once.
    async fn shut(&self, compartment: u16) -> Result<()> {
        self.hesitate().await;
        self.hesitate().await;
        self.hands.shut(compartment).await?;
        self.doing.set("about to tell, the door is shut");
        Ok(())
    }

    /// The door that opens; none if the bank opens none any more.
    async fn wait_for_door(&self, mark: usize) -> Result<Option<u16>> {
        self.doing.set("waiting for the door");
        wait_for("a door opens, or the bank says that none will", DOOR_LIMIT, async || {
            if let Some(opened) = self.hands.opened_since(mark)? {
                return Ok(Some(Some(opened)));
            }
            let Ok(state) = self.panel.state().await else { return Ok(None) };
            if opening(&state).is_some() || self.hands.is_to_open(mark)? {
                return Ok(None);
            }
            Ok(Some(self.hands.opened_since(mark)?))
        })
        .await
    }

    /// Says what happened behind the door; gives what the bank made of it, if it took it.
    async fn tell(
        &self,
        order: &Order,
        said: &str,
        tell: impl AsyncFn() -> Result<Answer>,
    ) -> Result<Option<PanelResult>> {
        wait_for("the bank takes what it is told", TELL_LIMIT, async || {
            match self.ask(order, said, tell().await).await? {
                Said::Yes(state) => Ok(Some(state.last_result)),
                // It has not seen yet that the door is shut; or it has given the door up meanwhile.
                Said::No(reason) if reason == "DOOR_OPEN" || reason == "NOT_NOW" => {
                    let state = self.panel.state().await;
                    let is_over = !state.is_ok_and(|state| opening(&state).is_some());
                    Ok(is_over.then_some(None))
                }
                Said::No(_) | Said::Nothing => Ok(Some(None)),
            }
        })
        .await
    }

    async fn sign_out(&self) {
        // Whoever is signed in still makes way for the next.
        let _ = self.panel.done(Outcome::Finished).await;
    }

    async fn ask(&self, order: &Order, asked: &str, answer: Result<Answer>) -> Result<Said> {
        let said = self.hear(answer);
        if let Said::Nothing = said {
            self.note(order, What::Unanswered { asked: asked.to_owned() }).await?;
        }
        Ok(said)
    }

    fn hear(&self, answer: Result<Answer>) -> Said {
        match answer {
            Ok(Ok(state)) => Said::Yes(Box::new(state)),
            Ok(Err(Refused(reason))) => Said::No(reason),
            Err(_) => Said::Nothing,
        }
    }

    async fn note(&self, order: &Order, what: What) -> Result<()> {
        self.diary.note(&self.bank, &order.name, what).await
    }
}
