//! Endpoints on a virtual wire: what the protocol promises, under loss, copies, disorder, replays
//! and lies. Every run follows from its seed.

#[cfg(test)]
mod background;
#[cfg(test)]
mod contact;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod load;
#[cfg(test)]
mod lossy;
#[cfg(test)]
mod mismatch;
#[cfg(test)]
mod pacing;
#[cfg(test)]
mod renewal;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod wire;
