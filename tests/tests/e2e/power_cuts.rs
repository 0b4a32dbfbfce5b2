//! The power goes right after somebody was told something, or the disk is full to its last byte, on a real file system,
//! with the real programs. Needs a machine that lets root mount a loop device; on another one it fails and says what
//! to do.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

/// How long a chain may take beside other tests.
const LIMIT: Duration = Duration::from_secs(170);
const CUTS: u64 = 10;

#[expect(clippy::print_stdout, reason = "the counts are what it is for")]
async fn crash(args: &[&str]) -> Result<(Value, Output)> {
    let mut crash = Command::new(env!("CARGO_BIN_EXE_crash"));
    crash.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, crash.output()).await.context("it does not end")??;
    let said = String::from_utf8_lossy(&output.stderr);
    let told = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no JSON object; it ended with {}:\n{said}", output.status))?;
    println!("{told:#}");
    Ok((told, output))
}

async fn cut(args: &[&str]) -> Result<(Value, Output)> {
    crash(&[&["power-cuts"], args, &["--cuts", &CUTS.to_string()]].concat()).await
}

async fn cut_and_lose_nothing(whose: &str) -> Result<()> {
    let (told, output) = cut(&[whose]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "it ended with {}:\n{said}", output.status);
    assert_eq!(told["cuts"].as_u64(), Some(CUTS));
    assert!(told["looked_for"].as_u64() > Some(CUTS), "{told}");
    for what in ["lost", "doubled", "unexplained"] {
        assert_eq!(told["ledgers"][what], Value::Array(Vec::new()), "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn p_i_power_cuts_after_an_answer_lose_nothing_that_an_agent_has_told() -> Result<()> {
    cut_and_lose_nothing("agent").await
}

#[tokio::test]
async fn power_cuts_after_an_answer_lose_nothing_that_the_hub_has_told() -> Result<()> {
    cut_and_lose_nothing("hub").await
}

#[tokio::test]
async fn p_f_power_cuts_break_no_promise_of_the_journal() -> Result<()> {
    let (told, output) = cut(&["journal"]).await?;
    ensure!(output.status.success(), "{told}");
    assert_eq!((told["cuts"].as_u64(), told["lost"].as_u64()), (Some(CUTS), Some(0)));
    assert!(told["promised"].as_u64() > Some(CUTS * 20), "{told}");
    Ok(())
}

/// The proof that the tests above can see the fault that they are for.
#[tokio::test]
async fn the_same_journal_without_fdatasync_is_found_out() -> Result<()> {
    let (told, output) = cut(&["journal", "--without-fdatasync"]).await?;
    ensure!(!output.status.success(), "nobody noticed: {told}");
    assert!(told["lost"].as_u64() > Some(0), "{told}");
    // Not by a lucky cut: by every one.
    assert_eq!(told["losing_cuts"], told["cuts"], "{told}");
    Ok(())
}

#[tokio::test]
async fn p_g_a_really_full_disk_stops_deposits_only_and_starts_go_on() -> Result<()> {
    let (told, output) = crash(&["full-disk"]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "it ended with {}:\n{said}", output.status);
    assert!(told["starts_when_full"].as_u64() > Some(3), "{told}");
    assert!(told["fetched_when_full"].as_u64() > Some(5), "{told}");
    assert!(told["refused_when_full"].as_u64() > Some(4), "{told}");
    for what in ["lost", "doubled", "unexplained"] {
        assert_eq!(told["ledgers"][what], Value::Array(Vec::new()), "{what}");
    }
    Ok(())
}
