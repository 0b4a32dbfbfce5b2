//! What a restored hub learns from a bank that knows more of parcels than it does: the decisions
//! and bookings that were lost with the store, as far as the bank's own records tell of them. Of two
//! things that were decided the later one counts, which its version says.
//!
//! To be called when all the bank's records are folded, and before the bank is told anything.

pub(super) mod unknown;

use std::collections::{HashMap, HashSet};

use locker_core::downlink::Grant;
use locker_core::ids::{BankId, ParcelId, Version};
use locker_core::parcel::{Parcel, ParcelState, RecallReason, Terms};
use locker_core::units::UnixMillis;

use super::alarm_rows::AlarmKind;
use super::alarms::NewAlarm;
use super::convert::{bytes, int};
use super::ingest_write::{NOTICES, notice_values};
use super::rows::{EventKind, HubParcelState, NoticeKind, ParcelRow};
use super::tx::{NewEvent, Tx};
use super::{WriteError, queries};

/// Parcels that an alarm names; further ones are counted.
const NAMED_MAX: usize = 8;

/// Takes over what the bank holds and the hub has forgotten. `later` is what was decided since the
/// restore, which wins; what the bank must be told besides is added to it.
pub(super) async fn adopt(
    tx: &mut Tx,
    bank: &BankId,
    held: &HashMap<ParcelId, Parcel>,
    later: &mut Vec<Grant>,
    now: UnixMillis,
) -> Result<(), WriteError> {
    let decided = Decided::of(later);
    let (mut unknown, mut elsewhere) = (Vec::new(), Vec::new());
    let mut all: Vec<&Parcel> = held.values().collect();
    all.sort_unstable_by_key(|parcel| parcel.id);
    for parcel in all {
        let live = parcel.state.settled_at().is_none();
        let Some(mut row) = queries::parcel_by_uid(tx.connection(), parcel.id).await? else {
            if live {
                unknown.push(parcel);
            }
            continue;
        };
        let change = if is_forgotten(&row, bank, parcel, &decided) {
            forget_elsewhere(tx, bank, &mut row, parcel, now).await?;
            taken_over(&mut row, bank, parcel, &decided)
        } else if row.bank.as_ref() == Some(bank) {
            caught_up(&mut row, parcel, &decided)
        } else if parcel.state == ParcelState::Booked {
            row.version = next_version(&row, parcel);
            later.push(Grant::Cancel { parcel: row.uid, version: row.version });
            Change::Silent
        } else {
            if live {
                elsewhere.push(parcel);
            }
            continue;
        };
        match change {
            Change::None => continue,
            Change::Silent => {}
            Change::Told(kind) => tell(tx, bank, &row, kind, now),
        }
        row.updated_at = now;
        tx.save_parcel(&row).await?;
        if change == Change::Told(EventKind::ParcelStored) {
            let notice = notice_values(&row, NoticeKind::ParcelStored, Some(now));
            tx.insert(&NOTICES, notice.to_vec()).await?;
        }
    }
    unknown::note(tx, bank, &unknown).await?;
    raise(tx, bank, &unknown, &elsewhere, now).await
}

/// A person must see to parcels that are inside and about which the hub cannot act.
async fn raise(
    tx: &mut Tx,
    bank: &BankId,
    unknown: &[&Parcel],
    elsewhere: &[&Parcel],
    now: UnixMillis,
) -> Result<(), WriteError> {
    let name = |parcel: &&Parcel| {
        let Parcel { id, carrier, barcode, .. } = parcel;
        format!("{} of {carrier} ({id})", barcode.as_str())
    };
    let counted = |what, parcels: &[&Parcel]| {
        let named: Vec<String> = parcels.iter().take(NAMED_MAX).map(name).collect();
        (!parcels.is_empty()).then(|| format!("{} {what}: {}", parcels.len(), named.join(", ")))
    };
    let details = [
        counted("after a restore", unknown),
        counted("inside although this store says otherwise", elsewhere),
    ];
    let detail = details.into_iter().flatten().collect::<Vec<_>>().join("; ");
    if !detail.is_empty() {
        let kind = AlarmKind::UnknownParcels;
        tx.raise(NewAlarm { bank, kind, detail: &detail, parties: &[], now }).await?;
    }
    Ok(())
}

/// Takes over what happened at the doors in records that never come: of a journal that was damaged, or of the branch that
/// a bank gave up for the hub's. What its people did there is the bank's to say.
pub(super) async fn settle(
    tx: &mut Tx,
    bank: &BankId,
    held: &HashMap<ParcelId, Parcel>,
    now: UnixMillis,
) -> Result<(), WriteError> {
    let mut all: Vec<&Parcel> = held.values().collect();
    all.sort_unstable_by_key(|parcel| parcel.id);
    for parcel in all {
        let Some(mut row) = queries::parcel_by_uid(tx.connection(), parcel.id).await? else {
            continue;
        };
        let own = row.bank.as_ref() == Some(bank);
        let Some(state) = unheard(row.state, parcel.state).filter(|_| own) else { continue };
        row.state = state;
        row.compartment = parcel.state.compartment();
        row.updated_at = now;
        tx.event(NewEvent {
            event_id: uuid::Uuid::new_v4().simple().to_string(),
            kind: event_of(state),
            bank: Some(bank),
            compartment: row.compartment,
            parcel: Some(&row),
            detail: "CARRIED_OVER".to_owned(),
            occurred_at: now,
            recorded_at: now,
        });
        tx.save_parcel(&row).await?;
    }
    Ok(())
}

/// What has become of a parcel at its bank, if what the hub knows of it is what was before.
const fn unheard(known: HubParcelState, held: ParcelState) -> Option<HubParcelState> {
    let inside = matches!(
        known,
        HubParcelState::Depositing
            | HubParcelState::Stored
            | HubParcelState::Collecting
            | HubParcelState::Unresolved
            | HubParcelState::RecallRequested
            | HubParcelState::Expired
            | HubParcelState::Recalling
            | HubParcelState::Disputed
            | HubParcelState::Missing
    );
    let expected = matches!(
        known,
        HubParcelState::Booked | HubParcelState::BookingPending | HubParcelState::BookingExpired
    );
    match held {
        ParcelState::Collected { .. } if inside => Some(HubParcelState::Collected),
        ParcelState::Recalled { .. } if inside => Some(HubParcelState::Recalled),
        ParcelState::Unresolved { .. } if expected => Some(HubParcelState::Unresolved),
        ParcelState::Collected { .. }
        | ParcelState::Recalled { .. }
        | ParcelState::Unresolved { .. }
        | ParcelState::Booked
        | ParcelState::Depositing { .. }
        | ParcelState::Stored { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. }
        | ParcelState::Cancelled { .. }
        | ParcelState::BookingExpired { .. }
        | ParcelState::Missing { .. } => None,
    }
}

/// Gives decisions versions that the bank takes, where it knows of later ones than the hub did when
/// it decided, or will because of `first`, which it is told before them.
pub(super) async fn renumber(
    tx: &mut Tx,
    held: &HashMap<ParcelId, Parcel>,
    first: &[Grant],
    later: &mut [Grant],
) -> Result<(), WriteError> {
    let mut floor: HashMap<ParcelId, Version> =
        held.iter().map(|(&id, parcel)| (id, parcel.version)).collect();
    floor.extend(first.iter().filter_map(Grant::about));
    for grant in later {
        let Some((parcel, decided)) = grant.about() else { continue };
        let least = floor.get(&parcel).map_or(decided, |known| Version(known.0.saturating_add(1)));
        let version = decided.max(least);
        floor.insert(parcel, version);
        if version == decided {
            continue;
        }
        set_version(grant, version);
        let (uid, to) = (bytes(&parcel.0), i64::from(version.0));
        let sql = "UPDATE parcels SET version = $1 WHERE uid = $2 AND version < $3";
        tx.execute("parcels", sql, [to.into(), uid.clone(), to.into()]).await?;
        let sql = "UPDATE notices SET version = $1 WHERE parcel = $2 AND version = $3 \
                   AND due_at IS NULL AND outcome IS NULL";
        tx.execute("notices", sql, [to.into(), uid, int(u64::from(decided.0)).into()]).await?;
    }
    Ok(())
}

/// Parcels of which something was decided since the restore.
#[derive(Default)]
struct Decided {
    bookings: HashSet<ParcelId>,
    codes: HashSet<ParcelId>,
    times: HashSet<ParcelId>,
}

impl Decided {
    fn of(later: &[Grant]) -> Self {
        let (mut bookings, mut codes, mut times) = (HashSet::new(), HashSet::new(), HashSet::new());
        for grant in later {
            match grant {
                Grant::Book(booking) => drop(bookings.insert(booking.parcel)),
                Grant::Reissue { parcel, .. } => drop(codes.insert(*parcel)),
                Grant::Keep { parcel, .. } => drop(times.insert(*parcel)),
                Grant::Cancel { .. }
                | Grant::Recall { .. }
                | Grant::Delegate { .. }
                | Grant::Revoke { .. }
                | Grant::Slots(_) => {}
            }
        }
        Self { bookings, codes, times }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Silent,
    Told(EventKind),
}

/// Whether the parcel is at the bank, or was, by a booking that the hub has forgotten, or was
/// withdrawn there by a cancellation that it has forgotten.
fn is_forgotten(row: &ParcelRow, bank: &BankId, held: &Parcel, decided: &Decided) -> bool {
    let here = row.bank.as_ref() == Some(bank);
    let newer = held.version > row.version;
    let live = held.state.settled_at().is_none();
    // Where it lies counts more than what the hub thinks, and it cannot lie in two places.
    let inside = held.state.compartment().is_some() && !here;
    match row.state {
        HubParcelState::Announced => newer || live,
        HubParcelState::Booked | HubParcelState::BookingPending if here => {
            newer && !decided.bookings.contains(&held.id)
        }
        HubParcelState::Booked | HubParcelState::BookingPending => (newer && live) || inside,
        HubParcelState::BookingExpired | HubParcelState::Recalled => newer || inside,
        HubParcelState::Depositing
        | HubParcelState::Stored
        | HubParcelState::Collecting
        | HubParcelState::Unresolved
        | HubParcelState::RecallRequested
        | HubParcelState::Expired
        | HubParcelState::Recalling
        | HubParcelState::Disputed
        | HubParcelState::Missing => newer && !here,
        // Nothing follows on these but what is found in a compartment.
        HubParcelState::Collected | HubParcelState::Cancelled => false,
    }
}

/// Another bank waits for a parcel in vain that is to be taken over: it is told so.
async fn forget_elsewhere(
    tx: &mut Tx,
    bank: &BankId,
    row: &mut ParcelRow,
    held: &Parcel,
    now: UnixMillis,
) -> Result<(), WriteError> {
    let waits = matches!(row.state, HubParcelState::Booked | HubParcelState::BookingPending);
    let Some(other) = row.bank.clone().filter(|other| waits && other != bank) else {
        return Ok(());
    };
    row.version = next_version(row, held);
    let grant = Grant::Cancel { parcel: row.uid, version: row.version };
    tx.grant(&other, &grant, now).await?;
    Ok(())
}

fn next_version(row: &ParcelRow, held: &Parcel) -> Version {
    Version(row.version.max(held.version).0.saturating_add(1))
}

/// A parcel that the hub knows to be at the bank: what was decided of it and lost.
fn caught_up(row: &mut ParcelRow, held: &Parcel, decided: &Decided) -> Change {
    let before = row.clone();
    row.version = row.version.max(held.version);
    if held.state.compartment().is_none() {
        return silent_unless(*row == before);
    }
    learn(row, held, decided);
    match held.recall {
        Some(reason) if row.recall.is_none() && row.state == HubParcelState::Stored => {
            row.recall = Some(reason);
            row.state = waiting(Some(reason));
            Change::Told(event_of(row.state))
        }
        Some(_) | None => silent_unless(*row == before),
    }
}

const fn silent_unless(is_same: bool) -> Change {
    if is_same { Change::None } else { Change::Silent }
}

/// Code and time as the bank has them, unless others were decided since.
fn learn(row: &mut ParcelRow, held: &Parcel, decided: &Decided) {
    if !decided.codes.contains(&held.id) {
        row.credential = Some(held.credential);
    }
    if !decided.times.contains(&held.id) {
        row.terms.keep_until = held.terms.keep_until;
        row.expires_at = held.keep_until().or(row.expires_at);
    }
}

/// A parcel of which the hub forgot that it went to this bank, or what it decided of it there.
fn taken_over(row: &mut ParcelRow, bank: &BankId, held: &Parcel, decided: &Decided) -> Change {
    let before = (row.state, row.bank.replace(bank.clone()));
    row.state = match held.state {
        ParcelState::Booked => HubParcelState::Booked,
        ParcelState::Depositing { .. } => HubParcelState::Depositing,
        ParcelState::Stored { .. } => waiting(held.recall),
        ParcelState::Collecting { .. } => HubParcelState::Collecting,
        ParcelState::Recalling { .. } => HubParcelState::Recalling,
        ParcelState::Collected { .. } => HubParcelState::Collected,
        ParcelState::Unresolved { .. } => HubParcelState::Unresolved,
        ParcelState::Recalled { .. } => HubParcelState::Recalled,
        ParcelState::Missing { .. } => HubParcelState::Missing,
        ParcelState::Cancelled { .. } => HubParcelState::Cancelled,
        ParcelState::BookingExpired { .. } => HubParcelState::BookingExpired,
    };
    row.compartment = held.state.compartment();
    row.version = row.version.max(held.version);
    row.recall = held.recall;
    // Keyed with the bank's pepper: it stands in grants and nowhere else.
    row.terms = Terms { suffix: None, keep_until: row.terms.keep_until, ..held.terms };
    if !decided.times.contains(&held.id) {
        row.expires_at = None;
    }
    learn(row, held, decided);
    let is_same = before == (row.state, Some(bank.clone()));
    if is_same { Change::Silent } else { Change::Told(event_of(row.state)) }
}

/// The state of a parcel that is inside and with which nobody is busy.
const fn waiting(recall: Option<RecallReason>) -> HubParcelState {
    match recall {
        None => HubParcelState::Stored,
        Some(RecallReason::Expired) => HubParcelState::Expired,
        Some(RecallReason::Sender | RecallReason::Safety | RecallReason::Refused) => {
            HubParcelState::RecallRequested
        }
    }
}

/// The event that tells of a parcel in this state.
const fn event_of(state: HubParcelState) -> EventKind {
    match state {
        HubParcelState::Announced => EventKind::ParcelAnnounced,
        HubParcelState::Booked => EventKind::ParcelBooked,
        HubParcelState::BookingPending => EventKind::ParcelBookingPending,
        HubParcelState::BookingExpired => EventKind::ParcelBookingExpired,
        HubParcelState::Depositing => EventKind::ParcelDepositing,
        HubParcelState::Stored => EventKind::ParcelStored,
        HubParcelState::Collecting => EventKind::ParcelCollecting,
        HubParcelState::Collected => EventKind::ParcelCollected,
        HubParcelState::Cancelled => EventKind::ParcelCancelled,
        HubParcelState::Unresolved => EventKind::ParcelUnresolved,
        HubParcelState::RecallRequested => EventKind::ParcelRecallRequested,
        HubParcelState::Expired => EventKind::ParcelExpired,
        HubParcelState::Recalling => EventKind::ParcelRecalling,
        HubParcelState::Recalled => EventKind::ParcelRecalled,
        HubParcelState::Disputed | HubParcelState::Missing => EventKind::ParcelDisputed,
    }
}

fn tell(tx: &mut Tx, bank: &BankId, row: &ParcelRow, kind: EventKind, now: UnixMillis) {
    let epoch = tx.context.epoch;
    tx.event(NewEvent {
        // Once for each restore, whatever was told of the same version after another.
        event_id: format!("restored:{}:{}:{}:{}", epoch.0, bank, row.uid, row.version.0),
        kind,
        bank: Some(bank),
        compartment: row.compartment,
        parcel: Some(row),
        detail: "RESTORED".to_owned(),
        occurred_at: now,
        recorded_at: now,
    });
}

const fn set_version(grant: &mut Grant, to: Version) {
    match grant {
        Grant::Book(booking) => booking.version = to,
        Grant::Cancel { version, .. }
        | Grant::Keep { version, .. }
        | Grant::Recall { version, .. }
        | Grant::Reissue { version, .. }
        | Grant::Delegate { version, .. }
        | Grant::Revoke { version, .. } => *version = to,
        Grant::Slots(_) => {}
    }
}
