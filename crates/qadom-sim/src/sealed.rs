//! The real transport beneath an engine: one endpoint a node, with a suite of the simulator's own or
//! with the real one.
//!
//! What must stay true: endpoint and engine are joined as the driver of the daemon joins them, event
//! by event and effect by effect.

mod ledger;
mod suite;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{Outgoing, Size, Time};
use qadom_routing::Moment;
use qadom_transport::{Class, Endpoint, Event, FailReason, Hello, InboundId, NoiseSuite, Transmit};

pub use ledger::Ledger;
pub use suite::{Side, SimSuite};

pub(crate) use ledger::Account;

use crate::map::Map;
use crate::scenario::Fidelity;

/// An endpoint of either suite.
#[derive(Debug)]
enum Either {
    Sim(Endpoint<SimSuite>),
    Noise(Endpoint<NoiseSuite>),
}

/// Calls the endpoint of either suite.
macro_rules! either {
    ($either:expr, $endpoint:ident => $call:expr) => {
        match $either {
            Either::Sim($endpoint) => $call,
            Either::Noise($endpoint) => $call,
        }
    };
}

/// One node's transport.
#[derive(Debug)]
pub(crate) struct Sealed {
    endpoint: Either,
    /// Requests of peers that the engine has not answered.
    inbound: Map<u64, InboundId>,
    last_inbound: u64,
    pub(crate) account: Account,
}

impl Sealed {
    /// None in plain.
    pub(crate) fn new(
        fidelity: Fidelity,
        config: qadom_transport::Config,
        now: Time,
    ) -> Option<Self> {
        let now = transport_time(now);
        let endpoint = match fidelity {
            Fidelity::Plain | Fidelity::Lean => return None,
            Fidelity::Sealed => Either::Sim(Endpoint::new(config, now)),
            Fidelity::Noise => Either::Noise(Endpoint::new(config, now)),
        };
        Some(Self {
            endpoint,
            inbound: Map::default(),
            last_inbound: 0,
            account: Account::default(),
        })
    }

    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let deadline = either!(&self.endpoint, endpoint => endpoint.next_deadline());
        // Rounded up to whole microseconds: before its deadline nothing would be due.
        let micros = |deadline: Duration| deadline.as_nanos().div_ceil(1000);
        let micros = deadline.map(|deadline| u64::try_from(micros(deadline)).unwrap_or(u64::MAX));
        micros.map(Moment::from_micros)
    }

    pub(crate) fn on_deadline(&mut self, now: Time) {
        let now = transport_time(now);
        either!(&mut self.endpoint, endpoint => endpoint.handle_timeout(now));
    }

    pub(crate) fn on_datagram(&mut self, now: Time, from: SocketAddr, bytes: &Bytes) {
        self.account.received(from, bytes);
        // It is opened in place, and copies of it may be under way.
        let mut bytes = bytes.to_vec();
        let now = transport_time(now);
        either!(&mut self.endpoint, endpoint => endpoint.handle_datagram(now, from, &mut bytes));
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = either!(&mut self.endpoint, endpoint => endpoint.poll_transmit())?;
        self.account.sent(transmit.to, &transmit.bytes);
        Some(transmit)
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let event = either!(&mut self.endpoint, endpoint => endpoint.poll_event())?;
        if let Event::Confirmed { address, .. } = &event {
            self.account.proven(*address);
        }
        Some(event)
    }

    pub(crate) fn request(&mut self, now: Time, request: Outgoing) {
        let (now, outgoing) = (transport_time(now), outgoing(request));
        either!(&mut self.endpoint, endpoint => endpoint.request(now, outgoing));
    }

    pub(crate) fn probe(&mut self, now: Time, request: Outgoing) {
        let (now, outgoing) = (transport_time(now), outgoing(request));
        either!(&mut self.endpoint, endpoint => endpoint.probe(now, outgoing));
    }

    pub(crate) fn identify(&mut self, now: Time, token: u64, address: SocketAddr) {
        let now = transport_time(now);
        either!(&mut self.endpoint, endpoint => endpoint.identify(now, token, address));
    }

    /// Numbers a request of a peer for the engine.
    pub(crate) fn number(&mut self, inbound: InboundId) -> u64 {
        self.last_inbound += 1;
        self.inbound.insert(self.last_inbound, inbound);
        self.last_inbound
    }

    pub(crate) fn answer(&mut self, now: Time, number: u64, body: Bytes) {
        let now = transport_time(now);
        if let Some(inbound) = self.inbound.remove(&number) {
            either!(&mut self.endpoint, endpoint => endpoint.answer(now, inbound, body));
        }
    }

    pub(crate) fn pin(&mut self, key: [u8; 32], is_pinned: bool) {
        either!(&mut self.endpoint, endpoint => if is_pinned {
            endpoint.pin(key);
        } else {
            endpoint.unpin(key);
        });
    }

    pub(crate) fn keep_alive(&mut self, key: [u8; 32]) {
        either!(&mut self.endpoint, endpoint => endpoint.keep_alive(key));
    }

    pub(crate) fn set_hello(&mut self, hello: qadom_wire::Hello) {
        let hello = transport_hello(hello);
        either!(&mut self.endpoint, endpoint => endpoint.set_hello(hello));
    }
}

/// The time as the transport takes it.
fn transport_time(now: Time) -> qadom_transport::Time {
    qadom_transport::Time {
        monotonic: now.moment.since(Moment::ORIGIN),
        utc_micros: now.utc_micros,
    }
}

/// What a node says of itself, as the transport takes it.
pub(crate) const fn transport_hello(hello: qadom_wire::Hello) -> Hello {
    let qadom_wire::Hello { storing, v4, v6 } = hello;
    Hello { storing, v4, v6 }
}

/// What a node says of itself, as the engine takes it.
pub(crate) const fn wire_hello(hello: Hello) -> qadom_wire::Hello {
    let Hello { storing, v4, v6 } = hello;
    qadom_wire::Hello { storing, v4, v6 }
}

/// Why a request failed, as the engine takes it.
pub(crate) fn request_failure(reason: FailReason) -> qadom_engine::RequestFailure {
    use qadom_engine::RequestFailure as Failure;
    match reason {
        FailReason::Timeout | FailReason::Unreachable => Failure::Timeout,
        FailReason::Busy { retry_after_ms } => Failure::Busy {
            retry_after: Duration::from_millis(retry_after_ms.into()),
        },
        FailReason::WrongKey => Failure::WrongKey,
        FailReason::Mismatch => Failure::Mismatch(Vec::new()),
        FailReason::Overloaded | FailReason::TooLong => Failure::Overloaded,
        _ => Failure::Unreachable,
    }
}

fn outgoing(request: Outgoing) -> qadom_transport::Outgoing {
    qadom_transport::Outgoing {
        token: request.id.as_u64(),
        key: *request.key.as_bytes(),
        address: request.address,
        patience: request.patience,
        is_background: request.is_background,
        body: request.body,
        first_ok: request.first_ok,
        class: match request.size {
            Size::Small => Class::Short,
            Size::Full => Class::Long,
        },
    }
}
