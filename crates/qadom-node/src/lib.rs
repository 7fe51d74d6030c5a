#![doc = include_str!("../README.md")]

mod address;
mod backup;
mod bag_stream;
mod bench;
mod bootstrap;
mod builder;
mod clock;
mod command;
mod contacts;
mod convert;
mod doctor;
mod driver;
mod error;
mod files;
mod flusher;
mod folder;
mod handover;
mod here;
mod identities;
mod identity;
mod journal;
mod lookup_stream;
mod meter;
mod moves;
mod node;
mod process;
mod quarantines;
mod resolve;
mod sockets;
mod status;
mod subscription;
mod transfer;
mod views;

#[cfg(test)]
mod formats;

pub use address::{AddressError, HostPort, JoinAddress, NodeAddress, NodeName};
pub use backup::{BackedUp, BackupError, PASSPHRASE_MIN, backup, restore};
pub use bag_stream::{BagEvent, BagStream};
pub use bench::{BenchError, BenchReport, BenchSettings, IdleMemory, Row, run_bench};
pub use builder::{Builder, DEFAULT_PORT};
pub use clock::since_start;
pub use doctor::{Check, Diagnosis};
pub use error::{Error, StartError, StopReason, join_problem_text};
pub use files::{
    AddOptions, FileAdded, FileBytes, FileError, FileFetched, FileName, FilePhase, FileProgress,
    FilePushed, FileReader, FileStatus, FileTask, Files, GetOptions, NamedFile, PUSH_COPIES,
    UNPROVEN_MAX,
};
pub use identities::{DEFAULT_IDENTITY, IDENTITIES_MAX, IDENTITY_NAME_MAX, IdentityError};
pub use lookup_stream::{LookupEvent, LookupStream};
pub use moves::{MoveError, Moved, export_store, import_store};
pub use node::{Joined, Node};
pub use process::{open_files_max, raise_open_files};
pub use status::{Block, Limit, Peer, Status, Traffic, Verdict};
pub use subscription::{Event, Subscription};
pub use transfer::Streams;
pub use views::{
    Bag, BagCursor, BagCursorError, BagItem, BagList, Dict, Namespace, ReadFrom, Topic,
};

pub use qadom_engine::{
    BlockCause, Blocked, Cause, CauseCost, Cost, Density, Difference, Failure, Fetched,
    JoinProblem, LookupReport, Mode, PingReport, Promise, Promised, PublicationId,
    PublicationState, Reachability, Receipt, Refusal, Refusals, SignedRead, Since, Source,
    TooManyBlocks, WatchSlot, Withdrawn, WriteOptions, Written,
};
pub use qadom_files::{
    CHUNK_SIZE, Entry as FileItem, FileId, Kind as FileKind, Manifest, Place as FilePlace,
    State as FileState,
};
pub use qadom_routing::{
    Contact, Key, KeyTextError, Moment, NetworkSize, NodeId, NodeKey, Step, StepEvent,
};
pub use qadom_store::{Durability, OpenError, Quarantined, StoreEngine};
pub use qadom_transport::{DataReceiver, DataSender, DataStream, QuicError};
pub use qadom_wire::{
    BAG_ITEM_MAX, ContentSignature, Cursor, K, Kind, NAME_MAX, NameError, NetworkError, Reason,
    VALUE_MAX, Verified, Writer, dict_slot, namespace_slot,
};
