//! What a node sends in bytes per second, where that is limited.
//!
//! What must stay true: what is told is a mean over at least a second, so bursts that a limit allows
//! for do not show as more than the limit.

use std::time::Duration;

use qadom_engine::Time;

use super::Driver;
use crate::convert::transport_time;
use crate::meter::Meter;
use crate::status::Limit;

/// What is measured.
#[derive(Debug)]
pub(super) struct Rates {
    background: Meter,
    renewals: Meter,
    uploads: Meter,
}

impl Rates {
    /// Nothing was sent as yet.
    pub(super) const fn new(now: Duration) -> Self {
        let nothing = Meter::new(now);
        Self {
            background: nothing,
            renewals: nothing,
            uploads: nothing,
        }
    }
}

impl Driver {
    /// Every rate beside its limit; uploads only where they have one.
    pub(super) fn rates(&mut self, now: Time) -> Vec<Limit> {
        let rates = &mut self.rates;
        let elapsed = self.clock.elapsed();
        let most = self.engine.renewal_rate();
        let background = self.endpoint.background_bytes(transport_time(now));
        let background = rates.background.per_second(elapsed, background);
        let renewals = self.engine.renewal_bytes(now);
        let renewals = rates.renewals.per_second(elapsed, renewals);
        let throttle = &self.files.throttle;
        let sent = throttle.sent(elapsed);
        let sent = rates.uploads.per_second(elapsed, sent);
        let mut limits = vec![
            Limit {
                name: "background-bytes-per-second",
                used: background,
                limit: self.parameters.limits.background.into(),
            },
            Limit {
                name: "publication-bytes-per-second",
                used: renewals,
                limit: most,
            },
        ];
        limits.extend(throttle.limit().map(|limit| Limit {
            name: "files-upload-bytes-per-second",
            used: sent,
            limit,
        }));
        limits
    }
}
