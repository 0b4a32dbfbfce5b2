//! The end of all faults: everybody starts, connects, and is told everything. What must hold then is
//! that nothing is missing anywhere.

use std::mem;

use locker_core::credential::CredentialState;
use locker_core::downlink::GrantPosition;
use locker_core::ids::Version;
use locker_core::journal::View;

use super::World;
use crate::cast::{self, BOARDS};
use crate::step::Fate;
use crate::watch::Invariant;

/// Rounds of talk after which everything must have been said. Each takes a second, so that somebody at
/// a screen is signed out on the way.
const ROUNDS_MAX: u32 = 600;
/// Time of a round.
const ROUND_MS: u64 = 2_000;
/// Messages of a round, beyond which somebody talks in circles.
const MESSAGES_MAX: u32 = 10_000;

impl World {
    pub(super) fn heal_and_check(&mut self) {
        self.heal();
        for bank in 0..self.sites.len() {
            self.check_whole(bank);
        }
    }

    /// Ends all faults and lets everybody talk until nothing is left to say.
    pub(super) fn heal(&mut self) {
        self.hub.start(self.now_ms);
        self.hub.forgive();
        self.hub.clock_offset_ms = 0;
        for bank in 0..self.sites.len() {
            let site = &mut self.sites[bank];
            site.disk.forgive();
            // A process that is to die soon does so now.
            if site.disk.is_doomed() {
                site.kill();
            }
            if site.disk.damaged().is_some() {
                let known = &self.hub.stores[bank].log_of_facts;
                site.begin_anew(self.now_ms, false, 0, known);
            }
            site.start(self.now_ms, 0);
            if let Some(agent) = &mut site.agent {
                agent.hang_up();
            }
            self.clear(bank);
            let site = &mut self.sites[bank];
            self.hub.hang_up(bank);
            site.net.clear();
            for board in 0..BOARDS {
                site.boards[usize::from(board)] = true;
                site.read_board(self.now_ms, board);
            }
            self.dial(bank);
        }
        for _ in 0..ROUNDS_MAX {
            self.now_ms += ROUND_MS;
            let quiet = (0..self.sites.len()).fold(true, |quiet, bank| {
                self.talk(bank);
                quiet && self.is_quiet(bank)
            });
            if quiet {
                return;
            }
        }
    }

    /// One bank and the hub say all that they have to say now.
    fn talk(&mut self, bank: usize) {
        let now_ms = self.now_ms;
        // A run that has put records in place, or has some to put there, has ended.
        if self.sites[bank].agent.is_none() {
            self.sites[bank].start(now_ms, 0);
            for board in 0..BOARDS {
                self.sites[bank].read_board(now_ms, board);
            }
        }
        self.clear(bank);
        while self.sites[bank].agent.as_ref().is_some_and(|agent| !agent.pulses.is_empty()) {
            self.sites[bank].settle(now_ms, Fate::Opens);
        }
        self.sites[bank].with(now_ms, |agent, around| agent.tick(around));
        self.dial(bank);
        for _ in 0..MESSAGES_MAX {
            self.send(bank);
            let site = &mut self.sites[bank];
            if let Some((connection, message)) = site.net.up.pop_front() {
                self.tell_hub(bank, connection, &message);
            } else if let Some((connection, message)) = site.net.down.pop_front() {
                self.tell_bank(bank, connection, &message);
            } else if self.hub.has_pending(bank) {
                self.hub.commit(bank, &mut site.net, &mut site.watch, now_ms);
            } else {
                self.hub.send_downlink(bank, &mut site.net, now_ms);
                if site.net.down.is_empty() {
                    return;
                }
            }
        }
    }

    fn is_quiet(&self, bank: usize) -> bool {
        let site = &self.sites[bank];
        let Some(agent) = &site.agent else { return false };
        let committed = self.hub.stores[bank].cursor.map(|cursor| cursor.committed);
        let quiet = agent.pulses.is_empty() && agent.view.session().is_none();
        quiet && !self.hub.awaits_somebody(bank) && committed == Some(agent.head().0)
    }

    fn check_whole(&mut self, bank: usize) {
        let store = &self.hub.stores[bank];
        let site = &mut self.sites[bank];
        let Some(agent) = &site.agent else {
            let why = format!("the agent does not run: {}", site.died_of);
            site.watch.breaks(Invariant::HealsWhole, why);
            return;
        };
        let (head, hash) = agent.head();
        let Some(cursor) = store.cursor else {
            site.watch.breaks(Invariant::HealsWhole, "the hub has never heard of the bank");
            return;
        };
        let mut say = |invariant, what: String| site.watch.breaks(invariant, what);
        if (cursor.committed, cursor.hash) != (head, hash) {
            say(Invariant::HealsWhole, format!("{} of {head} committed", cursor.committed));
        } else if store.view != agent.view {
            say(Invariant::SameFold, format!("hub and bank at record {head}"));
        }
        if store.effects != head {
            say(Invariant::HubClaimsNoMore, format!("{} effects of {head}", store.effects));
        }
        let (answered, decided) = (agent.view.meta().grants, store.log.len() as u64);
        let all = GrantPosition { epoch: store.log_epoch, gseq: decided };
        if answered != all && decided > 0 {
            say(Invariant::HealsWhole, format!("{answered:?} of {all:?} decisions answered"));
        }
        if store.log_waits {
            say(Invariant::HealsWhole, "no log of decisions was begun again".to_owned());
        }
        // One that somebody was at when the decision came was refused: whoever has begun goes on.
        let dead = |(n, told): &&(u16, Version)| {
            let held = agent.view.parcel(cast::parcel(site.n, *n));
            held.is_none_or(|held| {
                let code = agent.view.credential(held.credential);
                let good = code.is_some_and(|code| code.state == CredentialState::Active);
                let closed = held.recall.is_some() || held.state.settled_at().is_some();
                held.version != *told || closed || !good
            })
        };
        if let Some((n, _)) = store.gone.iter().find(|gone| !dead(gone)) {
            let what = format!("parcel {n} has left, and codes for it are good");
            say(Invariant::DeadCodeOpensNothing, what);
        }
        if agent.is_incomplete() {
            say(Invariant::HealsWhole, "the bank still waits for its records".to_owned());
        }
        if agent.view.session().is_some() {
            say(Invariant::HealsWhole, "somebody is still at the screen".to_owned());
        }
        // Whatever was done to the disk, bank and hub have agreed about it: from here on a birth has one answer.
        if site.watch.broken.is_none() && mem::take(&mut site.watch.disk_was_changed) {
            site.watch.may_look_like_two = false;
            site.whole_since_backup = true;
        }
    }
}
