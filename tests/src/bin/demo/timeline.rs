//! What the demo prints: who did what when, in columns.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the demo's output")]

use std::time::Instant;

use serde_json::Value;

/// Width of the column that says who.
const WHO_WIDTH: usize = 9;

/// The output. With `--json`, standard output is left to the result.
pub(crate) struct Timeline {
    started: Instant,
    json: bool,
}

impl Timeline {
    pub(crate) fn start(json: bool) -> Self {
        Self { started: Instant::now(), json }
    }

    /// A line with the time and who did it.
    pub(crate) fn say(&self, who: &str, what: &str) {
        let seconds = self.started.elapsed().as_secs_f32();
        self.text(&format!("{seconds:6.1} s  {who:WHO_WIDTH$}  {what}"));
    }

    /// As [`Self::say`], with how long it took.
    pub(crate) fn say_after(&self, who: &str, what: &str, measure: &str, ms: u64) {
        self.say(who, &format!("{what:<44} {measure}: {ms} ms"));
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
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
