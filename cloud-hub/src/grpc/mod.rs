//! The door of carriers and operators: gRPC over mutual TLS.
//!
//! Every call passes the `gate`: who calls, whether the certificate still counts, what its role
//! may call, by when it must be answered, its span, and an ErrorInfo on whatever error comes out.
//! `carrier`, `courier`, `fleet` and `audit` check fields and ask the hub's decisions; `watch` follows the event
//! log; `status` is the only file that turns errors into gRPC statuses.

mod audit;
mod carrier;
mod convert;
mod courier;
mod fields;
mod fleet;
mod gate;
mod names;
mod security;
mod status;
mod token;
mod watch;

pub use status::DOMAIN;
pub use token::TokenKey;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use locker_proto::wire::audit::v1::audit_service_server::AuditServiceServer;
use locker_proto::wire::carrier::v1::courier_service_server::CourierServiceServer;
use locker_proto::wire::carrier::v1::parcel_service_server::ParcelServiceServer;
use locker_proto::wire::fleet::v1::fleet_service_server::FleetServiceServer;
use locker_proto::wire::fleet::v1::security_service_server::SecurityServiceServer;
use tokio::sync::watch as signal;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_reflection::server::Builder as Reflection;
use tracing::{error, info, warn};

use self::audit::Auditors;
use self::carrier::Carriers;
use self::courier::Dispatchers;
use self::fleet::Operators;
use self::gate::GateLayer;
use self::security::Guards;
use self::watch::Watches;
use crate::codes::couriers::CouriersDesk;
use crate::config::GrpcLimits;
use crate::credential_keys::HubKeys;
use crate::ingest::{Orders, Presence};
use crate::store::Store;
use crate::telemetry::Traces;
use crate::tls::{BindError, Limits, Listener, Revocations, ServerTls};

/// What calls are answered from.
#[derive(Clone)]
pub struct Surface {
    /// The store.
    pub store: Store,
    /// The keys that sign badges.
    pub keys: Arc<HubKeys>,
    /// Which banks are connected.
    pub presence: Presence,
    /// How connected banks are given orders.
    pub orders: Orders,
    /// What couriers' keypad codes are read with, if this hub makes six-digit codes.
    pub codes: Option<CouriersDesk>,
    /// Where spans go.
    pub traces: Traces,
    /// The key that makes resume and page tokens.
    pub tokens: TokenKey,
    /// Bounds of calls.
    pub limits: GrpcLimits,
}

/// A bound listener for calls.
#[derive(Debug)]
pub struct GrpcListener {
    listener: Listener,
    revocations: Revocations,
}

impl GrpcListener {
    /// Binds the address. Calls are answered once [`Self::run`] is polled.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(
        address: SocketAddr,
        tls: ServerTls,
        limits: Limits,
    ) -> Result<Self, BindError> {
        let revocations = tls.revocations().clone();
        Ok(Self { listener: Listener::bind(address, tls, limits).await?, revocations })
    }

    /// The address in use.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.listener.local_address()
    }

    /// Answers calls until `stop` completes. Watches then end with UNAVAILABLE, other calls are
    /// finished; what is left after `grace` is cut off.
    ///
    /// # Errors
    /// When the service descriptors cannot be shown or the server breaks.
    pub async fn run(
        self,
        surface: Surface,
        stop: impl Future<Output = ()> + Send,
        grace: Duration,
    ) -> Result<(), ServeGrpcError> {
        let address = self.local_address();
        let (stopping, stop_seen) = signal::channel(false);
        let (health, health_service) = tonic_health::server::health_reporter();
        let limits = surface.limits.clone();
        let watches = Watches::new(&surface, self.revocations.clone(), stop_seen.clone());
        let parcels = ParcelServiceServer::new(Carriers::new(&surface, &watches))
            .max_decoding_message_size(limits.request_bytes);
        let couriers = CourierServiceServer::new(Dispatchers::new(&surface))
            .max_decoding_message_size(limits.request_bytes);
        let fleet = FleetServiceServer::new(Operators::new(&surface, &watches))
            .max_decoding_message_size(limits.request_bytes);
        let security = SecurityServiceServer::new(Guards::new(&surface, &self.revocations))
            .max_decoding_message_size(limits.request_bytes);
        let audit =
            AuditServiceServer::new(Auditors::new(&surface, &self.revocations, stop_seen.clone()))
                .max_decoding_message_size(limits.request_bytes);
        health.set_serving::<ParcelServiceServer<Carriers>>().await;
        health.set_serving::<CourierServiceServer<Dispatchers>>().await;
        health.set_serving::<FleetServiceServer<Operators>>().await;
        health.set_serving::<SecurityServiceServer<Guards>>().await;
        health.set_serving::<AuditServiceServer<Auditors>>().await;
        let reflection = || {
            Reflection::configure()
                .register_encoded_file_descriptor_set(locker_proto::DESCRIPTOR)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let server = Server::builder()
            .max_concurrent_streams(limits.calls_per_connection)
            .http2_keepalive_interval(Some(Duration::from_millis(limits.keep_alive_ms)))
            .http2_keepalive_timeout(Some(Duration::from_millis(limits.keep_alive_timeout_ms)))
            .layer(GateLayer::new(&surface, self.revocations))
            .add_service(health_service)
            .add_service(reflection().build_v1().map_err(ServeGrpcError::Reflection)?)
            .add_service(reflection().build_v1alpha().map_err(ServeGrpcError::Reflection)?)
            .add_service(parcels)
            .add_service(couriers)
            .add_service(fleet)
            .add_service(security)
            .add_service(audit);
        let stopped = async {
            stop.await;
            for service in SERVICES {
                health.set_service_status(service, ServingStatus::NotServing).await;
            }
            stopping.send_replace(true);
        };
        info!(%address, "call listener started");
        let serving = server.serve_with_incoming_shutdown(self.listener.into_incoming(), stopped);
        let served = serve_with_grace(serving, stop_seen, grace).await;
        info!("call listener stopped");
        served
    }
}

const PARCEL_SERVICE: &str = locker_proto::wire::carrier::v1::parcel_service_server::SERVICE_NAME;
const COURIER_SERVICE: &str = locker_proto::wire::carrier::v1::courier_service_server::SERVICE_NAME;
const FLEET_SERVICE: &str = locker_proto::wire::fleet::v1::fleet_service_server::SERVICE_NAME;
const SECURITY_SERVICE: &str = locker_proto::wire::fleet::v1::security_service_server::SERVICE_NAME;

const AUDIT_SERVICE: &str = locker_proto::wire::audit::v1::audit_service_server::SERVICE_NAME;

/// Whose health is told, the whole listener's first.
const SERVICES: [&str; 6] =
    ["", PARCEL_SERVICE, COURIER_SERVICE, FLEET_SERVICE, SECURITY_SERVICE, AUDIT_SERVICE];

async fn serve_with_grace(
    serving: impl Future<Output = Result<(), tonic::transport::Error>>,
    mut stop_seen: signal::Receiver<bool>,
    grace: Duration,
) -> Result<(), ServeGrpcError> {
    let overrun = async {
        // The sender lives as long as the server itself.
        let _ = stop_seen.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = serving => served.map_err(|source| {
            error!(error = %source, "call listener failed");
            ServeGrpcError::Transport(source)
        }),
        () = overrun => {
            warn!("calls cut off at stop");
            Ok(())
        }
    }
}

/// Why calls are not answered.
#[derive(Debug, thiserror::Error)]
pub enum ServeGrpcError {
    /// The services' descriptors cannot be read: a fault of the build.
    #[error("the service descriptors cannot be shown")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The server broke.
    #[error("the server broke")]
    Transport(#[source] tonic::transport::Error),
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
