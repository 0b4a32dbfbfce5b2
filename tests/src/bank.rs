//! A locker bank: a simulated board and an agent, each a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use edge_agent::bank::PanelState;
use locker_proto::wire::fleet::v1::CompartmentSpec;

use crate::board::{Board, Boards, Doors, LogLine, Wire};
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
    /// Its lock boards, all on one line.
    pub boards: Boards,
    /// The rooms of its compartments, numbered from 1 and wired in this order.
    pub rooms: Vec<[u32; 3]>,
    /// What its doors do.
    pub doors: Doors,
    /// A door counts as shut after reading shut for this long, in milliseconds.
    pub shut_stable_ms: u64,
    /// A board that is silent for this long is offline, in milliseconds.
    pub offline_after_ms: u64,
    /// The file with the keys of its six-digit codes; without one its keypad takes none.
    pub codes_file: Option<PathBuf>,
}

impl BankSpec {
    /// One CU48 with six compartments of three sizes, with doors that open at once and are soon pushed
    /// shut.
    #[must_use]
    pub fn new(id: &str, wire: Wire) -> Self {
        let doors = Doors {
            open_after: Duration::from_millis(80),
            shut_after: Some(Duration::from_millis(600)),
        };
        let rooms = vec![SMALL, SMALL, SMALL, MEDIUM, MEDIUM, LARGE];
        Self {
            id: id.to_owned(),
            wire,
            boards: Boards::default(),
            rooms,
            doors,
            shut_stable_ms: 100,
            offline_after_ms: 10_000,
            codes_file: None,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn display_name(&self) -> String {
        format!("Bank {}", self.id)
    }

    /// What the operator tells the hub about it.
    #[must_use]
    pub fn layout(&self) -> Vec<CompartmentSpec> {
        let wired = self.boards.wiring(self.rooms.len());
        let specs = (1_u32..).zip(self.rooms.iter().zip(wired)).map(
            |(number, (&[length_mm, width_mm, height_mm], (board, lock)))| CompartmentSpec {
                number,
                length_mm,
                width_mm,
                height_mm,
                board: board.into(),
                lock: lock.into(),
            },
        );
        specs.collect()
    }

    /// The number on the door of a lock, if one hangs there.
    #[must_use]
    pub fn compartment_at(&self, board: u8, lock: u8) -> Option<u16> {
        let wired = self.boards.wiring(self.rooms.len());
        (1_u16..).zip(wired).find(|(_, at)| *at == (board, lock)).map(|(number, _)| number)
    }

    /// The number on the door that a line of the boards' log is about, if there is one.
    #[must_use]
    pub fn compartment_of(&self, line: &LogLine) -> Option<u16> {
        self.compartment_at(line.board, line.lock)
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
        let board = Board::start(folder, spec.wire, spec.doors, &spec.boards).await?;
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
        let (id, folder) = (&self.spec.id, self.folder.display());
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
             # And their agents are killed more often than others.\n\
             [starts]\ncalm_s = 0\n\n\
             {codes}\
             [[bus]]\nport = {bus}\nprofile = \"{profile}\"\nboards = [{boards}]\n\
             timing = {{ closed_stable_ms = {stable_ms}, offline_after_ms = {offline_ms} }}\n",
            port = hub.mqtt.port(),
            ca = pki.authority().display(),
            certificate = files.certificate.display(),
            key = files.key.display(),
            root = pki.root_public_key()?,
            codes = self.codes_table(),
            bus = self.board.port_config(),
            profile = self.spec.boards.profile,
            boards = self.board_tables(),
            stable_ms = self.spec.shut_stable_ms,
            offline_ms = self.spec.offline_after_ms,
        ))
    }

    fn codes_table(&self) -> String {
        let file = self.spec.codes_file.as_ref();
        file.map_or_else(String::new, |file| {
            format!("[codes]\nkeys_file = \"{}\"\n\n", file.display())
        })
    }

    fn board_tables(&self) -> String {
        let wired = self.spec.boards.wiring(self.spec.rooms.len());
        let board = |addr: &u8| {
            let locks = wired.iter().filter(|(board, _)| board == addr).count();
            format!("{{ addr = {addr}, locks = {locks}, polarity = \"one_is_locked\" }}")
        };
        self.spec.boards.addresses.iter().map(board).collect::<Vec<_>>().join(", ")
    }
}
