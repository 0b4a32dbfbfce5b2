//! The power goes right after somebody was told something, again and again on the same disk. Each
//! time everything that was ever told must be on the disk; then the writer goes on from what is there.

mod bare;
mod told;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use system_tests::bank::Bank;
use system_tests::callers::Operator;
use system_tests::hub::HubOptions;
use system_tests::world::World;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::chance::Chance;
use crate::diary::{self, By, Diary, Entry, What};
use crate::fifth;
use crate::hub_copy::Held;
use crate::image::{self, Disk};
use crate::kill_loop::{Crowd, SHORT_LEASE, add_bank};
use crate::ledgers::Verdict;
use crate::people::Front;
use crate::sender::Sender;
pub(crate) use bare::of_journal;

const BANK: &str = "lobby";
/// As in the harness: set to anything, temporary folders stay.
const KEEP_VARIABLE: &str = "POSTERN_KEEP";
/// Acknowledgements between two cuts, at most: a parcel's whole life is about ten of a bank's, and
/// three times as many of the hub's.
const TOLD_BY_BANK_MAX: u64 = 5;
const TOLD_BY_HUB_MAX: u64 = 16;

/// Cuts of a bank or of its hub in one chain: people have parcels for as many, and the bank opens for no more.
const CUTS_MAX: usize = 50;

/// What happened.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) cuts: usize,
    /// Acknowledgements that were looked for on the disk, over all cuts.
    pub(crate) looked_for: usize,
    pub(crate) ledgers: Verdict,
}

/// The agent's data folder is on the disk.
pub(crate) async fn of_agent(cuts: usize, seed: u64) -> Result<Report> {
    ensure!(cuts <= CUTS_MAX, "at most {CUTS_MAX} cuts in a chain that people live through");
    let folder = folder()?;
    let data = folder.path().join("world/banks").join(BANK).join("data");
    let mut disk = Disk::new(&folder.path().join("disk"), &data)?;
    let mut chance = Chance::of(seed);
    let mut stage = Stage::set(folder.path(), &mut chance).await?;
    let mut report = Report { cuts, ..Report::default() };
    for cut in 1..=cuts {
        stage.until_acknowledged(By::Bank, &mut chance).await?;
        let agent = stage.bank.agent().context("the agent is not running")?;
        image::stop(agent.id()).await?;
        disk.cut(async || stage.bank.kill_agent()).await?;
        let people = diary::read(stage.diary.path())?;
        let places = fifth::places(&stage.world, std::slice::from_ref(&stage.bank), &stage.diary);
        let (looked_for, lost) = told::lost(&places.banks[0], &people)?;
        eprintln!("crash: power cut {cut} of the agent; {looked_for} things told, {lost:?} lost");
        ensure!(lost.is_empty(), "power cut {cut}: {}", lost.join("\n  "));
        report.looked_for += looked_for;
        stage.bank.start_agent().await?;
    }
    stage.end(&mut report).await?;
    drop(disk);
    Ok(report)
}

/// The hub's store is on the disk; letters that went out are not.
pub(crate) async fn of_hub(cuts: usize, seed: u64) -> Result<Report> {
    ensure!(cuts <= CUTS_MAX, "at most {CUTS_MAX} cuts in a chain that people live through");
    let folder = folder()?;
    let hub = folder.path().join("world/hub");
    let mut disk = Disk::new(&folder.path().join("disk"), &hub)?;
    let mailbox = folder.path().join("mailbox");
    std::fs::create_dir(&mailbox)?;
    std::os::unix::fs::symlink(&mailbox, hub.join("mailbox"))?;
    let mut chance = Chance::of(seed);
    let mut stage = Stage::set(folder.path(), &mut chance).await?;
    let mut report = Report { cuts, ..Report::default() };
    for cut in 1..=cuts {
        stage.until_acknowledged(By::Hub, &mut chance).await?;
        let hub = stage.world.hub.process().context("the hub is not running")?;
        image::stop(hub.id()).await?;
        disk.cut(async || stage.world.hub.kill()).await?;
        let people = diary::read(stage.diary.path())?;
        let held = Held::read(&stage.world.hub.store_file()).await?;
        let (looked_for, lost) = held.lost(&people);
        eprintln!("crash: power cut {cut} of the hub; {looked_for} things told, {lost:?} lost");
        ensure!(lost.is_empty(), "power cut {cut}: {}", lost.join("\n  "));
        report.looked_for += looked_for;
        stage.world.hub.start_again().await?;
    }
    stage.end(&mut report).await?;
    drop(disk);
    Ok(report)
}

/// Stays if it was asked for, for the logs of a run that failed; what was mounted is gone with it.
pub(crate) fn folder() -> Result<TempDir> {
    let mut folder = tempfile::Builder::new().prefix("postern-cuts-").tempdir()?;
    folder.disable_cleanup(std::env::var_os(KEEP_VARIABLE).is_some());
    Ok(folder)
}

/// A hub, a bank, and its people.
struct Stage {
    // Dropped before the world, whose folder it writes into.
    bank: Bank,
    world: World,
    diary: Diary,
    told: mpsc::Receiver<Entry>,
    crowd: Crowd,
    stop: watch::Sender<bool>,
    listeners: JoinSet<Result<()>>,
}

impl Stage {
    async fn set(folder: &Path, chance: &mut Chance) -> Result<Self> {
        let options = HubOptions { tables: SHORT_LEASE.to_owned(), ..HubOptions::default() };
        let world = World::start_in(&folder.join("world"), &[BANK], options).await?;
        let (diary, told) = Diary::watched(&folder.join("people.jsonl"))?;
        let bank = add_bank(&world, BANK).await?;
        let front = Front::of(&world, &bank, &diary, Chance::of(chance.next())).await?;
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        let sender = Sender::of(&world.carrier, BANK, &diary);
        listeners.spawn_local(async move { sender.listen().await });
        listeners.spawn_local(ask_on(world.operator.clone(), diary.clone()));
        let crowd = Crowd::come(front, stopped);
        Ok(Self { bank, world, diary, told, crowd, stop, listeners })
    }

    /// Until somebody was told something: the moment at which the power goes.
    async fn until_acknowledged(&mut self, by: By, chance: &mut Chance) -> Result<()> {
        // What was told before the last cut is long known.
        while self.told.try_recv().is_ok() {}
        let most = if by == By::Hub { TOLD_BY_HUB_MAX } else { TOLD_BY_BANK_MAX };
        let mut left = 1 + chance.below(most);
        while left > 0 {
            self.crowd.ensure_busy().await?;
            let told = self.told.recv();
            let told = tokio::time::timeout(crate::people::VISIT_LIMIT, told).await;
            let told = told.context("nobody was told anything any more")?;
            let told = told.context("the diary is shut")?;
            left -= u64::from(told.what.acknowledged_by() == by);
        }
        Ok(())
    }

    async fn end(mut self, report: &mut Report) -> Result<()> {
        self.stop.send_replace(true);
        // Whoever still writes is not kept waiting.
        self.told.close();
        self.crowd.finish().await?;
        self.listeners.shutdown().await;
        let places = fifth::places(&self.world, std::slice::from_ref(&self.bank), &self.diary);
        report.ledgers = fifth::ensure_one_story(self.world.folder(), &places).await?;
        self.bank.stop_agent().await?;
        self.world.hub.stop().await
    }
}

/// An operator who asks the hub how much it has, until the runtime ends.
async fn ask_on(operator: Operator, diary: Diary) -> Result<()> {
    let mut known = 0;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        // A hub without power does not answer.
        let Ok(bank) = operator.bank(BANK).await else { continue };
        if bank.committed_seq != known {
            known = bank.committed_seq;
            diary.note(BANK, "", What::Committed { seq: known }).await?;
        }
    }
}
