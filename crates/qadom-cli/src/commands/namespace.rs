//! `qadom namespace`: keys that one writer alone may set.

use qadom_http::{Client, parse_signature};
use qadom_node::VALUE_MAX;

use super::input;
use crate::args::Namespace;
use crate::error::Failure;
use crate::output::Output;
use crate::texts;

pub(super) async fn run(
    namespace: Namespace,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    match namespace {
        Namespace::Set {
            key,
            value,
            if_seq,
            write,
        } => {
            let key = texts::key(&key)?;
            let value = input::value(&value, VALUE_MAX)?;
            let written = client
                .namespace_set(&key, value, if_seq, &write.query())
                .await
                .map_err(Failure::from)?;
            texts::written(output, &written)
        }
        Namespace::Delete { key, write } => {
            let key = texts::key(&key)?;
            let written = client.namespace_delete(&key, &write.query()).await;
            texts::written(output, &written.map_err(Failure::from)?)
        }
        Namespace::Get {
            public_key,
            key,
            latest,
            signature,
            read,
        } => {
            let key = texts::key(&key)?;
            if let Some(signature) = &signature {
                input::text(parse_signature(signature))?;
            }
            let found = client
                .namespace_get(
                    &public_key.to_string(),
                    &key,
                    latest,
                    signature.as_deref(),
                    &read.source(),
                )
                .await;
            texts::entry(output, &found.map_err(Failure::from)?)
        }
    }
}
