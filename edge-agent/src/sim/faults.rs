//! What can be wrong with replies and with the line that carries them.

use std::time::Duration;

/// Bytes of noise sent in the place of a reply.
const GARBAGE_BYTES: usize = 15;

/// Replies that a board loses; commands to it still act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mute {
    /// None.
    #[default]
    Off,
    /// All.
    On,
    /// The next few.
    Next(u32),
}

/// What is wrong with the replies of one board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReplyFaults {
    pub(super) mute: Mute,
    /// They begin this much later.
    pub(super) late: Duration,
    /// They break off after so many bytes.
    pub(super) truncate_bytes: Option<usize>,
    /// This bit of each is turned round, counted from the lowest bit of the first byte.
    pub(super) flip_bit: Option<usize>,
    /// So many bytes of noise come before each.
    pub(super) noise_bytes: usize,
    /// They are noise altogether.
    pub(super) garbage: bool,
}

impl ReplyFaults {
    /// Whether the next reply is lost; counts it.
    pub(super) fn lose_one(&mut self) -> bool {
        match self.mute {
            Mute::Off | Mute::Next(0) => false,
            Mute::On => true,
            Mute::Next(count) => {
                self.mute = if count == 1 { Mute::Off } else { Mute::Next(count - 1) };
                true
            }
        }
    }

    /// Makes of a good reply what leaves the board.
    pub(super) fn spoil(&self, mut reply: Vec<u8>, noise: &mut Noise) -> Vec<u8> {
        if self.garbage {
            return noise.bytes(GARBAGE_BYTES);
        }
        if let Some(bit) = self.flip_bit
            && let Some(byte) = reply.get_mut(bit / 8)
        {
            *byte ^= 1 << (bit % 8);
        }
        reply.truncate(self.truncate_bytes.unwrap_or(usize::MAX));
        let mut sent = noise.bytes(self.noise_bytes);
        sent.append(&mut reply);
        sent
    }
}

/// What is wrong with the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LineFaults {
    /// Each byte that the agent sends comes back to it.
    pub(super) echo: bool,
    /// Each status request is answered with the reply to the one before.
    pub(super) stale: bool,
    /// Replies are held until there are two, and then come in one piece.
    pub(super) merge: bool,
    /// Each byte of a reply comes by itself, so long after the one before.
    pub(super) split: Option<Duration>,
    /// Bytes come all the time; replies drown in them.
    pub(super) babble: Option<Babble>,
    /// The connection stands, but nothing gets through.
    pub(super) half_open: Option<HalfOpen>,
    /// The cable is out.
    pub(super) unplugged: bool,
    /// How often it was pulled: a quick replug is still the end of each connection.
    pub(super) unplugs: u64,
}

/// What comes on a line that babbles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Babble {
    /// Any bytes.
    Noise,
    /// Always this one: 0 and 255 are what a broken bus brings.
    Byte(u8),
}

/// What becomes of bytes on a half-open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfOpen {
    /// They are gone.
    Swallow,
    /// They are delivered when the fault ends, if the connection has not ended before.
    Hold,
}

/// Noise that is the same in every run.
#[derive(Debug)]
pub(super) struct Noise(u8);

impl Default for Noise {
    fn default() -> Self {
        Self(0x5A)
    }
}

impl Noise {
    pub(super) fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(197).wrapping_add(59);
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.byte()).take(count).collect()
    }
}
