//! What may be typed to measure.

use clap::Args;

/// Arguments of `qadom bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Bench {
    /// Storing nodes of the measured network, 2 to 1000; two clients come on top
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(crate) nodes: u16,
    /// Values that are put and read again with many in flight, 1 to 100000
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) values: u32,
    /// Operations in flight at once in the parallel rounds, 2 to 1024
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=1024))]
    pub(crate) in_flight: u16,
}
