//! Two crates that know nothing of each other check node keys by the same rule.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use qadom_routing::is_node_key;

/// Keys at and around the edges of the rule, and a walk through ordinary ones.
fn candidates() -> Vec<[u8; 32]> {
    let mut keys = Vec::new();
    for high in [0x00, 0x01, 0x7e, 0x7f, 0x80, 0xff] {
        for middle in [0x00, 0x01, 0xff] {
            for low in 0..=255 {
                let mut key = [middle; 32];
                key[0] = low;
                key[31] = high;
                keys.push(key);
            }
        }
    }
    for hex in [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ] {
        let digits: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        let small: [u8; 32] = digits.try_into().expect("32 bytes");
        for bit in 0..256 {
            let mut neighbour = small;
            neighbour[bit / 8] ^= 1 << (bit % 8);
            keys.push(neighbour);
        }
        keys.push(small);
    }
    keys
}

#[test]
fn routing_and_transport_accept_the_same_node_keys() {
    let mut accepted = 0;
    for key in candidates() {
        let is_accepted = is_node_key(&key);
        assert_eq!(
            is_accepted,
            qadom_transport::is_node_key(&key),
            "{key:02x?}"
        );
        accepted += usize::from(is_accepted);
    }
    assert!(accepted > 1000, "only {accepted} keys are node keys");
}
