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
use tracing::{debug, error, info, warn};

use super::bank::{Born, Documents, Reading, Told};
use super::batch::LayoutNews;
use super::link::Link;
use super::tasks::{decided, read};
use super::{Done, Ingest, now};
use crate::credential_keys::{CommandSigner, HubKeys};
use crate::mqtt::{DownTopic, SendError};
use crate::store::{
    BeginGrantLog, Downlink, ReadError, StopReason, Store, SweepGrants, WriteError,
};

impl<L: Link> Ingest<L> {
    /// After an accepted birth: the key set if the bank lacks it, since without it the bank believes
    /// nothing; then the ack, then what else it lacks.
    pub(super) fn begin_downlink(&mut self, bank: &BankId, birth: &Birth) {
        let epoch = self.store.epoch();
        if birth.config_epoch > epoch {
            let said = birth.config_epoch.0;
            let detail = format!("birth with documents of epoch {said}, later than {}", epoch.0);
            self.stop_bank(bank, StopReason::UnknownGrants, detail);
            return;
        }
        let Some(entry) = self.banks.get_mut(bank) else { return };
        // What is folded may lag behind the bank, which then hears once more what it holds.
        let held = entry.known().map(|known| known.view.meta()).unwrap_or_default();
        let Some(live) = entry.session.as_mut() else { return };
        live.born = Some(Born {
            nonce: birth.nonce,
            head: birth.head_seq,
            grants_sent: birth.grants,
            awaits_facts: false,
            documents: Documents::of(birth, &held, epoch),
            code_keys: birth.code_keys,
            layout_sent_at: Instant::now(),
            layout_refused: false,
            acked_at: Instant::now(),
            downlink: Reading::Idle,
        });
        if birth.key_set < self.keys.key_set().generation {
            let document = Document::KeySet(self.keys.signed_key_set().clone());
            let config = Config { epoch, document, nonce: Some(birth.nonce) };
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
        let held = born.grants_sent;
        let (store, bank) = (self.store.clone(), bank.clone());
        let of = bank.clone();
        let reading =
            read(&self.reads, async move { store.downlink(&of, held, GRANTS_PER_BATCH_MAX).await });
        self.work.push(Box::pin(async move {
            let read = reading.await.map(|read| read.map(Box::new));
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
        let held = born.grants_sent;
        if !self.stands(bank, session, downlink.standing) {
            return;
        }
        let last = downlink.last;
        // It was sent nothing of a log that waits to begin.
        let impossible =
            if downlink.ended.is_some() { held.epoch >= last.epoch } else { held > last };
        if impossible {
            let (said, epoch) = (held.gseq, held.epoch.0);
            let detail =
                format!("birth after grant {said} of {} in epoch {epoch}", downlink.last.gseq);
            self.stop_bank(bank, StopReason::UnknownGrants, detail);
            return;
        }
        self.judge_code_keys(bank, downlink.codes_generation);
        let Some(room) = self.link.room(session) else { return };
        if room <= self.limits.queue_reserve {
            self.hungry.insert(bank.clone());
            return;
        }
        let more = downlink.more;
        self.send_documents(bank, &downlink);
        if downlink.ended.is_some() {
            self.begin_grant_log(bank, session);
            return;
        }
        self.send_grants(bank, *downlink);
        if stale || more {
            self.read_downlink(bank);
        }
    }

    /// To a bank with other keys than its own every code would be wrong: it gets none, and somebody
    /// must know.
    fn judge_code_keys(&mut self, bank: &BankId, generation: Generation) {
        let Some(master) = self.store.code_master() else { return };
        let Some(told) = self.born(bank).and_then(|born| born.code_keys.take()) else { return };
        if master.tag_keys(bank, generation).fingerprint() != told {
            warn!(%bank, "bank has other code keys than were made for it");
        }
    }

    /// Begins the bank's log anew after a restore, once it is known what the bank has done.
    fn begin_grant_log(&mut self, bank: &BankId, session: L::Session) {
        let code_master = self.store.code_master();
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let durable = entry.known().and_then(|known| known.durable);
        let committed = durable.map_or(0, |durable| durable.committed);
        let Some(born) = entry.session.as_mut().and_then(|live| live.born.as_mut()) else { return };
        born.awaits_facts = committed < born.head;
        if born.awaits_facts {
            return;
        }
        born.downlink = Reading::UnderWay;
        let (held, at) = (born.grants_sent, now());
        let begin = BeginGrantLog { bank: bank.clone(), held, code_master, now: at };
        info!(%bank, held = held.epoch.0, ours = self.store.epoch().0, "grants begin anew");
        let (outcome, bank) = (decided(&self.store, begin), bank.clone());
        self.work.push(Box::pin(async move {
            let outcome = outcome.await;
            Done::GrantLogBegun { bank, session, outcome }
        }));
    }

    pub(super) fn on_grant_log_begun(
        &mut self,
        bank: &BankId,
        session: L::Session,
        outcome: Result<(), WriteError>,
    ) {
        let Some(live) = self.banks.get_mut(bank).and_then(|entry| entry.live(session)) else {
            return;
        };
        if let Some(born) = &mut live.born {
            born.downlink = Reading::Idle;
        }
        match outcome {
            Ok(()) => {
                sweep_grants(&self.store);
                self.read_downlink(bank);
            }
            Err(error) => {
                error!(%bank, %error, source = error.source(), "grants not begun anew");
                self.link.end(session, "grants not begun anew");
            }
        }
    }

    /// The bank's facts may be all committed that its log of grants waits for.
    pub(super) fn heard_facts(&mut self, bank: &BankId) {
        if self.born(bank).is_some_and(|born| std::mem::take(&mut born.awaits_facts)) {
            self.read_downlink(bank);
        }
    }

    /// The documents that are newer than what the bank holds.
    fn send_documents(&mut self, bank: &BankId, downlink: &Downlink) {
        let epoch = self.store.epoch();
        let Some(born) = self.born(bank) else { return };
        let Downlink { layout, mode, quota, courier_codes, .. } = downlink;
        let (nonce, mut news) = (Some(born.nonce), Vec::new());
        if born.documents.layout.send(layout.generation) {
            born.layout_sent_at = Instant::now();
            born.layout_refused = false;
            news.push(Document::Layout(layout.clone()));
        }
        if born.documents.mode.send(mode.generation) {
            news.push(Document::Mode(*mode));
        }
        if born.documents.quota.send(quota.generation) {
            news.push(Document::Quota(quota.clone()));
        }
        if born.documents.courier_codes.send(courier_codes.generation) {
            news.push(Document::CourierCodes(courier_codes.clone()));
        }
        for document in news {
            let config = Config { epoch, document, nonce };
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
            born.grants_sent = GrantPosition { gseq: first.gseq + count - 1, ..first };
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
        let (layout_every, epoch) = (self.limits.layout_every, self.store.epoch());
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let Some(folded) = entry.known().map(|known| known.view.meta()) else { return };
        let Some(born) = self.born(bank) else { return };
        let held = born.documents.folded_layout(&folded, epoch);
        let Told::Ours(sent) = born.documents.layout else { return };
        if !held.lacks(sent) {
            return;
        }
        if born.layout_sent_at.elapsed() < layout_every {
            self.unplaced.insert(bank.clone());
        } else {
            born.documents.layout = held;
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
            self.give_back(&bank);
            self.read_downlink(&bank);
        }
        for bank in std::mem::take(&mut self.unplaced) {
            self.offer_layout(&bank);
        }
        self.look_for_outages();
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
            safe_seq: self.store.safe_seq(bank, durable.stream).min(durable.committed),
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
        let signer = live.signer;
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

/// Deletes what nobody is sent any more, a portion at a time, in a task of its own.
pub(super) fn sweep_grants(store: &Store) {
    let store = store.clone();
    tokio::spawn(async move {
        loop {
            match store.decide(SweepGrants).await {
                Ok(true) => {}
                Ok(false) | Err(WriteError::Closed) => return,
                Err(error) => {
                    error!(%error, source = error.source(), "old grants not deleted");
                    return;
                }
            }
        }
    });
}

/// Which key the bank believes in this session. `held` is what is folded of it, which may lag behind
/// what it says it holds.
pub(super) fn signer(
    keys: &HubKeys,
    bank: &BankId,
    says: Generation,
    held: &KeySet,
) -> CommandSigner {
    let ours = keys.key_set().generation;
    if says > ours {
        warn!(%bank, held = says.0, ours = ours.0, "bank holds a newer key set than this hub");
    }
    if says != held.generation {
        // Memory lags behind the bank: it gets ours before anything else, or we cannot know better.
        return CommandSigner::NEWEST;
    }
    // Also if it is to get ours: a bank that does not know the root of ours goes on with what it holds.
    keys.command_signer(held).unwrap_or_else(|| {
        if says == ours {
            error!(%bank, generation = says.0, "bank holds none of this hub's command keys");
        }
        CommandSigner::NEWEST
    })
}

const fn signed_topic(topic: DownTopic) -> SignedTopic {
    match topic {
        DownTopic::Ack => SignedTopic::Ack,
        DownTopic::Grants => SignedTopic::Grants,
        DownTopic::Config => SignedTopic::Config,
        DownTopic::Command => SignedTopic::Command,
        DownTopic::Restore => SignedTopic::Restore,
    }
}
