//! Thousands of real qadom engines under one seed: a deterministic network simulator.
