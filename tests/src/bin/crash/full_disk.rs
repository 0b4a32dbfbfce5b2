//! Somebody else fills an agent's disk to its last byte, and takes whatever becomes free at once. Parcels are fetched all
//! the while, and none is brought; the agent starts as often as it is killed, and goes on when there is room again.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use system_tests::bank::Bank;
use system_tests::callers::Order;
use system_tests::hub::HubOptions;
use system_tests::wait::wait_for;
use system_tests::world::World;
use tokio::task::JoinHandle;

use crate::chance::Chance;
use crate::diary::Diary;
use crate::fifth;
use crate::image::Disk;
use crate::kill_loop::{SHORT_LEASE, add_bank};
use crate::ledgers::Verdict;
use crate::people::Front;
use crate::power_cuts::folder;

const BANK: &str = "lobby";
/// Starts on the full disk.
const STARTS: usize = 4;
/// Between two looks of whoever fills the disk.
const FILL_EVERY: Duration = Duration::from_millis(20);
/// What an agent says when it goes on without sled.
const WITHOUT_SLED: &str = "state held in memory";
/// The agent looks at the disk's room every ten seconds.
const NOTICED_LIMIT: Duration = Duration::from_secs(25);
/// A kill falls into a visit that takes about a second, in milliseconds.
const IN_A_VISIT_MS: (u64, u64) = (100, 1_200);

/// What happened.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Starts while not a byte was free.
    pub(crate) starts_when_full: usize,
    /// Parcels that were fetched meanwhile.
    pub(crate) fetched_when_full: usize,
    /// Couriers that were turned away meanwhile.
    pub(crate) refused_when_full: usize,
    pub(crate) ledgers: Verdict,
}

pub(crate) async fn run(seed: u64) -> Result<Report> {
    let folder = folder()?;
    let data = folder.path().join("world/banks").join(BANK).join("data");
    let disk = Disk::new(&folder.path().join("disk"), &data)?;
    let mut chance = Chance::of(seed);
    let options = HubOptions { tables: SHORT_LEASE.to_owned(), ..HubOptions::default() };
    let world = World::start_in(&folder.path().join("world"), &[BANK], options).await?;
    let diary = Diary::begin(&folder.path().join("people.jsonl"))?;
    let bank = add_bank(&world, BANK).await?;
    let front = Front::of(&world, &bank, &diary, Chance::of(chance.next())).await?;
    let mut stage = Stage { bank, front, report: Report::default() };
    stage.tell_the_story(&data, &mut chance).await?;
    let Stage { mut bank, mut report, .. } = stage;

    let mut world = world;
    let places = fifth::places(&world, std::slice::from_ref(&bank), &diary);
    report.ledgers = fifth::ensure_one_story(world.folder(), &places).await?;
    // None of them was of its own accord.
    let (starts, counted) = (2 + report.starts_when_full, report.ledgers.agent_starts);
    ensure!(counted == starts, "the agent was started {starts} times, and recorded {counted}");
    bank.stop_agent().await?;
    world.hub.stop().await?;
    drop(disk);
    Ok(report)
}

struct Stage {
    bank: Bank,
    front: Front,
    report: Report,
}

impl Stage {
    async fn tell_the_story(&mut self, data: &Path, chance: &mut Chance) -> Result<()> {
        let mut inside = Vec::new();
        for n in 0..STARTS + 2 {
            let order = Order::small(&format!("{BANK}-{n}"));
            self.front.send(&order).await?;
            let code = self.front.hand_in(&order).await?.context("it was not brought")?;
            inside.push((order, code));
        }
        let late = Order::small(&format!("{BANK}-late"));
        self.front.send(&late).await?;

        let filler = Filler::begin(data.join("of-somebody-else"))?;
        self.until_deposits_are(false).await?;
        self.ensure_refused(&late).await?;
        let mut inside = inside.into_iter();
        let mut next = || inside.next().context("every parcel is fetched");
        self.fetch(next()?).await?;
        self.until_without_sled().await?;
        self.fetch(next()?).await?;
        for _ in 0..STARTS {
            let (order, code) = next()?;
            let fetched = self.front.fetch(&order, &code);
            let killed = async {
                chance.wait_ms(IN_A_VISIT_MS.0, IN_A_VISIT_MS.1).await;
                eprintln!("crash: kill -9 of the agent on a full disk");
                self.bank.kill_agent()?;
                self.bank.start_agent().await
            };
            let (fetched, started) = tokio::join!(fetched, killed);
            started.context("the agent does not start on a full disk")?;
            fetched?;
            self.report.starts_when_full += 1;
            self.report.fetched_when_full += 1;
            self.ensure_refused(&late).await?;
        }
        filler.end()?;

        self.until_deposits_are(true).await?;
        let code = self.front.hand_in(&late).await?.context("it was not brought")?;
        self.bank.kill_agent()?;
        self.bank.start_agent().await?;
        self.front.fetch(&late, &code).await
    }

    async fn fetch(&mut self, (order, code): (Order, String)) -> Result<()> {
        self.bank.agent().context("the agent is not running")?.ensure_running()?;
        self.front.fetch(&order, &code).await?;
        self.report.fetched_when_full += 1;
        Ok(())
    }

    async fn until_deposits_are(&mut self, open: bool) -> Result<()> {
        let what = if open { "takes deposits" } else { "takes no deposits" };
        let wanted = |state: &edge_agent::bank::PanelState| state.deposits_open == open;
        self.bank.wait_for_screen(what, NOTICED_LIMIT, wanted).await.map(drop)
    }

    /// The agent has noticed what sled would not outlive.
    async fn until_without_sled(&self) -> Result<()> {
        let log = self.bank.agent_log();
        let said = async || {
            let has_said = std::fs::read_to_string(&log)?.contains(WITHOUT_SLED);
            Ok(has_said.then_some(()))
        };
        wait_for("the agent goes on without sled", NOTICED_LIMIT, said).await
    }

    async fn ensure_refused(&mut self, order: &Order) -> Result<()> {
        let (agent, front) = (self.bank.agent().context("the agent is not running")?, &self.front);
        let refusal = async || {
            agent.ensure_running()?;
            front.refusal(order).await
        };
        let reason = wait_for("the bank answers the courier", NOTICED_LIMIT, refusal).await?;
        ensure!(reason == "BANK_NOT_ACCEPTING", "the courier was refused with {reason}");
        self.report.refused_when_full += 1;
        Ok(())
    }
}

/// Takes every byte of a disk, and every byte that becomes free.
struct Filler {
    path: PathBuf,
    pouring: JoinHandle<std::io::Result<()>>,
}

impl Filler {
    fn begin(path: PathBuf) -> Result<Self> {
        let mut file = File::create_new(&path)?;
        pour(&mut file)?;
        let pouring = tokio::spawn(async move {
            let mut looks = tokio::time::interval(FILL_EVERY);
            loop {
                looks.tick().await;
                pour(&mut file)?;
            }
        });
        Ok(Self { path, pouring })
    }

    fn end(self) -> Result<()> {
        ensure!(!self.pouring.is_finished(), "the disk was not filled all the while");
        self.pouring.abort();
        Ok(std::fs::remove_file(&self.path)?)
    }
}

fn pour(file: &mut File) -> std::io::Result<()> {
    let most = vec![0; 1 << 20];
    for piece_bytes in [most.len(), 4_096, 1] {
        loop {
            match file.write(&most[..piece_bytes]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
