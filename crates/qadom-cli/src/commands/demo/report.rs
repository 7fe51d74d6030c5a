//! What the demo prints: a line for each thing that happened, or an object with `--json`.

use std::path::Path;

use bytes::Bytes;
use qadom_http::api::{Fetched, Source, Written};
use qadom_node::{FileFetched, FilePushed, Node};
use serde_json::json;

use super::{GOLDEN, Stored};
use crate::output::Output;
use crate::texts::{self, counted};

/// Prints the story.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    output: Output,
}

impl Report {
    pub(super) const fn new(output: Output) -> Self {
        Self { output }
    }

    pub(super) fn begin(self, nodes: u16, folder: &Path) -> anyhow::Result<()> {
        self.output.words(&format!(
            "qadom demo: a network of {nodes} nodes on this machine, in {}\n\n\
             1. Start: {nodes} nodes, each with a UDP port, a key and a store of its own",
            folder.display(),
        ))
    }

    pub(super) fn started(self, first: &Node) -> anyhow::Result<()> {
        let address = first.address().to_string();
        let words = format!("   the first one is {address}");
        self.output
            .result(&json!({ "step": "start", "address": address }), || words)
    }

    pub(super) fn joined(self, peers: &[u32]) -> anyhow::Result<()> {
        let fewest = peers.iter().min().copied().unwrap_or(0);
        let most = peers.iter().max().copied().unwrap_or(0);
        let words = format!(
            "\n2. Join: all by the address of the first\n   \
             {} joined, knowing {fewest} to {most} others right away",
            counted(peers.len(), "node", "nodes"),
        );
        self.output
            .result(&json!({ "step": "join", "joined": peers.len() }), || words)
    }

    pub(super) fn chapter(self, title: &str) -> anyhow::Result<()> {
        self.output.words(&format!("\n{title}"))
    }

    pub(super) fn stored(self, node: usize, name: &str, written: &Written) -> anyhow::Result<()> {
        let object = json!({
            "step": "put",
            "node": node,
            "name": name,
            "key": written.key.to_string(),
            "receipt": written.receipt,
        });
        self.output.result(&object, || {
            let receipt = &written.receipt;
            let key: String = written.key.to_string().chars().take(12).collect();
            format!(
                "   node {node:<3} {name:<22} {key}  {}, {}, {}",
                texts::copies(receipt),
                texts::effort(receipt.hops, receipt.messages),
                texts::milliseconds(receipt.took_ms),
            )
        })
    }

    /// Shows the key that every older qadom printed.
    pub(super) fn golden(self, stored: &[Stored]) -> anyhow::Result<()> {
        let Some(golden) = stored.iter().find(|stored| stored.name == GOLDEN) else {
            return Ok(());
        };
        self.output.words(&format!(
            "   the key of {GOLDEN:?}, as every qadom before this one had it:\n   int:{}",
            golden.key.to_decimal(),
        ))
    }

    pub(super) fn read(self, node: usize, name: &str, fetched: &Fetched) -> anyhow::Result<()> {
        let object = json!({
            "step": "get",
            "node": node,
            "name": name,
            "key": fetched.key.to_string(),
            "bytes": fetched.value.len(),
            "source": fetched.source.to_string(),
            "hops": fetched.hops,
            "messages": fetched.messages,
            "took_ms": fetched.took_ms,
        });
        self.output.result(&object, || {
            let source = match fetched.source {
                Source::Local => "itself".to_owned(),
                Source::Node(node) => texts::node(node),
            };
            format!(
                "   node {node:<3} {name:<18} {:>10} from {source}, {}, {}",
                counted(fetched.value.len(), "byte", "bytes"),
                texts::effort(fetched.hops, fetched.messages),
                texts::milliseconds(fetched.took_ms),
            )
        })
    }

    /// Tells what a view brought; 1 when it is not what it should be.
    pub(super) fn view(
        self,
        node: usize,
        name: &str,
        found: &Result<Bytes, qadom_node::Error>,
        is_right: impl FnOnce(&Bytes) -> bool,
    ) -> anyhow::Result<usize> {
        match found {
            Ok(found) if is_right(found) => {
                let text = String::from_utf8_lossy(found);
                let object = json!({ "step": "read", "node": node, "name": name, "found": text });
                self.output
                    .result(&object, || format!("   node {node:<3} {name:<18} {text}"))?;
                Ok(0)
            }
            Ok(other) => {
                let text = String::from_utf8_lossy(other);
                self.missing(node, name, &format!("it brought {text:?}"))?;
                Ok(1)
            }
            Err(error) => {
                self.missing(node, name, &error.to_string())?;
                Ok(1)
            }
        }
    }

    /// A file was left with other nodes.
    pub(super) fn pushed(self, node: usize, name: &str, file: &FilePushed) -> anyhow::Result<()> {
        let object = json!({
            "step": "push",
            "node": node,
            "name": name,
            "id": file.id.to_string(),
            "size": file.size,
            "chunks": file.chunks,
            "smallest_copies": file.smallest_copies,
            "holders": file.holders,
        });
        self.output.result(&object, || {
            format!(
                "   node {node:<3} file {name:<17} {} in {}, each with {} others or more",
                counted(file.size, "byte", "bytes"),
                counted(file.chunks, "chunk", "chunks"),
                file.smallest_copies,
            )
        })
    }

    /// A file came back whole.
    pub(super) fn fetched(self, node: usize, name: &str, file: &FileFetched) -> anyhow::Result<()> {
        let object = json!({
            "step": "fetch",
            "node": node,
            "name": name,
            "id": file.id.to_string(),
            "bytes": file.size,
        });
        self.output.result(&object, || {
            let bytes = counted(file.size, "byte", "bytes");
            format!("   node {node:<3} file {name:<13} {bytes:>10}, every chunk verified")
        })
    }

    pub(super) fn missing(self, node: usize, name: &str, error: &str) -> anyhow::Result<()> {
        let object = json!({ "step": "get", "node": node, "name": name, "error": error });
        self.output.result(&object, || {
            format!("   node {node:<3} {name:<18} FAILED: {error}")
        })
    }

    pub(super) fn dropped(self, numbers: &[usize]) -> anyhow::Result<()> {
        self.output
            .result(&json!({ "step": "drop", "nodes": numbers }), || {
                let list = numbers
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ");
                format!(
                    "\n6. Drop: {} at once, nothing is handed over\n   gone: {list}",
                    counted(numbers.len(), "node vanishes", "nodes vanish"),
                )
            })
    }

    pub(super) fn counted(self, found: usize, reads: usize) -> anyhow::Result<()> {
        let object = json!({ "step": "count", "found": found, "reads": reads });
        self.output.result(&object, || {
            let reads = counted(reads, "read", "reads");
            format!("   the others: {found} of {reads} found it")
        })
    }

    pub(super) fn end(self, missing: usize) -> anyhow::Result<()> {
        self.output.result(&json!({ "step": "end", "missing": missing }), || {
            if missing == 0 {
                "\nAll that was stored was read again, byte for byte. A node of your own: qadom node"
                    .to_owned()
            } else {
                let missing = counted(missing, "read", "reads");
                format!("\n{missing} did not bring what was stored.")
            }
        })
    }

    pub(super) fn stays(self, socket: &Path, node: &Node) -> anyhow::Result<()> {
        let object = json!({
            "step": "stay",
            "socket": socket,
            "address": node.address().to_string(),
        });
        self.output.result(&object, || {
            format!(
                "The network stays up until Ctrl-C. Ask it: qadom --socket {} status\n\
                 Join it: qadom node --listen 127.0.0.1:0 --join {}",
                socket.display(),
                node.address(),
            )
        })
    }
}
