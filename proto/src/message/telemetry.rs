//! What a bank tells of itself that may be lost on the way: samples and presence.

use locker_core::ids::BootId;
use locker_core::units::UnixMillis;
use prost::Message;

use super::{DecodeMessageError, form};
use crate::convert;
use crate::wire::bank::v1 as wire;

/// `up/telemetry`: a sample. What the bank has no sensor for is `None`, never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    pub at: UnixMillis,
    /// Resident memory of the agent.
    pub resident_bytes: Option<u64>,
    /// Free space where the journal lies.
    pub disk_free_bytes: Option<u64>,
    /// Records that the hub has not committed yet.
    pub backlog_records: Option<u64>,
    /// The machine's temperature, in thousandths of a degree Celsius.
    pub temperature_mdeg_c: Option<i32>,
    /// Whether mains power is there.
    pub mains: Option<bool>,
    /// The radio's signal.
    pub rssi_dbm: Option<i32>,
    /// The longest time between two readings of a board since the agent started.
    pub longest_poll_ms: Option<u32>,
    /// Errors on the lock buses since the agent started.
    pub bus_errors: Option<u64>,
    /// It was taken before the connection that it came by.
    pub historical: bool,
    /// Samples left out since the agent started.
    pub samples_dropped: u64,
}

impl Telemetry {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let form = wire::Telemetry {
            at_ms: self.at.0,
            resident_bytes: self.resident_bytes,
            disk_free_bytes: self.disk_free_bytes,
            backlog_records: self.backlog_records,
            temperature_mdeg_c: self.temperature_mdeg_c,
            mains: self.mains,
            rssi_dbm: self.rssi_dbm,
            longest_poll_ms: self.longest_poll_ms,
            bus_errors: self.bus_errors,
            historical: self.historical,
            samples_dropped: self.samples_dropped,
        };
        form.encode_to_vec()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        let form: wire::Telemetry = form(bytes)?;
        Ok(Self {
            at: UnixMillis(form.at_ms),
            resident_bytes: form.resident_bytes,
            disk_free_bytes: form.disk_free_bytes,
            backlog_records: form.backlog_records,
            temperature_mdeg_c: form.temperature_mdeg_c,
            mains: form.mains,
            rssi_dbm: form.rssi_dbm,
            longest_poll_ms: form.longest_poll_ms,
            bus_errors: form.bus_errors,
            historical: form.historical,
            samples_dropped: form.samples_dropped,
        })
    }
}

/// `up/presence`: a hint that a session began or ended, also the last will; never the only sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    pub boot: BootId,
    pub online: bool,
    /// Which connection of this run, from 1; 0 if not told.
    pub connection_count: u64,
}

impl Presence {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let &Self { boot, online, connection_count } = self;
        wire::Presence { boot_id: boot.0.to_vec(), online, connection_count }.encode_to_vec()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        let form: wire::Presence = form(bytes)?;
        Ok(Self {
            boot: convert::id("Presence.boot_id", &form.boot_id)?,
            online: form.online,
            connection_count: form.connection_count,
        })
    }
}
