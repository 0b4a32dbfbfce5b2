//! What the demo prints: who did what where and when, in columns.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the demo's output")]

use serde_json::Value;
use system_tests::wait::now_ms;

/// Width of the column that says where.
const WHERE_WIDTH: usize = 9;
/// Width of the column that says who.
const WHO_WIDTH: usize = 9;
/// Width of the column that says what, where a measure follows.
const WHAT_WIDTH: usize = 52;

/// The output. With `--json`, standard output is left to the result.
pub(crate) struct Timeline {
    started_ms: u64,
    json: bool,
}

impl Timeline {
    pub(crate) fn start(json: bool) -> Self {
        Self { started_ms: now_ms(), json }
    }

    /// What is told next.
    pub(crate) fn heading(&self, what: &str) {
        self.text(&format!("\n{what}"));
    }

    /// A line with the time, where it was, and who did it.
    pub(crate) fn say(&self, place: &str, who: &str, what: &str) {
        self.say_at(now_ms(), place, who, what);
    }

    /// As [`Self::say`], of something that was at another time.
    pub(crate) fn say_at(&self, at_ms: u64, place: &str, who: &str, what: &str) {
        let (seconds, tenth) = (self.since(at_ms) / 1_000, self.since(at_ms) / 100 % 10);
        let when = format!("{seconds:3}.{tenth} s");
        self.text(&format!("{when}  {place:WHERE_WIDTH$}  {who:WHO_WIDTH$}  {what}"));
    }

    /// As [`Self::say_at`], with how long it took.
    pub(crate) fn measure(&self, at_ms: u64, place: &str, who: &str, what: &str, measure: &str) {
        self.say_at(at_ms, place, who, &format!("{what:WHAT_WIDTH$}  {measure}"));
    }

    pub(crate) fn text(&self, text: &str) {
        if self.json {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }

    /// The one thing on standard output with `--json`.
    #[expect(clippy::unused_self, reason = "all output goes through the timeline")]
    pub(crate) fn result(&self, result: &Value) {
        println!("{result}");
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.since(now_ms())
    }

    const fn since(&self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.started_ms)
    }
}
