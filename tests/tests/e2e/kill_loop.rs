//! The real programs, killed at moments that nobody chose, while people use two banks.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

/// How long it may take beside other tests.
const LIMIT: Duration = Duration::from_secs(170);
const KILLS: u64 = 30;

#[tokio::test]
async fn p_a_thirty_kills_lose_nothing_double_nothing_and_leave_nothing_unexplained() -> Result<()>
{
    let mut crash = Command::new(env!("CARGO_BIN_EXE_crash"));
    crash.args(["kill-loop", "--kills", &KILLS.to_string()]);
    crash.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, crash.output()).await.context("it does not end")??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "it ended with {}:\n{said}", output.status);
    let told: Value = serde_json::from_slice(&output.stdout).context("one JSON object")?;
    println!("{told:#}");
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let (agents, hub) = (count(&told["kills_of_agents"]), count(&told["kills_of_the_hub"]));
    assert_eq!(agents + hub, KILLS);
    assert!(agents > 5 && hub > 5, "{agents} kills of agents, {hub} of the hub");
    let ledgers = &told["ledgers"];
    for what in ["lost", "doubled", "unexplained"] {
        assert_eq!(ledgers[what], Value::Array(Vec::new()), "{what}");
    }
    // People were busy all the while, and some of them were left without an answer.
    assert!(count(&ledgers["deposits_told"]) > 5, "{ledgers}");
    assert!(count(&ledgers["pickups_told"]) > 5, "{ledgers}");
    assert!(count(&ledgers["unanswered"]) > 0, "{ledgers}");
    // And the comparison sees what it must: a pulse that nobody had asked for.
    let planted = told["planted"].as_str().unwrap_or_default();
    assert!(planted.contains("without an intent"), "{planted}");
    Ok(())
}
