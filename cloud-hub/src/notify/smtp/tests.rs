use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;

/// A relay for one conversation: answers `verdict` to the end of DATA and returns what it was sent.
async fn relay_once(verdict: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let conversation = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 test relay\r\n").await.unwrap();
        let (mut in_data, mut letter) = (false, String::new());
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = if in_data {
                if line != "." {
                    letter.push_str(&line);
                    letter.push('\n');
                    continue;
                }
                in_data = false;
                verdict
            } else if line.starts_with("EHLO") {
                "250-test\r\n250 8BITMIME"
            } else if line == "DATA" {
                in_data = true;
                "354 go on"
            } else {
                "250 ok"
            };
            if write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                break;
            }
        }
        letter
    });
    (port, conversation)
}

fn smtp(port: u16) -> Smtp {
    Smtp::new(&SmtpRelay {
        host: "127.0.0.1".into(),
        port,
        security: SmtpSecurity::Plain,
        credentials: None,
        authority: None,
        timeout: Duration::from_secs(5),
    })
    .unwrap()
}

fn letter() -> Message {
    Message::builder()
        .from("lockers@postern.example".parse().unwrap())
        .to("rita@example.org".parse().unwrap())
        .subject("hello")
        .body("a parcel waits".to_owned())
        .unwrap()
}

#[tokio::test]
async fn a_letter_reaches_the_relay() {
    let (port, relay) = relay_once("250 taken").await;
    smtp(port).deliver(letter()).await.unwrap();
    let received = relay.await.unwrap();
    assert!(received.contains("Subject: hello") && received.contains("a parcel waits"));
}

#[tokio::test]
async fn a_4xx_answer_is_worth_another_attempt() {
    let (port, _relay) = relay_once("451 later").await;
    assert!(matches!(smtp(port).deliver(letter()).await, Err(SmtpError::NotNow(_))));
}

#[tokio::test]
async fn a_5xx_answer_is_final() {
    let (port, _relay) = relay_once("550 no such person").await;
    assert!(matches!(smtp(port).deliver(letter()).await, Err(SmtpError::Refused(_))));
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_worth_another_attempt() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert!(matches!(smtp(unused).deliver(letter()).await, Err(SmtpError::Unreachable(_))));
}

#[test]
fn plain_smtp_over_a_network_is_refused() {
    let relay = SmtpRelay {
        host: "mail.example.org".into(),
        port: 25,
        security: SmtpSecurity::Plain,
        credentials: None,
        authority: None,
        timeout: Duration::from_secs(5),
    };
    assert!(matches!(Smtp::new(&relay), Err(SmtpSetupError::PlainOverNetwork)));
}
