//! The HTTP control API of a qadom node over its unix socket, and its Rust client.
