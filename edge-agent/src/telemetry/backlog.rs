//! Samples that wait for a connection, within a limit: thinned out first, dropped last.

use std::collections::VecDeque;
use std::time::Duration;

use super::Sample;

/// The older part of the backlog that is thinned out: all but the newest quarter.
const OLDER_PARTS: usize = 3;
const PARTS: usize = 4;
/// Samples are not thinned out beyond this many times their usual distance: a quarter of an hour
/// between samples of every minute still shows a night.
const THIN: u32 = 15;

/// See the module's text.
#[derive(Debug)]
pub struct Backlog {
    samples: VecDeque<Sample>,
    samples_max: usize,
    thin: Duration,
    dropped: u64,
}

impl Backlog {
    /// For at most `samples_max`, taken `every` so often.
    #[must_use]
    pub fn new(samples_max: usize, every: Duration) -> Self {
        Self { samples: VecDeque::new(), samples_max, thin: every * THIN, dropped: 0 }
    }

    /// Takes a sample in; older ones may have to go.
    pub fn push(&mut self, sample: Sample) {
        if self.samples.len() >= self.samples_max {
            self.thin_out();
        }
        while self.samples.len() >= self.samples_max {
            self.samples.pop_front();
            self.dropped += 1;
        }
        self.samples.push_back(sample);
    }

    /// The oldest sample.
    pub fn pop(&mut self) -> Option<Sample> {
        self.samples.pop_front()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// How many were left out so far.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Leaves out every second of the older samples, where their neighbours stay close enough.
    fn thin_out(&mut self) {
        let before = self.samples.len();
        let newer = self.samples.split_off(before * OLDER_PARTS / PARTS);
        let older = std::mem::take(&mut self.samples);
        let mut skipped = false;
        let mut ahead = older.iter().skip(1).chain(newer.front()).map(|next| next.taken);
        for sample in &older {
            let next = ahead.next();
            let gap = self.samples.back().zip(next).map(|(last, next)| next - last.taken);
            skipped = !skipped && gap.is_some_and(|gap| gap <= self.thin);
            if !skipped {
                self.samples.push_back(*sample);
            }
        }
        self.samples.extend(newer);
        self.dropped += u64::try_from(before - self.samples.len()).unwrap_or(u64::MAX);
    }
}
