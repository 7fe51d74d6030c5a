//! Messages in pieces, true and false ones.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| qadom_transport::fuzz::pieces(data));
