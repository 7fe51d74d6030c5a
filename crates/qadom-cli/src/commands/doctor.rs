//! `qadom doctor`: why something does not work, and what to do.

use std::fmt::Write;

use qadom_http::Client;
use qadom_http::api::Diagnosis;

use crate::error::Failure;
use crate::output::Output;

/// Exits 0 whenever the daemon answers, also with bad news.
pub(super) async fn run(client: &Client, output: Output) -> anyhow::Result<()> {
    let diagnosis = client.doctor().await.map_err(Failure::from)?;
    output.result(&diagnosis, || words(&diagnosis))
}

fn words(diagnosis: &Diagnosis) -> String {
    let mut text = format!("verdict       {}", diagnosis.verdict.as_str());
    for check in &diagnosis.checks {
        let mark = if check.ok { "ok   " } else { "WRONG" };
        // Writing into a string cannot fail.
        let _ = write!(text, "\n{:<12}  {mark}  {}", check.name, check.detail);
        if let Some(advice) = &check.advice {
            let _ = write!(text, "\n{:<12}         advice: {advice}", "");
        }
    }
    text
}
