//! Quantities with their unit in the type.

use std::fmt;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This point `ms` later; the end of time stays the end of time.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This point `ms` earlier; 1970 stays 1970.
    #[must_use]
    pub const fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds from `earlier` until this point; 0 if `earlier` is not earlier.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grams(pub u32);

/// The three edges of a box, in millimetres. Their order means nothing: parcels may be turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    pub length_mm: u32,
    pub width_mm: u32,
    pub height_mm: u32,
}

impl Dimensions {
    /// Whether a box of this size can be put into `room`, turned by right angles as needed.
    #[must_use]
    pub fn fits_into(self, room: Self) -> bool {
        self.sorted_mm().into_iter().zip(room.sorted_mm()).all(|(edge, space)| edge <= space)
    }

    /// The volume in cubic millimetres; what "smallest compartment" is measured by.
    #[must_use]
    pub fn volume_mm3(self) -> u128 {
        u128::from(self.length_mm) * u128::from(self.width_mm) * u128::from(self.height_mm)
    }

    /// Whether every edge is at least a millimetre.
    #[must_use]
    pub fn is_solid(self) -> bool {
        self.sorted_mm()[0] > 0
    }

    fn sorted_mm(self) -> [u32; 3] {
        let mut edges = [self.length_mm, self.width_mm, self.height_mm];
        edges.sort_unstable();
        edges
    }
}

impl fmt::Display for Dimensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} x {} mm", self.length_mm, self.width_mm, self.height_mm)
    }
}

#[cfg(test)]
mod tests;
