//! Protobuf messages, checked domain types and record rules of the qadom network.
