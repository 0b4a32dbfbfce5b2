//! `hubctl audit ..`: records are checked here, by whoever runs it, and not by the hub that they come from.

mod fetch;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use locker_core::ids::{BankId, StreamId};
use locker_core::journal::{ChainHash, Place};
use locker_core::units::UnixMillis;
use locker_proto::wire::audit::v1 as wire;
use uuid::Uuid;
use x509_parser::pem::Pem;

use super::args::{AuditCommand, ConnectArgs, ParcelArg};
use super::connection::{Connection, authority};
use super::{Failure, Output};
use crate::audit::bundle::{Bundle, FILE_MAX_BYTES, Run};
use crate::audit::evidence::{self, CheckedRun};
use crate::audit::{
    AnchorError, Start, StreamCheck, StreamReport, anchor, check_parents, stream_id,
};
use crate::tls::DeviceKey;
use crate::wall_clock::now;

use self::fetch::Reader;

pub(super) async fn run(
    connection: &Connection,
    connect: &ConnectArgs,
    command: AuditCommand,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify { bank, certificate } => {
            let trust = if certificate.is_empty() {
                None
            } else {
                Some(Trust::read(connect, &certificate)?)
            };
            verify(connection, &bank, trust.as_ref(), output).await
        }
        AuditCommand::Bundle { parcel, out, certificate } => {
            bundle(connection, &parcel, &out, &certificate, output).await
        }
        AuditCommand::Check { file } => check(connect, &file, output),
    }
}

/// By whom keys are said to be whose.
struct Trust {
    authorities: Vec<Vec<u8>>,
    certificates: Vec<Vec<u8>>,
}

impl Trust {
    fn read(connect: &ConnectArgs, certificates: &[PathBuf]) -> Result<Self, Failure> {
        let missing = Failure::Missing { what: "an authority", option: "ca", variable: "CA" };
        let authorities = certificates_of(&authority(connect)?.ok_or(missing)?)?;
        Ok(Self { authorities, certificates: all_certificates(certificates)? })
    }

    /// For each key that sealed, whether it is the bank's.
    fn anchors(&self, bank: &BankId, report: &StreamReport) -> Vec<Anchored> {
        let anchored = |(key, at): (&[u8; 32], &UnixMillis)| {
            let result = anchor(&self.authorities, &self.certificates, bank, key, *at);
            Anchored { key: *key, result }
        };
        report.signers.iter().map(anchored).collect()
    }
}

/// Whether a key is the bank's.
struct Anchored {
    key: [u8; 32],
    result: Result<(), AnchorError>,
}

/// A stream with what the hub said of it and what was found out about it.
struct Verified {
    report: StreamReport,
    anchors: Vec<Anchored>,
}

impl Verified {
    fn findings(&self) -> u64 {
        let unanchored = self.anchors.iter().filter(|anchored| anchored.result.is_err()).count();
        let found = self.report.findings.len() + unanchored;
        u64::try_from(found).unwrap_or(u64::MAX).saturating_add(self.report.more_findings)
    }
}

async fn verify(
    connection: &Connection,
    bank: &BankId,
    trust: Option<&Trust>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut reader = Reader::new(connection, bank).await?;
    let overview = reader.overview().await?;
    let keys = keys_of(&overview);
    // What later streams say of earlier ones is known only when those have been read.
    let mut wanted: BTreeMap<StreamId, BTreeSet<u64>> = BTreeMap::new();
    for stream in &overview.streams {
        if let Some(parent) = stream_id(&stream.parent_stream) {
            wanted.entry(parent).or_default().insert(stream.parent_common_seq);
        }
    }
    let mut reports = Vec::new();
    for held in &overview.streams {
        let stream = fetch::stream_of(&held.stream)?;
        let wanted = wanted.remove(&stream).unwrap_or_default();
        let mut check = StreamCheck::new(bank, stream, Start::BEGINNING, &keys, wanted);
        reader
            .records(stream, 1, held.committed_seq, |_, records| {
                for record in &records {
                    check.record(record);
                }
            })
            .await?;
        let hash = fetch::hash_of(&held.committed_hash)?;
        reports.push(check.end_at(Place { seq: held.committed_seq, hash }));
    }
    check_parents(&mut reports);
    let verified: Vec<Verified> = reports
        .into_iter()
        .map(|report| {
            let anchors = trust.map(|trust| trust.anchors(bank, &report)).unwrap_or_default();
            Verified { report, anchors }
        })
        .collect();
    shown::verified(bank, &verified, trust.is_some(), now(), output)?;
    holding(verified.iter().map(Verified::findings).sum())
}

async fn bundle(
    connection: &Connection,
    parcel: &ParcelArg,
    out: &Path,
    certificates: &[PathBuf],
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let certificates = all_certificates(certificates)?;
    let call = wire::ReadParcelEvidenceRequest { name: parcel.0.clone() };
    let mut client = connection.audit().await?;
    let found = client.read_parcel_evidence(connection.call(call)).await?.into_inner();
    if found.runs.is_empty() {
        return Err(Failure::NoEvidence { parcel: parcel.0.clone() });
    }
    let uid = Uuid::try_parse(&found.uid).map_err(|_| fetch::strange("an id that is none"))?;
    let mut bundle = Bundle {
        name: parcel.0.clone(),
        parcel: locker_core::ids::ParcelId(uid.into_bytes()),
        certificates,
        runs: Vec::new(),
    };
    for run in &found.runs {
        bundle.runs.push(read_run(connection, run).await?);
    }
    let bytes = bundle.encode().map_err(|error| file_failure(out, error))?;
    write_whole(out, &bytes)?;
    let checked = evidence::check(&bundle);
    shown::bundle_written(out, &bundle, bytes.len(), &checked, output)?;
    holding(checked.iter().map(|run| findings_of(&run.report)).sum())
}

async fn read_run(connection: &Connection, run: &wire::EvidenceRun) -> Result<Run, Failure> {
    let bank = run.bank.strip_prefix("banks/").and_then(|bank| bank.parse().ok());
    let bank: BankId = bank.ok_or_else(|| fetch::strange("a bank's name that is none"))?;
    let stream = fetch::stream_of(&run.stream)?;
    let mut reader = Reader::new(connection, &bank).await?;
    let keys = keys_of(&reader.overview().await?);
    let (mut previous, mut records) = (None::<ChainHash>, Vec::new());
    reader
        .records(stream, run.first_seq, run.last_seq, |before, page| {
            previous.get_or_insert(before);
            records.extend(page);
        })
        .await?;
    let previous = previous.ok_or_else(|| fetch::strange("no records"))?;
    Ok(Run {
        bank,
        stream,
        first_seq: run.first_seq,
        previous,
        keys,
        records,
        // Banks keep these to themselves.
        detached: Vec::new(),
    })
}

/// `hubctl audit check`, which needs no hub.
pub(super) fn check(
    connect: &ConnectArgs,
    path: &Path,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut file = Vec::new();
    let limit = u64::try_from(FILE_MAX_BYTES).unwrap_or(u64::MAX);
    File::open(path)
        // One byte more tells a file that is too large.
        .and_then(|opened| opened.take(limit.saturating_add(1)).read_to_end(&mut file))
        .map_err(|error| file_failure(path, error))?;
    let bundle = Bundle::decode(&file).map_err(|error| file_failure(path, error))?;
    let trust = match authority(connect)? {
        None => None,
        Some(path) => Some(Trust {
            authorities: certificates_of(&path)?,
            certificates: bundle.certificates.clone(),
        }),
    };
    let checked: Vec<(CheckedRun, Vec<Anchored>)> = evidence::check(&bundle)
        .into_iter()
        .map(|run| {
            let anchors = trust.as_ref().map(|trust| trust.anchors(&run.bank, &run.report));
            (run, anchors.unwrap_or_default())
        })
        .collect();
    shown::checked(&bundle, &checked, trust.is_some(), output)?;
    let unanchored = |anchors: &[Anchored]| {
        u64::try_from(anchors.iter().filter(|one| one.result.is_err()).count()).unwrap_or(u64::MAX)
    };
    let found = checked.iter().map(|(run, anchors)| findings_of(&run.report) + unanchored(anchors));
    // A file without a run proves nothing.
    holding(found.sum::<u64>().max(u64::from(checked.is_empty())))
}

fn findings_of(report: &StreamReport) -> u64 {
    u64::try_from(report.findings.len()).unwrap_or(u64::MAX).saturating_add(report.more_findings)
}

const fn holding(findings: u64) -> Result<(), Failure> {
    if findings == 0 { Ok(()) } else { Err(Failure::NotHolding { findings }) }
}

/// Those that are no P-256 keys cannot have signed anything.
fn keys_of(overview: &wire::JournalOverview) -> Vec<DeviceKey> {
    overview.device_keys.iter().filter_map(|spki| DeviceKey::of_spki(spki)).collect()
}

fn all_certificates(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(certificates_of(path)?);
    }
    Ok(all)
}

/// All certificates of a PEM file, at least one, DER.
fn certificates_of(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let text = fs::read(path).map_err(|error| file_failure(path, error))?;
    let mut found = Vec::new();
    for pem in Pem::iter_from_buffer(&text) {
        let pem = pem.map_err(|_| file_failure(path, "is no PEM file"))?;
        if pem.label == "CERTIFICATE" {
            found.push(pem.contents);
        }
    }
    if found.is_empty() { Err(file_failure(path, "holds no certificate")) } else { Ok(found) }
}

fn file_failure(path: &Path, reason: impl std::fmt::Display) -> Failure {
    Failure::File { path: path.to_owned(), reason: reason.to_string() }
}

/// Writes a file that is there whole or not at all, also after a power cut; never over another.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| file_failure(path, error);
    if path.exists() {
        return Err(failed(ErrorKind::AlreadyExists.into()));
    }
    let name = path.file_name().ok_or_else(|| failed(ErrorKind::InvalidInput.into()))?;
    let mut temporary = name.to_owned();
    temporary.push(".part");
    let temporary = path.with_file_name(temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)
        .map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    // Unlike a rename, a link does not replace what has come to be there meanwhile.
    fs::hard_link(&temporary, path).map_err(failed)?;
    fs::remove_file(&temporary).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests;
