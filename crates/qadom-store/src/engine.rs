//! The engines by their names, and how much a commit promises.
//!
//! What must stay true: names are those of the file `ENGINE` and of settings. What the engines do is
//! not known here.

use std::fmt;
use std::str::FromStr;

/// A library that keeps entries on disk.
///
/// # Examples
///
/// ```
/// use qadom_store::StoreEngine;
///
/// assert_eq!("sled".parse(), Ok(StoreEngine::Sled));
/// assert_eq!(StoreEngine::Redb.name(), "redb");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreEngine {
    /// sled 0.34, the default.
    #[default]
    Sled,
    /// redb 4.
    Redb,
}

impl StoreEngine {
    /// Every engine that there is, built in or not.
    pub const ALL: [Self; 2] = [Self::Sled, Self::Redb];

    /// Its name, as in the file `ENGINE` and in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }

    /// Whether this program was built with it.
    pub const fn is_built_in(self) -> bool {
        match self {
            Self::Sled => cfg!(feature = "sled"),
            Self::Redb => cfg!(feature = "redb"),
        }
    }
}

impl fmt::Display for StoreEngine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for StoreEngine {
    type Err = UnknownEngineError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|engine| engine.name() == name);
        known.ok_or_else(|| UnknownEngineError {
            name: name.to_owned(),
        })
    }
}

/// There is no such engine. Whoever wrote the name is at fault.
///
/// # Examples
///
/// ```
/// use qadom_store::StoreEngine;
///
/// let error = "rocksdb".parse::<StoreEngine>().unwrap_err();
/// assert_eq!(error.name, "rocksdb");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no store engine {name}; known are sled and redb")]
pub struct UnknownEngineError {
    /// The name that was given.
    pub name: String,
}

/// What a commit outlives.
///
/// # Examples
///
/// ```
/// use qadom_store::Durability;
///
/// assert_eq!("power".parse(), Ok(Durability::Power));
/// assert_eq!(Durability::default(), Durability::Kill);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// `kill -9`. A loss of power may cost what was committed since the last
    /// [`sync`](crate::Store::sync).
    #[default]
    Kill,
    /// A loss of power, too: every commit waits until the disk has everything.
    Power,
}

impl Durability {
    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Power => "power",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Durability {
    type Err = UnknownDurabilityError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = [Self::Kill, Self::Power];
        let known = known.into_iter().find(|one| one.name() == name);
        known.ok_or_else(|| UnknownDurabilityError {
            name: name.to_owned(),
        })
    }
}

/// There is no such durability. Whoever wrote the name is at fault.
///
/// # Examples
///
/// ```
/// use qadom_store::Durability;
///
/// let error = "none".parse::<Durability>().unwrap_err();
/// assert_eq!(error.name, "none");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no durability {name}; it is kill or power")]
pub struct UnknownDurabilityError {
    /// The name that was given.
    pub name: String,
}

/// How a store on disk is opened.
///
/// # Examples
///
/// ```
/// use qadom_store::{Durability, Options, open};
///
/// let folder = tempfile::tempdir()?;
/// let options = Options { durability: Durability::Power, ..Options::default() };
/// open(folder.path(), options)?.commit()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The engine that shall keep the folder. Without one the folder keeps the one it has, and a
    /// new folder gets sled, or what else is built in.
    pub engine: Option<StoreEngine>,
    /// What a commit outlives.
    pub durability: Durability,
}
