//! `qadom doctor`: why something does not work, and what to do.

use std::fmt::Write;

use qadom_http::Client;
use qadom_http::api::Diagnosis;

use super::status::colour;
use crate::error::Failure;
use crate::output::{Colour, Output, painted};

/// Exits 0 whenever the daemon answers, also with bad news.
pub(super) async fn run(client: &Client, output: Output) -> anyhow::Result<()> {
    let diagnosis = client.doctor().await.map_err(Failure::from)?;
    output.result(&diagnosis, || words(&diagnosis))
}

fn words(diagnosis: &Diagnosis) -> String {
    let verdict = painted(diagnosis.verdict.as_str(), colour(diagnosis.verdict));
    let mut text = format!("verdict       {verdict}");
    for check in &diagnosis.checks {
        let mark = if check.ok {
            painted("ok   ", Colour::Green)
        } else {
            painted("WRONG", Colour::Red)
        };
        // Writing into a string cannot fail.
        let _ = write!(text, "\n{:<12}  {mark}  {}", check.name, check.detail);
        if let Some(advice) = &check.advice {
            let _ = write!(text, "\n{:<12}         advice: {advice}", "");
        }
    }
    text
}
