//! What the bank's supply is like: how the loss of the mains shows, and how long doors wait when the
//! agent starts again and again.

use std::path::PathBuf;

use serde::Deserialize;

/// Longest time without doors after a start, in seconds: ten minutes.
const CALM_MAX_S: u64 = 600;

/// Where the machine says what it runs on.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PowerConfig {
    /// A file of a few characters, such as `online` of a power supply in sysfs or `value` of a GPIO;
    /// without it the bank counts as on the mains for ever.
    pub mains_file: Option<PathBuf>,
    /// What the file says on battery; anything else means mains.
    pub battery_value: String,
    /// Between two looks at the file, in milliseconds.
    pub every_ms: u64,
}

impl Default for PowerConfig {
    fn default() -> Self {
        Self { mains_file: None, battery_value: "0".to_owned(), every_ms: 1_000 }
    }
}

impl PowerConfig {
    /// The first key that is wrong, and what was expected.
    #[must_use]
    pub fn mistake(&self) -> Option<(&'static str, &'static str)> {
        if !(100..=60_000).contains(&self.every_ms) {
            Some(("power.every_ms", "must be 100 to 60000"))
        } else if self.battery_value.trim() != self.battery_value || self.battery_value.is_empty() {
            Some(("power.battery_value", "must not be empty nor begin or end with a space"))
        } else {
            None
        }
    }
}

/// What happens when the agent starts again and again.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StartLimits {
    /// No door is opened for this long after the third start in a row that did not last five
    /// minutes, and after each one that follows, in seconds; 0 for never.
    pub calm_s: u64,
}

impl Default for StartLimits {
    fn default() -> Self {
        // Long enough for a supply's capacitors and a battery's voltage, short enough to wait for.
        Self { calm_s: 30 }
    }
}

impl StartLimits {
    /// The first key that is wrong, and what was expected.
    #[must_use]
    pub fn mistake(&self) -> Option<(&'static str, &'static str)> {
        (self.calm_s > CALM_MAX_S).then_some(("starts.calm_s", "must be 0 to 600"))
    }
}
