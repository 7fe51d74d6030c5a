//! Which addresses a stranger's URL may lead to.
//!
//! What must stay true: what is checked is what is connected to; an address of IPv4 that is written as
//! one of IPv6 counts as what it is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Resolves names to those of their addresses that may be asked.
#[derive(Debug)]
pub(super) struct Checked {
    names: DefaultResolver,
    /// Whether addresses of this machine and its surroundings may be asked, too.
    is_local: bool,
}

impl Checked {
    pub(super) fn new(is_local: bool) -> Self {
        let names = DefaultResolver::default();
        Self { names, is_local }
    }
}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.names.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in &found {
            if self.is_local || is_public(address.ip()) {
                allowed.push(*address);
            }
        }
        if allowed.is_empty() {
            let private = "its address is none of the public Internet";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, private).into());
        }
        Ok(allowed)
    }
}

/// Whether anybody reaches this address.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        // Reserved, with the broadcast address.
        || a >= 240
        // Between a provider and its customers.
        || (a == 100 && (64..128).contains(&b))
        // Protocols of the IETF.
        || (a == 192 && b == 0 && c == 0)
        // Measurements of devices.
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, third, .., high, low] = ip.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match (first, second) {
        // Translated to IPv4 on the way.
        (0x64, 0xff9b) => third == 0 && is_public_v4(inner(high, low)),
        (0x2002, _) => is_public_v4(inner(second, third)),
        // Teredo and other special uses, and documentation.
        (0x2001, 0..0x200 | 0xdb8) | (0x3fff, _) => false,
        // All that is handed out for the public Internet.
        (first, _) => first >> 13 == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "192.0.1.1",
            "2606:4700::1",
            "64:ff9b::101:101",
            "2a00::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
