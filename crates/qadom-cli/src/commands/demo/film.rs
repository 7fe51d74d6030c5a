//! A file that one node leaves with the others before it vanishes, and that the client then fetches.
//!
//! What must stay true: the file is fetched from the network alone, and compared byte for byte.

use qadom_node::{AddOptions, FileId, FileName, GetOptions};

use super::network::Network;
use super::report::Report;
use crate::error::Failure;

/// What it is called.
const NAME: &str = "film";
/// Its size: several chunks, the last one short.
const SIZE: usize = 3 * 1024 * 1024 + 5;
/// Copies of each chunk: so many that a third of the nodes does not have them all.
const COPIES: u32 = 12;
/// The node that has it, one of those that vanish where there are enough.
const OWNER: usize = 2;

/// The file, and what it has to be.
pub(super) struct Film {
    bytes: Vec<u8>,
    id: FileId,
}

impl Film {
    /// Leaves copies of a new file with the nodes nearest to its chunks.
    pub(super) async fn push(network: &Network, report: Report) -> anyhow::Result<Self> {
        let bytes: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
        let path = network.folder().join(NAME);
        std::fs::write(&path, &bytes)?;
        let owner = network.storing(OWNER)?;
        let options = AddOptions {
            name: Some(NAME.to_owned()),
            ..AddOptions::default()
        };
        let pushed = owner.node.files().push(&path, COPIES, options);
        let pushed = pushed.finish().await.map_err(Failure::from)?;
        report.pushed(owner.number, NAME, &pushed)?;
        Ok(Self {
            bytes,
            id: pushed.id,
        })
    }

    /// Fetches it by its name; 1 when it does not come back as it was.
    pub(super) async fn fetch(&self, network: &Network, report: Report) -> anyhow::Result<usize> {
        let reader = network.client()?;
        let path = network.folder().join("fetched");
        let options = GetOptions {
            output: Some(path.clone()),
            ..GetOptions::default()
        };
        let name = FileName::Name(NAME.to_owned());
        match reader.node.files().get(name, options).finish().await {
            Ok(fetched) if fetched.id == self.id && std::fs::read(&path)? == self.bytes => {
                report.fetched(reader.number, NAME, &fetched)?;
                Ok(0)
            }
            Ok(_) => {
                report.missing(reader.number, NAME, "other bytes came back")?;
                Ok(1)
            }
            Err(error) => {
                report.missing(reader.number, NAME, &error.to_string())?;
                Ok(1)
            }
        }
    }
}
