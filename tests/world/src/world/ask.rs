//! What people at a screen ask for, put into the words of the rules, and what they must be told.

use locker_core::bank::{Command, StaffFinding, Typed, may_type};
use locker_core::code::tag::Tag;
use locker_core::compartment::{Compartment, Health};
use locker_core::credential::{self, Action, KeySet};
use locker_core::ids::{CompartmentNo, CredentialId};
use locker_core::journal::View;
use locker_core::refusal::Refusal;
use locker_core::session::{Actor, Task};

use super::World;
use crate::agent::{Agent, is_full};
use crate::cast;
use crate::step::{Ask, Found, Phone};
use crate::watch::Invariant;

impl World {
    /// Somebody asks.
    pub(super) fn ask(&mut self, bank: usize, ask: &Ask) {
        let now_ms = self.now_ms;
        let expected = self.must_open(bank, ask);
        let bars = self.sites[bank].agent.as_ref().is_some_and(bars_doors);
        let command = self.command(bank, ask);
        let site = &mut self.sites[bank];
        let answer = match command {
            None => return,
            Some(Err(refusal)) => Some(Err(refusal)),
            Some(Ok(command)) => site.with(now_ms, |agent, around| agent.ask(around, command)),
        };
        match answer {
            None => {}
            Some(Ok(())) => self.served += 1,
            Some(Err(refusal)) => {
                self.refused += 1;
                *self.reasons.entry(refusal.reason()).or_default() += 1;
                if let Some((parcel, no)) = expected
                    && !is_excused(refusal, is_full(&site.disk), bars)
                {
                    let why = refusal.reason();
                    let what = format!("{why} for parcel {parcel} in {no}");
                    site.watch.breaks(Invariant::GoodCodeServed, what);
                }
            }
        }
        let reason = match answer {
            None => 1,
            Some(Ok(())) => 2,
            Some(Err(refusal)) => 3 + refusal as u64,
        };
        self.told = self.told.wrapping_mul(31).wrapping_add(reason);
    }

    /// Whether who asks holds a good code for a parcel that is inside and can be fetched: by the
    /// watcher's books, and with nobody at the screen.
    fn must_open(&self, bank: usize, ask: &Ask) -> Option<(u16, CompartmentNo)> {
        let &Ask::Show { parcel: n, nth } = ask else { return None };
        let site = &self.sites[bank];
        let view = &site.agent.as_ref()?.view;
        if view.session().is_some_and(|session| session.task != Task::Idle) {
            return None;
        }
        let code = self.code(bank, n, nth)?;
        let good = site.watch.good_code(code);
        let (parcel, no) = good.filter(|(parcel, _)| !site.watch.is_in_doubt(*parcel))?;
        // What the bank has forgotten keeps nobody from asking for it.
        let stopped =
            |held: Compartment| matches!(held.health, Health::Unreachable | Health::Stopped);
        let works = !view.compartment(no).is_some_and(stopped);
        let stays = view.parcel(parcel).is_none_or(|known| known.recall.is_none());
        (works && stays).then_some((n, no))
    }

    /// The latest code that was given out for a parcel, or the `nth` before it.
    fn code(&self, bank: usize, parcel: u16, nth: u8) -> Option<CredentialId> {
        let listed = self.hub.stores[bank].parcels.get(usize::from(parcel))?;
        listed.codes.iter().rev().nth(usize::from(nth)).copied()
    }

    /// Shows a token, which the agent checks with the keys that it holds. One that was found good is
    /// not checked again while the agent knows the time: the answer would be the same.
    fn present(
        &mut self,
        bank: usize,
        credential: CredentialId,
        action: Action,
    ) -> Option<Result<Command, Refusal>> {
        let agent = self.sites[bank].agent.as_ref()?;
        let (clock, root) = (agent.clock(self.now_ms), self.keys.root_key());
        let known = (bank, credential);
        if clock.latest.is_some()
            && let Some(token) = self.tokens.get(&known)
        {
            return Some(Ok(Command::Present(token.clone())));
        }
        let text = self.keys.token(agent.bank(), credential, action);
        let held = agent.view.meta().keys;
        let held = if held.is_signed_by(&[root]) { held } else { KeySet::default() };
        let verified = credential::verify(&text, agent.bank(), &held.keys, clock);
        if let Ok(token) = &verified {
            self.tokens.insert(known, token.clone());
        }
        Some(verified.map(Command::Present))
    }

    fn typed(&self, bank: usize, tag: Tag, suffix: Option<u8>) -> Option<Result<Command, Refusal>> {
        let agent = self.sites[bank].agent.as_ref()?;
        let now = agent.budget_moment(self.now_ms);
        let suffix = suffix.map(cast::phone);
        let may = may_type(&agent.view, suffix, &now);
        Some(may.map(|()| Command::Type(Typed { tag, suffix, now })))
    }

    fn command(&mut self, bank: usize, ask: &Ask) -> Option<Result<Command, Refusal>> {
        let n = self.sites[bank].n;
        let granted = match *ask {
            Ask::Show { parcel, nth } => {
                let code = self.code(bank, parcel, nth)?;
                return self.present(bank, code, Action::Pickup);
            }
            Ask::CourierBadge { carrier } => {
                let action = Action::Courier { carrier: cast::carrier(carrier) };
                return self.present(bank, cast::courier_badge(carrier % 2), action);
            }
            Ask::StaffBadge { person } => {
                return self.present(bank, cast::staff_badge(person % cast::STAFF), Action::Staff);
            }
            Ask::Digits { parcel, phone } => {
                let listed = self.hub.stores[bank].parcels.get(usize::from(parcel))?;
                let right = listed.phone;
                let view = &self.sites[bank].agent.as_ref()?.view;
                let held = tag_of(view, n, parcel).unwrap_or(cast::wrong_tag(0));
                let suffix = match phone {
                    Phone::Right => right,
                    Phone::Wrong => Some(99),
                    Phone::None => None,
                };
                return self.typed(bank, held, suffix);
            }
            Ask::Guess { n } => return self.typed(bank, cast::wrong_tag(n), None),
            Ask::CourierDigits { n } => {
                let view = &self.sites[bank].agent.as_ref()?.view;
                let codes = view.courier_codes().codes;
                let tag = codes.get(usize::from(n)).map(|code| code.slot.tag);
                return self.typed(bank, tag.unwrap_or(cast::wrong_tag(1)), None);
            }
            ref plain => plain_command(plain, self.sites[bank].agent.as_ref()?, self, bank)?,
        };
        Some(Ok(granted))
    }

    fn carrier_of(&self, bank: usize, parcel: u16) -> u8 {
        let listed = self.hub.stores[bank].parcels.get(usize::from(parcel));
        listed.map_or(0, |listed| listed.carrier)
    }
}

/// The digits that a parcel has at its bank.
fn tag_of(view: &impl View, bank: u8, parcel: u16) -> Option<Tag> {
    let id = cast::parcel(bank, parcel);
    view.slots().into_iter().find(|held| held.parcel == Some(id)).map(|held| held.slot.tag)
}

fn plain_command(ask: &Ask, agent: &Agent, world: &World, bank: usize) -> Option<Command> {
    Some(match *ask {
        Ask::Scan { parcel } => Command::ScanParcel(cast::label(parcel)),
        Ask::TryAgain => Command::TryAgain,
        Ask::Reopen => Command::Reopen,
        Ask::OpenNext => Command::OpenNext,
        Ask::Deposited { no } => {
            let compartment = no.map(CompartmentNo);
            // A slip of the finger is not the number of another door: the panel says so.
            if compartment.is_some_and(|no| agent.view.compartment(no).is_none()) {
                return None;
            }
            Command::ConfirmDeposited { compartment }
        }
        Ask::TookBack => Command::TookBack,
        Ask::FoundOccupied => Command::FoundOccupied,
        Ask::DoorWillNotShut => Command::DoorWillNotShut,
        Ask::DoesNotFit => Command::DoesNotFit,
        Ask::Taken => Command::ConfirmTaken,
        Ask::NotTaken => Command::NotTaken,
        Ask::RefuseParcel => Command::RefuseParcel,
        Ask::FoundEmpty => Command::FoundEmpty,
        Ask::WrongParcel => Command::WrongParcel,
        Ask::Recall { parcel } => {
            let session = agent.view.session();
            let staff = session.is_some_and(|held| matches!(held.actor, Actor::Staff { .. }));
            let carrier = staff.then(|| cast::carrier(world.carrier_of(bank, parcel)));
            Command::Recall { carrier, barcode: cast::label(parcel) }
        }
        Ask::Removed { parcel } => Command::Removed(cast::label(parcel)),
        Ask::Inspect { no } => Command::Inspect(CompartmentNo(no)),
        Ask::Found { what, parcel } => {
            let carrier = cast::carrier(world.carrier_of(bank, parcel));
            let barcode = cast::label(parcel);
            Command::Found(match what {
                Found::Nothing => StaffFinding::Empty,
                Found::Inside => StaffFinding::Holds { carrier, barcode },
                Found::TakenOut => StaffFinding::TakenOut { carrier, barcode },
                Found::HandedOver => StaffFinding::HandedOver { carrier, barcode },
            })
        }
        Ask::ResetBoard { board } => Command::ResetBoard(board),
        Ask::ResetKeypad => Command::ResetKeypad,
        Ask::LockDown => Command::LockDown,
        Ask::LiftLockdown => Command::LiftLockdown,
        Ask::Cancel => Command::Cancel,
        Ask::Finish => Command::Finish,
        Ask::Show { .. }
        | Ask::Digits { .. }
        | Ask::Guess { .. }
        | Ask::CourierDigits { .. }
        | Ask::CourierBadge { .. }
        | Ask::StaffBadge { .. } => return None,
    })
}

/// Whether somebody with a good code may be told this: by the governor, by a lockdown, by a delegate's
/// time that is over, or because the disk is full to the last byte. Not for lack of a network.
fn is_excused(refusal: Refusal, full: bool, bars: bool) -> bool {
    let bounded = [Refusal::TooManyOpenings, Refusal::CodeExpired, Refusal::SessionBusy];
    bounded.contains(&refusal)
        || (full && refusal == Refusal::StorageUnsafe)
        || (bars && refusal == Refusal::LockedDown)
}

/// Whether only staff may open doors: there is a lockdown, or records are missing.
fn bars_doors(agent: &Agent) -> bool {
    agent.view.meta().lockdown.is_some() || agent.is_incomplete()
}
