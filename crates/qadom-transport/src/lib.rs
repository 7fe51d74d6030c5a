//! Encrypted datagram sessions of qadom: one round trip to a known key, without amplification.
