//! Operations on two endpoints over a hostile wire.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qadom_transport::fuzz::operations(data));
