//! Lets callers read values of the store beside the driver, as long as there is one.
//!
//! What must stay true: they know the time as the engine knows it after each turn, and hold the store no longer than
//! the driver does.

use std::sync::Arc;

use qadom_engine::{Correction, Engine};

use crate::here::Here;

/// The reading that goes on beside a driver.
#[derive(Debug)]
pub(super) struct Reading {
    here: Arc<Here>,
    /// What readers know of the time.
    told: Correction,
}

impl Reading {
    /// Lets callers read what an engine holds.
    pub(super) fn begin(here: Arc<Here>, engine: &Engine) -> Self {
        here.open(engine.value_reader());
        Self {
            here,
            told: engine.correction(),
        }
    }

    /// Tells readers what the engine has learnt of the time, if that is news.
    pub(super) fn follow(&mut self, engine: &Engine) {
        let correction = engine.correction();
        if correction != self.told {
            self.told = correction;
            self.here.open(engine.value_reader());
        }
    }

    /// Lets nobody read any more.
    pub(super) fn end(&self) {
        self.here.close();
    }
}

/// Also when the driver is dropped with its runtime.
impl Drop for Reading {
    fn drop(&mut self) {
        self.end();
    }
}
