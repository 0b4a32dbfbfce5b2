//! Operators' own tools at the live lane: a foreign client, the mosquitto project's, hears what its
//! certificate says and nothing else, and one that does not read is nobody's trouble.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use locker_proto::message::{Presence, Telemetry};
use locker_proto::topics::UpTopic;
use serde_json::Value;
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::fake_bank::{FakeBank, FakeJournal};
use system_tests::hub::HubOptions;
use system_tests::mailbox::wait_for_letter;
use system_tests::pki::{ClientFiles, OPERATOR};
use system_tests::tls::client_config;
use system_tests::wait::wait_for;
use system_tests::world::{CARRIER, World};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long a note may take.
const NEWS: Duration = Duration::from_secs(20);

/// The operator hears lobby and no other bank.
fn lobby_only(limits: &str) -> HubOptions {
    let operators = format!("[[live.operators]]\nname = \"{OPERATOR}\"\nbanks = [\"lobby\"]\n");
    HubOptions {
        tables: format!("\n{operators}\n[live.limits]\n{limits}\n"),
        ..HubOptions::default()
    }
}

#[tokio::test]
async fn mosquitto_sub_with_an_operators_certificate_hears_its_own_banks_only() -> Result<()> {
    let world = World::start_with(&["lobby", "annex"], lobby_only("")).await?;
    let mut tool = MosquittoSub::start(&world, &["lk/+/lobby/#"]).await?;
    let mut lobby = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let _annex = world.add_bank(BankSpec::new("annex", Wire::Tcp)).await?;
    let order = Order::small("live");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    lobby.bring(&badge.text, &order.barcode).await?;
    // The lane tells of doors once the hub has committed them.
    wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
    lobby.kill_agent()?;

    let (mut online, mut sampled, mut doors) = (None, None, Vec::new());
    let offline = loop {
        let (topic, payload) = tool.next().await?;
        ensure!(topic.contains("/lobby/"), "{topic} is not of its banks");
        if topic.ends_with("/live/doors") {
            let note: Value = serde_json::from_slice(&payload)?;
            doors.push(note["door"].as_str().or(note["outcome"].as_str()).map(str::to_owned));
        } else if topic.ends_with("/up/telemetry") {
            sampled = Some(Telemetry::decode(&payload)?);
        } else {
            let presence = Presence::decode(&payload)?;
            if !presence.online {
                break presence;
            }
            online = Some(presence);
        }
    };
    let online = online.context("it never came on line")?;
    ensure!(online.boot == offline.boot && online.connection_count == offline.connection_count);
    let sampled = sampled.context("it sent no sample")?;
    ensure!(sampled.resident_bytes.is_some() && sampled.disk_free_bytes.is_some(), "{sampled:?}");
    let doors: Vec<_> = doors.iter().flatten().map(String::as_str).collect();
    ensure!(["opened", "open", "closed"].iter().all(|what| doors.contains(what)), "{doors:?}");
    Ok(())
}

#[tokio::test]
async fn mosquitto_tools_are_refused_what_is_not_theirs() -> Result<()> {
    let world = World::start_with(&["lobby", "annex"], lobby_only("")).await?;
    let refusals: [(&[&str], _); 3] = [
        // mosquitto_sub ends when no filter is granted.
        (&["-t", "lk/+/annex/up/telemetry"], world.pki.client("operators", OPERATOR)),
        (&["-t", "lk/#"], world.pki.client("operators", OPERATOR)),
        (&["-t", "lk/+/lobby/#"], world.pki.client("carriers", CARRIER)),
    ];
    for (args, files) in refusals {
        let output = mosquitto(&world, "mosquitto_sub", &files).args(args).output();
        let output = tokio::time::timeout(NEWS, output).await.context("it was not refused")??;
        // It ends by itself either way, with success when only its filters were refused.
        let denied = String::from_utf8_lossy(&output.stderr).contains("requests were denied");
        ensure!(denied || !output.status.success(), "{args:?}: {output:?}");
        ensure!(output.stdout.is_empty(), "{args:?}: {output:?}");
    }
    // A publish of QoS 1 must not be acknowledged: the tool is told by the end of its session.
    let files = world.pki.client("operators", OPERATOR);
    let topic = UpTopic::Telemetry.of(&"lobby".parse()?);
    let mut publish = mosquitto(&world, "mosquitto_pub", &files);
    let output = publish.args(["-q", "1", "-t", &topic, "-m", "lie"]).output();
    let ended = tokio::time::timeout(Duration::from_secs(3), output).await;
    ensure!(!ended.is_ok_and(|output| output.is_ok_and(|output| output.status.success())));
    Ok(())
}

#[tokio::test]
async fn an_operator_that_stops_reading_is_ended_while_banks_are_taken_in() -> Result<()> {
    let limits = "write_timeout_ms = 500\noutbound_messages = 500";
    let world = World::start_with(&["lobby"], lobby_only(limits)).await?;
    world.operator.create_bank(&BankSpec::new("lobby", Wire::Tcp)).await?;
    let mqtt = world.hub.addresses().mqtt;
    let mut stopped = subscribe_and_never_read(&world).await?;
    let mut journal = FakeJournal::begin("lobby")?;
    let mut bank = FakeBank::connect(&world.pki, mqtt, "lobby").await?;
    bank.be_born(&journal).await?;
    // Samples as large as the lane takes: what sensors there are, and a field of the future.
    let mut sample = Telemetry::default().encode();
    sample.extend([0xfa, 0x01, 0xe0, 0x07]);
    sample.extend([7; 992]);
    let log = world.hub.log_file();
    let mut first = 1;
    while !std::fs::read_to_string(&log)?.contains("operator's session ended") {
        for _ in 0..500 {
            bank.say(UpTopic::Telemetry, sample.clone()).await?;
        }
        journal.add(3);
        bank.say(UpTopic::Facts, journal.batch_from(first).encode()).await?;
        bank.until_committed(journal.head()).await?;
        first = usize::try_from(journal.head())? + 1;
    }
    // The hub has closed the connection: writing to it fails soon.
    let closed = wait_for("the connection is closed", NEWS, async || {
        Ok(stopped.write_all(&[0xc0, 0]).await.and(stopped.flush().await).err())
    });
    closed.await?;
    Ok(())
}

/// A session of the operator that asks for everything of lobby and reads no more than the answer.
async fn subscribe_and_never_read(
    world: &World,
) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let files = world.pki.client("operators", OPERATOR);
    let tls = client_config(&world.pki.authority(), Some(&files))?;
    let tcp = tokio::net::TcpStream::connect(world.hub.addresses().mqtt).await?;
    let name = rustls::pki_types::ServerName::try_from("localhost")?;
    let mut stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await?;
    // CONNECT of client "deaf" with a keep-alive of an hour, then SUBSCRIBE to lk/+/lobby/#.
    stream.write_all(b"\x10\x10\x00\x04MQTT\x04\x02\x0e\x10\x00\x04deaf").await?;
    stream.write_all(b"\x82\x11\x00\x01\x00\x0clk/+/lobby/#\x00").await?;
    stream.flush().await?;
    let mut answers = [0; 9];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answers).await?;
    ensure!(answers == *b"\x20\x02\x00\x00\x90\x03\x00\x01\x00", "{answers:x?}");
    Ok(stream)
}

/// `mosquitto_sub`, each message as its topic and its payload in hexadecimal.
struct MosquittoSub {
    lines: Lines<BufReader<ChildStdout>>,
    // Killed when dropped.
    _child: Child,
}

impl MosquittoSub {
    /// Starts it and waits until it has subscribed.
    async fn start(world: &World, filters: &[&str]) -> Result<Self> {
        let files = world.pki.client("operators", OPERATOR);
        let mut command = mosquitto(world, "mosquitto_sub", &files);
        command.args(["-d", "-F", "%t %x"]);
        for filter in filters {
            command.args(["-t", filter]);
        }
        let mut child = command.spawn().context("mosquitto_sub is missing: `cargo xtask setup`")?;
        let stdout = child.stdout.take().context("it has a standard output")?;
        let mut sub = Self { lines: BufReader::new(stdout).lines(), _child: child };
        while !sub.line().await?.contains("Subscribed") {}
        Ok(sub)
    }

    async fn next(&mut self) -> Result<(String, Vec<u8>)> {
        loop {
            let line = self.line().await?;
            let Some((topic, hex)) = line.split_once(' ') else { continue };
            if !topic.starts_with("lk/") {
                continue;
            }
            let bytes =
                (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16));
            return Ok((topic.to_owned(), bytes.collect::<Result<_, _>>()?));
        }
    }

    async fn line(&mut self) -> Result<String> {
        let line = tokio::time::timeout(NEWS, self.lines.next_line()).await;
        line.context("mosquitto_sub says nothing")??.context("mosquitto_sub has ended")
    }
}

fn mosquitto(world: &World, program: &str, files: &ClientFiles) -> Command {
    let address = world.hub.addresses().mqtt;
    // It writes whole blocks into a pipe, and so says nothing for a long time.
    let mut command = Command::new("stdbuf");
    command.args([
        "-oL",
        program,
        "-h",
        &address.ip().to_string(),
        "-p",
        &address.port().to_string(),
    ]);
    file(&mut command, "--cafile", &world.pki.authority());
    file(&mut command, "--cert", &files.certificate);
    file(&mut command, "--key", &files.key);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn file(command: &mut Command, name: &str, path: &Path) {
    command.arg(name).arg(path);
}
