//! Where the time goes between a person's last key and the first byte to the lock: the check of
//! the code, the disk, and the rest, which is ours to keep small.

use tokio::time::Instant;

/// The stamps of one pulse that a person asked for.
#[derive(Clone, Copy, Debug)]
pub struct PulseTiming {
    asked: Instant,
    taken: Instant,
    checked: Instant,
    synced: Instant,
    /// When the line was free for it: a poll in flight and the rest of the supply are not ours.
    free: Instant,
    /// When its first byte went out.
    first_byte: Instant,
}

impl PulseTiming {
    pub(super) const fn asked(asked: Instant, taken: Instant) -> Self {
        Self { asked, taken, checked: taken, synced: taken, free: taken, first_byte: taken }
    }

    pub(super) const fn unasked(now: Instant) -> Self {
        Self::asked(now, now)
    }

    pub(super) fn checked(&mut self) {
        self.checked = Instant::now();
        self.synced = self.checked;
    }

    pub(super) fn synced(&mut self) {
        self.synced = Instant::now();
    }

    pub(super) fn written(&mut self, free: Instant, first_byte: Instant) {
        self.free = free.max(self.synced);
        self.first_byte = first_byte.max(self.free);
    }

    /// Checking the code and deciding, in microseconds.
    #[must_use]
    pub fn check_us(&self) -> u64 {
        micros(self.taken, self.checked)
    }

    /// Making the intent durable, in microseconds.
    #[must_use]
    pub fn sync_us(&self) -> u64 {
        micros(self.checked, self.synced)
    }

    /// Waiting for a line that was busy with a poll or another pulse, in microseconds.
    #[must_use]
    pub fn line_us(&self) -> u64 {
        micros(self.synced, self.free)
    }

    /// When the first byte of the unlock frame was given to the line.
    #[must_use]
    pub const fn first_byte_at(&self) -> Instant {
        self.first_byte
    }

    /// Everything else from the request to the first byte: queues, wake-ups, copies.
    #[must_use]
    pub fn rest_us(&self) -> u64 {
        micros(self.asked, self.taken) + micros(self.free, self.first_byte)
    }
}

fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}
