//! `kill -9` of agents and of the hub at moments that nobody chose, while people bring and fetch
//! parcels at every bank.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use system_tests::bank::{Bank, BankSpec, SMALL};
use system_tests::board::{Doors, Wire};
use system_tests::callers::Order;
use system_tests::hub::HubOptions;
use system_tests::world::World;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

use crate::chance::Chance;
use crate::diary::Diary;
use crate::fifth;
use crate::ledgers::Verdict;
use crate::people::{Doing, Front};

/// Compartments of each bank.
pub(crate) const ROOMS: usize = 8;
/// Parcels that stay inside, of each bank.
const STAY_MAX: usize = 3;
/// Parcels of each bank: a bank opens for recipients 64 times an hour at most.
const PARCELS_MAX: usize = 40;
/// Between two kills, in milliseconds.
const KILL_EVERY_MS: (u64, u64) = (50, 900);
/// How long whoever was killed stays away, in milliseconds.
const AWAY_MS: (u64, u64) = (0, 250);
/// How long people may take to finish what they are at once nothing breaks any more.
const FINISH_LIMIT: Duration = Duration::from_secs(150);
/// A deliverer that died with a letter in its hand is given up after this long: the least that the
/// hub allows.
pub(crate) const SHORT_LEASE: &str = "[store.limits]\nnotice_lease_ms = 40000\n\
    [notices.limits]\nlook_every_ms = 100\n";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many
    #[arg(long, default_value_t = 30)]
    kills: usize,
    /// What chance begins with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Banks that people use at the same time, 1 to 9
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=9))]
    banks: u8,
    /// Keep everything in this new folder
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// What happened.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) kills_of_agents: usize,
    pub(crate) kills_of_the_hub: usize,
    /// What the people of the bank, or of the first one, were at when something was killed.
    pub(crate) killed_while: BTreeMap<&'static str, usize>,
    pub(crate) ledgers: Verdict,
    /// What the comparison said to a pulse that nobody had asked for.
    pub(crate) planted: String,
}

pub(crate) async fn run(args: &Args) -> Result<Report> {
    let names: Vec<String> = (1..=args.banks).map(|n| format!("bank{n}")).collect();
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    let options = HubOptions { tables: SHORT_LEASE.to_owned(), ..HubOptions::default() };
    let mut world = match &args.folder {
        Some(folder) => World::start_in(folder, &ids, options).await?,
        None => World::start_with(&ids, options).await?,
    };
    let folder = world.folder().to_owned();
    let diary = Diary::begin(&folder.join("people.jsonl"))?;
    let mut chance = Chance::of(args.seed);
    let (stop, stopped) = watch::channel(false);
    let (mut banks, mut crowds) = (Vec::new(), Vec::new());
    for id in &ids {
        let bank = add_bank(&world, id).await?;
        let front = Front::of(&world, &bank, &diary, Chance::of(chance.next())).await?;
        crowds.push(Crowd::come(front, stopped.clone()));
        banks.push(bank);
    }
    let mut report = Report::default();
    for kill in 1..=args.kills {
        chance.wait_ms(KILL_EVERY_MS.0, KILL_EVERY_MS.1).await;
        for crowd in &mut crowds {
            crowd.ensure_busy().await?;
        }
        kill_one(&mut world, &mut banks, &crowds, &mut chance, &mut report)
            .await
            .with_context(|| format!("kill {kill}; see {}", folder.display()))?;
    }
    stop.send_replace(true);
    for crowd in crowds {
        crowd.finish().await?;
    }
    let places = fifth::places(&world, &banks, &diary);
    report.ledgers = fifth::ensure_one_story(&folder, &places).await?;
    let starts = banks.len() + report.kills_of_agents;
    let counted = report.ledgers.agent_starts;
    ensure!(counted == starts, "agents were started {starts} times, and recorded {counted}");
    report.planted = fifth::plant_a_pulse(&folder, &places, &banks[0]).await?;
    for bank in &mut banks {
        bank.stop_agent().await?;
    }
    world.hub.stop().await?;
    Ok(report)
}

/// A bank whose doors stay open until somebody pushes them shut, and wait only a second when it has
/// started again and again.
pub(crate) async fn add_bank(world: &World, id: &str) -> Result<Bank> {
    let doors = Doors { open_after: Duration::from_millis(80), shut_after: None };
    let rooms = vec![SMALL; ROOMS];
    let spec = BankSpec { rooms, doors, shut_stable_ms: 60, ..BankSpec::new(id, Wire::Tcp) };
    let bank = world.add_bank(spec).await?;
    let file = world.folder().join("banks").join(id).join("edge-agent.toml");
    let config = std::fs::read_to_string(&file)?;
    if !config.contains("[starts]") {
        std::fs::write(&file, format!("{config}\n[starts]\ncalm_s = 1\n"))?;
    }
    Ok(bank)
}

async fn kill_one(
    world: &mut World,
    banks: &mut [Bank],
    crowds: &[Crowd],
    chance: &mut Chance,
    report: &mut Report,
) -> Result<()> {
    let count = u64::try_from(banks.len())?;
    let of_hub = chance.once_in(2);
    let at = usize::try_from(chance.below(count))?;
    let doing = crowds[at].doing.now();
    *report.killed_while.entry(doing).or_default() += 1;
    if of_hub {
        eprintln!("crash: kill -9 of the hub while at {} somebody is {doing}", banks[at].spec.id);
        world.hub.kill()?;
        chance.wait_ms(AWAY_MS.0, AWAY_MS.1).await;
        report.kills_of_the_hub += 1;
        return world.hub.start_again().await;
    }
    let bank = &mut banks[at];
    eprintln!("crash: kill -9 of the agent of {} while somebody is {doing}", bank.spec.id);
    bank.agent().context("the agent is not running")?.ensure_running()?;
    bank.kill_agent()?;
    chance.wait_ms(AWAY_MS.0, AWAY_MS.1).await;
    report.kills_of_agents += 1;
    bank.start_agent().await
}

/// The people of one bank, one parcel after the other.
pub(crate) struct Crowd {
    bank: String,
    pub(crate) doing: Doing,
    task: JoinHandle<Result<()>>,
}

impl Crowd {
    pub(crate) fn come(front: Front, stopped: watch::Receiver<bool>) -> Self {
        let (bank, doing) = (front.bank.clone(), front.doing());
        let task = spawn_local(async move {
            for n in 0..PARCELS_MAX {
                if *stopped.borrow() {
                    break;
                }
                let stays = n % 5 == 4 && n / 5 < STAY_MAX;
                front.handle(&Order::small(&format!("{}-{n}", front.bank)), stays).await?;
            }
            Ok(())
        });
        Self { bank, doing, task }
    }

    /// Fails if somebody has given up.
    pub(crate) async fn ensure_busy(&mut self) -> Result<()> {
        if !self.task.is_finished() {
            return Ok(());
        }
        let ended = (&mut self.task).await?;
        ended.with_context(|| format!("at {}", self.bank))?;
        // All parcels are through; the last ended well.
        self.task = spawn_local(async { Ok(()) });
        Ok(())
    }

    pub(crate) async fn finish(self) -> Result<()> {
        let finished = tokio::time::timeout(FINISH_LIMIT, self.task).await;
        let finished = finished.with_context(|| format!("people at {} never end", self.bank))?;
        finished?.with_context(|| format!("at {}", self.bank))
    }
}
