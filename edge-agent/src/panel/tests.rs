//! The panel over real HTTP, with the bank played by the test.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use locker_core::bank::StaffFinding;
use locker_core::code::digits::normalise;
use locker_core::code::second_factor::PhoneSuffix;
use locker_core::ids::{Barcode, CarrierId, CompartmentNo};
use locker_core::refusal::Refusal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::bank::{Ask, Event, PanelKeypad, PanelRecall, PanelRecallReason, PanelState};

const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    access: Access,
    inbox: mpsc::Receiver<Event>,
    state: watch::Sender<PanelState>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl World {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let access = Access::new(listener.local_addr().unwrap(), [0xA5; 32]);
        let (events, inbox) = mpsc::channel(8);
        let state = watch::Sender::new(state(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async move {
            let _ = stopped.await;
        };
        let served = serve(listener, access.clone(), events, state.subscribe(), until);
        let served = tokio::spawn(served);
        Self { access, inbox, state, stop: Some(stop), served }
    }

    fn head(&self, line: &str) -> String {
        let Access { address, token } = &self.access;
        format!("{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n")
    }

    fn post(&self, path: &str, body: &str) -> String {
        let head = self.head(&format!("POST {path}"));
        let length = body.len();
        format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
    }

    fn get(&self, path: &str) -> String {
        format!("{}\r\n", self.head(&format!("GET {path}")))
    }

    async fn connect(&self, request: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.access.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        BufReader::new(stream)
    }

    /// Status and body of the answer.
    async fn call(&self, request: &str) -> (u16, String) {
        let mut stream = self.connect(request).await;
        let (status, length) = answer_head(&mut stream).await;
        let mut body = vec![0; length.unwrap_or(0)];
        timeout(PATIENCE, stream.read_exact(&mut body)).await.unwrap().unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// Sends `request`, lets the bank answer it, and gives what it asked and what was answered.
    async fn asked(&mut self, request: &str, answer: Result<(), Refusal>) -> (Ask, u16, Value) {
        let mut stream = self.connect(request).await;
        let event = timeout(PATIENCE, self.inbox.recv()).await.expect("an event").unwrap();
        let Event::Ask { ask, reply, .. } = event else { panic!("{event:?}") };
        reply.send(answer).unwrap();
        let (status, length) = answer_head(&mut stream).await;
        let mut body = vec![0; length.unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        (ask, status, serde_json::from_slice(&body).unwrap())
    }
}

/// Status, and the length of what follows if it is told.
async fn answer_head(stream: &mut BufReader<TcpStream>) -> (u16, Option<usize>) {
    let (mut status, mut length) = (0, None);
    loop {
        let line = line(stream).await;
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        } else if let Some(bytes) = line.strip_prefix("content-length: ") {
            length = Some(bytes.parse().unwrap());
        } else if line.is_empty() {
            return (status, length);
        }
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    timeout(PATIENCE, stream.read_line(&mut line)).await.expect("a line").unwrap();
    line.trim_end().to_owned()
}

/// The next state on a stream.
async fn next_state(stream: &mut BufReader<TcpStream>) -> PanelState {
    loop {
        if let Some(data) = line(stream).await.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

fn state(revision: u64) -> PanelState {
    PanelState {
        bank: "lobby-1".to_owned(),
        revision,
        hub_connected: false,
        deposits_open: true,
        maintenance: false,
        on_battery: false,
        calm_ms: 0,
        being_prepared: false,
        calm_until: None,
        lockdown: None,
        keypad: PanelKeypad::Open,
        wait_ms: 0,
        keypad_until: None,
        session: None,
        last_result: None,
    }
}

fn reason(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(!body["message"].as_str().unwrap().is_empty());
    body["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_does_not_know_the_token_and_the_host_is_not_admitted() {
    let mut world = World::new().await;
    let Access { address, token } = world.access.clone();
    let port = address.port();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let wrong = format!("Authorization: Bearer {}\r\n", token.replace('a', "b"));
    let host = format!("Host: {address}\r\n");
    for headers in [
        host.clone(),
        format!("{host}{wrong}"),
        format!("{host}Authorization: {token}\r\n"),
        format!("{host}Authorization: Bearer {}\r\n", &token[..63]),
        format!("{host}Authorization: Bearer \r\n"),
        format!("Host: evil.example:{port}\r\n{bearer}"),
        format!("Host: 127.0.0.1\r\n{bearer}"),
        format!("{host}{bearer}Origin: http://{address}\r\n"),
        format!("{host}{bearer}Origin: null\r\n"),
    ] {
        for line in ["GET /v1/state", "GET /v1/state/stream", "POST /v1/session/cancel"] {
            let request = format!("{line} HTTP/1.1\r\n{headers}Content-Length: 0\r\n\r\n");
            let (status, body) = world.call(&request).await;
            assert_eq!((status, reason(&body).as_str()), (401, "NOT_ADMITTED"), "{headers}");
        }
    }
    assert!(world.inbox.try_recv().is_err(), "nothing has reached the bank");
    let named = format!("GET /v1/state HTTP/1.1\r\nHost: localhost:{port}\r\n{bearer}\r\n");
    assert_eq!(world.call(&named).await.0, 200);
}

#[tokio::test]
async fn every_route_asks_the_bank_for_what_it_says() {
    let mut world = World::new().await;
    let scan = json!({"text": "LK1:ABC"}).to_string();
    let done = |outcome: &str| json!({ "outcome": outcome }).to_string();
    for (path, body, wanted) in [
        ("/v1/session", scan.clone(), Ask::Scan("LK1:ABC".to_owned())),
        ("/v1/session/scan", scan, Ask::Scan("LK1:ABC".to_owned())),
        ("/v1/session/door", String::new(), Ask::TryAgain),
        ("/v1/session/door", "{}".to_owned(), Ask::TryAgain),
        ("/v1/session/door", r#"{"action":"again"}"#.to_owned(), Ask::TryAgain),
        ("/v1/session/door", r#"{"action":"reopen"}"#.to_owned(), Ask::Reopen),
        ("/v1/session/door", r#"{"action":"next"}"#.to_owned(), Ask::OpenNext),
        ("/v1/session/cancel", String::new(), Ask::Cancel),
        ("/v1/session/done", done("deposited"), Ask::Deposited { compartment: None }),
        ("/v1/session/done", done("does_not_fit"), Ask::DoesNotFit),
        ("/v1/session/done", done("took_back"), Ask::TookBack),
        ("/v1/session/done", done("found_occupied"), Ask::FoundOccupied),
        ("/v1/session/done", done("door_will_not_shut"), Ask::DoorWillNotShut),
        ("/v1/session/done", done("taken"), Ask::Taken),
        ("/v1/session/done", done("refused"), Ask::RefuseParcel),
        ("/v1/session/done", done("found_empty"), Ask::FoundEmpty),
        ("/v1/session/done", done("wrong_parcel"), Ask::WrongParcel),
        ("/v1/session/done", done("not_taken"), Ask::NotTaken),
        ("/v1/session/done", done("finished"), Ask::Finish),
    ] {
        let request = world.post(path, &body);
        let (ask, status, answer) = world.asked(&request, Ok(())).await;
        assert_eq!((ask, status), (wanted, 200), "{path}");
        assert_eq!(answer["bank"], "lobby-1");
    }
    world.state.send_replace(state(7));
    let (status, body) = world.call(&world.get("/v1/state")).await;
    let shown: PanelState = serde_json::from_str(&body).unwrap();
    assert_eq!((status, shown.revision), (200, 7));
}

#[tokio::test]
async fn what_couriers_and_staff_name_reaches_the_bank_as_they_named_it() {
    let mut world = World::new().await;
    let no = CompartmentNo(7);
    let (carrier, barcode): (CarrierId, Barcode) =
        ("acme".parse().unwrap(), "PKG1".parse().unwrap());
    let label = json!({"carrier": "acme", "barcode": " PKG1\r\n"});
    let found = |finding: &str| {
        let mut body = label.clone();
        body["finding"] = finding.into();
        body
    };
    let recall = |carrier| Ask::Recall { carrier, barcode: barcode.clone() };
    let both = || (carrier.clone(), barcode.clone());
    let (holds, taken, handed) = (both(), both(), both());
    for (path, body, wanted) in [
        (
            "/v1/session/done",
            json!({"outcome": "deposited", "compartment": 7}),
            Ask::Deposited { compartment: Some(no) },
        ),
        (
            "/v1/session/done",
            json!({"outcome": "removed", "barcode": "PKG1"}),
            Ask::Removed(barcode.clone()),
        ),
        ("/v1/session/recall", json!({"barcode": "PKG1"}), recall(None)),
        ("/v1/session/recall", label.clone(), recall(Some(carrier.clone()))),
        ("/v1/staff/inspect", json!({"compartment": 7}), Ask::Inspect(no)),
        ("/v1/staff/found", json!({"finding": "empty"}), Ask::Found(StaffFinding::Empty)),
        (
            "/v1/staff/found",
            found("holds"),
            Ask::Found(StaffFinding::Holds { carrier: holds.0, barcode: holds.1 }),
        ),
        (
            "/v1/staff/found",
            found("taken_out"),
            Ask::Found(StaffFinding::TakenOut { carrier: taken.0, barcode: taken.1 }),
        ),
        (
            "/v1/staff/found",
            found("handed_over"),
            Ask::Found(StaffFinding::HandedOver { carrier: handed.0, barcode: handed.1 }),
        ),
        ("/v1/staff/lockdown", json!({}), Ask::LockDown),
        ("/v1/staff/lift", json!({}), Ask::LiftLockdown),
        ("/v1/staff/reset_board", json!({"board": 3}), Ask::ResetBoard(3)),
        ("/v1/staff/reset_keypad", json!({}), Ask::ResetKeypad),
    ] {
        let request = world.post(path, &body.to_string());
        let (ask, status, _) = world.asked(&request, Ok(())).await;
        assert_eq!((ask, status), (wanted, 200), "{path} {body}");
    }
}

#[tokio::test]
async fn c08_digits_are_read_as_people_type_and_paste_them() {
    let mut world = World::new().await;
    let digits = normalise("012345").unwrap();
    for typed in [
        "012345",
        " 012 345\r\n",
        "01-23-45",
        "O12345",
        "ol2345",
        "\u{202d}012\u{a0}345\u{202c}",
        "٠١٢٣٤٥",
        "۰۱۲۳۴۵",
        "०१२३४५",
        "０１２３４５",
        "012٣٤٥",
    ] {
        let request = world.post("/v1/session/keypad", &json!({ "digits": typed }).to_string());
        let (ask, status, _) = world.asked(&request, Ok(())).await;
        assert_eq!((ask, status), (Ask::Keypad { digits, phone: None }, 200), "{typed}");
    }
    let suffix = PhoneSuffix::typed("0042").unwrap();
    for (typed, phone) in
        [("0042", Some(suffix)), (" 00 42", Some(suffix)), ("٠٠٤٢", Some(suffix)), (" ", None)]
    {
        let body = json!({"digits": "012345", "phone": typed}).to_string();
        let (ask, ..) = world.asked(&world.post("/v1/session/keypad", &body), Ok(())).await;
        assert_eq!(ask, Ask::Keypad { digits, phone }, "{typed}");
        assert!(!format!("{ask:?}").contains("42"), "{ask:?}");
    }
}

#[tokio::test]
async fn c08_what_is_no_code_is_told_so_and_no_guess() {
    let mut world = World::new().await;
    let (digits, phone) = ("DIGITS_MALFORMED", "PHONE_MALFORMED");
    for (body, wanted) in [
        (json!({"digits": ""}), digits),
        (json!({"digits": "12345"}), digits),
        (json!({"digits": "0123456"}), digits),
        (json!({"digits": "01234x"}), digits),
        (json!({"digits": "１２３４५"}), digits),
        (json!({"digits": "+12345"}), digits),
        (json!({"digits": "12345.0"}), digits),
        (json!({"digits": "0 ".repeat(100)}), digits),
        (json!({"digits": "012345", "phone": "123"}), phone),
        (json!({"digits": "012345", "phone": "+49 30 1234"}), phone),
        // Numbers lose their zeros.
        (json!({"digits": 12345}), "BODY_MALFORMED"),
        (json!({"digits": "012345", "phone": 1234}), "BODY_MALFORMED"),
        (json!({"digits": "012345", "all": true}), "BODY_MALFORMED"),
        (json!({"text": "012345"}), "BODY_MALFORMED"),
    ] {
        let request = world.post("/v1/session/keypad", &body.to_string());
        let (status, answer) = world.call(&request).await;
        assert_eq!((status, reason(&answer).as_str()), (400, wanted), "{body}");
        assert!(!answer.contains("1234"), "{answer}");
    }
    assert!(world.inbox.try_recv().is_err(), "nothing has reached the bank");
}

#[tokio::test]
async fn a_screen_is_told_whether_and_when_the_keypad_takes_a_try() {
    let world = World::new().await;
    let until = Instant::now() + Duration::from_secs(40);
    let waits = PanelState { keypad: PanelKeypad::Wait, keypad_until: Some(until), ..state(1) };
    world.state.send_replace(waits);
    let mut stream = world.connect(&world.get("/v1/state/stream")).await;
    let (_, body) = world.call(&world.get("/v1/state")).await;
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(shown["keypad"], "wait");
    for left_ms in [shown["wait_ms"].as_u64().unwrap(), next_state(&mut stream).await.wait_ms] {
        assert!((1..=40_000).contains(&left_ms), "{left_ms}");
    }
    assert!(shown.get("keypad_until").is_none());

    world.state.send_replace(PanelState { keypad: PanelKeypad::Absent, ..state(2) });
    let request = world.post("/v1/session/keypad", r#"{"digits": "012345"}"#);
    let (status, answer) = world.call(&request).await;
    assert_eq!((status, reason(&answer).as_str()), (409, "KEYPAD_ABSENT"));
}

#[tokio::test]
async fn what_must_leave_is_listed_for_whoever_may_take_it_out() {
    let mut world = World::new().await;
    let listed = PanelRecall {
        carrier: "acme".to_owned(),
        barcode: "PKG1".to_owned(),
        compartment: 7,
        reason: PanelRecallReason::Safety,
    };
    let shown = json!({"recalls": [
        {"carrier": "acme", "barcode": "PKG1", "compartment": 7, "reason": "safety"},
    ]});
    for (answer, status, body) in [
        (Ok(vec![listed]), 200, shown),
        (Ok(Vec::new()), 200, json!({"recalls": []})),
        (
            Err(Refusal::NoSession),
            409,
            json!({"reason": "NO_SESSION", "message": "nobody is signed in"}),
        ),
    ] {
        let mut stream = world.connect(&world.get("/v1/recalls")).await;
        let event = timeout(PATIENCE, world.inbox.recv()).await.expect("an event").unwrap();
        let Event::Recalls { reply } = event else { panic!("{event:?}") };
        reply.send(answer).unwrap();
        let (found, length) = answer_head(&mut stream).await;
        let mut bytes = vec![0; length.unwrap()];
        stream.read_exact(&mut bytes).await.unwrap();
        let said: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((found, said), (status, body));
    }
}

#[tokio::test]
async fn a_refusal_is_a_conflict_with_its_stable_reason() {
    let mut world = World::new().await;
    for refusal in [
        Refusal::CodeExpired,
        Refusal::StorageUnsafe,
        Refusal::SessionBusy,
        Refusal::CodeWrong,
        Refusal::KeypadWait,
        Refusal::KeypadClosed,
    ] {
        let request = world.post("/v1/session/scan", r#"{"text":"x"}"#);
        let (_, status, body) = world.asked(&request, Err(refusal)).await;
        assert_eq!((status, body["reason"].as_str()), (409, Some(refusal.reason())));
        assert_eq!(body["message"], refusal.to_string());
    }
}

#[tokio::test]
async fn what_is_no_request_is_the_callers_mistake_and_reaches_nobody() {
    let mut world = World::new().await;
    let text = "x".repeat(BODY_MAX_BYTES);
    let too_long = json!({ "text": text }).to_string();
    for (path, body, wanted) in [
        ("/v1/session/scan", "", 400),
        ("/v1/session/scan", "{\"text\":", 400),
        ("/v1/session/scan", "[]", 400),
        ("/v1/session/scan", "{}", 400),
        ("/v1/session/scan", r#"{"text": 5}"#, 400),
        ("/v1/session/scan", r#"{"text": "a", "open": "all"}"#, 400),
        ("/v1/session/done", r#"{"outcome": "stolen"}"#, 400),
        ("/v1/session/done", r#"{"outcome": "taken", "compartment": 3}"#, 400),
        ("/v1/session/done", r#"{"outcome": "deposited", "compartment": -1}"#, 400),
        ("/v1/session/done", r#"{"outcome": "deposited", "compartment": 65536}"#, 400),
        ("/v1/session/done", r#"{"outcome": "deposited", "barcode": "A"}"#, 400),
        ("/v1/session/done", r#"{"outcome": "removed"}"#, 400),
        ("/v1/session/done", r#"{"outcome": "removed", "barcode": "two words"}"#, 400),
        ("/v1/session/door", r#"{"action": "all"}"#, 400),
        ("/v1/session/door", r#"{"door": 3}"#, 400),
        ("/v1/session/door", "again", 400),
        ("/v1/session/recall", "{}", 400),
        ("/v1/session/recall", r#"{"barcode": ""}"#, 400),
        ("/v1/session/recall", r#"{"barcode": "A", "carrier": "Not A Name"}"#, 400),
        ("/v1/session/recall", r#"{"barcode": "A", "all": true}"#, 400),
        ("/v1/staff/inspect", "{}", 400),
        ("/v1/staff/inspect", r#"{"compartment": "all"}"#, 400),
        ("/v1/staff/found", r#"{"finding": "empty", "barcode": "A"}"#, 400),
        ("/v1/staff/found", r#"{"finding": "holds"}"#, 400),
        ("/v1/staff/found", r#"{"finding": "holds", "carrier": "acme", "barcode": "\u0007"}"#, 400),
        ("/v1/staff/found", r#"{"finding": "nothing"}"#, 400),
        ("/v1/staff/reset_board", r#"{"board": 256}"#, 400),
        ("/v1/staff/reset_board", "[]", 400),
        ("/v1/session/door", too_long.as_str(), 413),
        ("/v1/staff/found", too_long.as_str(), 413),
        ("/v1/session/scan", too_long.as_str(), 413),
        ("/v1/nowhere", "{}", 404),
    ] {
        let (status, answer) = world.call(&world.post(path, body)).await;
        assert_eq!(status, wanted, "{path} {body:.20}");
        if status != 404 {
            let named =
                ["BODY_MALFORMED", "BODY_TOO_LARGE", "BARCODE_MALFORMED", "CARRIER_MALFORMED"];
            assert!(named.contains(&reason(&answer).as_str()), "{answer}");
        }
    }
    assert_eq!(world.call(&world.get("/v1/session/scan")).await.0, 405);
    let plain = world.post("/v1/session/scan", r#"{"text":"a"}"#);
    let plain = plain.replace("application/json", "text/plain");
    assert_eq!(world.call(&plain).await.0, 415);
    let plain = world.post("/v1/session/door", r#"{"action":"reopen"}"#);
    let plain = plain.replace("application/json", "text/plain");
    assert_eq!(world.call(&plain).await.0, 415);
    assert_eq!(world.call(&world.post("/v1/recalls", "{}")).await.0, 405);
    assert_eq!(world.call(&world.get("/v1/staff/lift")).await.0, 405);
    assert!(world.inbox.try_recv().is_err());
}

#[tokio::test]
async fn a_stream_begins_with_the_state_and_tells_each_change() {
    let world = World::new().await;
    let mut stream = world.connect(&world.get("/v1/state/stream")).await;
    assert_eq!(answer_head(&mut stream).await.0, 200);
    assert_eq!(next_state(&mut stream).await, state(0));
    for revision in 1..4 {
        world.state.send_replace(state(revision));
        assert_eq!(next_state(&mut stream).await, state(revision));
    }
}

#[tokio::test]
async fn one_screen_too_many_is_turned_away_until_another_leaves() {
    let world = World::new().await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        let mut stream = world.connect(&world.get("/v1/state/stream")).await;
        assert_eq!(answer_head(&mut stream).await.0, 200);
        streams.push(stream);
    }
    let (status, body) = world.call(&world.get("/v1/state/stream")).await;
    assert_eq!((status, reason(&body).as_str()), (503, "TOO_MANY_STREAMS"));
    // A look at the state is no stream.
    assert_eq!(world.call(&world.get("/v1/state")).await.0, 200);
    streams.pop();
    let again = async {
        loop {
            let mut stream = world.connect(&world.get("/v1/state/stream")).await;
            if answer_head(&mut stream).await.0 == 200 {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("a place is free again");
}

#[tokio::test]
async fn a_bank_that_stops_says_so_and_the_panel_ends_with_it() {
    let mut world = World::new().await;
    let mut stream = world.connect(&world.get("/v1/state/stream")).await;
    next_state(&mut stream).await;
    // It takes the request and ends before it answers.
    let mut asked = world.connect(&world.post("/v1/session/cancel", "")).await;
    drop(timeout(PATIENCE, world.inbox.recv()).await.unwrap());
    assert_eq!(answer_head(&mut asked).await.0, 503);
    drop(asked);
    world.inbox.close();
    let (status, body) = world.call(&world.post("/v1/session/cancel", "")).await;
    assert_eq!((status, reason(&body).as_str()), (503, "STOPPING"));

    let World { state, stop, served, .. } = world;
    stop.unwrap().send(()).unwrap();
    // The bank's end of the state goes with the bank, and with it every stream.
    drop(state);
    timeout(PATIENCE, served).await.expect("the panel ends").unwrap().unwrap();
}

#[test]
fn the_access_file_is_the_owners_alone_and_replaced_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panel.json");
    // What somebody left there to keep it readable.
    std::fs::write(dir.path().join("panel.tmp"), "old").unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for byte in [1, 2] {
        let access = Access::new("127.0.0.1:7070".parse().unwrap(), [byte; 32]);
        access.write(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        let read: Access = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((read.address, &read.token), (access.address, &access.token));
        assert_eq!(access.token.len(), 64);
        assert!(!format!("{access:?}").contains(&access.token));
    }
    let nowhere = dir.path().join("none/panel.json");
    let access = Access::new("127.0.0.1:7070".parse().unwrap(), [1; 32]);
    assert!(access.write(&nowhere).unwrap_err().to_string().contains("panel.json"));
}
