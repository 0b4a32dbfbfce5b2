//! What the hub orders a bank to do now. Unlike grants, an order is for the connection at hand and is over when its time
//! is: nothing that is kept in a queue or said again by somebody else may move a lock or a policy later.

use locker_core::ids::{BankId, CommandId};
use locker_core::units::UnixMillis;
use prost::Message;

use super::{DecodeMessageError, Nonce, form};
use crate::convert;
use crate::wire::bank::v1 as wire;

/// `down/command`: one order to a bank that is connected. Travels as the payload of a [`crate::signed`] message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// A bank follows each order once.
    pub id: CommandId,
    pub bank: BankId,
    /// Of the birth of the connection that it is meant for.
    pub nonce: Nonce,
    /// When it is too late to follow it.
    pub not_after: UnixMillis,
    /// None for an order that this version does not know: not an error, because the hub must be answered so.
    pub kind: Option<CommandKind>,
}

/// The orders there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// Let only staff open doors from here on.
    LockDown,
}

impl Command {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kind = self.kind.map(|kind| match kind {
            CommandKind::LockDown => wire::command::Kind::LockDown(wire::LockDown {}),
        });
        let form = wire::Command {
            command_id: self.id.0.to_vec(),
            bank: self.bank.as_str().to_owned(),
            nonce: self.nonce.0.to_vec(),
            not_after_ms: self.not_after.0,
            kind,
        };
        form.encode_to_vec()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        let form: wire::Command = form(bytes)?;
        Ok(Self {
            id: convert::id("Command.command_id", &form.command_id)?,
            bank: convert::text("Command.bank", &form.bank)?,
            nonce: Nonce(convert::exact("Command.nonce", &form.nonce)?),
            not_after: UnixMillis(form.not_after_ms),
            kind: form.kind.map(|kind| match kind {
                wire::command::Kind::LockDown(wire::LockDown {}) => CommandKind::LockDown,
            }),
        })
    }
}
