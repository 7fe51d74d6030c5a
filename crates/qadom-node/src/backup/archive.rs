//! The files of a backup, one behind the other: length of the name 1 | name | length of the content
//! 8, little-endian | content; a 0 byte ends them.
//!
//! What must stay true: a name leads to nothing but the files that a backup is made of, whoever
//! wrote it. What keeps the bytes whole and secret is `seal`.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::seal::{Opener, Sealed};
use crate::folder::{IDENTITIES, JOURNAL, NODE_KEY, SETTINGS};
use crate::identities::is_name;

/// Bytes that are copied at once.
const COPY: usize = 65_536;

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Settings,
    Journal,
    Identity(String),
    NodeKey,
}

impl Part {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let identity = name.strip_prefix(IDENTITIES);
        match (name, identity.and_then(|rest| rest.strip_prefix('/'))) {
            (NODE_KEY, _) => Some(Self::NodeKey),
            (JOURNAL, _) => Some(Self::Journal),
            (SETTINGS, _) => Some(Self::Settings),
            (_, Some(identity)) if is_name(identity) => Some(Self::Identity(identity.to_owned())),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::NodeKey => NODE_KEY.to_owned(),
            Self::Journal => JOURNAL.to_owned(),
            Self::Settings => SETTINGS.to_owned(),
            Self::Identity(name) => format!("{IDENTITIES}/{name}"),
        }
    }

    /// Where it lies in a data folder.
    pub(super) fn place(&self, folder: &Path) -> PathBuf {
        folder.join(self.name())
    }
}

/// Adds a file as long as it is now; what is appended meanwhile is left out.
pub(super) fn add(to: &mut impl Write, part: &Part, file: &File) -> io::Result<()> {
    let name = part.name();
    let length = file.metadata()?.len();
    // A name has far fewer bytes than fit.
    to.write_all(&[u8::try_from(name.len()).unwrap_or(u8::MAX)])?;
    to.write_all(name.as_bytes())?;
    to.write_all(&length.to_le_bytes())?;
    let copied = io::copy(&mut file.take(length), to)?;
    if copied == length {
        Ok(())
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}

/// Ends the files.
pub(super) fn end(to: &mut impl Write) -> io::Result<()> {
    to.write_all(&[0])
}

/// The next file and the length of its content; none behind the last.
pub(super) fn next(from: &mut Opener<impl Read>) -> Result<Option<(Part, u64)>, Sealed> {
    let mut length = [0];
    from.fill(&mut length)?;
    if length == [0] {
        return if from.is_at_end()? {
            Ok(None)
        } else {
            Err(Sealed::Damaged)
        };
    }
    let mut name = vec![0; length[0].into()];
    from.fill(&mut name)?;
    let part = str::from_utf8(&name).ok().and_then(Part::from_name);
    let mut length = [0; 8];
    from.fill(&mut length)?;
    Ok(Some((
        part.ok_or(Sealed::Damaged)?,
        u64::from_le_bytes(length),
    )))
}

/// Copies the content of a file.
pub(super) fn extract(
    from: &mut Opener<impl Read>,
    mut length: u64,
    to: &mut impl Write,
) -> Result<(), Sealed> {
    let mut buffer = zeroize::Zeroizing::new(vec![0; COPY]);
    while length > 0 {
        let count = usize::try_from(length).map_or(COPY, |length| length.min(COPY));
        let chunk = buffer.get_mut(..count).unwrap_or_default();
        from.fill(chunk)?;
        to.write_all(chunk).map_err(Sealed::Disk)?;
        length -= count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_a_file_of_a_backup_or_nowhere() {
        for name in ["node.key", "journal", "qadom.toml", "identities/work"] {
            assert_eq!(Part::from_name(name).unwrap().name(), name);
        }
        for name in [
            "",
            "lock",
            "store",
            "identities",
            "identities/",
            "identities/.hidden",
            "identities/../node.key",
            "identities/a/b",
            "/etc/passwd",
            "../journal",
            "journal\0",
        ] {
            assert_eq!(Part::from_name(name), None, "{name}");
        }
    }
}
