//! The agent's end of a connection: birth, first ack, then facts, paced by the real sender.

use locker_core::credential::RootKey;
use locker_core::downlink::config_epoch;
use locker_core::ids::BankId;
use locker_core::journal::stream::ladder;
use locker_core::journal::{ChainHash, Place, View};
use locker_core::uplink::Sender;
use locker_proto::message::{Ack, Batch, Birth, Command, Config, Grants, Nonce};
use locker_proto::message::{Restore, RestoreKind};
use locker_proto::topics::DownTopic;

use edge_agent::journal::ReadError;
use edge_agent::store::{Run, Taken};

use super::{Agent, Around, Died};
use crate::cast;
use crate::net::{DownMessage, UpMessage};
use crate::watch::Watch;

/// A connection as the agent sees it.
#[derive(Debug)]
pub struct Connection {
    /// Its number among all of the bank's.
    pub id: u32,
    nonce: Nonce,
    born_at_ms: u64,
    sender: Sender,
    /// The hub has answered the birth.
    pub linked: bool,
}

/// What the agent makes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbox {
    Taken,
    /// It ends the connection.
    HangsUp,
}

impl Agent {
    /// Begins connection `id`: the birth, for the hub to get. The hub's time counts from here.
    pub fn dial(&mut self, around: &Around<'_>, id: u32) -> UpMessage {
        self.connections += 1;
        self.missed = false;
        let nonce = cast::nonce(self.n, id);
        let mut sender = Sender::new(0);
        sender.born(self.monotonic_ms(around.now_ms));
        let born_at_ms = around.now_ms;
        self.connection = Some(Connection { id, nonce, born_at_ms, sender, linked: false });
        UpMessage::Birth(self.birth(around, nonce).encode())
    }

    fn birth(&self, around: &Around<'_>, nonce: Nonce) -> Birth {
        let (head_seq, head_hash) = self.head();
        let (meta, (at, quality)) = (self.view.meta(), self.stamp(around));
        Birth {
            stream: self.stream,
            parent: meta.parent,
            device_key: meta.device_key,
            ladder: self.ladder(around.watch),
            boot: self.boot,
            boot_count: meta.boot_count,
            connection_count: self.connections,
            nonce,
            agent_version: "world".to_owned(),
            oldest_seq: self.history.journal().oldest_seq(),
            head_seq,
            head_hash,
            grants: meta.grants,
            layout: meta.layout,
            key_set: meta.keys.generation,
            kids: meta.keys.keys.iter().map(|key| key.kid).collect(),
            at,
            quality,
            mode: Some(meta.mode.generation),
            quota: Some(meta.quota.generation),
            courier_codes: Some(self.view.courier_codes().generation),
            code_keys: None,
            config_epoch: config_epoch(&self.view),
        }
    }

    /// Where the hub may look for a common past. The hashes are the watcher's, which were those of the
    /// journal when it was opened: reading them all anew at each birth would be most of a world's work.
    fn ladder(&self, watch: &Watch) -> Vec<Place> {
        let (oldest, head) = (self.history.journal().oldest_seq(), self.head().0);
        let seqs = ladder(oldest, head, self.doubted);
        let place = |seq| watch.hash_at(seq).map(|hash| Place { seq, hash });
        seqs.into_iter().filter_map(place).collect()
    }

    /// Whether anything may go out now.
    #[must_use]
    pub fn has_facts(&self) -> bool {
        let (head, _) = self.head();
        self.connection.as_ref().is_some_and(|held| held.sender.window(head).is_some())
    }

    /// Batches that may go out now.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn send_facts(&mut self, now_ms: u64) -> Result<Vec<UpMessage>, Died> {
        let (head, now_ms) = (self.head().0, self.monotonic_ms(now_ms));
        let mut batches = Vec::new();
        let journal = self.history.journal();
        let Some(connection) = &mut self.connection else { return Ok(batches) };
        while let Some(window) = connection.sender.window(head) {
            let previous = journal.hash_at(window.from_seq - 1).map_err(Died::from_error)?;
            let run = journal.read(window.from_seq, window.max_records, window.max_bytes);
            let run = run.map_err(Died::from_error)?;
            let Some(last_seq) = run.last().map(|stored| stored.seq) else { break };
            let batch = Batch {
                stream: self.stream,
                first_seq: window.from_seq,
                previous: ChainHash(previous),
                records: run.into_iter().map(|stored| stored.record).collect(),
            };
            batches.push(UpMessage::Facts(batch.encode()));
            connection.sender.sent(last_seq, now_ms);
        }
        Ok(batches)
    }

    /// Whether the connection is of no more use.
    #[must_use]
    pub fn is_stalled(&self, now_ms: u64) -> bool {
        let now_ms = self.monotonic_ms(now_ms);
        self.connection.as_ref().is_some_and(|held| held.sender.stalled(now_ms))
    }

    /// The connection has ended.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    /// A message of the hub has come in.
    ///
    /// # Errors
    ///
    /// The run has ended.
    pub fn hear(
        &mut self,
        around: &mut Around<'_>,
        message: &DownMessage,
        root: RootKey,
    ) -> Result<Inbox, Died> {
        let payload = &message.payload;
        match message.topic {
            DownTopic::Ack => {
                let Ok(ack) = Ack::decode(payload) else { return Ok(Inbox::HangsUp) };
                return self.acknowledged(around, ack);
            }
            DownTopic::Grants => {
                let Ok(grants) = Grants::decode(payload) else { return Ok(Inbox::HangsUp) };
                self.grants(around, &grants)?;
            }
            DownTopic::Config => {
                let Ok(config) = Config::decode(payload) else { return Ok(Inbox::HangsUp) };
                let nonce = self.connection.as_ref().map(|held| held.nonce);
                if config.nonce.is_none() || config.nonce != nonce {
                    return Ok(Inbox::Taken);
                }
                self.config(around, &config, root)?;
            }
            DownTopic::Restore => {
                let Ok(restore) = Restore::decode(payload) else { return Ok(Inbox::HangsUp) };
                self.given_back(around, &restore)?;
            }
            DownTopic::Command => {
                let Ok(command) = Command::decode(payload) else { return Ok(Inbox::HangsUp) };
                let nonce = self.connection.as_ref().map(|held| held.nonce);
                let current = nonce == Some(command.nonce) && command.bank == self.bank;
                self.order(around, &command, current)?;
            }
        }
        Ok(if self.missed { Inbox::HangsUp } else { Inbox::Taken })
    }

    /// The hub gives records back instead of answering the birth, or has the bank begin a new stream.
    fn given_back(&mut self, around: &mut Around<'_>, restore: &Restore) -> Result<(), Died> {
        let now_ms = self.monotonic_ms(around.now_ms);
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if restore.nonce != connection.nonce || restore.stream != self.stream {
            return Ok(());
        }
        connection.sender.given_back(now_ms);
        self.not_as_told = true;
        around.watch.staff_only = true;
        let done = match &restore.kind {
            RestoreKind::Run { first_seq, previous, records, until } => {
                let (first_seq, previous, until) = (*first_seq, *previous, *until);
                let taken = self.history.take_back(Run { first_seq, previous, records, until });
                if taken.is_ok() {
                    around.watch.given_back(first_seq, records);
                }
                taken.map(|taken| taken == Taken::Complete).map_err(Died::from_error)
            }
            RestoreKind::NewStream { reason, common } => {
                let ordered = self.history.begin_new_stream(*reason, *common);
                ordered.map(|()| true).map_err(Died::from_error)
            }
        };
        match done {
            Ok(complete) => self.start_again |= complete,
            // The hub begins again after a birth.
            Err(_) => self.missed = true,
        }
        self.effect()
    }

    /// The hub goes on with this journal as it is.
    fn forget_given_back(&mut self) -> Result<(), Died> {
        if !self.start_again && self.history.is_restoring() {
            // If the disk refuses, the next connection tries again.
            let _ = self.history.forget_given_back();
            self.effect()?;
        }
        Ok(())
    }

    fn acknowledged(&mut self, around: &mut Around<'_>, ack: Ack) -> Result<Inbox, Died> {
        let (head, _) = self.head();
        let ours = match self.history.journal().hash_at(ack.committed_seq) {
            Ok(hash) => Some(ChainHash(hash)),
            Err(ReadError::Pruned { .. } | ReadError::BeyondHead { .. }) => None,
            Err(error) => return Err(Died::from_error(error)),
        };
        let now_ms = self.monotonic_ms(around.now_ms);
        let Some(connection) = &mut self.connection else { return Ok(Inbox::Taken) };
        if ack.nonce != connection.nonce {
            // Of an earlier connection; its time may be old.
            return Ok(Inbox::Taken);
        }
        if ack.stream != self.stream {
            return Ok(Inbox::HangsUp);
        }
        let (committed, hash) = (ack.committed_seq, ack.committed_hash);
        if connection.sender.acknowledged(committed, hash, head, ours, now_ms).is_err() {
            self.doubted = Some(committed);
            return Ok(Inbox::HangsUp);
        }
        if !connection.linked {
            connection.linked = true;
            self.not_as_told = false;
            around.watch.staff_only = false;
            let born_at_ms = connection.born_at_ms;
            self.heard(around, ack.at, born_at_ms)?;
            self.forget_given_back()?;
        }
        self.prune(ack.safe_seq.min(committed));
        Ok(Inbox::Taken)
    }

    /// The bank's name.
    #[must_use]
    pub const fn bank(&self) -> &BankId {
        &self.bank
    }
}
