//! How `hubctl` finds the hub and shows who it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use locker_proto::wire::audit::v1::audit_service_client::AuditServiceClient;
use locker_proto::wire::fleet::v1::fleet_service_client::FleetServiceClient;
use locker_proto::wire::fleet::v1::security_service_client::SecurityServiceClient;
use serde::Deserialize;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::Failure;
use super::args::ConnectArgs;
use super::failure::deepest;

/// Time for the connection itself, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is asked whether it lives this often: a watch can be quiet for long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A prepared way to the hub.
pub(super) struct Connection {
    hub: String,
    endpoint: Endpoint,
    timeout: Duration,
}

/// The file given with `--context`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Context {
    hub: Option<String>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Connection {
    /// Puts the way together from options, variables and the context file. Nothing is connected.
    pub(super) fn new(args: &ConnectArgs) -> Result<Self, Failure> {
        let context = args.context.as_deref().map(Context::load).transpose()?.unwrap_or_default();
        let missing = |what, option, variable| Failure::Missing { what, option, variable };
        let hub = args.hub.clone().or(context.hub);
        let hub = hub.ok_or_else(|| missing("the hub's address", "hub", "HUB"))?;
        let ca = args.ca.clone().or(context.ca);
        let ca = ca.ok_or_else(|| missing("the hub's authority", "ca", "CA"))?;
        let cert = args.cert.clone().or(context.cert);
        let cert = cert.ok_or_else(|| missing("your certificate", "cert", "CERT"))?;
        let key = args.key.clone().or(context.key);
        let key = key.ok_or_else(|| missing("your key", "key", "KEY"))?;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&ca)?))
            .identity(Identity::from_pem(read(&cert)?, read(&key)?));
        let address = |reason: String| Failure::Address { hub: hub.clone(), reason };
        if !hub.starts_with("https://") {
            return Err(address("expected https://HOST:PORT".to_owned()));
        }
        let endpoint = Endpoint::from_shared(hub.clone())
            .map_err(|error| address(deepest(&error)))?
            .tls_config(tls)
            .map_err(|error| address(deepest(&error)))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE);
        Ok(Self { hub, endpoint, timeout: Duration::from_secs(args.timeout) })
    }

    /// Connects.
    pub(super) async fn client(&self) -> Result<FleetServiceClient<Channel>, Failure> {
        Ok(FleetServiceClient::new(self.channel().await?))
    }

    /// Connects, for alarms.
    pub(super) async fn security(&self) -> Result<SecurityServiceClient<Channel>, Failure> {
        Ok(SecurityServiceClient::new(self.channel().await?))
    }

    /// Connects, for records and evidence.
    pub(super) async fn audit(&self) -> Result<AuditServiceClient<Channel>, Failure> {
        Ok(AuditServiceClient::new(self.channel().await?))
    }

    async fn channel(&self) -> Result<Channel, Failure> {
        self.endpoint.connect().await.map_err(|error| Failure::Unreachable {
            hub: self.hub.clone(),
            reason: deepest(&error),
        })
    }

    /// A call with its time limit.
    pub(super) fn call<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

/// The file with the authorities to trust, if one was named.
pub(super) fn authority(args: &ConnectArgs) -> Result<Option<PathBuf>, Failure> {
    let context = args.context.as_deref().map(Context::load).transpose()?.unwrap_or_default();
    Ok(args.ca.clone().or(context.ca))
}

impl Context {
    fn load(path: &Path) -> Result<Self, Failure> {
        let text = String::from_utf8(read(path)?)
            .map_err(|error| Failure::File { path: path.to_owned(), reason: error.to_string() })?;
        let mut context: Self = toml::from_str(&text).map_err(|error| Failure::File {
            path: path.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [&mut context.ca, &mut context.cert, &mut context.key].into_iter().flatten() {
            *file = folder.join(&*file);
        }
        Ok(context)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::File { path: path.to_owned(), reason: error.to_string() })
}
