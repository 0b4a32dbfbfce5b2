//! The demo as a newcomer runs it: all its stories are told, and its sources agree.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

/// How long the demo may take here, beside other tests.
const LIMIT: Duration = Duration::from_secs(120);
/// Every story and where it is told, sorted.
const STORIES: [[&str; 2]; 9] = [
    ["cancelled", "demo-cu16"],
    ["does_not_fit", "demo-cu16"],
    ["pickup_by_digits", "demo-tcp"],
    ["pickup_by_qr", "demo-cu16"],
    ["pickup_by_qr", "demo-pty"],
    ["pickup_by_qr", "demo-tcp"],
    ["quarantine_and_release", "demo-pty"],
    ["used_again", "demo-pty"],
    ["wrong_code", "demo-tcp"],
];

#[tokio::test]
async fn the_demo_tells_every_story_and_its_sources_agree() -> Result<()> {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    demo.args(["--once", "--json"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, demo.output()).await.context("it does not end")??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the demo ended with {}:\n{said}", output.status);
    let result: Value = serde_json::from_slice(&output.stdout).context("one JSON object")?;
    assert_eq!(result["agree"], Value::Bool(true), "{said}");
    let stories = result["stories"].as_array().context("it names its stories")?;
    let name = |story: &Value, what: &str| story[what].as_str().unwrap_or_default().to_owned();
    let mut told: Vec<_> =
        stories.iter().map(|story| [name(story, "story"), name(story, "bank")]).collect();
    told.sort();
    assert_eq!(told, STORIES);
    Ok(())
}
