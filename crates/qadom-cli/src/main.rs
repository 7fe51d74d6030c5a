//! The qadom command.

fn main() {}
