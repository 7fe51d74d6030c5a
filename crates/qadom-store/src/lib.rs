//! The Store trait of qadom with its contract, in memory and on sled.
