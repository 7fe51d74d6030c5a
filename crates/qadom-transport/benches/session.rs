//! Costs of the transport: handshakes, seals, a warm round trip in memory.

fn main() {
    divan::main();
}
