#![doc = include_str!("../README.md")]

mod address;
mod arrivals;
mod assembly;
mod config;
mod cookie;
mod drops;
mod endpoint;
mod event;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod hello;
mod key;
mod locals;
mod message;
mod packet;
mod peer;
mod rate;
mod reader;
mod recent;
mod replay;
mod rtt;
mod session;
mod slack;
mod suite;
mod timers;
mod window;

#[cfg(feature = "socket")]
mod quic;
#[cfg(feature = "socket")]
mod socket;
#[cfg(test)]
mod vectors;

pub use address::AddressGroup;
pub use config::{BODY_MAX, Config, Limits, MESSAGE_MAX, Time};
pub use drops::{DropReason, Drops, GroupDrops};
pub use endpoint::{Endpoint, Traffic, Usage};
pub use event::{Class, Event, FailReason, InboundId, Mismatch, Outgoing, Path, Transmit};
pub use hello::Hello;
pub use key::{SecretKey, is_node_key};
pub use packet::packet_kind;
#[cfg(feature = "socket")]
pub use quic::{
    Accepted, DataReceiver, DataSender, DataStream, Grant, Quic, QuicDrops, QuicError, QuicUsage,
};
#[cfg(feature = "socket")]
pub use socket::{Arrived, Batch, BindError, QuicDatagrams, Sent, Socket, SocketErrors};
pub use suite::{
    DATA_HEADER, Handshake, INITIATE_OVERHEAD, NoiseSuite, Opening, RESPOND_OVERHEAD, SessionKeys,
    Suite,
};
