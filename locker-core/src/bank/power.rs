//! What the bank runs on: a battery will be empty at some time, and whatever is inside must still be
//! fetched by then. So nothing more is put in while it lasts; pickups go on.

use super::{PowerChanged, PowerSource, Step};
use crate::fact::Fact;
use crate::journal::View;

/// One fact for each change, and none for a source that is known.
pub(super) fn observed(view: &impl View, source: PowerSource) -> Step {
    let known = if view.meta().on_battery { PowerSource::Battery } else { PowerSource::Mains };
    if source == known {
        return Step::default();
    }
    Step::of([Fact::PowerChanged(PowerChanged { source })])
}
