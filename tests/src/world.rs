//! A hub with its callers and banks, everything in one folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::bank::{Bank, BankSpec};
use crate::callers::{Carrier, Operator};
use crate::hub::{Hub, HubOptions};
use crate::pki::Pki;
use crate::records::unused_slots;
use crate::wait::wait_for;

/// The carrier of most parcels.
pub const CARRIER: &str = "acme";
/// A carrier that has no part in it.
pub const OTHER_CARRIER: &str = "rival";

/// Set to anything, temporary folders stay: for the logs of a test that failed.
const KEEP_VARIABLE: &str = "POSTERN_KEEP";
/// How long the hub may take to mint a bank's codes.
const CODES_LIMIT: Duration = Duration::from_secs(20);

/// Everything but the banks.
#[derive(Debug)]
pub struct World {
    /// The hub.
    pub hub: Hub,
    /// Its certificates.
    pub pki: Pki,
    /// The carrier `acme`.
    pub carrier: Carrier,
    /// Who runs the fleet.
    pub operator: Operator,
    folder: PathBuf,
    // Removed when all else has ended.
    _temporary: Option<TempDir>,
}

impl World {
    /// Starts a hub that knows no bank yet; certificates are made for `banks`.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start(banks: &[&str]) -> Result<Self> {
        Self::start_with(banks, HubOptions::default()).await
    }

    /// As [`Self::start`], with a hub configured by `options`.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start_with(banks: &[&str], options: HubOptions) -> Result<Self> {
        let mut temporary = tempfile::Builder::new().prefix("postern-").tempdir()?;
        temporary.disable_cleanup(std::env::var_os(KEEP_VARIABLE).is_some());
        let folder = temporary.path().to_owned();
        Self::build(&folder, Some(temporary), banks, options).await
    }

    /// As [`Self::start_with`], in a folder that stays.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start_in(folder: &Path, banks: &[&str], options: HubOptions) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        Self::build(&folder, None, banks, options).await
    }

    async fn build(
        folder: &Path,
        temporary: Option<TempDir>,
        banks: &[&str],
        options: HubOptions,
    ) -> Result<Self> {
        let pki = Pki::create(&folder.join("pki"), banks, &[CARRIER, OTHER_CARRIER])?;
        let hub = Hub::start(&folder.join("hub"), &pki, options).await?;
        let carrier = Carrier::new(&hub, &pki, CARRIER)?;
        let operator = Operator::new(&hub, &pki)?;
        let folder = folder.to_owned();
        Ok(Self { hub, pki, carrier, operator, folder, _temporary: temporary })
    }

    /// Where everything lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a bank known to the hub, starts it, and waits until it is ready for couriers.
    ///
    /// # Errors
    ///
    /// It does not get ready.
    pub async fn add_bank(&self, spec: BankSpec) -> Result<Bank> {
        let id = spec.id.clone();
        self.operator.create_bank(&spec).await?;
        let mut bank = self.start_bank(spec).await?;
        let ready = self.operator.wait_until_ready(&id).await;
        if ready.is_err()
            && let Some(agent) = bank.agent()
        {
            agent.ensure_running()?;
        }
        ready.with_context(|| format!("see {}", bank.agent_log().display()))?;
        if self.hub.has_codes() {
            self.wait_for_codes(&id).await?;
        }
        Ok(bank)
    }

    /// Waits until the hub has minted codes for a bank. The bank has them before it hears of a
    /// parcel that is booked from then on.
    async fn wait_for_codes(&self, bank: &str) -> Result<()> {
        let (what, store) = (format!("{bank} has six-digit codes"), self.hub.store_file());
        wait_for(&what, CODES_LIMIT, async || {
            Ok((unused_slots(&store, bank).await? > 0).then_some(()))
        })
        .await
    }

    /// Starts a bank's processes, and nothing more.
    ///
    /// # Errors
    ///
    /// One does not start.
    pub async fn start_bank(&self, mut spec: BankSpec) -> Result<Bank> {
        let folder = self.folder.join("banks").join(&spec.id);
        if self.hub.has_codes() && spec.codes_file.is_none() {
            std::fs::create_dir_all(&folder)?;
            let file = folder.join("codes.keys");
            self.hub.write_code_keys(&spec.id, &file).await?;
            spec.codes_file = Some(file);
        }
        Bank::start(&folder, spec, &self.pki, self.hub.addresses()).await
    }
}
