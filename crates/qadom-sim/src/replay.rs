//! Seeds of tests, and how to see a failure again.
//!
//! This is the one file of the crate that reads the environment and writes to the terminal. A
//! network never does.

use std::env;
use std::thread;

/// The environment variable that replaces the seed of a test.
pub const SEED_VARIABLE: &str = "QADOM_SIM_SEED";

/// Runs a test under its seed, or under that of [`SEED_VARIABLE`]. When the test panics, the seed
/// is printed to the standard error with the command that replays it.
///
/// # Examples
///
/// ```
/// use qadom_sim::{Network, Settings, with_seed};
///
/// with_seed(7, |seed| {
///     let network = Network::new(Settings { nodes: 2, seed, ..Settings::default() });
///     assert_eq!(network.living().count(), 2);
/// });
/// ```
///
/// # Panics
///
/// When the test does, and when the variable is set to something that is no 64-bit number.
pub fn with_seed<T>(seed: u64, test: impl FnOnce(u64) -> T) -> T {
    #[expect(
        clippy::expect_used,
        reason = "a mistyped seed must not pass for a replayed test"
    )]
    let seed = env::var(SEED_VARIABLE).map_or(seed, |text| {
        text.parse()
            .expect("QADOM_SIM_SEED has to be a decimal number below 2^64")
    });
    let announcement = Announcement { seed };
    let result = test(seed);
    drop(announcement);
    result
}

/// Speaks when it is dropped by a panic.
struct Announcement {
    seed: u64,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if thread::panicking() {
            #[expect(
                clippy::print_stderr,
                reason = "a failing test has to say how to replay it"
            )]
            {
                eprintln!(
                    "seed {}; to replay: {}",
                    self.seed,
                    replay_command(self.seed)
                );
            }
        }
    }
}

/// The command that runs the current test again under a seed.
fn replay_command(seed: u64) -> String {
    let package =
        env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |name| format!(" -p {name}"));
    let current = thread::current();
    let test = current
        .name()
        .filter(|name| *name != "main")
        .unwrap_or_default();
    format!("{SEED_VARIABLE}={seed} cargo test{package} {test}")
}
