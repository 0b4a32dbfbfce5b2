//! Calls the fifth process, which compares the four ledgers, and plants a lie for it to find.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use edge_agent::board::{BoardAddr, LockIndex, cu48};
use system_tests::bank::Bank;
use system_tests::wait::wait_for;
use system_tests::world::World;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::diary::Diary;
use crate::journal::{self, Intent};
use crate::ledgers::{BankPlaces, PULSE_WITHIN_MS, Places, Verdict};

/// How long a comparison may take.
const AUDIT_LIMIT: Duration = Duration::from_secs(60);
/// How long a pulse may take to be seen in the board's log.
const PULSE_LIMIT: Duration = Duration::from_secs(10);

/// Where the ledgers of a world are.
pub(crate) fn places(world: &World, banks: &[Bank], diary: &Diary) -> Places {
    let data = |bank: &Bank| world.folder().join("banks").join(&bank.spec.id).join("data");
    let of = |bank: &Bank| BankPlaces::of(&bank.spec, bank.board.log_file(), &data(bank));
    Places {
        diary: diary.path().to_owned(),
        banks: banks.iter().map(of).collect(),
        mailbox: world.hub.mailbox_folder(),
        hub: format!("https://{}", world.hub.addresses().grpc),
        pki: world.pki.folder().to_owned(),
    }
}

/// What the fifth process says, which is not this one.
pub(crate) async fn audit(folder: &Path, places: &Places) -> Result<Verdict> {
    let file = folder.join("places.json");
    std::fs::write(&file, serde_json::to_vec(places)?)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("ledgers").arg(file).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(AUDIT_LIMIT, command.output());
    let output = output.await.context("the ledgers were not compared in time")??;
    let said = String::from_utf8_lossy(&output.stderr);
    let Ok(verdict) = serde_json::from_slice::<Verdict>(&output.stdout) else {
        bail!("the ledgers could not be compared: {said}");
    };
    ensure!(
        output.status.success() == verdict.agrees(),
        "it ended with {} and says {verdict:?}",
        output.status
    );
    Ok(verdict)
}

/// As [`audit`], and fails with whatever does not fit.
pub(crate) async fn ensure_one_story(folder: &Path, places: &Places) -> Result<Verdict> {
    let verdict = audit(folder, places).await?;
    let Verdict { lost, doubled, unexplained, .. } = &verdict;
    ensure!(
        verdict.agrees(),
        "{} lost, {} doubled, {} unexplained:\n  {}",
        lost.len(),
        doubled.len(),
        unexplained.len(),
        [lost.as_slice(), doubled, unexplained].concat().join("\n  ")
    );
    Ok(verdict)
}

/// Somebody on the line to the boards pulses a lock that no agent has asked for; the fifth process
/// must say so. Gives what it says.
pub(crate) async fn plant_a_pulse(folder: &Path, places: &Places, bank: &Bank) -> Result<String> {
    let before = bank.board.pulses()?.len();
    let port = bank.board.port_config();
    let gateway = port.split('"').nth(1).context("the board has no gateway")?;
    let quiet = async || lock_without_intent(places, bank);
    let lock = wait_for("a lock that no intent accounts for", PULSE_LIMIT, quiet).await?;
    let frame = cu48::encode_unlock(BoardAddr::try_from(0)?, LockIndex::try_from(lock)?);
    let mut line = TcpStream::connect(gateway).await?;
    line.write_all(&frame).await?;
    wait_for("the planted pulse is in the board's log", PULSE_LIMIT, async || {
        Ok((bank.board.pulses()?.len() > before).then_some(()))
    })
    .await?;
    drop(line);
    let verdict = audit(folder, places).await?;
    let found = verdict.unexplained.iter().find(|what| what.contains("without an intent"));
    let found = found.with_context(|| format!("the planted pulse was not found: {verdict:?}"))?;
    Ok(found.clone())
}

/// A lock of the first board for which no intent is so young that a pulse now might be its own: of one that a kill left
/// in doubt, nobody can say that it was not.
fn lock_without_intent(places: &Places, bank: &Bank) -> Result<Option<u8>> {
    let of_bank = places.banks.iter().find(|places| places.id == bank.spec.id);
    let of_bank = of_bank.context("the bank has ledgers")?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let intents = journal::read(&of_bank.journal)?.intents;
    let young = |intent: &&Intent| u128::from(intent.at_ms + PULSE_WITHIN_MS) >= now_ms;
    let taken: BTreeSet<u16> =
        intents.iter().filter(young).map(|intent| intent.compartment).collect();
    let mut wired = (1_u16..).zip(&of_bank.wired);
    let free = wired.find(|(number, (board, _))| *board == 0 && !taken.contains(number));
    Ok(free.map(|(_, (_, lock))| *lock))
}
