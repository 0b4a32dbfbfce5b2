//! What was checked, in words: what holds, what does not, and what nobody has proved.

use std::path::Path;

use locker_core::clock::TimeQuality;
use locker_core::ids::BankId;
use locker_core::units::UnixMillis;
use serde_json::{Value, json};

use super::super::table::{plain, table};
use super::super::{Failure, Output};
use super::{Anchored, Verified};
use crate::alarms::hex;
use crate::audit::bundle::Bundle;
use crate::audit::evidence::{CheckedRun, Told};
use crate::audit::{Finding, StreamReport};
use crate::notify::when::rfc3339;

pub(super) fn verified(
    bank: &BankId,
    verified: &[Verified],
    is_anchored: bool,
    now: UnixMillis,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let findings: u64 = verified.iter().map(Verified::findings).sum();
    if output.json {
        let streams: Vec<Value> =
            verified.iter().map(|one| report_json(&one.report, &one.anchors)).collect();
        return output.json(&json!({
            "bank": bank.as_str(),
            "holds": findings == 0,
            // Who says whose the keys are, and where the journal ends.
            "keys_by": if is_anchored { "certificate" } else { "hub" },
            "end_by": "hub",
            "streams": streams,
        }));
    }
    for (at, one) in verified.iter().enumerate() {
        let report = &one.report;
        let now = if at + 1 == verified.len() { ", the one it writes now" } else { "" };
        let head = report.head.seq;
        output.line(&format!("stream {}: records 1 to {head}{now}", report.stream))?;
        if let Some(parent) = report.opened.as_ref().and_then(|opened| opened.parent) {
            let place = match parent.common {
                Some(common) => format!("record {} of ", common.seq),
                None => "an unknown place in ".to_owned(),
            };
            output.line(&format!("  goes on from {place}stream {}", parent.stream))?;
        } else if at > 0 {
            output
                .line("  goes on from nothing: the bank began anew, without what it had before")?;
        }
        sealing(report, output)?;
        let (seals, compared) = (report.seals, report.compared);
        if seals > 0 {
            output.line(&format!(
                "  {seals} seals hold; the state was compared at {compared} of them{}",
                if compared < seals { ", the others are of other rules" } else { "" }
            ))?;
        }
        if report.unread > 0 {
            output.line(&format!(
                "  {} records are of a newer agent: the chain covers them, but hubctl cannot tell \
                 what they say",
                report.unread
            ))?;
        }
        problems(report, &one.anchors, output)?;
    }
    if verified.is_empty() {
        output.line(&format!("the hub has no records of bank {bank}"))?;
    } else if findings == 0 {
        output.line(&format!("all of bank {bank} holds"))?;
    } else {
        output.line(&format!("bank {bank} DOES NOT HOLD: {findings} findings"))?;
    }
    let Some(last) = verified.last() else { return Ok(()) };
    if !is_anchored {
        output.line("not checked: whose the keys are (the hub says so; see --certificate)")?;
    }
    let end = match last.report.sealed {
        Some(seal) => format!("the last seal, of {} ago by the bank's clock", age(seal.at, now)),
        None => format!("record {}", last.report.head.seq),
    };
    output.line(&format!("not checked: that nothing came after {end} (the hub says so)"))
}

/// How long ago something was, in the largest unit of which there are two.
pub(super) fn age(at: UnixMillis, now: UnixMillis) -> String {
    let seconds = now.0.saturating_sub(at.0) / 1_000;
    let units = [("days", 86_400), ("h", 3_600), ("min", 60)];
    let fits = units.into_iter().find(|(_, unit)| seconds >= 2 * unit);
    let (name, unit) = fits.unwrap_or(("s", 1));
    format!("{} {name}", seconds / unit)
}

fn sealing(report: &StreamReport, output: &mut Output<'_>) -> Result<(), Failure> {
    let Some(seal) = report.sealed else {
        return output.line("  not sealed at all yet: nobody has signed for these records");
    };
    let (at, key) = (rfc3339(seal.at), short(&seal.key));
    output.line(&format!("  sealed up to record {}, of {at}, by key {key}", seal.upto))?;
    match report.unsealed() {
        0 => Ok(()),
        unsealed => output.line(&format!("  not sealed yet: the last {unsealed} records")),
    }
}

fn problems(
    report: &StreamReport,
    anchors: &[Anchored],
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    for finding in &report.findings {
        output.line(&format!("  FINDING: {finding}"))?;
    }
    if report.more_findings > 0 {
        output.line(&format!("  FINDING: and {} more", report.more_findings))?;
    }
    for anchored in anchors {
        let key = short(&anchored.key);
        match &anchored.result {
            Ok(()) => output.line(&format!("  key {key} is the bank's, by its certificate"))?,
            Err(error) => output.line(&format!("  FINDING: key {key}: {error}"))?,
        }
    }
    Ok(())
}

pub(super) fn bundle_written(
    path: &Path,
    bundle: &Bundle,
    bytes: usize,
    checked: &[CheckedRun],
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let records: usize = bundle.runs.iter().map(|run| run.records.len()).sum();
    if output.json {
        let runs: Vec<Value> = checked.iter().map(|run| report_json(&run.report, &[])).collect();
        return output.json(&json!({
            "file": path.display().to_string(), "bytes": bytes, "records": records, "runs": runs,
        }));
    }
    output.line(&format!("{}: {records} records, {bytes} bytes", path.display()))?;
    for run in checked {
        for finding in &run.report.findings {
            output.line(&format!("  FINDING: {finding}"))?;
            if matches!(finding, Finding::NotSealed { .. }) {
                output.line("  (a bank seals within a minute or so: make the file again later)")?;
            }
        }
    }
    if bundle.certificates.is_empty() {
        output
            .line("  without a certificate (--certificate), it does not prove whose key signed")?;
    }
    Ok(())
}

pub(super) fn checked(
    bundle: &Bundle,
    checked: &[(CheckedRun, Vec<Anchored>)],
    is_anchored: bool,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    if output.json {
        let runs: Vec<Value> =
            checked.iter().map(|(run, anchors)| run_json(run, anchors)).collect();
        let parcel = &bundle.name;
        return output
            .json(&json!({ "parcel": parcel, "uid": bundle.parcel.to_string(), "runs": runs }));
    }
    output.line(&format!("evidence about {}", plain(&bundle.name)))?;
    output.line(&format!("the records call it {}", bundle.parcel))?;
    for (run, anchors) in checked {
        let CheckedRun { report, story, bank, .. } = run;
        let (first, head) = (report.first, report.head.seq);
        output.line("")?;
        output
            .line(&format!("bank {bank}, stream {}, records {first} to {head}", report.stream))?;
        output.text(&table(["WHEN", "CLOCK", "RECORD", "SEALED", "WHAT"], &rows(story)))?;
        proved(run, anchors, output)?;
        problems(report, anchors, output)?;
    }
    output.line("")?;
    output.line("not proved by this file:")?;
    if !is_anchored {
        output.line(
            "  whose keys these are: anybody can make a key. Give the authority with --ca to check",
        )?;
    }
    for text in [
        "  that the parcel is the one of that name: the records know only its number",
        "  times: they are the bank's own clock's, as good as column CLOCK says",
        "  what the bank did not see: doors and what people told it are all it knows",
        "  what came before the first record here and after the last",
    ] {
        output.line(text)?;
    }
    Ok(())
}

fn proved(run: &CheckedRun, anchors: &[Anchored], output: &mut Output<'_>) -> Result<(), Failure> {
    let report = &run.report;
    let Some(seal) = report.sealed else {
        return output.line("proved: nothing, for no seal holds");
    };
    let (first, upto, at) = (report.first, seal.upto, rfc3339(seal.at));
    output.line("proved:")?;
    output.line(&format!(
        "  whoever holds key {} signed for records {first} to {upto}, just as they are here",
        hex(&seal.key)
    ))?;
    output.line(&format!("  that was at {at} or later, by the bank's clock"))?;
    output.line("  since then no record among them was changed, dropped or put in")?;
    let is_anchored = anchors.iter().any(|one| one.key == seal.key && one.result.is_ok());
    if !is_anchored && run.names_bank {
        output.line(&format!("  that key says of itself that it is bank {}", run.bank))?;
    }
    match run.detached {
        0 => Ok(()),
        parts => output.line(&format!("  {parts} parts beside records are the ones written then")),
    }
}

fn rows(story: &[Told]) -> Vec<[String; 5]> {
    let row = |told: &Told| {
        let sealed = if told.is_sealed { "yes" } else { "NO" };
        [
            moment(told.at),
            clock(told.quality),
            told.seq.to_string(),
            sealed.to_owned(),
            told.what.clone(),
        ]
    };
    story.iter().map(row).collect()
}

/// To the millisecond: doors are faster than seconds.
fn moment(at: UnixMillis) -> String {
    let text = rfc3339(at);
    format!("{}.{:03}Z", text.trim_end_matches('Z'), at.0 % 1_000)
}

fn clock(quality: TimeQuality) -> String {
    match quality {
        TimeQuality::Unknown => "not set".to_owned(),
        TimeQuality::Bounded { within_ms } => {
            format!("±{}.{:03} s", within_ms / 1_000, within_ms % 1_000)
        }
    }
}

fn short(key: &[u8; 32]) -> String {
    hex(key).chars().take(16).collect()
}

fn report_json(report: &StreamReport, anchors: &[Anchored]) -> Value {
    let unanchored = anchors.iter().filter_map(|one| one.result.as_ref().err());
    let findings = report.findings.iter().map(ToString::to_string);
    let findings: Vec<String> = findings.chain(unanchored.map(ToString::to_string)).collect();
    let parent = report.opened.as_ref().and_then(|opened| opened.parent);
    json!({
        "stream": report.stream.to_string(),
        "parent_stream": parent.map(|parent| parent.stream.to_string()),
        "first_seq": report.first,
        "head_seq": report.head.seq,
        "head_hash": report.head.hash.to_string(),
        "sealed_seq": report.sealed.map(|seal| seal.upto),
        "sealed_time": report.sealed.map(|seal| rfc3339(seal.at)),
        "sealed_by": report.sealed.map(|seal| hex(&seal.key)),
        "seals": report.seals,
        "states_compared": report.compared,
        "unreadable_records": report.unread,
        "anchored": !anchors.is_empty() && anchors.iter().all(|one| one.result.is_ok()),
        "findings": findings,
        "more_findings": report.more_findings,
    })
}

fn run_json(run: &CheckedRun, anchors: &[Anchored]) -> Value {
    let mut value = report_json(&run.report, anchors);
    let told = |told: &Told| {
        json!({
            "time": moment(told.at),
            "clock": clock(told.quality),
            "seq": told.seq,
            "sealed": told.is_sealed,
            "what": told.what,
        })
    };
    value["bank"] = Value::from(run.bank.as_str());
    value["story"] = run.story.iter().map(told).collect();
    value
}
