//! Asks each source for all it knows, once nothing is under way any more: what came too late, or
//! twice, is seen as well.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use locker_core::code::budget::Verdict;
use locker_core::fact::Fact;
use locker_proto::wire::carrier::v1::parcel::State;
use locker_proto::wire::fleet::v1::{Event, SetBankModeRequest};
use system_tests::bank::Bank;
use system_tests::callers::{request_id, timed};
use system_tests::fleet_watch::events_until;
use system_tests::mailbox;
use system_tests::records::{notices_under_way, of_bank};
use system_tests::wait::wait_for;
use system_tests::watch::Watch;
use system_tests::world::World;

use super::compare::{Heard, Logged, Noted, Posted, Recorded, Told, Watched, WatchedBank};

/// How long a watch may take to tell everything again.
const WATCH_LIMIT: Duration = Duration::from_secs(10);
/// How long the last letter may take.
const LETTER_LIMIT: Duration = Duration::from_secs(20);
/// What a bank takes over when it is asked whether it has anything to say: into maintenance and out.
const MODES: [bool; 2] = [true, false];
const MODE_ACCEPTED: &str = "BANK_MODE_ACCEPTED";

/// Asks everybody.
pub(super) async fn ask(world: &World, banks: &[Bank]) -> Result<Told> {
    try_join_all(banks.iter().map(|bank| hear_out(world, &bank.spec.id))).await?;
    let store = world.hub.store_file();
    wait_for("all letters are in the mailbox", LETTER_LIMIT, async || {
        Ok((notices_under_way(&store).await? == 0).then_some(()))
    })
    .await?;
    let mut told = Told { watched: ask_watches(world, banks).await?, ..Told::default() };
    for bank in banks {
        told.logged.insert(bank.spec.id.clone(), ask_boards(bank)?);
        told.recorded.insert(bank.spec.id.clone(), ask_journal(&store, &bank.spec.id).await?);
    }
    told.posted = ask_mailbox(&world.hub.mailbox_folder(), banks)?;
    Ok(told)
}

/// Ends when the hub has everything that the bank had recorded before: a bank's records come in
/// order, and the ones that say that it goes into maintenance and out are its last.
async fn hear_out(world: &World, id: &str) -> Result<()> {
    for maintenance in MODES {
        let (name, request_id) = (format!("banks/{id}"), request_id());
        let request = SetBankModeRequest { name, maintenance, request_id };
        world
            .operator
            .client()
            .set_bank_mode(timed(request))
            .await
            .context("SetBankMode failed")?;
        let what = format!("has heard of maintenance: {maintenance}");
        let knows = |bank: &locker_proto::wire::fleet::v1::Bank| {
            bank.maintenance_held == maintenance && bank.maintenance == maintenance
        };
        world.operator.wait_for_bank(id, &what, knows).await?;
    }
    Ok(())
}

/// The carrier's watch tells of parcels, the operator's of compartments and banks, too.
async fn ask_watches(world: &World, banks: &[Bank]) -> Result<Watched> {
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until_caught_up(WATCH_LIMIT).await?;
    let mut told = Watched::default();
    for seen in watch.seen.iter().filter(|seen| !seen.repeated) {
        told.events += 1;
        let heard =
            Heard { kind: seen.kind.clone(), state: seen.state, inside: door(seen.compartment)? };
        told.lives.entry(seen.parcel.clone()).or_default().push(heard);
        if let (Some(bank), State::Stored) = (seen.bank.strip_prefix("banks/"), seen.state) {
            told.banks.entry(bank.to_owned()).or_default().stored += 1;
        }
    }
    let mut left: BTreeMap<String, usize> =
        banks.iter().map(|bank| (format!("banks/{}", bank.spec.id), MODES.len())).collect();
    let last = |event: &Event| {
        if event.kind == MODE_ACCEPTED
            && let Some(left) = left.get_mut(&event.bank)
        {
            *left = left.saturating_sub(1);
        }
        left.values().all(|left| *left == 0)
    };
    let what = "the last bank's end of maintenance";
    for event in events_until(&world.operator, what, WATCH_LIMIT, last).await? {
        note(&mut told, world, event)?;
    }
    Ok(told)
}

/// An event as the operator is told of it.
fn note(told: &mut Watched, world: &World, event: Event) -> Result<()> {
    let bank = event.bank.strip_prefix("banks/");
    let bank = bank.map(|bank| told.banks.entry(bank.to_owned()).or_default());
    let (kind, compartment, detail) = (event.kind, door(event.compartment)?, event.detail);
    if let Some(parcel) = event.parcel.strip_prefix(&world.carrier.parcel("")) {
        let opens = matches!(kind.as_str(), "PARCEL_DEPOSITING" | "PARCEL_COLLECTING");
        if let Some(bank) = bank.filter(|_| opens) {
            bank.openings.push(compartment);
        }
        let noted = Noted { kind, at: compartment, detail };
        told.notes.entry(parcel.to_owned()).or_default().push(noted);
    } else if let Some(bank) = bank {
        of_bank_itself(bank, kind, compartment, detail);
    } else {
        told.strange.push(format!("{kind} {} {detail}", event.parcel));
    }
    Ok(())
}

fn of_bank_itself(told: &mut WatchedBank, kind: String, compartment: u16, detail: String) {
    match kind.as_str() {
        "COMPARTMENT_QUARANTINED" => told.quarantined.push((compartment, detail)),
        // Staff opened it to look.
        "COMPARTMENT_RELEASED" => {
            told.openings.push(compartment);
            told.released.push((compartment, detail));
        }
        _ => told.others.push((kind, detail)),
    }
}

fn door(number: u32) -> Result<u16> {
    u16::try_from(number).context("a door has a number that none can have")
}

fn ask_boards(bank: &Bank) -> Result<Logged> {
    let mut told = Logged::default();
    for line in bank.board.log()? {
        match (bank.spec.compartment_of(&line), line.pulse, line.door.as_deref()) {
            (Some(number), Some(_), None) => told.pulses.push(number),
            (Some(number), None, Some("open")) => told.opened.push(number),
            (Some(number), None, Some("closed")) => told.shut.push(number),
            _ => told.strange.push(format!("{line:?}")),
        }
    }
    Ok(told)
}

async fn ask_journal(store: &Path, bank: &str) -> Result<Recorded> {
    let mut told = Recorded::default();
    for record in of_bank(store, bank).await? {
        if let Fact::PulseIntended(intended) = record.fact {
            told.intended.push(intended.compartment.0);
        } else if let Fact::DepositMisfit(misfit) = record.fact {
            told.misfits.push(misfit.compartment.0);
        } else if let Fact::CodeTyped(typed) = record.fact
            && typed.verdict == Verdict::Wrong
        {
            told.wrong_digits += 1;
        }
    }
    Ok(told)
}

fn ask_mailbox(folder: &Path, banks: &[Bank]) -> Result<Posted> {
    let letters = mailbox::letters(folder)?;
    let mut told =
        Posted { strays: folder.read_dir()?.count() - letters.len(), ..Posted::default() };
    for letter in letters {
        let names = |bank: &&Bank| letter.subject.ends_with(&bank.spec.display_name());
        let bank = banks.iter().find(names);
        let bank = bank.with_context(|| format!("a letter names no bank: {}", letter.subject))?;
        told.letters.entry(bank.spec.id.clone()).or_default().push(letter.to);
    }
    Ok(told)
}
