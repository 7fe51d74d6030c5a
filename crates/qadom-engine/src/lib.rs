//! The heart of a qadom node: messages in, messages out, without datagrams, disk or clock.
