//! The network between a bank and the hub: one connection at a time that either end may think is
//! there, and messages on their way.

use std::collections::VecDeque;

use locker_proto::topics::DownTopic;

/// Messages of the hub that are kept for whoever wants to replay them.
const OVERHEARD_MAX: usize = 32;

/// What a bank says.
#[derive(Clone, Debug)]
pub enum UpMessage {
    Birth(Vec<u8>),
    Facts(Vec<u8>),
}

/// What the hub says. Its signature is left out: whoever forges one is not part of this world.
#[derive(Clone, Debug)]
pub struct DownMessage {
    pub topic: DownTopic,
    pub payload: Vec<u8>,
}

/// A bank's line to the hub.
#[derive(Debug, Default)]
pub struct Net {
    /// Connections begun so far.
    pub connections: u32,
    /// Messages with the connection that they were sent on.
    pub up: VecDeque<(u32, UpMessage)>,
    pub down: VecDeque<(u32, DownMessage)>,
    /// What somebody in between has heard.
    pub overheard: VecDeque<DownMessage>,
}

impl Net {
    /// The hub sends.
    pub fn send_down(&mut self, connection: u32, message: DownMessage) {
        if self.overheard.len() >= OVERHEARD_MAX {
            self.overheard.pop_front();
        }
        self.overheard.push_back(message.clone());
        self.down.push_back((connection, message));
    }

    /// Nothing of a connection arrives any more.
    pub fn clear(&mut self) {
        self.up.clear();
        self.down.clear();
    }
}
