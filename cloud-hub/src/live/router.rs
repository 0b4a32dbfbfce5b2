//! rumqttd's router, used as a library: a thread that fans notes out by filter.
//!
//! Its faults are known and kept in bounds here: it forgets no filter and no link's name; it has no
//! way to be stopped; and it panics when a link that has disconnected says that it is ready. So a
//! link says nothing after its end, names are few and used again, and whoever uses a router must be
//! ready to replace it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttd::local::{LinkBuilder, LinkRx, LinkTx};
use rumqttd::protocol::{Disconnect, DisconnectReasonCode, Packet, Publish};
use rumqttd::{RouterConfig, Strategy};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::LaneLimits;

/// Parts of what is kept of each filter: when all are full the oldest part goes.
const SEGMENTS: usize = 4;
/// Notes that the router hands to a link at a time. A link is unscheduled at 199.
const FORWARDS: u64 = 200;
/// Links beside those of sessions: the hub's own, and one that ends a router.
const OWN_LINKS: usize = 2;
/// In which a router that lives gives a link.
const LINK_TIMEOUT: Duration = Duration::from_secs(2);

type Open = dyn Fn(&str) -> Option<(LinkTx, LinkRx)> + Send + Sync;

/// A router's thread. It goes on for ever: see [`Self::end`].
#[derive(Clone)]
pub(super) struct Router {
    /// A closure because the type of the channel to a router has no public name.
    open: Arc<Open>,
}

impl Router {
    pub(super) fn start(limits: &LaneLimits) -> Self {
        let config = RouterConfig {
            max_connections: limits.sessions + OWN_LINKS,
            max_outgoing_packet_count: FORWARDS,
            max_segment_size: limits.filter_bytes / SEGMENTS,
            max_segment_count: SEGMENTS,
            custom_segment: None,
            initialized_filters: None,
            shared_subscriptions_strategy: Strategy::default(),
        };
        let orders = rumqttd::Router::new(0, config).spawn();
        let open = move |name: &str| {
            let (to, from, _welcome) = LinkBuilder::new(name, orders.clone()).build().ok()?;
            Some((to, from))
        };
        Self { open: Arc::new(open) }
    }

    /// A link of this name; an older one of the same name ends. `None` if the router is dead.
    pub(super) async fn link(&self, name: String) -> Option<(To, LinkRx)> {
        let open = Arc::clone(&self.open);
        // It waits for the router's thread, which may hang.
        let opened = timeout(LINK_TIMEOUT, spawn_blocking(move || open(&name))).await;
        let (to, from) = opened.ok()?.ok()??;
        Some((To(to), from))
    }

    /// Ends the router's thread and frees its memory, by the one way there is: it panics.
    pub(super) async fn end(&self) {
        if let Some((mut to, from)) = self.link("end".to_owned()).await
            && to.disconnect().await.is_ok()
        {
            // It may have died meanwhile, which is as good.
            let _ = from.wake().await;
        }
    }
}

/// The way into the router.
pub(super) struct To(LinkTx);

impl To {
    pub(super) fn subscribe(&mut self, filter: &str) -> Result<(), RouterGone> {
        self.0.subscribe(filter).map(drop).map_err(|_| RouterGone)
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) -> Result<(), RouterGone> {
        self.0.unsubscribe(filter).map(drop).map_err(|_| RouterGone)
    }

    /// Publishes all, with one signal to the router's thread.
    pub(super) fn publish(
        &mut self,
        notes: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) -> Result<(), RouterGone> {
        let mut notes = notes.into_iter();
        let Some((mut topic, mut payload)) = notes.next() else { return Ok(()) };
        let mut buffer = self.0.buffer();
        for (next_topic, next_payload) in notes {
            let publish = Publish::new(topic, payload, false);
            buffer.push_back(Packet::Publish(publish, None));
            (topic, payload) = (next_topic, next_payload);
        }
        drop(buffer);
        self.0.publish(topic, payload).map(drop).map_err(|_| RouterGone)
    }

    /// Notes that the router has not looked at.
    pub(super) fn waiting(&self) -> usize {
        self.0.buffer().len()
    }

    /// Says goodbye. The link's other half must not be used afterwards.
    pub(super) async fn disconnect(&mut self) -> Result<(), RouterGone> {
        let reason_code = DisconnectReasonCode::NormalDisconnection;
        self.0
            .send(Packet::Disconnect(Disconnect { reason_code }, None))
            .await
            .map(drop)
            .map_err(|_| RouterGone)
    }
}

/// The router's thread has ended: rumqttd's own errors say no more, at length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RouterGone;
