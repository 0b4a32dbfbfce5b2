//! `edge-agent commission` at a simulated locker, as an installer runs it, and what `run` does before.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use edge_agent::commission::{Commissioned, prepare};
use edge_agent::config::Config;
use edge_agent::sim::{Sim, SimConfig, serve_tcp};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;

fn agent(command: &str, config: &Path) -> Command {
    let mut agent = Command::new(env!("CARGO_BIN_EXE_edge-agent"));
    agent.arg(command).arg("--config").arg(config).kill_on_drop(true);
    agent.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    agent
}

fn config(folder: &Path, board: &str) -> String {
    format!(
        r#"
bank = "lobby-1"
data_dir = "{folder}/data"
[hub]
host = "127.0.0.1"
port = 8883
ca_file = "{folder}/ca.pem"
certificate_file = "{folder}/bank.pem"
key_file = "{folder}/bank.key"
root_keys = ["{key}"]
[panel]
listen = "127.0.0.1:0"
access_file = "{folder}/panel.json"
[[bus]]
port = {{ tcp = {{ addr = "{board}" }} }}
boards = [{{ addr = 0, locks = 2, polarity = "learned" }}]
timing = {{ reply_timeout_ms = 500, inter_byte_gap_ms = 250, gateway_proof_ms = 5000 }}
"#,
        folder = folder.display(),
        key = "11".repeat(32),
    )
}

#[tokio::test]
async fn a_locker_is_commissioned_before_its_agent_runs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let board = listener.local_addr().expect("an address").to_string();
    // Somebody shuts each door after a second; the switches are of the other kind.
    let auto_close = Some(Duration::from_secs(1));
    let sim = Sim::new(SimConfig { inverted: true, auto_close, ..SimConfig::default() });
    tokio::spawn(serve_tcp(listener, sim.clone()));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.toml");
    std::fs::write(&path, config(folder.path(), &board)).expect("written");

    let refused = agent("run", &path).output().await.expect("it starts");
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(words.contains("run `edge-agent commission --config FILE`"), "{words}");

    let mut commission = agent("commission", &path).spawn().expect("it starts");
    let mut terminal = commission.stdin.take().expect("piped");
    terminal.write_all(b"\ny\ny\n").await.expect("typed");
    let done = commission.wait_with_output().await.expect("it ends");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{words}");
    assert!(said.ends_with("2 locks are in order\n"), "{said}");
    assert_eq!(sim.pulses(), 2);
    drop(terminal);

    let config = prepare(Config::load(&path).expect("valid")).expect("everything is known");
    let locks = &config.bus[0].bus_config().boards[0].locks;
    let zero = edge_agent::board::Polarity::ZeroIsLocked;
    assert_eq!(locks.iter().map(|lock| lock.polarity).collect::<Vec<_>>(), [zero, zero]);
    let found = Commissioned::load(&config.data_dir).expect("readable").expect("stored");
    assert_eq!(found.locks().len(), 2);
}
