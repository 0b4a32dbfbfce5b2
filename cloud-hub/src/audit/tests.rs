//! Journals and evidence files that hold, and that somebody has meddled with.

pub(crate) mod bank;
mod bundles;
mod chains;
