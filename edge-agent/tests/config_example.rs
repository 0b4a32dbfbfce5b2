//! The example configuration is taken, names every key, and tells the defaults as they are.

use std::path::Path;

use edge_agent::board::BusTiming;
use edge_agent::config::{
    Config, DiskLimits, LinkLimits, LogConfig, OpeningsAllowed, PowerConfig, SessionLimits,
    StartLimits,
};
use edge_agent::telemetry::TelemetryLimits;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config/edge-agent.toml");

/// The example with its defaults written out.
fn with_defaults_written_out() -> String {
    let text = std::fs::read_to_string(EXAMPLE).expect("the example");
    let written = text.lines().map(|line| {
        let default = line
            .strip_prefix("# ")
            .filter(|rest| rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')));
        default.unwrap_or(line)
    });
    written.collect::<Vec<_>>().join("\n")
}

fn load(text: &str) -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("edge-agent.toml");
    std::fs::write(&path, text).expect("written");
    Config::load(&path).unwrap_or_else(|error| panic!("{error}"))
}

fn same(found: &impl std::fmt::Debug, wanted: &impl std::fmt::Debug) {
    assert_eq!(format!("{found:#?}"), format!("{wanted:#?}"));
}

#[test]
fn the_example_is_taken_as_it_stands() {
    let config = Config::load(Path::new(EXAMPLE)).expect("valid");
    assert_eq!(config.bank.as_str(), "lobby-1");
    assert_eq!(config.root_keys().len(), 1);
    assert_eq!(config.bus.len(), 1);
}

#[test]
fn the_defaults_it_tells_are_the_defaults() {
    let config = load(&with_defaults_written_out());
    same(&config.hub.limits, &LinkLimits::default());
    same(&config.session, &SessionLimits::default());
    same(&config.governor, &OpeningsAllowed::default());
    let mains_file = config.power.mains_file.clone();
    same(&config.power, &PowerConfig { mains_file, ..PowerConfig::default() });
    same(&config.starts, &StartLimits::default());
    same(&config.disk, &DiskLimits::default());
    same(&config.telemetry, &TelemetryLimits::default());
    same(&config.log, &LogConfig::default());
    same(&config.bus[0].timing, &BusTiming::default());
    same(&load(&std::fs::read_to_string(EXAMPLE).expect("the example")), &config);
}

#[test]
fn it_names_every_key_there_is() {
    let text = with_defaults_written_out();
    let shown = format!("{:?}", load(&text));
    let fields = shown.split(['{', ',', '(', '[']).filter_map(|part| part.split_once(": "));
    let mut seen = 0;
    for (field, _) in fields {
        let key = field.trim();
        assert!(text.contains(&format!("{key} = ")) || text.contains(&format!("{key}]")), "{key}");
        seen += 1;
    }
    assert!(seen > 45, "the way of finding the keys is broken: {seen}");
}
