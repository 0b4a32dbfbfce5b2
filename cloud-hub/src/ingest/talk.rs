//! What banks are told: acks, configuration, grants.

use std::collections::BTreeSet;
use std::error::Error;

use locker_core::credential::KeySet;
use locker_core::downlink::{GRANTS_PER_BATCH_MAX, GrantPosition};
use locker_core::ids::{BankId, Generation};
use locker_core::journal::View as _;
use locker_proto::message::{Ack, Birth, Config, Document, Grants};
use locker_proto::topics::DownTopic as SignedTopic;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::bank::{Born, Reading};
use super::batch::LayoutNews;
use super::link::Link;
use super::{Done, Ingest, now};
use crate::credential_keys::{CommandSigner, HubKeys};
use crate::mqtt::{DownTopic, SendError};
use crate::store::{Downlink, ReadError, StopReason};

impl<L: Link> Ingest<L> {
    /// After an accepted birth: the key set if the bank lacks it, since without it the bank believes
    /// nothing; then the ack, then what else it lacks.
    pub(super) fn begin_downlink(&mut self, bank: &BankId, birth: &Birth) {
        let epoch = self.store.epoch();
        // Grants of another epoch say nothing about ours.
        let grants_sent = if birth.grants.epoch == epoch {
            birth.grants
        } else {
            GrantPosition { epoch, gseq: 0 }
        };
        let Some(entry) = self.banks.get_mut(bank) else { return };
        // What is folded may lag behind the bank, which then hears once more what it holds.
        let held = entry.known().map(|known| known.view.meta()).unwrap_or_default();
        let signer = signer(&self.keys, bank, birth.key_set, &held.keys);
        let Some(live) = entry.session.as_mut() else { return };
        live.born = Some(Born {
            nonce: birth.nonce,
            signer,
            grants_sent,
            mode_sent: held.mode.generation,
            quota_sent: held.quota.generation,
            layout_sent: birth.layout,
            layout_sent_at: Instant::now(),
            layout_refused: false,
            acked_at: Instant::now(),
            downlink: Reading::Idle,
        });
        if birth.key_set < self.keys.key_set().generation {
            let document = Document::KeySet(self.keys.signed_key_set().clone());
            let config = Config { epoch, document };
            self.send(bank, DownTopic::Config, &config.encode());
        }
        self.send_ack(bank);
        if self.awaits_inventory(bank) {
            // Somebody may have looked since the bank was read.
            self.review(bank);
            return;
        }
        self.read_downlink(bank);
    }

    /// Reads what is new for banks, if they are there to hear it.
    pub(super) fn read_downlinks(&mut self, banks: &BTreeSet<BankId>) {
        for bank in banks {
            let told = self.born(bank).is_some() && !self.awaits_inventory(bank);
            if told { self.read_downlink(bank) } else { self.review(bank) }
        }
    }

    /// Whether nobody knows what is inside the bank: a grant or a layout would let couriers in.
    fn awaits_inventory(&mut self, bank: &BankId) -> bool {
        let known = self.banks.get_mut(bank).and_then(|entry| entry.known());
        known.is_some_and(|known| known.standing.inventory)
    }

    fn read_downlink(&mut self, bank: &BankId) {
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let Some(live) = entry.session.as_mut() else { return };
        let session = live.id;
        let Some(born) = live.born.as_mut() else { return };
        if born.downlink != Reading::Idle {
            born.downlink = Reading::UnderWayAndStale;
            return;
        }
        born.downlink = Reading::UnderWay;
        let after = born.grants_sent;
        let (store, bank) = (self.store.clone(), bank.clone());
        self.work.push(Box::pin(async move {
            let read = store.downlink(&bank, after, GRANTS_PER_BATCH_MAX).await;
            let read = read.map(|read| read.map(Box::new));
            Done::Downlink { bank, session, read }
        }));
    }

    pub(super) fn on_downlink(
        &mut self,
        bank: &BankId,
        session: L::Session,
        read: Result<Option<Box<Downlink>>, ReadError>,
    ) {
        let Some(live) = self.banks.get_mut(bank).and_then(|entry| entry.live(session)) else {
            return;
        };
        let Some(born) = live.born.as_mut() else { return };
        let stale = born.downlink == Reading::UnderWayAndStale;
        born.downlink = Reading::Idle;
        let downlink = match read {
            Ok(Some(downlink)) => downlink,
            Ok(None) => return,
            Err(error) => {
                error!(%bank, %error, source = error.source(), "grants cannot be read");
                self.link.end(session, "grants cannot be read");
                return;
            }
        };
        let claimed = born.grants_sent.gseq;
        if !self.stands(bank, session, downlink.standing) {
            return;
        }
        if claimed > downlink.last_gseq {
            let detail = format!("birth after grant {claimed} of {}", downlink.last_gseq);
            self.stop_bank(bank, StopReason::UnknownGrants, detail);
            return;
        }
        let Some(room) = self.link.room(session) else { return };
        if room <= self.limits.queue_reserve {
            self.hungry.insert(bank.clone());
            return;
        }
        let more = downlink.more;
        self.send_layout(bank, &downlink);
        self.send_terms(bank, &downlink);
        self.send_grants(bank, *downlink);
        if stale || more {
            self.read_downlink(bank);
        }
    }

    fn send_layout(&mut self, bank: &BankId, downlink: &Downlink) {
        let generation = downlink.layout.generation;
        let Some(born) = self.born(bank) else { return };
        let sent: Generation = std::mem::replace(&mut born.layout_sent, generation);
        if sent < generation {
            born.layout_sent_at = Instant::now();
            born.layout_refused = false;
            let document = Document::Layout(downlink.layout.clone());
            let config = Config { epoch: self.store.epoch(), document };
            self.send(bank, DownTopic::Config, &config.encode());
        }
    }

    /// How the bank works and what it keeps back, where that is newer than what it holds.
    fn send_terms(&mut self, bank: &BankId, downlink: &Downlink) {
        let epoch = self.store.epoch();
        let Some(born) = self.born(bank) else { return };
        let (mode, quota) = (downlink.mode, downlink.quota.clone());
        let new_mode = std::mem::replace(&mut born.mode_sent, mode.generation) < mode.generation;
        let new_quota =
            std::mem::replace(&mut born.quota_sent, quota.generation) < quota.generation;
        if new_mode {
            let config = Config { epoch, document: Document::Mode(mode) };
            self.send(bank, DownTopic::Config, &config.encode());
        }
        if new_quota {
            let config = Config { epoch, document: Document::Quota(quota) };
            self.send(bank, DownTopic::Config, &config.encode());
        }
    }

    fn send_grants(&mut self, bank: &BankId, downlink: Downlink) {
        let Downlink { grants, first, .. } = downlink;
        if grants.is_empty() {
            return;
        }
        let count = u64::try_from(grants.len()).unwrap_or(u64::MAX);
        if let Some(born) = self.born(bank) {
            born.grants_sent.gseq = first.gseq + count - 1;
        }
        let grants = Grants { first, grants, at: now() };
        self.send(bank, DownTopic::Grants, &grants.encode());
    }

    pub(super) fn born(&mut self, bank: &BankId) -> Option<&mut Born> {
        self.banks.get_mut(bank)?.session.as_mut()?.born.as_mut()
    }

    /// A layout that was refused because a compartment was in use has another chance when one has
    /// become free.
    pub(super) fn heard_of_layout(&mut self, bank: &BankId, news: LayoutNews) {
        let Some(born) = self.born(bank) else { return };
        born.layout_refused |= news.refused;
        if born.layout_refused && news.freed {
            self.unplaced.insert(bank.clone());
        }
    }

    /// Offers its layout again to a bank that refused it, unless it was offered just now.
    fn offer_layout(&mut self, bank: &BankId) {
        let layout_every = self.limits.layout_every;
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let Some(held) = entry.known().map(|known| known.view.meta().layout) else { return };
        let Some(born) = self.born(bank).filter(|born| born.layout_sent > held) else { return };
        if born.layout_sent_at.elapsed() < layout_every {
            self.unplaced.insert(bank.clone());
        } else {
            born.layout_sent = held;
            self.read_downlink(bank);
        }
    }

    /// The bank is to hear of its watermark: now, or with the next tick if it heard just now.
    pub(super) fn owe_ack(&mut self, bank: &BankId) {
        let ack_every = self.limits.ack_every;
        let due = self.born(bank).is_some_and(|born| born.acked_at.elapsed() >= ack_every);
        if due {
            self.send_ack(bank);
        } else {
            self.unacked.insert(bank.clone());
        }
    }

    pub(super) fn on_tick(&mut self) {
        for bank in std::mem::take(&mut self.unacked) {
            self.send_ack(&bank);
        }
        for bank in std::mem::take(&mut self.hungry) {
            self.read_downlink(&bank);
        }
        for bank in std::mem::take(&mut self.unplaced) {
            self.offer_layout(&bank);
        }
    }

    pub(super) fn send_ack(&mut self, bank: &BankId) {
        let epoch = self.store.epoch();
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let Some(durable) = entry.known().and_then(|known| known.durable) else { return };
        let Some(born) = entry.session.as_mut().and_then(|live| live.born.as_mut()) else { return };
        born.acked_at = Instant::now();
        let ack = Ack {
            stream: durable.stream,
            committed_seq: durable.committed,
            committed_hash: durable.hash,
            // Nothing is in a backup yet, so the bank keeps all it has.
            safe_seq: 0,
            epoch,
            nonce: born.nonce,
            at: now(),
        };
        self.unacked.remove(bank);
        self.send(bank, DownTopic::Ack, &ack.encode());
    }

    pub(super) fn send(&mut self, bank: &BankId, topic: DownTopic, payload: &[u8]) {
        let Some(live) = self.banks.get(bank).and_then(|entry| entry.session.as_ref()) else {
            return;
        };
        let signer = live.born.as_ref().map_or(CommandSigner::NEWEST, |born| born.signer);
        let signed = self.keys.sign_down(signer, signed_topic(topic), bank, payload);
        match self.link.send(live.id, topic, signed) {
            Ok(()) => {}
            Err(SendError::Gone | SendError::SlowReader) => {
                debug!(%bank, "session is gone");
            }
            Err(error @ (SendError::NotSubscribed(_) | SendError::Oversize { .. })) => {
                warn!(%bank, %error, "message not sent");
                self.link.end(live.id, "message cannot be sent");
            }
        }
    }
}

/// Which key the bank believes in this session. `held` is what is folded of it, which may lag behind
/// what it says it holds.
fn signer(keys: &HubKeys, bank: &BankId, says: Generation, held: &KeySet) -> CommandSigner {
    let ours = keys.key_set().generation;
    if says > ours {
        warn!(%bank, held = says.0, ours = ours.0, "bank holds a newer key set than this hub");
    }
    if says < ours || says != held.generation {
        // It gets ours before anything else, or we cannot know better.
        return CommandSigner::NEWEST;
    }
    keys.command_signer(held).unwrap_or_else(|| {
        error!(%bank, generation = says.0, "bank holds none of this hub's command keys");
        CommandSigner::NEWEST
    })
}

const fn signed_topic(topic: DownTopic) -> SignedTopic {
    match topic {
        DownTopic::Ack => SignedTopic::Ack,
        DownTopic::Grants => SignedTopic::Grants,
        DownTopic::Config => SignedTopic::Config,
        DownTopic::Command => SignedTopic::Command,
    }
}
