//! A qadom node as a library: socket, timers, disk and the asynchronous Node.
