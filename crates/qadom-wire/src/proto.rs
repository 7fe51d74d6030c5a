//! The types that protobuf generates from `proto/qadom/v1`. They know field numbers and nothing
//! else; every check is in the types of the other files.

#![allow(
    clippy::pedantic,
    unreachable_pub,
    unnameable_types,
    reason = "generated code is as the generator writes it"
)]

include!(concat!(env!("OUT_DIR"), "/qadom.v1.rs"));
