//! An installer at a fake bank, wired rightly and wrongly.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};

use super::*;
use crate::board::fake::Fake;
use crate::board::{BoardAddr, LockIndex, Polarity, Profile};

/// A configuration with one port: boards 0 and 4 with two locks each, learned.
fn config(dir: &Path, profile: &str) -> Config {
    let text = format!(
        r#"
bank = "lobby-1"
data_dir = "{dir}"
[hub]
host = "hub.example"
port = 8883
ca_file = "ca.pem"
certificate_file = "bank.pem"
key_file = "bank.key"
root_keys = ["{key}"]
[panel]
listen = "127.0.0.1:7070"
access_file = "panel.json"
[[bus]]
profile = "{profile}"
port = {{ tcp = {{ addr = "192.0.2.1:5000" }} }}
boards = [
    {{ addr = 0, locks = 2, polarity = "learned" }},
    {{ addr = 4, locks = 2, polarity = "learned" }},
]
"#,
        dir = dir.display(),
        key = "11".repeat(32),
    );
    let path = dir.join("agent.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path).unwrap()
}

fn at(board: u8, lock: u8) -> At {
    (BoardAddr::try_from(board).unwrap(), LockIndex::try_from(lock).unwrap())
}

/// Does what it is told: answers, and shuts every door that stands open. `sees_two` are the doors
/// beside which another opens that no sensor tells of.
async fn installer(fake: Fake, terminal: DuplexStream, sees_two: Vec<u64>) -> Vec<String> {
    let shut = fake.state().hooks.clone();
    let (reader, mut writer) = tokio::io::split(terminal);
    let mut lines = BufReader::new(reader).lines();
    let mut heard = Vec::new();
    let (mut door, mut hesitated) = (0, false);
    while let Ok(Some(line)) = lines.next_line().await {
        door += u64::from(line.starts_with("Door "));
        if line.contains("Shut") {
            fake.state().hooks.clone_from(&shut);
        }
        if line.contains("[y/n]") {
            // Whatever is neither yes nor no, it is asked again.
            let answer = match std::mem::replace(&mut hesitated, true) {
                false => "what?\n",
                true if sees_two.contains(&door) => "n\n",
                true => "y\n",
            };
            writer.write_all(answer.as_bytes()).await.unwrap();
        } else if line.contains("press Enter") {
            writer.write_all(b"\n").await.unwrap();
        }
        heard.push(line);
    }
    heard
}

struct Done {
    result: Result<Commissioned, CommissionError>,
    heard: Vec<String>,
    fake: Fake,
}

impl Done {
    fn findings(&self) -> &[Finding] {
        match &self.result {
            Err(CommissionError::NotInOrder(findings)) => findings.all(),
            other => panic!("{other:?}"),
        }
    }
}

async fn go(config: &Config, fake: Fake, sees_two: Vec<u64>) -> Done {
    let (ours, theirs) = duplex(4096);
    let person = tokio::spawn(installer(fake.clone(), theirs, sees_two));
    let (input, output) = tokio::io::split(ours);
    let connector = |_: &PortAndBoards| fake.clone();
    let result = commission_through(config, connector, BufReader::new(input), output).await;
    let heard = person.await.unwrap();
    Done { result, heard, fake }
}

#[tokio::test(start_paused = true)]
async fn the_polarity_of_each_lock_is_learned_and_the_agent_may_run() {
    for (name, profile) in [("cu48", Profile::Cu48), ("cu16", Profile::Cu16)] {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), name);
        let refused = prepare(config.clone()).unwrap_err().to_string();
        assert!(
            refused.contains("edge-agent commission") && refused.contains("4 locks"),
            "{refused}"
        );
        let fake = Fake::new(profile, [0, 4]);
        // The switches of two locks are of the other kind.
        fake.toggle((0, 1));
        fake.toggle((4, 0));
        let done = go(&config, fake, vec![]).await;
        let (one, zero) = (Polarity::OneIsLocked, Polarity::ZeroIsLocked);
        let found = done.result.unwrap();
        let polarities: Vec<_> = found.locks().iter().map(|lock| lock.polarity).collect();
        assert_eq!(polarities, [one, zero, zero, one], "{:?}", done.heard);
        assert_eq!(done.fake.state().pulses, [(0, 0), (0, 1), (4, 0), (4, 1)], "each lock once");
        assert_eq!(Commissioned::load(dir.path()).unwrap(), Some(found));
        let prepared = prepare(config).unwrap();
        let bus = prepared.bus[0].bus_config();
        let known = bus.boards.iter().flat_map(|board| &board.locks).map(|lock| lock.polarity);
        assert_eq!(known.collect::<Vec<_>>(), [one, zero, zero, one]);
    }
}

#[tokio::test(start_paused = true)]
async fn h01_two_sensors_that_move_for_one_pulse_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Profile::Cu48, [0, 4]);
    fake.state().wiring.insert((0, 1), vec![(0, 1), (4, 1)]);
    let done = go(&config(dir.path(), "cu48"), fake, vec![]).await;
    let clash = Finding::SeveralSensors { at: at(0, 1), moved: vec![at(0, 1), at(4, 1)] };
    assert_eq!(done.findings(), [clash]);
    let said = done.heard.iter().any(|line| line.contains("Two boards with one address"));
    assert!(said, "{:?}", done.heard);
    assert!(Commissioned::load(dir.path()).unwrap().is_none(), "nothing is stored");
}

#[tokio::test(start_paused = true)]
async fn h01_two_boards_that_look_like_one_are_found_by_the_installer() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Profile::Cu16, [0, 4]);
    let done = go(&config(dir.path(), "cu16"), fake, vec![3]).await;
    assert_eq!(done.findings(), [Finding::OtherDoor { at: at(4, 0) }]);
}

#[tokio::test(start_paused = true)]
async fn h01_boards_whose_replies_collide_are_named_with_the_likely_cause() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Profile::Cu48, [0, 4]);
    fake.state().garbled.insert(4);
    let done = go(&config(dir.path(), "cu48"), fake, vec![]).await;
    let Err(CommissionError::Bench(error)) = done.result else { panic!("{:?}", done.result) };
    let words = error.to_string();
    assert!(words.contains("board 4 does not answer") && words.contains("one address"), "{words}");
    assert!(done.fake.state().pulses.is_empty(), "no door is opened before all boards answer");
}

#[tokio::test(start_paused = true)]
async fn h06_a_board_that_is_silent_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let done = go(&config(dir.path(), "cu48"), Fake::new(Profile::Cu48, [0]), vec![]).await;
    let Err(CommissionError::Bench(error)) = done.result else { panic!("{:?}", done.result) };
    let words = error.to_string();
    assert!(words.contains("board 4 does not answer"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_loses_replies_is_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Profile::Cu48, [0, 4]);
    fake.state().lossy = true;
    let done = go(&config(dir.path(), "cu48"), fake, vec![]).await;
    let Err(CommissionError::Bench(error)) = done.result else { panic!("{:?}", done.result) };
    assert!(error.to_string().contains("polls were answered"), "{error}");
    assert!(done.fake.state().pulses.is_empty());
}

#[tokio::test(start_paused = true)]
async fn h02_a_lock_without_a_sensor_and_swapped_sensors_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Profile::Cu48, [0, 4]);
    fake.state().wiring.extend([
        ((0, 0), vec![(0, 1)]),
        ((0, 1), vec![(0, 0)]),
        ((4, 0), vec![]),
        // A sensor on an input that the configuration does not know.
        ((4, 1), vec![(4, 30)]),
    ]);
    let done = go(&config(dir.path(), "cu48"), fake, vec![]).await;
    let expected = [
        Finding::OtherSensor { at: at(0, 0), moved: at(0, 1) },
        Finding::OtherSensor { at: at(0, 1), moved: at(0, 0) },
        Finding::NoSensor { at: at(4, 0) },
        Finding::OtherSensor { at: at(4, 1), moved: at(4, 30) },
    ];
    assert_eq!(done.findings(), expected);
    let words = done.result.unwrap_err().to_string();
    assert!(
        words.contains("   1. lock 0 of board 0: the sensor of lock 1 of board 0 moved"),
        "{words}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_polarity_that_the_configuration_has_wrong_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), "cu48");
    config.bus[0].boards[0].polarity = crate::config::BoardPolarity::OneIsLocked;
    let fake = Fake::new(Profile::Cu48, [0, 4]);
    fake.toggle((0, 1));
    let done = go(&config, fake, vec![]).await;
    let found = Polarity::ZeroIsLocked;
    assert_eq!(done.findings(), [Finding::OtherPolarity { at: at(0, 1), found }]);
}

#[tokio::test(start_paused = true)]
async fn a_door_that_is_not_shut_is_a_finding_and_not_a_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Profile::Cu48, [0, 4]);
    let stuck = Arc::new(Mutex::new(fake.clone()));
    let (ours, theirs) = duplex(4096);
    // Answers everything, shuts nothing.
    let person = tokio::spawn(async move {
        let (reader, mut writer) = tokio::io::split(theirs);
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("[y/n]") || line.contains("press Enter") {
                writer.write_all(b"y\n").await.unwrap();
            }
        }
    });
    let (input, output) = tokio::io::split(ours);
    let connector = |_: &PortAndBoards| stuck.lock().unwrap().clone();
    let config = config(dir.path(), "cu48");
    let result = commission_through(&config, connector, BufReader::new(input), output).await;
    let Err(CommissionError::NotInOrder(findings)) = result else { panic!("{result:?}") };
    assert!(findings.all().contains(&Finding::NotShut { at: at(0, 0) }), "{findings}");
    person.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_installer_who_goes_away_leaves_nothing_stored() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Profile::Cu48, [0, 4]);
    let connector = |_: &PortAndBoards| fake.clone();
    let config = config(dir.path(), "cu48");
    let result = commission_through(&config, connector, &b""[..], tokio::io::sink()).await;
    assert!(matches!(result, Err(CommissionError::Installer(InstallerError::Gone))), "{result:?}");
    assert!(fake.state().pulses.is_empty());
    assert!(Commissioned::load(dir.path()).unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_running_agent_is_not_disturbed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("journal")).unwrap();
    let held = Disk.lock(&dir.path().join("journal/lock")).unwrap().unwrap();
    let config = config(dir.path(), "cu48");
    let fake = Fake::new(Profile::Cu48, [0, 4]);
    let done = go(&config, fake.clone(), vec![]).await;
    assert!(matches!(done.result, Err(CommissionError::AgentRuns { .. })), "{:?}", done.result);
    drop(held);
    go(&config, fake, vec![]).await.result.unwrap();
}

#[test]
fn a_file_that_is_not_ours_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("commissioned.json");
    assert_eq!(Commissioned::load(dir.path()).unwrap(), None);
    for (text, said) in [
        (r#"{"format_version": 2, "something": "newer"}"#, "has format 2"),
        (r#"{"format_version": 1, "locks": []}"#, "commissioned_at_ms"),
        (
            r#"{"format_version": 1, "commissioned_at_ms": 0, "locks": [{"board": 10, "lock": 0, "polarity": "one_is_locked"}]}"#,
            "not between 0 and 9",
        ),
        ("", "EOF"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Commissioned::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let found = Commissioned::new(1, vec![]);
    found.store(dir.path()).unwrap();
    assert_eq!(Commissioned::load(dir.path()).unwrap(), Some(found));
    assert!(!path.with_extension("tmp").exists());
}

#[test]
fn a_bank_whose_polarity_is_written_down_needs_no_commissioning() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), "cu48");
    for board in &mut config.bus[0].boards {
        board.polarity = crate::config::BoardPolarity::OneIsLocked;
    }
    prepare(config).unwrap();
}
