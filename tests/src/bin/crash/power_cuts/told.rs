//! What an agent has told people, looked for in the journal that the power cut left.

use anyhow::Result;

use crate::diary::{By, Entry, What};
use crate::journal::{self, Book};
use crate::ledgers::{BankPlaces, pulses_without_intent};

/// How much was looked for, and what of it is gone.
pub(super) fn lost(places: &BankPlaces, people: &[Entry]) -> Result<(usize, Vec<String>)> {
    let book = journal::read(&places.journal)?;
    let (mut looked_for, mut lost) = (0, Vec::new());
    let names: std::collections::BTreeSet<&str> =
        people.iter().map(|entry| entry.parcel.as_str()).collect();
    for name in names {
        let of: Vec<&What> =
            people.iter().filter(|entry| entry.parcel == name).map(|entry| &entry.what).collect();
        looked_for += of.iter().filter(|what| what.acknowledged_by() == By::Bank).count();
        lost.extend(lost_of_parcel(name, &of, &book));
    }
    // A door that was moved is told to everybody who sees it.
    let seen = places.read_board()?;
    for (compartment, t_ms) in pulses_without_intent(&seen, &book.intents) {
        lost.push(format!("the intent of the pulse for {compartment} at {t_ms}"));
    }
    looked_for += seen.iter().filter(|at| at.what == crate::ledgers::Seen::Pulse).count();
    let committed = people.iter().filter_map(|entry| match entry.what {
        What::Committed { seq } => Some(seq),
        What::Announced
        | What::Booked
        | What::LabelTaken
        | What::Put { .. }
        | What::ToldStored { .. }
        | What::ToldInside
        | What::Kept
        | What::Letter
        | What::CodeTaken
        | What::Took { .. }
        | What::ToldCollected { .. }
        | What::ToldGone
        | What::Found { .. }
        | What::Heard { .. }
        | What::Unanswered { .. } => None,
    });
    let committed = committed.max().unwrap_or(0);
    if committed > book.head_seq {
        lost.push(format!("the hub has {committed} records, the bank {}", book.head_seq));
    }
    Ok((looked_for, lost))
}

fn lost_of_parcel(name: &str, told: &[&What], book: &Book) -> Vec<String> {
    let recorded = |kind: &str| {
        let life = book.lives.get(name).into_iter().flatten();
        life.filter(|turn| turn.kind == kind).count()
    };
    let times = |wanted: fn(&What) -> bool| told.iter().filter(|what| wanted(what)).count();
    let labels = times(|what| matches!(what, What::LabelTaken));
    let codes = times(|what| matches!(what, What::CodeTaken));
    let found = times(|what| matches!(what, What::Found { .. }));
    let is_inside = |what: &What| matches!(what, What::ToldStored { .. } | What::ToldInside);
    let is_gone = |what: &What| matches!(what, What::ToldCollected { .. } | What::ToldGone);
    let stored = usize::from(times(is_inside) > 0);
    let collected = usize::from(times(is_gone) > 0);
    let looks = ["PARCEL_STORED", "PARCEL_DISPUTED", "PARCEL_DEPOSIT_ABORTED"].map(recorded);
    let looks = looks.into_iter().sum();
    // A recipient who comes back in the grace period looks into an empty compartment: no new pickup.
    let codes = codes.min(codes - collected.min(codes) + 1);
    [
        ("PARCEL_DEPOSITING", labels, recorded("PARCEL_DEPOSITING")),
        ("PARCEL_STORED", stored, recorded("PARCEL_STORED")),
        ("PARCEL_COLLECTING", codes, recorded("PARCEL_COLLECTING")),
        ("PARCEL_COLLECTED", collected, recorded("PARCEL_COLLECTED")),
        ("what staff found", found, looks),
    ]
    .into_iter()
    .filter(|(_, told, recorded)| told > recorded)
    .map(|(kind, told, recorded)| format!("{name}: {kind} told {told}, recorded {recorded}"))
    .collect()
}
