//! The HTTP control API of a qadom node over its unix socket and TCP, and its Rust client.
//!
//! [`router()`] answers the routes of `/v1` for one [`Node`](qadom_node::Node); [`Server`] serves
//! them on a unix socket that only its owner may open, and on TCP under a [`Token`] or [`Tls`]; [`Client`] asks them. The JSON that passes
//! between the two is defined once, in [`api`].
//!
//! What this crate does not know: command lines, and how a node finds or keeps anything.

pub mod api;
mod bodies;
mod client;
mod doors;
mod duration;
mod front;
mod gateway;
mod guard;
mod openapi;
mod patience;
mod problem;
mod route;
mod router;
mod routes;
mod server;
mod socket;
mod table;
mod tcp;
mod texts;

pub use client::{Client, ClientError, Events, FileEvents, Page, ReadFrom, WriteQuery};
pub use duration::{DurationTextError, LifetimeError, parse_duration, parse_lifetime};
pub use gateway::{Gateway, gateway_router};
pub use problem::{PROBLEM_TYPE_PREFIX, Problem};
pub use router::{App, router};
pub use server::{Server, ServerLimits};
pub use socket::{SOCKET_PATH_MAX, SocketError};
pub use tcp::{TOKEN_MAX, TOKEN_MIN, TcpError, TcpSettings, Tls, Token};
pub use texts::{
    SlotText, TextError, parse_item, parse_name, parse_signature, parse_since, parse_topic,
    parse_value, parse_writer,
};

/// Runs the example of the README with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
