//! Networks of their own for daemons: a machine behind a router, and the world on its other side.
//!
//! What must stay true: nothing outside of them changes, and nothing of them outlives its test.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The address of the machine behind the router.
pub(crate) const INSIDE: &str = "10.1.0.2";

/// An address of the world.
pub(crate) const OUTSIDE: &str = "10.2.0.2";

/// Whether a program without settings can be run here.
pub(crate) fn runs(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    let quiet = command
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The network namespaces of a machine, its router and the world.
pub(crate) struct Namespaces {
    inside: String,
    router: String,
    outside: String,
}

impl Namespaces {
    /// Makes them with these rules of nftables at the router, between the interfaces `inside` and
    /// `outside`; none where that may not be done.
    pub(crate) fn make(rules: &str) -> Option<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        if !runs("nft", "--version") || !runs("unshare", "--net") {
            return None;
        }
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = |place: &str| format!("qadom-{}-{number}-{place}", std::process::id());
        let made = Self {
            inside: name("in"),
            router: name("router"),
            outside: name("out"),
        };
        let Self {
            inside,
            router,
            outside,
        } = &made;
        let script = format!(
            "set -e
            for space in {inside} {router} {outside}; do
              ip netns add $space
              ip -n $space link set lo up
            done
            ip link add wire netns {inside} type veth peer name inside netns {router}
            ip link add wire netns {outside} type veth peer name outside netns {router}
            ip -n {inside} addr add {INSIDE}/24 dev wire
            ip -n {outside} addr add {OUTSIDE}/24 dev wire
            ip -n {router} addr add 10.1.0.1/24 dev inside
            ip -n {router} addr add 10.2.0.1/24 dev outside
            for space in {inside} {outside}; do ip -n $space link set wire up; done
            for link in inside outside; do ip -n {router} link set $link up; done
            ip -n {inside} route add default via 10.1.0.1
            ip netns exec {router} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
            ip netns exec {router} nft '{rules}'"
        );
        let left = Command::new("sh").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&left.stderr);
        assert!(left.status.success(), "{said}");
        Some(made)
    }

    /// What runs a program on the machine behind the router.
    pub(crate) fn inside(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.inside]
    }

    /// What runs a program in the world.
    pub(crate) fn outside(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.outside]
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in [&self.inside, &self.router, &self.outside] {
            // One that was not made is not there to be removed.
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}
