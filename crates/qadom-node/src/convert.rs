//! Between the types of the transport, which knows keys as bytes and nothing of records, those of
//! the store, and those of the engine.
//!
//! What must stay true: nothing is decided here.

use std::time::Duration;

use data_encoding::HEXLOWER;
use qadom_engine::{Difference, Engine, RequestFailure, Time};
use qadom_routing::Moment;
use qadom_store::StoreError;
use qadom_transport::{FailReason, Hello, Limits, Mismatch};
use qadom_wire::{K, Network, Reason};

use crate::identity::Identity;

/// The one revision of the protocol that this crate speaks.
const VERSION: u8 = 1;

/// What all nodes of a network have in common, and the transport's limits.
#[derive(Debug)]
pub(crate) struct Parameters {
    name: String,
    network_id: [u8; 32],
    wire_tag: [u8; 8],
    id_bits: u8,
    k: u8,
    pub(crate) limits: Limits,
}

impl Parameters {
    pub(crate) fn new(network: &Network, id_bits: u8, is_local: bool) -> Self {
        Self {
            name: String::from_utf8_lossy(network.name()).into_owned(),
            network_id: *network.id().as_bytes(),
            wire_tag: network.wire_tag(id_bits),
            id_bits,
            k: u8::try_from(K).unwrap_or(u8::MAX),
            limits: Limits {
                local: is_local,
                ..Limits::default()
            },
        }
    }

    /// What the endpoint is told at its start.
    pub(crate) fn transport(&self, identity: &Identity, hello: Hello) -> qadom_transport::Config {
        qadom_transport::Config {
            secret: identity.secret.clone(),
            network_id: self.network_id,
            wire_tag: self.wire_tag,
            k: self.k,
            id_bits: self.id_bits,
            lowest_version: VERSION,
            highest_version: VERSION,
            hello,
            ping: Engine::ping_body(),
            reset_secret: identity.reset_secret.0,
            seed: rand::random(),
            limits: self.limits.clone(),
        }
    }

    /// What another node has other than we, in words.
    pub(crate) fn differences(&self, theirs: &Mismatch) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut note = |what, ours: String, theirs: String| {
            if ours != theirs {
                differences.push(Difference { what, ours, theirs });
            }
        };
        let [a, b, c, d, ..] = self.network_id;
        if [a, b, c, d] != theirs.network_prefix {
            let prefix = HEXLOWER.encode(&[a, b, c, d]);
            let other = HEXLOWER.encode(&theirs.network_prefix);
            note(
                "network",
                format!("{} ({prefix})", self.name),
                format!("another one ({other})"),
            );
        }
        let (lowest, highest) = (theirs.lowest_version, theirs.highest_version);
        if !(lowest..=highest).contains(&VERSION) {
            note(
                "version",
                VERSION.to_string(),
                format!("{lowest} to {highest}"),
            );
        }
        note("k", self.k.to_string(), theirs.k.to_string());
        note(
            "id bits",
            self.id_bits.to_string(),
            theirs.id_bits.to_string(),
        );
        if differences.is_empty() {
            differences.push(Difference {
                what: "parameters",
                ours: HEXLOWER.encode(&self.wire_tag),
                theirs: HEXLOWER.encode(&theirs.wire_tag),
            });
        }
        differences
    }
}

/// The time as the transport takes it.
pub(crate) fn transport_time(now: Time) -> qadom_transport::Time {
    qadom_transport::Time {
        monotonic: now.moment.since(Moment::ORIGIN),
        utc_micros: now.utc_micros,
    }
}

/// What a node says of itself, as the engine takes it.
pub(crate) const fn wire_hello(hello: Hello) -> qadom_wire::Hello {
    let Hello { storing, v4, v6 } = hello;
    qadom_wire::Hello { storing, v4, v6 }
}

/// What this node says of itself, as the transport takes it.
pub(crate) const fn transport_hello(hello: qadom_wire::Hello) -> Hello {
    let qadom_wire::Hello { storing, v4, v6 } = hello;
    Hello { storing, v4, v6 }
}

/// Why a request failed, as the engine takes it.
pub(crate) fn request_failure(reason: FailReason) -> RequestFailure {
    match reason {
        FailReason::Timeout | FailReason::Unreachable => RequestFailure::Timeout,
        FailReason::Busy { retry_after_ms } => RequestFailure::Busy {
            retry_after: Duration::from_millis(retry_after_ms.into()),
        },
        FailReason::WrongKey => RequestFailure::WrongKey,
        // What differs came with an event of its own, or nothing is known of it.
        FailReason::Mismatch => RequestFailure::Mismatch(Vec::new()),
        FailReason::Overloaded | FailReason::TooLong => RequestFailure::Overloaded,
        // `Refused`, and what later versions may add.
        _ => RequestFailure::Unreachable,
    }
}

/// Why the store failed, as peers and users are told.
pub(crate) const fn store_reason(error: &StoreError) -> Reason {
    match error {
        StoreError::DiskFull { .. } => Reason::DiskFull,
        StoreError::Behind { .. } => Reason::Busy,
        _ => Reason::StorageFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Parameters {
        let network = Network::new(b"local", b"").unwrap();
        Parameters::new(&network, 0, true)
    }

    fn same(ours: &Parameters) -> Mismatch {
        let [a, b, c, d, ..] = ours.network_id;
        Mismatch {
            lowest_version: VERSION,
            highest_version: VERSION,
            k: ours.k,
            id_bits: ours.id_bits,
            wire_tag: ours.wire_tag,
            network_prefix: [a, b, c, d],
        }
    }

    #[test]
    fn each_parameter_that_differs_is_named() {
        type Change = fn(&mut Mismatch);
        let ours = parameters();
        let changes: [(&str, Change); 5] = [
            ("network", |theirs| theirs.network_prefix[3] ^= 1),
            ("version", |theirs| {
                (theirs.lowest_version, theirs.highest_version) = (2, 3);
            }),
            ("k", |theirs| theirs.k = 8),
            ("id bits", |theirs| theirs.id_bits = 16),
            ("parameters", |theirs| theirs.wire_tag[0] ^= 1),
        ];
        for (what, change) in changes {
            let mut theirs = same(&ours);
            change(&mut theirs);
            let differences = ours.differences(&theirs);
            assert_eq!(differences.len(), 1, "{differences:?}");
            assert_eq!(differences[0].what, what);
            assert_ne!(differences[0].ours, differences[0].theirs);
        }
    }
}
