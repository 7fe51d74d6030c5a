//! Packets of every kind, given to an endpoint with a session and a handshake under way.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qadom_transport::fuzz::packets(data));
