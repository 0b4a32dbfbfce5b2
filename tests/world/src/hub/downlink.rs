//! What the hub tells banks: acks, documents, decisions, orders, and a lie now and then.

use locker_core::downlink::{GRANTS_PER_BATCH_MAX, Grant, GrantPosition};
use locker_core::journal::ChainHash;
use locker_proto::message::{Ack, Command, CommandKind, Config, Document, Grants};
use locker_proto::topics::DownTopic;

use super::{Hub, Store};
use crate::cast;
use crate::net::{DownMessage, Net};
use crate::step::Order;

/// How long an order holds.
const ORDER_HOLDS_MS: u64 = 60_000;

impl Hub {
    /// Tells a bank how far it is durable.
    pub fn send_ack(&self, bank: usize, net: &mut Net, now_ms: u64) {
        let Some((connection, born)) = self.born(bank) else { return };
        let Store { cursor: Some(cursor), safe, .. } = &self.stores[bank] else { return };
        let ack = Ack {
            stream: cursor.stream,
            committed_seq: cursor.committed,
            committed_hash: cursor.hash,
            safe_seq: *safe,
            epoch: self.epoch,
            nonce: born.nonce,
            at: self.clock(now_ms),
        };
        let payload = ack.encode();
        net.send_down(connection, DownMessage { topic: DownTopic::Ack, payload });
    }

    /// A word that the hub has what it has not: above the bank's head, or with another hash.
    pub fn lie(&self, bank: usize, above_head: bool, net: &mut Net, now_ms: u64) {
        let Some((connection, born)) = self.born(bank) else { return };
        let Some(cursor) = self.stores[bank].cursor else { return };
        let ahead = if above_head { 1_000_000 } else { 0 };
        let ack = Ack {
            stream: cursor.stream,
            committed_seq: cursor.committed + ahead,
            committed_hash: ChainHash([9; 32]),
            safe_seq: cursor.committed + ahead,
            epoch: self.epoch,
            nonce: born.nonce,
            at: self.clock(now_ms),
        };
        let payload = ack.encode();
        net.send_down(connection, DownMessage { topic: DownTopic::Ack, payload });
    }

    /// Orders a lockdown.
    pub fn order(&mut self, bank: usize, order: Order, net: &mut Net, now_ms: u64) {
        self.orders += 1;
        let (id, at) = (self.orders, self.clock(now_ms));
        let Some((connection, born)) = self.born(bank) else { return };
        let n = u8::try_from(bank).unwrap_or_default();
        let command = Command {
            id: cast::order(n, id),
            bank: cast::bank(n),
            nonce: if order == Order::OfOldConnection { cast::nonce(n, 0) } else { born.nonce },
            not_after: match order {
                Order::Late => at.minus_ms(ORDER_HOLDS_MS),
                Order::Fresh | Order::OfOldConnection => at.plus_ms(ORDER_HOLDS_MS),
            },
            kind: Some(CommandKind::LockDown),
        };
        let payload = command.encode();
        net.send_down(connection, DownMessage { topic: DownTopic::Command, payload });
    }

    /// Sends documents and decisions that a bank was not sent on its connection.
    pub fn send_downlink(&mut self, bank: usize, net: &mut Net, now_ms: u64) {
        let at = self.clock(now_ms);
        let Some(session) = &mut self.sessions[bank] else { return };
        let (connection, store) = (session.connection, &self.stores[bank]);
        if store.inventory {
            return;
        }
        let Some(born) = &mut session.born else { return };
        let mut news = Vec::new();
        if born.layout < store.layout.generation {
            born.layout = store.layout.generation;
            news.push(Document::Layout(store.layout.clone()));
        }
        if born.mode < store.mode.generation {
            born.mode = store.mode.generation;
            news.push(Document::Mode(store.mode));
        }
        if born.quota < store.quota.generation {
            born.quota = store.quota.generation;
            news.push(Document::Quota(store.quota.clone()));
        }
        if born.courier_codes < store.courier_codes.generation {
            born.courier_codes = store.courier_codes.generation;
            news.push(Document::CourierCodes(store.courier_codes.clone()));
        }
        if store.log_waits {
            // Not begun yet.
            return self.send_documents(bank, news, net);
        }
        let sent = usize::try_from(born.grants_sent).unwrap_or(usize::MAX);
        let unsent: Vec<Grant> =
            store.log.iter().skip(sent).take(GRANTS_PER_BATCH_MAX).cloned().collect();
        let first = GrantPosition { epoch: store.log_epoch, gseq: born.grants_sent + 1 };
        born.grants_sent += unsent.len() as u64;
        self.send_documents(bank, news, net);
        if !unsent.is_empty() {
            let payload = Grants { first, grants: unsent, at }.encode();
            net.send_down(connection, DownMessage { topic: DownTopic::Grants, payload });
        }
    }

    fn send_documents(&self, bank: usize, news: Vec<Document>, net: &mut Net) {
        for document in news {
            self.send_config(bank, document, net);
        }
    }

    pub(super) fn send_config(&self, bank: usize, document: Document, net: &mut Net) {
        let Some(session) = &self.sessions[bank] else { return };
        let nonce = session.born.as_ref().map(|born| born.nonce);
        let payload = Config { epoch: self.epoch, document, nonce }.encode();
        net.send_down(session.connection, DownMessage { topic: DownTopic::Config, payload });
    }
}
