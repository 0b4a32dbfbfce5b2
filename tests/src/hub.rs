//! A hub as a process, with its configuration file and its store.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tonic::transport::{Channel, Endpoint};

use crate::pki::Pki;
use crate::processes::{Process, run};
use crate::wait::wait_for;

/// How long a hub may take until all its doors are open.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long one gRPC connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Any port.
const ANY_PORT: &str = "127.0.0.1:0";

/// What tests change of a hub's configuration.
#[derive(Clone, Debug, Default)]
pub struct HubOptions {
    /// Where spans go.
    pub otlp_endpoint: Option<String>,
    /// Whether parcels get six digits, too.
    pub codes: bool,
    /// Further tables, as TOML.
    pub tables: String,
}

/// Where a hub listens.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Addresses {
    /// Banks.
    pub mqtt: SocketAddr,
    /// Carriers and operators.
    pub grpc: SocketAddr,
}

/// A hub. It keeps its addresses over restarts.
#[derive(Debug)]
pub struct Hub {
    folder: PathBuf,
    pki: PathBuf,
    options: HubOptions,
    /// Ids of the command keys and of the credential keys, newest first.
    keys: [Vec<u8>; 2],
    addresses: Option<Addresses>,
    process: Option<Process>,
}

impl Hub {
    /// Writes a configuration into `folder` and starts the hub.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start(folder: &Path, pki: &Pki, options: HubOptions) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (folder, pki) = (folder.to_owned(), pki.folder().to_owned());
        let keys = [vec![1], vec![1]];
        let mut hub = Self { folder, pki, options, keys, addresses: None, process: None };
        if hub.options.codes {
            let dir = hub.codes_folder().display().to_string();
            run("cloud-hub", &["codes", "init", "--dir", &dir]).await?;
        }
        hub.start_again().await?;
        Ok(hub)
    }

    /// Starts it after [`Self::kill`] or [`Self::stop`], on the same addresses and store.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        let addresses_file = self.folder.join("addresses.json");
        if addresses_file.exists() {
            std::fs::remove_file(&addresses_file)?;
        }
        let config = self.config_file();
        std::fs::write(&config, self.config())?;
        let args = ["serve", "--config", &config.display().to_string()];
        let process = self.process.insert(Process::start(&self.folder, "hub", "cloud-hub", &args)?);
        let addresses = wait_for("the hub serves", START_LIMIT, async || {
            process.ensure_running()?;
            Ok(std::fs::read(&addresses_file).ok())
        });
        let addresses = addresses.await?;
        let read = "the hub's addresses file holds something else";
        self.addresses = Some(serde_json::from_slice(&addresses).context(read)?);
        Ok(())
    }

    /// From its next start on it signs with these keys of its PKI, by their ids, newest first.
    pub fn use_keys(&mut self, command: &[u8], credential: &[u8]) {
        self.keys = [command.to_vec(), credential.to_vec()];
    }

    /// SIGKILL.
    ///
    /// # Errors
    ///
    /// It was not running.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the hub is not running")?.kill()
    }

    /// SIGTERM, and waits.
    ///
    /// # Errors
    ///
    /// It was not running, or does not stop.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.take().context("the hub is not running")?.stop().await
    }

    /// Its process, if it is running.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Where it listens, or last did.
    ///
    /// # Panics
    ///
    /// Never: a hub that did not start is not given out.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses.expect("a hub is given out once it has addresses")
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("cloud-hub.toml")
    }

    /// What it says.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("hub.log")
    }

    /// Where it puts letters.
    #[must_use]
    pub fn mailbox_folder(&self) -> PathBuf {
        self.folder.join("mailbox")
    }

    /// Its database.
    #[must_use]
    pub fn store_file(&self) -> PathBuf {
        self.folder.join("hub.sqlite")
    }

    /// Whether parcels get six digits, too.
    #[must_use]
    pub const fn has_codes(&self) -> bool {
        self.options.codes
    }

    /// Writes what a bank reads typed digits with into `file`.
    ///
    /// # Errors
    ///
    /// The hub has no codes, or the file is there already.
    pub async fn write_code_keys(&self, bank: &str, file: &Path) -> Result<()> {
        let (config, file) = (self.config_file().display().to_string(), file.display().to_string());
        let args = ["codes", "keys", "--config", &config, "--bank", bank, "--out", &file];
        run("cloud-hub", &args).await
    }

    fn codes_folder(&self) -> PathBuf {
        self.folder.join("codes")
    }

    fn codes_table(&self) -> String {
        if !self.options.codes {
            return String::new();
        }
        let dir = self.codes_folder();
        format!(
            "[codes]\nmaster_file = \"{dir}/codes-master.key\"\n\
             sealing = [{{ id = 1, file = \"{dir}/sealing-1.key\" }}]\nmint_every_s = 1\n\n",
            dir = dir.display()
        )
    }

    /// A connection for a client of `pki`; `kind` is `carriers` or `operators`. It connects again by
    /// itself.
    ///
    /// # Errors
    ///
    /// The client's files cannot be used.
    pub fn channel(&self, pki: &Pki, kind: &str, id: &str) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("https://{}", self.addresses().grpc))?;
        let endpoint = endpoint.tls_config(pki.client_tls(kind, id)?)?;
        Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy())
    }

    fn config(&self) -> String {
        let any = || ANY_PORT.to_owned();
        let (mqtt, grpc) = self.addresses.map_or_else(
            || (any(), any()),
            |known| (known.mqtt.to_string(), known.grpc.to_string()),
        );
        let pki = self.pki.display();
        let otlp = self.options.otlp_endpoint.iter();
        let otlp: String = otlp.map(|url| format!("otlp_endpoint = \"{url}\"\n")).collect();
        let (codes, tables) = (self.codes_table(), &self.options.tables);
        let files = |kind: &str, ids: &[u8]| {
            let file = |id: &u8| format!("{{ id = {id}, file = \"{pki}/{kind}-{id}.key\" }}");
            ids.iter().map(file).collect::<Vec<_>>().join(", ")
        };
        let [command, credential] = &self.keys;
        let (command, credential) = (files("command", command), files("credential", credential));
        format!(
            "# Written by the test harness.\n\
             addresses_file = \"addresses.json\"\n\n\
             [mqtt]\nlisten = \"{mqtt}\"\n\n\
             [grpc]\nlisten = \"{grpc}\"\n\n\
             [tls]\ncertificate = \"{pki}/hub.pem\"\nkey = \"{pki}/hub.key\"\n\
             client_authorities = \"{pki}/ca.pem\"\n\n\
             [store]\nurl = \"sqlite://hub.sqlite\"\n\n\
             [keys]\nset = \"{pki}/key-set.signed\"\n\
             command = [{command}]\ncredential = [{credential}]\n\n\
             [notices]\nfrom = \"Postern <lockers@example.org>\"\nmailbox = \"mailbox\"\n\n\
             {codes}\
             [telemetry]\n{otlp}\n{tables}"
        )
    }
}
