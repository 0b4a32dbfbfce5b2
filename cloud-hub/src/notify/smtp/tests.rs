use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;

/// A relay for as many conversations as there are answers: each answers one step, named by how its
/// command begins (`` is the greeting, `.` the end of DATA), in its own way. Returns all it was sent.
pub(in crate::notify) async fn relay(
    answers: &'static [(&'static str, &'static str)],
) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let conversations = tokio::spawn(async move {
        let mut letters = String::new();
        for (step, answer) in answers {
            let (stream, _) = listener.accept().await.unwrap();
            letters.push_str(&converse(stream, step, answer).await);
        }
        letters
    });
    (port, conversations)
}

async fn converse(stream: tokio::net::TcpStream, step: &str, own: &str) -> String {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let greeting = if step.is_empty() { own } else { "220 test relay" };
    write.write_all(format!("{greeting}\r\n").as_bytes()).await.unwrap();
    let (mut in_data, mut letter) = (false, String::new());
    while let Ok(Some(line)) = lines.next_line().await {
        if in_data && line != "." {
            letter.push_str(&line);
            letter.push('\n');
            continue;
        }
        in_data = false;
        let answer = if !step.is_empty() && line.starts_with(step) {
            own
        } else if line.starts_with("EHLO") {
            "250-test\r\n250-AUTH PLAIN\r\n250 8BITMIME"
        } else if line.starts_with("AUTH") {
            "235 welcome"
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
}

fn smtp(port: u16) -> Smtp {
    Smtp::new(&SmtpRelay {
        host: "127.0.0.1".into(),
        port,
        security: SmtpSecurity::Plain,
        credentials: Some(("hub".into(), "secret".into())),
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
    let (port, relay) = relay(&[(".", "250 taken")]).await;
    smtp(port).deliver(letter()).await.unwrap();
    let received = relay.await.unwrap();
    assert!(received.contains("Subject: hello") && received.contains("a parcel waits"));
}

#[tokio::test]
async fn a_4xx_answer_is_worth_another_attempt() {
    let (port, _relay) = relay(&[(".", "451 later")]).await;
    assert!(matches!(smtp(port).deliver(letter()).await, Err(SmtpError::NotNow(_))));
}

#[tokio::test]
async fn only_an_answer_about_the_recipient_is_final() {
    let about_recipient: &[_] = &[
        ("RCPT", "550 5.1.1 no such person"),
        ("RCPT", "551 not local"),
        ("RCPT", "553 no such name"),
        (".", "550 no such person"),
    ];
    let (port, _relay) = relay(about_recipient).await;
    for step in about_recipient {
        let answer = smtp(port).deliver(letter()).await;
        assert!(matches!(answer, Err(SmtpError::Refused(_))), "{step:?}: {answer:?}");
    }
    let about_us: &[_] = &[
        ("", "554 no mail here"),
        ("AUTH", "530 5.7.0 start TLS first"),
        ("AUTH", "534 too weak"),
        ("AUTH", "535 5.7.8 wrong password"),
        ("AUTH", "538 encryption required"),
        ("MAIL", "550 5.1.8 no such sender"),
        ("RCPT", "550 5.7.1 relaying denied"),
        ("RCPT", "521 no mail here"),
        ("RCPT", "503 wrong order"),
        (".", "552 too large"),
        (".", "554 refused"),
    ];
    let (port, _relay) = relay(about_us).await;
    for step in about_us {
        let answer = smtp(port).deliver(letter()).await;
        assert!(matches!(answer, Err(SmtpError::Denied(_))), "{step:?}: {answer:?}");
    }
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
