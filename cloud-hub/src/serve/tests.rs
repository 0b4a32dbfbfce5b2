use tokio::sync::oneshot;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::codes::cli::{self as codes, CodesArgs, CodesCommand};
use crate::tls::fixture::Fixture;

const CONFIG: &str = r#"
addresses_file = "addresses.json"
[mqtt]
listen = "127.0.0.1:0"
[grpc]
listen = "127.0.0.1:0"
[tls]
certificate = "hub.pem"
key = "hub.key"
client_authorities = "ca.pem"
[store]
url = "sqlite://hub.db"
[keys]
set = "key-set.signed"
command = [{ id = 1, file = "command-1.key" }]
credential = [{ id = 1, file = "credential-1.key" }]
[notices]
from = "Postern <lockers@example.org>"
mailbox = "mailbox"
[codes]
master_file = "codes/codes-master.key"
sealing = [{ id = 1, file = "codes/sealing-1.key" }]
"#;

fn configured(fixture: &Fixture) -> Config {
    let dir = fixture.directory.path().join("codes");
    if !dir.exists() {
        codes::run(CodesArgs { command: CodesCommand::Init { dir } }).unwrap();
    }
    let path = fixture.directory.path().join("cloud-hub.toml");
    std::fs::write(&path, CONFIG).unwrap();
    Config::load(&path).unwrap()
}

#[tokio::test]
async fn a_hub_starts_tells_its_addresses_answers_and_stops() {
    let fixture = Fixture::new();
    let folder = fixture.directory.path();
    for _ in 0..2 {
        let config = configured(&fixture);
        check(&config).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let hub = tokio::spawn(run(config, Traces::local(), async {
            let _ = stopped.await;
        }));
        let addresses = loop {
            if let Ok(text) = std::fs::read_to_string(folder.join("addresses.json")) {
                break serde_json::from_str::<serde_json::Value>(&text).unwrap();
            }
            assert!(!hub.is_finished(), "{:?}", hub.await);
            tokio::task::yield_now().await;
        };
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let identity = Identity::from_pem(read("operators/olga.pem"), read("operators/olga.key"));
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("ca.pem")))
            .identity(identity);
        let url = format!("https://{}", addresses["grpc"].as_str().unwrap());
        let channel = Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap().connect().await;
        let health = HealthClient::new(channel.unwrap()).check(HealthCheckRequest::default()).await;
        health.unwrap();
        fixture
            .connect(addresses["mqtt"].as_str().unwrap().parse().unwrap(), "banks/bank-1")
            .await
            .unwrap();
        stop.send(()).unwrap();
        hub.await.unwrap().unwrap();
        assert!(!folder.join("addresses.json").exists());
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_named_in_the_chain_of_causes() {
    let fixture = Fixture::new();
    let mut config = configured(&fixture);
    config.keys.command[0].file = fixture.directory.path().join("gone.key");
    let error = run(config, Traces::local(), pending()).await.unwrap_err();
    let chain = format!("{:#}", anyhow::Error::from(error));
    assert!(
        chain.starts_with("the signing keys cannot be used: ") && chain.contains("gone.key"),
        "{chain}"
    );

    let mut config = configured(&fixture);
    config.codes.as_mut().unwrap().sealing[0].file = fixture.directory.path().join("gone.key");
    let error = check(&config).unwrap_err();
    let chain = format!("{:#}", anyhow::Error::from(error));
    assert!(
        chain.starts_with("the keys of six-digit codes cannot be used: ")
            && chain.contains("gone.key"),
        "{chain}"
    );

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = configured(&fixture);
    config.grpc.listen = taken.local_addr().unwrap();
    let error = run(config, Traces::local(), pending()).await.unwrap_err();
    assert!(matches!(error, ServeError::Bind(_)));
}

#[tokio::test]
async fn a_hub_ends_when_one_of_its_parts_does() {
    let fixture = Fixture::new();
    for part in ["notices", "code minting", "bank spans", "ingest", "bank listener"] {
        let config = configured(&fixture);
        let mut running = start(&config, &Traces::local()).await.unwrap();
        let task = match part {
            "notices" => &running.notices.as_mut().unwrap().task,
            "code minting" => &running.minting.as_mut().unwrap().task,
            "bank spans" => &running.spans.task,
            "ingest" => &running.ingest.task,
            _ => &running.mqtt.task,
        };
        task.abort();
        let error = running.until(pending(), &config).await.unwrap_err();
        assert!(matches!(error, ServeError::Panicked { part: ended, .. } if ended == part));
    }
}
