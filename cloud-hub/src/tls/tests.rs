use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::server::Connected as _;

use super::fixture::{Fixture, connect};
use super::*;
use crate::identity::IdentityKind;

const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

async fn listen(tls: ServerTls, limits: Limits) -> Listener {
    Listener::bind(SocketAddr::from(LOOPBACK), tls, limits).await.unwrap()
}

/// With TLS 1.3 a client learns of a refused certificate only when it reads.
async fn is_refused(stream: std::io::Result<tokio_rustls::client::TlsStream<TcpStream>>) -> bool {
    match stream {
        Ok(mut stream) => !matches!(stream.read(&mut [0; 1]).await, Ok(1..)),
        Err(_) => true,
    }
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("condition within 20 s");
}

#[tokio::test]
async fn a_client_with_our_certificate_is_let_in_and_named() {
    let fixture = Fixture::new();
    let mut listener = listen(fixture.server(Alpn::None), Limits::default()).await;
    for (name, kind, uri) in [
        ("banks/bank-1", IdentityKind::Bank, "urn:postern:bank:bank-1"),
        ("carriers/acme", IdentityKind::Carrier, "urn:postern:carrier:acme"),
        ("operators/olga", IdentityKind::Operator, "urn:postern:operator:olga"),
    ] {
        let mut client = fixture.connect(listener.local_address(), name).await.unwrap();
        let mut server = listener.accept().await.unwrap();
        assert_eq!(server.peer().identity.kind(), kind);
        assert_eq!(server.peer().identity.to_string(), uri);
        assert_eq!(server.peer().address, client.get_ref().0.local_addr().unwrap());
        assert_eq!(server.connect_info(), *server.peer());
        let key = server.peer().key.unwrap();
        assert_eq!(DeviceKey::of_spki(&key.spki()), Some(key), "it can be kept and read again");
        client.write_all(b"ping").await.unwrap();
        let mut read = [0; 4];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ping");
    }
    assert_eq!(listener.counters().established(), 3);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let fixture = Fixture::new();
    let mut listener = listen(fixture.server(Alpn::None), Limits::default()).await;
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(&fixture.pki.authority()).unwrap() {
        roots.add(certificate).unwrap();
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(listener.local_address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    assert!(is_refused(stream).await);
    assert_lets_in(&mut listener, &fixture, "banks/bank-1").await;
    assert_eq!(listener.counters().refused(Refusal::Handshake), 1);
}

#[tokio::test]
async fn a_client_of_a_foreign_authority_is_refused() {
    let (fixture, foreign) = (Fixture::new(), Fixture::new());
    let mut listener = listen(fixture.server(Alpn::None), Limits::default()).await;
    let client = foreign.issued("banks/bank-1");
    let authority = fixture.pki.authority();
    let stream = connect(listener.local_address(), &authority, &client, Alpn::None).await;
    assert!(is_refused(stream).await);
    assert_lets_in(&mut listener, &fixture, "banks/bank-1").await;
    assert_eq!(listener.counters().refused(Refusal::Handshake), 1);
}

#[tokio::test]
async fn a_server_certificate_is_no_client_certificate() {
    let fixture = Fixture::new();
    let listener = listen(fixture.server(Alpn::None), Limits::default()).await;
    assert!(is_refused(fixture.connect(listener.local_address(), "hub").await).await);
}

#[tokio::test]
async fn every_authority_of_the_bundle_counts() {
    let (fixture, second) = (Fixture::new(), Fixture::new());
    let bundle = fixture.directory.path().join("bundle.pem");
    let mut file = std::fs::File::create(&bundle).unwrap();
    for authority in [fixture.pki.authority(), second.pki.authority()] {
        file.write_all(&std::fs::read(authority).unwrap()).unwrap();
    }
    let files = ServerFiles { client_authorities: bundle, ..fixture.server_files() };
    let tls = ServerTls::load(&files, Alpn::None, Revocations::default()).unwrap();
    let mut listener = listen(tls, Limits::default()).await;
    assert_lets_in(&mut listener, &fixture, "banks/bank-1").await;
    let client = second.issued("banks/bank-2");
    let authority = fixture.pki.authority();
    let _client = connect(listener.local_address(), &authority, &client, Alpn::None).await.unwrap();
    assert_accepts(&mut listener).await;
}

#[tokio::test]
async fn a_certificate_on_the_revocation_list_is_refused_and_others_of_any_authority_are_not() {
    let (fixture, second) = (Fixture::new(), Fixture::new());
    let bundle = fixture.directory.path().join("bundle.pem");
    let texts = [fixture.pki.authority(), second.pki.authority()]
        .map(|path| std::fs::read_to_string(path).unwrap());
    std::fs::write(&bundle, texts.concat()).unwrap();
    let revoked = fixture.issued("banks/bank-1").certificate;
    let list = fixture.pki.write_revocation_list(&[&revoked]).unwrap();
    let files = ServerFiles {
        client_authorities: bundle,
        revocation_lists: vec![list],
        ..fixture.server_files()
    };
    let tls = ServerTls::load(&files, Alpn::None, Revocations::default()).unwrap();
    let mut listener = listen(tls, Limits::default()).await;
    assert!(is_refused(fixture.connect(listener.local_address(), "banks/bank-1").await).await);
    assert_lets_in(&mut listener, &fixture, "banks/bank-2").await;
    let client = second.issued("banks/bank-1");
    let authority = fixture.pki.authority();
    let _client = connect(listener.local_address(), &authority, &client, Alpn::None).await.unwrap();
    assert_accepts(&mut listener).await;
}

#[tokio::test]
async fn a_reloaded_list_counts_for_new_handshakes_and_for_peers_that_are_in() {
    let fixture = Fixture::new();
    let tls = fixture.server(Alpn::None);
    let mut listener = listen(tls.clone(), Limits::default()).await;
    let _client = fixture.connect(listener.local_address(), "banks/bank-1").await.unwrap();
    let inside = listener.accept().await.unwrap();
    assert!(!tls.revocations().contains(inside.peer()));

    let revoked = fixture.issued("banks/bank-1").certificate;
    let list = fixture.pki.write_revocation_list(&[&revoked]).unwrap();
    let files = ServerFiles { revocation_lists: vec![list], ..fixture.server_files() };
    tls.reload(&files).unwrap();
    assert!(tls.revocations().contains(inside.peer()));
    assert!(is_refused(fixture.connect(listener.local_address(), "banks/bank-1").await).await);
}

#[tokio::test]
async fn a_certificate_revoked_by_hand_is_refused_at_once() {
    let fixture = Fixture::new();
    let tls = fixture.server(Alpn::None);
    let mut listener = listen(tls.clone(), Limits::default()).await;
    let _client = fixture.connect(listener.local_address(), "banks/bank-1").await.unwrap();
    tls.revocations().revoke(listener.accept().await.unwrap().peer().certificate);
    assert!(is_refused(fixture.connect(listener.local_address(), "banks/bank-1").await).await);
    let counters = listener.counters();
    until(|| counters.refused(Refusal::Revoked) == 1).await;
}

#[tokio::test]
async fn silent_tcp_clients_block_nobody_and_make_room_for_those_who_speak() {
    let fixture = Fixture::new();
    let limits = Limits { pending: 2, ..Limits::default() };
    let mut listener = listen(fixture.server(Alpn::None), limits).await;
    let counters = listener.counters();
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(listener.local_address()).await.unwrap());
    }
    for _ in 0..3 {
        assert_lets_in(&mut listener, &fixture, "banks/bank-1").await;
    }
    // The oldest went first: its socket is closed.
    assert_eq!(silent[0].read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert!(counters.refused(Refusal::Silent) >= 3, "{counters:?}");
    assert_eq!(counters.refused(Refusal::HandshakeTimeout), 0);
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut_off() {
    let fixture = Fixture::new();
    let limits =
        Limits { pending: 1, handshake_timeout: Duration::from_secs(1), ..Limits::default() };
    let mut listener = listen(fixture.server(Alpn::None), limits).await;
    let mut stalled = TcpStream::connect(listener.local_address()).await.unwrap();
    stalled.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    assert_lets_in(&mut listener, &fixture, "banks/bank-1").await;
    let counters = listener.counters();
    assert!(counters.refused(Refusal::HandshakeTimeout) + counters.refused(Refusal::Silent) == 1);
}

#[tokio::test]
async fn bytes_that_are_not_tls_are_refused() {
    let fixture = Fixture::new();
    let listener = listen(fixture.server(Alpn::None), Limits::default()).await;
    let mut client = TcpStream::connect(listener.local_address()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let counters = listener.counters();
    until(|| counters.refused(Refusal::Handshake) == 1).await;
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_places_come_back() {
    let fixture = Fixture::new();
    let limits = Limits { connections: 1, ..Limits::default() };
    let mut listener = listen(fixture.server(Alpn::None), limits).await;
    let address = listener.local_address();
    let _first = fixture.connect(address, "banks/bank-1").await.unwrap();
    let held = listener.accept().await.unwrap();
    assert!(is_refused(fixture.connect(address, "banks/bank-2").await).await);
    assert_eq!(listener.counters().refused(Refusal::Connections), 1);
    drop(held);
    assert_lets_in(&mut listener, &fixture, "banks/bank-2").await;
}

#[tokio::test]
async fn one_identity_cannot_take_all_places() {
    let fixture = Fixture::new();
    let limits = Limits { connections_per_identity: 1, ..Limits::default() };
    let mut listener = listen(fixture.server(Alpn::None), limits).await;
    let address = listener.local_address();
    let _first = fixture.connect(address, "banks/bank-1").await.unwrap();
    let held = listener.accept().await.unwrap();
    assert!(is_refused(fixture.connect(address, "banks/bank-1").await).await);
    assert_eq!(listener.counters().refused(Refusal::ConnectionsOfIdentity), 1);
    assert_lets_in(&mut listener, &fixture, "banks/bank-2").await;
    drop(held);
    assert_lets_in(&mut listener, &fixture, "banks/bank-1").await;
}

#[tokio::test]
async fn grpc_clients_agree_on_h2() {
    let fixture = Fixture::new();
    let mut listener = listen(fixture.server(Alpn::H2), Limits::default()).await;
    let client = fixture.issued("carriers/acme");
    let authority = fixture.pki.authority();
    let stream = connect(listener.local_address(), &authority, &client, Alpn::H2).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_accepts(&mut listener).await;
}

#[test]
fn files_that_do_not_serve_are_named_in_the_error() {
    let fixture = Fixture::new();
    let good = fixture.server_files();
    let load = |files: &ServerFiles| {
        ServerTls::load(files, Alpn::None, Revocations::default()).unwrap_err()
    };
    let missing = fixture.directory.path().join("missing.pem");
    let error = load(&ServerFiles { certificate: missing.clone(), ..good.clone() });
    assert!(matches!(error, TlsError::Read { path, .. } if path == missing));
    let error = load(&ServerFiles { certificate: good.key.clone(), ..good.clone() });
    assert!(matches!(error, TlsError::Nothing { path, .. } if path == good.key));
    let error = load(&ServerFiles { key: good.certificate.clone(), ..good.clone() });
    assert!(matches!(error, TlsError::Nothing { path, .. } if path == good.certificate));
    let other = fixture.issued("banks/bank-1").key;
    let error = load(&ServerFiles { key: other.clone(), ..good.clone() });
    assert!(matches!(error, TlsError::Pair { key, .. } if key == other));
    let broken = fixture.directory.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    let error = load(&ServerFiles { client_authorities: broken.clone(), ..good.clone() });
    assert!(matches!(error, TlsError::Pem { path, .. } if path == broken));
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let error = load(&ServerFiles { client_authorities: broken.clone(), ..good.clone() });
    assert!(matches!(error, TlsError::Authority { path, .. } if path == broken));
    std::fs::write(&broken, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").unwrap();
    let error = load(&ServerFiles { revocation_lists: vec![broken.clone()], ..good });
    assert!(matches!(error, TlsError::RevocationList { path } if path == broken));
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let fixture = Fixture::new();
    let first = listen(fixture.server(Alpn::None), Limits::default()).await;
    let address = first.local_address();
    let second = Listener::bind(address, fixture.server(Alpn::None), Limits::default()).await;
    assert_eq!(second.unwrap_err().address, address);
}

async fn assert_lets_in(listener: &mut Listener, fixture: &Fixture, name: &str) {
    let _client = fixture.connect(listener.local_address(), name).await.unwrap();
    assert_accepts(listener).await;
}

async fn assert_accepts(listener: &mut Listener) {
    let accepted = tokio::time::timeout(Duration::from_secs(20), listener.accept()).await;
    assert!(accepted.expect("a connection within 20 s").is_some());
}
