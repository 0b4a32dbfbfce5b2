//! Banks with a session and banks without one, before the same ingest. Each has a queue of its own and
//! one place in line, as the listener's sessions have.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use cloud_hub::ingest::{Link, LinkEvent};
use cloud_hub::mqtt::{
    AckToken, DownTopic, MqttEvent, SendError, SessionId, SessionLimits, Sessions,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What a session may have under way besides samples: four batches and a birth; and what it says of
/// itself.
const RESERVED: usize = 8;
/// What a bank may have under way, how it ended, and acks.
const ANSWERS: usize = 64;

pub(super) type Event = LinkEvent<Session, Token>;
/// What a bank hears, or why the session is over.
pub(super) type Answer = Result<Heard, String>;

/// What a bank hears of what it has said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard {
    /// The oldest of what waits for it was acknowledged.
    Done(Instant),
    /// Its watermark: what an agent calls progress.
    Watermark(Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Session {
    /// By the number of its bank.
    Injected(usize),
    Real(SessionId),
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injected(number) => write!(f, "injected-{number}"),
            Self::Real(session) => session.fmt(f),
        }
    }
}

#[derive(Debug)]
pub(super) enum Token {
    Injected(usize),
    Real(AckToken),
}

/// See the module's text.
pub(super) struct BothLinks {
    sessions: Sessions,
    injected: Vec<mpsc::Sender<Answer>>,
    first_end: FirstEnd,
}

/// Why ingest ended the first session that it ended.
pub(super) type FirstEnd = Arc<OnceLock<String>>;

impl BothLinks {
    /// With room for banks `0..banks`, and where their answers come out.
    pub(super) fn new(
        sessions: Sessions,
        banks: usize,
        first_end: FirstEnd,
    ) -> (Self, Vec<mpsc::Receiver<Answer>>) {
        let (injected, answers) = (0..banks).map(|_| mpsc::channel(ANSWERS)).unzip();
        (Self { sessions, injected, first_end }, answers)
    }

    fn answer(&self, number: usize, answer: Answer) {
        // A bank that has got all that it waited for has gone.
        let _ = self.injected[number].try_send(answer);
    }
}

impl Link for BothLinks {
    type Session = Session;
    type Token = Token;

    fn send(&self, session: Session, topic: DownTopic, payload: Vec<u8>) -> Result<(), SendError> {
        match session {
            Session::Injected(number) => {
                std::hint::black_box(payload);
                // One that finds no room counts as not heard.
                if topic == DownTopic::Ack && self.injected[number].capacity() > RESERVED {
                    self.answer(number, Ok(Heard::Watermark(Instant::now())));
                }
                Ok(())
            }
            Session::Real(session) => self.sessions.send(session, topic, payload),
        }
    }

    fn room(&self, session: Session) -> Option<usize> {
        match session {
            Session::Injected(_) => Some(SessionLimits::default().outbound_messages),
            Session::Real(session) => self.sessions.room(session),
        }
    }

    fn acknowledge(&self, token: Token) {
        match token {
            Token::Injected(number) => {
                self.answer(number, Ok(Heard::Done(Instant::now())));
            }
            Token::Real(token) => self.sessions.acknowledge(token),
        }
    }

    fn end(&self, session: Session, reason: &'static str) {
        self.first_end.get_or_init(|| format!("{session}: {reason}"));
        match session {
            Session::Injected(number) => self.answer(number, Err(reason.to_owned())),
            Session::Real(session) => Link::end(&self.sessions, session, reason),
        }
    }
}

/// A bank's queue before ingest. Like the listener's sessions it takes one place in line at a time.
pub(super) fn queue(events: mpsc::Sender<Event>) -> mpsc::Sender<Event> {
    let room = RESERVED + SessionLimits::default().lossy_messages;
    let (queue, mut queued) = mpsc::channel(room);
    tokio::spawn(async move {
        while let Some(event) = queued.recv().await {
            if events.send(event).await.is_err() {
                return;
            }
        }
    });
    queue
}

/// Puts a sample in; whether there was room.
pub(super) fn put_sample(queue: &mpsc::Sender<Event>, sample: Event) -> bool {
    queue.capacity() > RESERVED && queue.try_send(sample).is_ok()
}

/// Takes what real sessions say to ingest.
pub(super) async fn route(
    mut said: mpsc::Receiver<MqttEvent>,
    events: mpsc::Sender<Event>,
    lost: Arc<AtomicU64>,
) {
    let mut queues: HashMap<SessionId, mpsc::Sender<Event>> = HashMap::new();
    while let Some(event) = said.recv().await {
        let (session, event) = of_real(LinkEvent::from(event));
        let is_over = matches!(event, LinkEvent::Ended { .. });
        let line = queues.entry(session).or_insert_with(|| queue(events.clone()));
        if matches!(event, LinkEvent::Publish { ack: None, .. }) {
            lost.fetch_add(u64::from(!put_sample(line, event)), Ordering::Relaxed);
        } else if line.send(event).await.is_err() {
            return;
        }
        if is_over {
            queues.remove(&session);
        }
    }
}

fn of_real(event: LinkEvent<SessionId, AckToken>) -> (SessionId, Event) {
    match event {
        LinkEvent::Connected { session: id, bank, caller } => {
            let session = Session::Real(id);
            (id, LinkEvent::Connected { session, bank, caller })
        }
        LinkEvent::Subscribed { session: id, bank } => {
            (id, LinkEvent::Subscribed { session: Session::Real(id), bank })
        }
        LinkEvent::Publish { session: id, bank, topic, payload, ack } => {
            let (session, ack) = (Session::Real(id), ack.map(Token::Real));
            (id, LinkEvent::Publish { session, bank, topic, payload, ack })
        }
        LinkEvent::Ended { session: id, bank, taken_over } => {
            (id, LinkEvent::Ended { session: Session::Real(id), bank, taken_over })
        }
    }
}
