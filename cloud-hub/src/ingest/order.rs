//! Orders to banks that are connected now. An order is signed for the birth of one connection and
//! never kept for another: who is not there does not hear it.

use locker_core::ids::{BankId, CommandId};
use locker_core::units::UnixMillis;
use locker_proto::message::{Command, CommandKind};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use super::Ingest;
use super::link::Link;
use crate::mqtt::DownTopic;

/// Orders that wait for the loop; whoever gives one more waits.
pub(super) const ORDERS_MAX: usize = 16;

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub bank: BankId,
    pub id: CommandId,
    /// When it is too late to follow it.
    pub not_after: UnixMillis,
    pub kind: CommandKind,
}

pub(super) type Given = (Order, oneshot::Sender<bool>);

/// Gives orders to ingest. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Given>);

impl Orders {
    pub(super) fn channel() -> (Self, mpsc::Receiver<Given>) {
        let (to, from) = mpsc::channel(ORDERS_MAX);
        (Self(to), from)
    }

    /// Orders that nobody takes, for a surface without banks.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::channel().0
    }

    /// Sends an order to its bank; `false` if the bank is not connected.
    pub async fn give(&self, order: Order) -> bool {
        let (reply, sent) = oneshot::channel();
        if self.0.send((order, reply)).await.is_err() {
            return false;
        }
        sent.await.unwrap_or(false)
    }
}

impl<L: Link> Ingest<L> {
    /// Orders for connected banks are given here.
    #[must_use]
    pub fn orders(&self) -> Orders {
        self.orders.0.clone()
    }

    pub(super) fn on_order(&mut self, (order, reply): Given) {
        let Order { bank, id, not_after, kind } = order;
        let nonce = self.born(&bank).map(|born| born.nonce);
        if let Some(nonce) = nonce {
            info!(%bank, command = %id, "order sent");
            let command = Command { id, bank: bank.clone(), nonce, not_after, kind: Some(kind) };
            self.send(&bank, DownTopic::Command, &command.encode());
        }
        // Whoever asked may have given up.
        let _ = reply.send(nonce.is_some());
    }
}
