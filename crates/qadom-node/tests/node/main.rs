//! Whole nodes over loopback, with ports that the operating system chooses.

#[cfg(test)]
mod folder;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod network;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod views;
