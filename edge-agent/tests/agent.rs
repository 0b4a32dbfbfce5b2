//! The `edge-agent` program as a process: it starts without a hub, stops when told, goes on where it
//! was, and says in words what is wrong.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A bank's folder with certificates and configuration, and its simulated board.
struct Bank {
    folder: TempDir,
    _board: Child,
    _board_lines: Lines<BufReader<ChildStdout>>,
}

impl Bank {
    /// `hub_port` need not lead anywhere.
    async fn new(hub_port: u16) -> Self {
        let folder = TempDir::new().expect("a folder");
        make_certificates(folder.path());
        let mut board = Command::new(env!("CARGO_BIN_EXE_board-sim"))
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("board-sim starts");
        let mut lines = BufReader::new(board.stdout.take().expect("piped")).lines();
        let line = lines.next_line().await.expect("readable").expect("an address");
        let address = line.strip_prefix("listening tcp ").expect("a TCP address").to_owned();
        let bank = Self { folder, _board: board, _board_lines: lines };
        std::fs::write(bank.path("agent.toml"), bank.config(hub_port, &address)).expect("written");
        bank
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self, hub_port: u16, board: &str) -> String {
        let folder = self.folder.path().display();
        format!(
            r#"
bank = "lobby-1"
data_dir = "{folder}/data"
[hub]
host = "127.0.0.1"
port = {hub_port}
ca_file = "{folder}/ca.pem"
certificate_file = "{folder}/bank.pem"
key_file = "{folder}/bank.key"
root_keys = ["{key}"]
[panel]
listen = "127.0.0.1:0"
access_file = "{folder}/panel.json"
[[bus]]
port = {{ tcp = {{ addr = "{board}" }} }}
boards = [{{ addr = 0, locks = 3, polarity = "one_is_locked" }}]
[log]
json = true
"#,
            key = "11".repeat(32),
        )
    }

    fn agent(&self) -> Agent {
        let mut child = Command::new(env!("CARGO_BIN_EXE_edge-agent"))
            .args(["run", "--config"])
            .arg(self.path("agent.toml"))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("edge-agent starts");
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        Agent { child, log }
    }

    /// What the panel answers to a look at the state.
    async fn state(&self) -> Value {
        let (mut stream, _) = self.ask_for("/v1/state").await;
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer))
            .await
            .expect("an answer")
            .expect("text");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("an object")
    }

    async fn ask_for(&self, path: &str) -> (TcpStream, String) {
        let access = std::fs::read(self.path("panel.json")).expect("the access file");
        let access: Value = serde_json::from_slice(&access).expect("an object");
        let (address, token) = (access["address"].as_str(), access["token"].as_str());
        let (address, token) = (address.expect("there"), token.expect("there").to_owned());
        let mut stream = TcpStream::connect(address).await.expect("the panel listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        (stream, token)
    }
}

struct Agent {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Agent {
    /// The fields of the next log line with this message.
    async fn says(&mut self, message: &str) -> Value {
        loop {
            let line = timeout(PATIENCE, self.log.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("no {message:?}"));
            let line =
                line.expect("readable").unwrap_or_else(|| panic!("ended before {message:?}"));
            let entry: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if entry["fields"]["message"] == message {
                return entry["fields"].clone();
            }
        }
    }

    async fn rest_of_log(&mut self) -> String {
        let mut all = String::new();
        while let Ok(Some(line)) = self.log.next_line().await {
            all.push_str(&line);
            all.push('\n');
        }
        all
    }

    fn send(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), signal).expect("sent");
    }

    async fn ends(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("waited")
    }

    /// Asks it to stop; it must do so cleanly and soon.
    async fn stops(&mut self, signal: Signal) {
        let before = Instant::now();
        self.send(signal);
        assert!(self.ends().await.success());
        assert!(before.elapsed() < STOP_LIMIT, "{:?}", before.elapsed());
    }
}

fn make_certificates(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    std::fs::write(folder.join("ca.pem"), authority.pem()).expect("written");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["lobby-1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("signed");
    std::fs::write(folder.join("bank.pem"), certificate.pem()).expect("written");
    std::fs::write(folder.join("bank.key"), key.serialize_pem()).expect("written");
}

/// A port on which nobody listens.
async fn nobody() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("bound").port()
}

#[tokio::test]
async fn it_runs_without_a_hub_stops_when_told_and_goes_on_where_it_was() {
    let bank = Bank::new(nobody().await).await;
    let mut agent = bank.agent();
    let opened = agent.says("store opened").await;
    assert_eq!((&opened["new_stream"], &opened["boot_count"]), (&true.into(), &1.into()));
    agent.says("agent started").await;
    let state = bank.state().await;
    assert_eq!((&state["bank"], &state["hub_connected"]), (&"lobby-1".into(), &false.into()));
    assert_eq!(state["deposits_open"], true);
    // A screen that follows the state does not hold it up.
    let (_screen, token) = bank.ask_for("/v1/state/stream").await;
    agent.send(Signal::TERM);
    let before = Instant::now();
    agent.says("agent stopped").await;
    assert!(agent.ends().await.success());
    assert!(before.elapsed() < STOP_LIMIT, "{:?}", before.elapsed());

    let mut agent = bank.agent();
    let again = agent.says("store opened").await;
    assert_eq!((&again["new_stream"], &again["boot_count"]), (&false.into(), &2.into()));
    assert_eq!(again["stream"], opened["stream"]);
    assert_eq!((&again["torn_bytes"], &again["replayed"]), (&0.into(), &0.into()));
    assert!(again.get("rebuilt").is_none(), "{again}");
    agent.says("agent started").await;
    bank.state().await;
    let (_, other) = bank.ask_for("/v1/state").await;
    assert_ne!(token, other, "each run has a token of its own");
    agent.stops(Signal::INT).await;
}

#[tokio::test]
async fn after_a_kill_it_starts_again_by_itself() {
    let bank = Bank::new(nobody().await).await;
    for boot_count in 1..=4 {
        let mut agent = bank.agent();
        let opened = agent.says("store opened").await;
        assert_eq!(opened["boot_count"], boot_count);
        agent.says("agent started").await;
        agent.send(Signal::KILL);
        assert!(!agent.ends().await.success());
    }
}

#[tokio::test]
async fn p_d_killed_again_and_again_it_opens_nothing_for_a_while_and_a_stop_in_order_ends_that() {
    let bank = Bank::new(nobody().await).await;
    for start in 1..=4 {
        let mut agent = bank.agent();
        agent.says("agent started").await;
        let calm_ms = bank.state().await["calm_ms"].as_u64().expect("a number");
        if start < 3 {
            assert_eq!(calm_ms, 0, "start {start}");
        } else {
            assert!((1..=30_000).contains(&calm_ms), "start {start}: {calm_ms}");
        }
        if start == 4 {
            agent.stops(Signal::TERM).await;
        } else {
            agent.send(Signal::KILL);
            assert!(!agent.ends().await.success());
        }
    }
    let mut agent = bank.agent();
    agent.says("agent started").await;
    assert_eq!(bank.state().await["calm_ms"], 0);
    agent.stops(Signal::TERM).await;
}

#[tokio::test]
async fn p_k_it_tells_the_screen_when_the_mains_go_and_come() {
    let bank = Bank::new(nobody().await).await;
    let (config, mains) = (bank.path("agent.toml"), bank.path("online"));
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let power = format!("[power]\nmains_file = \"{}\"\nevery_ms = 100\n", mains.display());
    std::fs::write(&config, format!("{text}\n{power}")).expect("written");
    std::fs::write(&mains, "1\n").expect("written");
    let mut agent = bank.agent();
    assert_eq!(agent.says("power source seen").await["source"], "Mains");
    for (said, on_battery) in [("0\n", true), ("1\n", false)] {
        std::fs::write(&mains, said).expect("written");
        let source = if on_battery { "Battery" } else { "Mains" };
        assert_eq!(agent.says("power source changed").await["source"], source);
        let before = Instant::now();
        while bank.state().await["on_battery"] != on_battery {
            assert!(before.elapsed() < PATIENCE, "{said}");
        }
    }
    agent.stops(Signal::TERM).await;
}

#[tokio::test]
async fn t08_every_line_of_the_log_says_when_with_its_offset() {
    let bank = Bank::new(nobody().await).await;
    let mut agent = bank.agent();
    agent.says("agent started").await;
    agent.send(Signal::TERM);
    let rest = agent.rest_of_log().await;
    assert!(agent.ends().await.success());
    assert!(!rest.is_empty());
    for line in rest.lines() {
        let entry: Value = serde_json::from_str(line).expect("an object");
        let at = entry["timestamp"].as_str().expect("a time");
        let shape: String = at.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "RFC 3339 in UTC: {at}");
    }
}

#[tokio::test]
async fn a_hub_that_says_nothing_does_not_keep_it_from_stopping() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let bank = Bank::new(silent.local_addr().expect("bound").port()).await;
    let mut agent = bank.agent();
    agent.says("agent started").await;
    let _taken = timeout(PATIENCE, silent.accept()).await.expect("it calls").expect("accepted");
    agent.stops(Signal::TERM).await;
}

#[tokio::test]
async fn p_h_a_second_one_by_mistake_ends_in_words_and_takes_nothing_away() {
    let bank = Bank::new(nobody().await).await;
    let mut first = bank.agent();
    first.says("board changed").await;
    let access = std::fs::read(bank.path("panel.json")).expect("the access file");

    let mut second = bank.agent();
    let said = second.rest_of_log().await;
    assert_eq!(second.ends().await.code(), Some(1), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    assert!(!said.contains("lock bus port open"), "{said}");
    assert_eq!(std::fs::read(bank.path("panel.json")).expect("still there"), access);
    bank.state().await;
    first.send(Signal::TERM);
    let said = first.rest_of_log().await;
    assert!(!said.contains("lock bus port lost"), "{said}");
    assert!(first.ends().await.success());
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words_with_exit_code_1() {
    let bank = Bank::new(nobody().await).await;
    let good = std::fs::read_to_string(bank.path("agent.toml")).expect("the configuration");
    let missing = bank.path("missing.toml");
    let said = run(&["run", "--config", &missing.display().to_string()]).await;
    assert!(said.contains("cannot read") && said.contains("missing.toml"), "{said}");
    for (from, to, expected) in [
        ("lobby-1", "Lobby 1", "lower-case letters"),
        ("json = true", "jsno = true", "unknown field `jsno`"),
        ("polarity = ", "polarty = ", "polarty"),
        ("127.0.0.1:0", "0.0.0.0:0", "panel.listen: must be a loopback address"),
        ("json = true", "filter = \"edge=loud\"", "log.filter"),
        ("/bank.key", "/none.key", "none.key"),
        ("/bank.pem", "/bank.key", "holds no certificate"),
    ] {
        let path = bank.path("bad.toml");
        std::fs::write(&path, good.replace(from, to)).expect("written");
        let said = run(&["run", "--config", &path.display().to_string()]).await;
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    let data = bank.path("agent.toml").join("data");
    std::fs::write(
        bank.path("bad.toml"),
        good.replace(&bank.path("data").display().to_string(), &data.display().to_string()),
    )
    .expect("written");
    let said = run(&["run", "--config", &bank.path("bad.toml").display().to_string()]).await;
    assert!(said.contains("cannot be made"), "{said}");
}

/// Runs it to its end with exit code 1; what it says.
async fn run(args: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_edge-agent")).args(args).kill_on_drop(true).output();
    let ran = timeout(PATIENCE, ran).await.expect("it ends").expect("it ran");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    said
}

#[tokio::test]
async fn a_configuration_can_be_checked_without_running_it() {
    let bank = Bank::new(nobody().await).await;
    let path = bank.path("agent.toml");
    let check = |path: &Path| {
        let path = path.to_owned();
        async move {
            Command::new(env!("CARGO_BIN_EXE_edge-agent"))
                .args(["check-config", "--config"])
                .arg(path)
                .output()
                .await
                .expect("it runs")
        }
    };
    let checked = check(&path).await;
    assert!(checked.status.success());
    assert!(String::from_utf8_lossy(&checked.stdout).contains("is valid"));
    assert!(!bank.path("data").exists(), "it touches nothing");
    assert_eq!(String::from_utf8_lossy(&checked.stderr), "");

    // Without its keypad the bank runs all the same, so that is a warning.
    let text = std::fs::read_to_string(&path).expect("read");
    let codes = "[codes]\nkeys_file = \"/nowhere/codes.keys\"\n";
    std::fs::write(&path, format!("{text}\n{codes}")).expect("written");
    let checked = check(&path).await;
    assert!(checked.status.success());
    let warned = String::from_utf8_lossy(&checked.stderr);
    assert!(warned.starts_with("warning: ") && warned.contains("cannot read /nowhere/codes.keys"));
    std::fs::write(&path, "bank = 5").expect("written");
    assert_eq!(check(&path).await.status.code(), Some(1));
}

#[tokio::test]
async fn help_tells_a_newcomer_what_to_do() {
    let help = Command::new(env!("CARGO_BIN_EXE_edge-agent")).arg("--help").output().await;
    let help = help.expect("it runs");
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(help.status.success());
    for word in ["run", "check-config", "parcel-locker bank", "--version", "board-sim"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}
