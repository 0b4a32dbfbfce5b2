//! A locker bank: a simulated board and an agent, each a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use edge_agent::bank::PanelState;
use locker_proto::wire::fleet::v1::CompartmentSpec;

use crate::board::{Board, Doors, Wire};
use crate::hub::Addresses;
use crate::panel::Panel;
use crate::pki::Pki;
use crate::processes::Process;
use crate::wait::wait_for;

/// How long an agent may take until its screen answers.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Room of a small compartment: length, width and height in millimetres.
pub const SMALL: [u32; 3] = [400, 350, 100];
/// Room of a medium compartment.
pub const MEDIUM: [u32; 3] = [400, 350, 200];
/// Room of a large compartment.
pub const LARGE: [u32; 3] = [600, 400, 400];

/// How a bank is built.
#[derive(Clone, Debug)]
pub struct BankSpec {
    /// Its name.
    pub id: String,
    /// How its agent reaches the board.
    pub wire: Wire,
    /// The rooms of its compartments, numbered from 1 and wired in this order.
    pub rooms: Vec<[u32; 3]>,
    /// What its doors do.
    pub doors: Doors,
    /// A door counts as shut after reading shut for this long, in milliseconds.
    pub shut_stable_ms: u64,
    /// A board that is silent for this long is offline, in milliseconds.
    pub offline_after_ms: u64,
}

impl BankSpec {
    /// Six compartments of three sizes, with doors that open at once and are soon pushed shut.
    #[must_use]
    pub fn new(id: &str, wire: Wire) -> Self {
        let doors = Doors {
            open_after: Duration::from_millis(80),
            shut_after: Some(Duration::from_millis(600)),
        };
        let rooms = vec![SMALL, SMALL, SMALL, MEDIUM, MEDIUM, LARGE];
        let (shut_stable_ms, offline_after_ms) = (100, 10_000);
        Self { id: id.to_owned(), wire, rooms, doors, shut_stable_ms, offline_after_ms }
    }

    /// What the operator tells the hub about it.
    #[must_use]
    pub fn layout(&self) -> Vec<CompartmentSpec> {
        let specs = (0_u32..).zip(&self.rooms).map(|(lock, &[length_mm, width_mm, height_mm])| {
            CompartmentSpec { number: lock + 1, length_mm, width_mm, height_mm, board: 0, lock }
        });
        specs.collect()
    }
}

/// A bank's processes.
#[derive(Debug)]
pub struct Bank {
    /// How it is built.
    pub spec: BankSpec,
    /// Its lock board.
    pub board: Board,
    /// Its screen.
    pub panel: Panel,
    folder: PathBuf,
    agent: Option<Process>,
}

impl Bank {
    /// Starts the board and the agent with their files in `folder`.
    ///
    /// # Errors
    ///
    /// One of them does not start.
    pub async fn start(folder: &Path, spec: BankSpec, pki: &Pki, hub: Addresses) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let board = Board::start(folder, spec.wire, spec.doors).await?;
        let panel = Panel::new(&folder.join("panel.json"));
        let folder = folder.to_owned();
        let mut bank = Self { spec, board, panel, folder, agent: None };
        std::fs::write(bank.config_file(), bank.config(pki, hub)?)?;
        bank.start_agent().await?;
        Ok(bank)
    }

    /// Starts the agent (again) and waits until its screen answers.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start_agent(&mut self) -> Result<()> {
        let access = self.folder.join("panel.json");
        if access.exists() {
            std::fs::remove_file(&access)?;
        }
        let args = ["run", "--config", &self.config_file().display().to_string()];
        let agent = self.agent.insert(Process::start(&self.folder, "agent", "edge-agent", &args)?);
        let panel = &self.panel;
        let what = format!("the agent of {} shows its screen", self.spec.id);
        wait_for(&what, START_LIMIT, async || {
            agent.ensure_running()?;
            if !access.exists() {
                return Ok(None);
            }
            Ok(panel.state().await.ok().map(drop))
        })
        .await
    }

    /// Kills the agent.
    ///
    /// # Errors
    ///
    /// It is not running.
    pub fn kill_agent(&mut self) -> Result<()> {
        self.agent.take().context("the agent is not running")?.kill()
    }

    /// Asks the agent to stop, and waits.
    ///
    /// # Errors
    ///
    /// It is not running or does not stop.
    pub async fn stop_agent(&mut self) -> Result<()> {
        self.agent.take().context("the agent is not running")?.stop().await
    }

    /// The agent's process, if it is running.
    pub fn agent(&mut self) -> Option<&mut Process> {
        self.agent.as_mut()
    }

    /// What the agent says.
    #[must_use]
    pub fn agent_log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    /// Waits until the screen is as `wanted`; gives what it then shows.
    ///
    /// # Errors
    ///
    /// The time is over, or the agent has ended.
    pub async fn wait_for_screen(
        &mut self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&PanelState) -> bool,
    ) -> Result<PanelState> {
        let what = format!("{} {what}", self.spec.id);
        let agent = self.agent.as_mut().context("the agent is not running")?;
        let panel = &self.panel;
        wait_for(&what, limit, async || {
            agent.ensure_running()?;
            let state = panel.state().await?;
            Ok(wanted(&state).then_some(state))
        })
        .await
    }

    fn config_file(&self) -> PathBuf {
        self.folder.join("edge-agent.toml")
    }

    fn config(&self, pki: &Pki, hub: Addresses) -> Result<String> {
        let (id, folder, locks) = (&self.spec.id, self.folder.display(), self.spec.rooms.len());
        let files = pki.client("banks", id);
        Ok(format!(
            "# Written by the test harness.\n\
             bank = \"{id}\"\ndata_dir = \"{folder}/data\"\n\n\
             [hub]\nhost = \"127.0.0.1\"\nport = {port}\nca_file = \"{ca}\"\n\
             certificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n\
             root_keys = [\"{root}\"]\n\
             limits = {{ backoff_min_ms = 50, backoff_max_ms = 200 }}\n\n\
             [panel]\nlisten = \"127.0.0.1:0\"\naccess_file = \"{folder}/panel.json\"\n\n\
             # People in tests are quicker than people.\n\
             [governor]\ncourier_per_minute = 64\nrecipient_per_minute = 64\nrecipient_per_hour = 64\n\n\
             [[bus]]\nport = {bus}\n\
             boards = [{{ addr = 0, locks = {locks}, polarity = \"one_is_locked\" }}]\n\
             timing = {{ closed_stable_ms = {stable_ms}, offline_after_ms = {offline_ms} }}\n",
            port = hub.mqtt.port(),
            ca = pki.authority().display(),
            certificate = files.certificate.display(),
            key = files.key.display(),
            root = pki.root_public_key()?,
            bus = self.board.port_config(),
            stable_ms = self.spec.shut_stable_ms,
            offline_ms = self.spec.offline_after_ms,
        ))
    }
}
