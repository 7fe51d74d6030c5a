//! `qadom identity`: who the node can sign as.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use qadom_http::Client;
use qadom_http::api::IdentityRequest;
use qadom_node::Reason;

use super::input;
use crate::args::Identity;
use crate::error::Failure;
use crate::output::Output;
use crate::texts;

/// The longest export that is read, in bytes.
const EXPORT_MAX: usize = 4096;

pub(super) async fn run(identity: Identity, client: &Client, output: Output) -> anyhow::Result<()> {
    match identity {
        Identity::New { name } => {
            let request = IdentityRequest { name, secret: None };
            add(&request, client, output).await
        }
        Identity::Import { name, file } => {
            let text = input::file(&file, EXPORT_MAX)?;
            let text = std::str::from_utf8(&text).map_err(|_| {
                let message = format!("{} holds no identity", file.display());
                Failure::new(Reason::Malformed, message)
            })?;
            let secret = Some(text.trim().to_owned());
            add(&IdentityRequest { name, secret }, client, output).await
        }
        Identity::List => {
            let list = client.identities().await.map_err(Failure::from)?;
            let rows: Vec<_> = list
                .items
                .iter()
                .map(|item| [item.name.clone(), item.public_key.clone()])
                .collect();
            output.result(&list, || {
                let none = "no identity: `default` is made on its first use";
                texts::table_or(none, ["name", "public key"], &rows)
            })
        }
        Identity::Export { name, output: file } => {
            let exported = client.export_identity(&name).await;
            let mut exported = exported.map_err(Failure::from)?;
            exported.secret = exported.secret.map(|secret| secret.trim_end().to_owned());
            match file {
                None => output.result(&exported, || exported.secret.clone().unwrap_or_default()),
                Some(file) => {
                    write(&file, exported.secret.as_deref().unwrap_or_default())?;
                    output.note("whoever reads this file can sign as this identity");
                    Ok(())
                }
            }
        }
    }
}

async fn add(request: &IdentityRequest, client: &Client, output: Output) -> anyhow::Result<()> {
    let identity = client.add_identity(request).await.map_err(Failure::from)?;
    output.result(&identity, || identity.public_key.clone())
}

/// Writes a new file that its owner alone may read.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| {
            let message = format!("cannot make {}: {error}", path.display());
            let advice = "name a file that is not there yet; nothing was written";
            Failure::new(Reason::Usage, message).with_advice(advice)
        })?;
    writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}
