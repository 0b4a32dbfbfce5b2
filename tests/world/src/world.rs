//! The world: sites, a hub, and the time. It does one step after the other, and decides nothing.

mod ask;
mod heal;

use std::collections::BTreeMap;

use locker_core::bank::{Observation, PowerSource};
use locker_core::credential::VerifiedToken;
use locker_core::ids::CredentialId;
use locker_proto::topics::DownTopic;

use crate::agent::Inbox;
use crate::cast::{self, BOARDS, Keys, LOCKS};
use crate::hub::Hub;
use crate::net::{DownMessage, UpMessage};
use crate::rng::Rng;
use crate::site::{Door, Site};
use crate::step::{End, Step, Way, What};
use crate::watch::Broken;

/// When a world begins: 2026-01-01.
const BEGINS_MS: u64 = 1_767_225_600_000;

/// Everything there is.
pub struct World {
    pub now_ms: u64,
    pub sites: Vec<Site>,
    pub hub: Hub,
    keys: Keys,
    /// Tokens that an agent has found good.
    tokens: BTreeMap<(usize, CredentialId), VerifiedToken>,
    /// Answers that people got, good and bad.
    pub served: u64,
    pub refused: u64,
    /// Why people were refused, counted.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Grows with everything that anybody was told: two worlds with one story have the same.
    told: u64,
}

impl World {
    /// `banks` banks, each with a layout and nothing inside.
    #[must_use]
    pub fn new(banks: u8) -> Self {
        let keys = Keys::default();
        let mut world = Self {
            now_ms: BEGINS_MS,
            sites: (0..banks).map(Site::new).collect(),
            hub: Hub::new(banks, &keys, BEGINS_MS),
            keys,
            tokens: BTreeMap::new(),
            served: 0,
            refused: 0,
            reasons: BTreeMap::new(),
            told: 0,
        };
        world.heal();
        world
    }

    /// The first promise that was broken, and at which bank.
    #[must_use]
    pub fn broken(&self) -> Option<(u8, &Broken)> {
        self.sites.iter().find_map(|site| site.watch.broken.as_ref().map(|it| (site.n, it)))
    }

    /// A number that two worlds share only if the same happened in them.
    #[must_use]
    pub fn trace(&self) -> u64 {
        let mut trace = Rng::new(self.told ^ self.now_ms);
        for site in &self.sites {
            let hash = site.watch.chain.last().map_or([0; 32], |hash| hash.0);
            let [a, b, c, d, e, f, g, h, ..] = hash;
            let head = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            trace = Rng::new(trace.next() ^ head);
        }
        trace.next()
    }

    /// Does a step.
    pub fn apply(&mut self, step: &Step) {
        self.now_ms += step.after_ms;
        let now_ms = self.now_ms;
        let bank = usize::from(step.what.bank().unwrap_or(0));
        if bank >= self.sites.len() {
            return;
        }
        match &step.what {
            What::Ask { ask, .. } => self.ask(bank, ask),
            What::Settle { fate, .. } => self.sites[bank].settle(now_ms, *fate),
            What::Door { lock, open, .. } => self.door(bank, *lock, *open),
            What::Lie { lock, open, .. } => {
                let lock = lock % LOCKS;
                self.sites[bank].doors[usize::from(lock)].reads_open = *open;
                self.sites[bank].sense(now_ms, lock);
            }
            What::Board { board, up, .. } => {
                let board = board % BOARDS;
                self.sites[bank].boards[usize::from(board)] = *up;
                self.sites[bank].read_board(now_ms, board);
            }
            What::Doubt { lock, .. } => {
                let seen = Observation::SensorDoubt { lock: cast::lock(*lock) };
                self.sites[bank].with(now_ms, |agent, around| agent.observe(around, seen));
            }
            What::Power { board, .. } => {
                let seen = Observation::BoardPower { board: board % BOARDS };
                self.sites[bank].with(now_ms, |agent, around| agent.observe(around, seen));
            }
            What::Mains { on, .. } => {
                let source = if *on { PowerSource::Mains } else { PowerSource::Battery };
                let seen = Observation::Power(source);
                self.sites[bank].with(now_ms, |agent, around| agent.observe(around, seen));
            }
            What::Tick { .. } => {
                self.sites[bank].with(now_ms, |agent, around| agent.tick(around));
            }
            What::ClockSet { by_ms, .. } => self.sites[bank].system_offset_ms += by_ms,
            What::Heal => self.heal_and_check(),
            What::Send { .. } => self.send(bank),
            What::Dial { .. }
            | What::Up { .. }
            | What::Down { .. }
            | What::HangUp { .. }
            | What::Replay { .. }
            | What::LyingAck { .. } => self.on_line(bank, &step.what),
            What::Commit { .. }
            | What::Ack { .. }
            | What::Decide { .. }
            | What::Document { .. }
            | What::Order { .. }
            | What::Backup
            | What::HubRestored
            | What::HubClock { .. }
            | What::HubDies { .. }
            | What::HubStarts => self.at_hub(bank, &step.what),
            What::Dies { .. }
            | What::PowerCut { .. }
            | What::Starts { .. }
            | What::SyncFails { .. }
            | What::SyncLies { .. }
            | What::WriteFails { .. }
            | What::Full { .. }
            | What::Roomy { .. } => self.at_machine(bank, &step.what),
            What::DiskCopied { .. }
            | What::DiskPutBack { .. }
            | What::DiskLost { .. }
            | What::Damaged { .. }
            | What::BegunAnew { .. } => self.at_disk(bank, &step.what),
            What::Cleared { .. } => self.clear(bank),
        }
    }

    /// The agent sends what it may.
    fn send(&mut self, bank: usize) {
        let now_ms = self.now_ms;
        let site = &mut self.sites[bank];
        if site.agent.is_none() {
            return;
        }
        let sent = site.with(now_ms, |agent, _| agent.send_facts(now_ms)).unwrap_or_default();
        let Some(connection) = site.agent.as_ref().and_then(|agent| agent.connection.as_ref())
        else {
            return;
        };
        let id = connection.id;
        site.net.up.extend(sent.into_iter().map(|message| (id, message)));
    }

    fn door(&mut self, bank: usize, lock: u8, open: bool) {
        let lock = lock % LOCKS;
        self.sites[bank].doors[usize::from(lock)] = Door { open, reads_open: open };
        self.sites[bank].sense(self.now_ms, lock);
    }

    fn on_line(&mut self, bank: usize, what: &What) {
        let now_ms = self.now_ms;
        let site = &mut self.sites[bank];
        match what {
            What::Dial { .. } => self.dial(bank),
            What::Up { way, .. } => {
                let Some((connection, message)) = travel(&mut site.net.up, *way) else { return };
                self.tell_hub(bank, connection, &message);
            }
            What::Down { way, .. } => {
                let Some((connection, message)) = travel(&mut site.net.down, *way) else { return };
                self.tell_bank(bank, connection, &message);
            }
            What::HangUp { end, .. } => {
                if matches!(end, End::Agent | End::Both)
                    && let Some(agent) = &mut site.agent
                {
                    agent.hang_up();
                }
                if matches!(end, End::Hub | End::Both) {
                    self.hub.hang_up(bank);
                }
                if *end == End::Both {
                    site.net.clear();
                }
            }
            What::Replay { n, .. } => {
                let heard = &site.net.overheard;
                if heard.is_empty() {
                    return;
                }
                let message = heard[usize::from(*n) % heard.len()].clone();
                let connection = site.agent.as_ref().and_then(|agent| agent.connection.as_ref());
                let Some(id) = connection.map(|held| held.id) else { return };
                self.tell_bank(bank, id, &message);
            }
            What::LyingAck { above_head, .. } => {
                self.hub.lie(bank, *above_head, &mut site.net, now_ms);
            }
            _ => {}
        }
    }

    /// The agent begins a connection, unless it is in one that goes on.
    fn dial(&mut self, bank: usize) {
        let now_ms = self.now_ms;
        let site = &mut self.sites[bank];
        let Some(agent) = &mut site.agent else { return };
        if agent.connection.is_some() && !agent.is_stalled(now_ms) {
            return;
        }
        agent.hang_up();
        if !self.hub.up {
            return;
        }
        // What an earlier session sent has its end first.
        self.hub.commit(bank, &mut site.net, &mut site.watch, now_ms);
        site.net.clear();
        site.net.connections += 1;
        let id = site.net.connections;
        self.hub.connected(bank, id, now_ms);
        let birth = site.with(now_ms, |agent, around| Ok(agent.dial(around, id)));
        self.sites[bank].net.up.extend(birth.map(|birth| (id, birth)));
    }

    fn tell_hub(&mut self, bank: usize, connection: u32, message: &UpMessage) {
        let Site { net, watch, .. } = &mut self.sites[bank];
        self.hub.hear(bank, connection, message, net, watch, self.now_ms);
    }

    fn tell_bank(&mut self, bank: usize, connection: u32, message: &DownMessage) {
        let (now_ms, root) = (self.now_ms, self.keys.root_key());
        let site = &mut self.sites[bank];
        let here = site.agent.as_ref().and_then(|agent| agent.connection.as_ref());
        if here.map(|held| held.id) != Some(connection) {
            return;
        }
        let heard = site.with(now_ms, |agent, around| agent.hear(around, message, root));
        if message.topic == DownTopic::Config {
            site.read_new(now_ms);
        }
        if heard == Some(Inbox::HangsUp)
            && let Some(agent) = &mut site.agent
        {
            agent.hang_up();
        }
        self.told = self.told.wrapping_mul(31).wrapping_add(u64::from(heard.is_some()));
    }

    fn at_hub(&mut self, bank: usize, what: &What) {
        let now_ms = self.now_ms;
        if matches!(what, What::HubRestored) {
            // What it had heard of a bank since the disk was changed it has forgotten with all else.
            for site in &mut self.sites {
                site.watch.disk_was_changed |= site.whole_since_backup;
                site.watch.may_look_like_two |= site.watch.disk_was_changed;
            }
        }
        let Site { net, watch, .. } = &mut self.sites[bank];
        let hub = &mut self.hub;
        match what {
            What::HubStarts => hub.start(now_ms),
            What::HubRestored => hub.restore(now_ms),
            What::HubDies { effects: 0 } => hub.die(),
            What::HubDies { effects } => hub.light_fuse(*effects),
            What::HubClock { by_ms } => hub.clock_offset_ms = *by_ms,
            _ if !hub.up => {}
            What::Commit { .. } => hub.commit(bank, net, watch, now_ms),
            What::Ack { .. } => hub.send_ack(bank, net, now_ms),
            What::Decide { decision, .. } => {
                hub.decide(bank, *decision, now_ms);
                hub.send_downlink(bank, net, now_ms);
            }
            What::Document { document, .. } => {
                hub.issue(bank, *document, now_ms);
                hub.send_downlink(bank, net, now_ms);
            }
            What::Order { order, .. } => hub.order(bank, *order, net, now_ms),
            What::Backup => {
                hub.back_up();
                for site in &mut self.sites {
                    site.whole_since_backup = false;
                }
            }
            _ => {}
        }
    }

    fn at_machine(&mut self, bank: usize, what: &What) {
        let now_ms = self.now_ms;
        let site = &mut self.sites[bank];
        match what {
            What::Dies { effects: 0, .. } => site.kill(),
            What::Dies { effects, .. } if site.agent.is_some() => {
                site.disk.light_fuse(u32::from(*effects));
            }
            What::PowerCut { coin, .. } => site.cut_power(*coin),
            What::Starts { effects, .. } => site.start(now_ms, *effects),
            What::SyncFails { .. } => site.disk.fail_sync(),
            What::SyncLies { .. } => site.disk.lie_at_sync(),
            What::WriteFails { .. } => site.disk.fail_write(),
            What::Full { room_bytes, .. } => site.disk.set_room(Some(u64::from(*room_bytes))),
            What::Roomy { .. } => site.disk.set_room(None),
            _ => {}
        }
    }
}

impl World {
    /// The disk is handled by people. That takes a while, in which the connection ends.
    fn at_disk(&mut self, bank: usize, what: &What) {
        let now_ms = self.now_ms;
        let site = &mut self.sites[bank];
        match what {
            What::DiskCopied { coin, .. } => {
                site.cut_power(*coin);
                site.copy_disk();
            }
            What::DiskPutBack { .. } if site.put_disk_back() => self.hub.hang_up(bank),
            What::DiskLost { .. } => {
                site.lose_disk(&self.hub.stores[bank].log_of_facts);
                self.hub.hang_up(bank);
            }
            What::Damaged { coin, .. } => {
                site.disk.damage(&crate::agent::journal_dir(), &mut Rng::new(*coin));
            }
            What::BegunAnew { kept, effects, .. } => {
                let known = &self.hub.stores[bank].log_of_facts;
                site.begin_anew(now_ms, *kept, *effects, known);
                self.hub.hang_up(bank);
            }
            _ => {}
        }
    }

    /// Somebody has looked after whatever the hub raised an alarm for.
    fn clear(&mut self, bank: usize) {
        if !self.hub.awaits_somebody(bank) {
            return;
        }
        let site = &mut self.sites[bank];
        if self.hub.clear(bank) {
            site.watch.emptied();
        }
        if let Some(agent) = &mut site.agent {
            agent.hang_up();
        }
        site.net.clear();
    }
}

/// Takes a message off the line, if it arrives.
fn travel<T: Clone>(line: &mut std::collections::VecDeque<T>, way: Way) -> Option<T> {
    match way {
        Way::Arrives => line.pop_front(),
        Way::IsLost => {
            line.pop_front();
            None
        }
        Way::ArrivesAndStays => line.front().cloned(),
        Way::IsOvertaken if line.len() > 1 => line.remove(1),
        Way::IsOvertaken => line.pop_front(),
    }
}
