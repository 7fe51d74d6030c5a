//! A session: two keys, two counters, a replay window.
//!
//! What must stay true: a session takes at most 184 bytes (raw keys, no expanded ones) and 128
//! more once it has seen 32 packets; a counter is used once for sending and accepted once, and a
//! packet from an address that is not the session's is not opened.

use core::time::Duration;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};

use crate::address::SmallAddress;
use crate::drops::DropReason;
use crate::frame::Outgoing;
use crate::locals::LocalId;
use crate::packet::{COUNTER_END, DataHeader, data_size};
use crate::replay::ReplayWindow;
use crate::suite::{DATA_HEADER, SessionKeys, Suite};

/// Silence after which a session that is not pinned ends.
pub(crate) const IDLE: Duration = Duration::from_mins(30);
/// Age at which a session ends whatever happens.
pub(crate) const OLDEST: Duration = Duration::from_hours(24);
/// How long a session still receives after a newer one took its place.
pub(crate) const RETIRING: Duration = Duration::from_mins(1);

/// One direction-pair of sealed packets with one peer at one address.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: [u8; 32],
    address: SmallAddress,
    /// The own address that the peer knows, if it began the session.
    pub(crate) local: LocalId,
    pub(crate) keys: SessionKeys,
    /// The index under which the other side knows the session.
    pub(crate) remote: u32,
    /// The counter of the next packet to be sent.
    pub(crate) next: u32,
    pub(crate) replay: ReplayWindow,
    /// Given by responders: proves that the other side lost the session.
    pub(crate) reset_token: Option<[u8; 16]>,
    /// When a packet opened last.
    heard: Stamp,
    /// When it ends whatever happens.
    term: Stamp,
    pub(crate) standing: Standing,
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is used until its term.
    Active,
    /// The same, and a handshake was begun that shall replace it.
    Renewing,
    /// A newer one took its place: it only receives.
    Retiring,
}

/// A moment in whole microseconds, in half the bytes of a [`Duration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp(u64);

impl Stamp {
    fn of(moment: Duration) -> Self {
        Self(u64::try_from(moment.as_micros()).unwrap_or(u64::MAX))
    }

    const fn moment(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

impl Session {
    /// A session of a handshake that is done, before its first packet.
    pub(crate) fn new(
        (key, address): ([u8; 32], SocketAddr),
        keys: SessionKeys,
        remote: u32,
        now: Duration,
    ) -> Self {
        Self {
            key,
            address: SmallAddress::of(address),
            local: LocalId::default(),
            keys,
            remote,
            next: 0,
            replay: ReplayWindow::default(),
            reset_token: None,
            heard: Stamp::of(now),
            term: Stamp::of(now + OLDEST),
            standing: Standing::Active,
        }
    }

    /// Where the peer is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.address()
    }

    /// When a packet opened last.
    pub(crate) const fn heard(&self) -> Duration {
        self.heard.moment()
    }

    /// Whether no packet opened since this moment.
    pub(crate) fn is_silent_since(&self, moment: Duration) -> bool {
        self.heard < Stamp::of(moment)
    }

    /// When it ends whatever happens: a day after it was confirmed, or a minute after it was
    /// replaced.
    pub(crate) const fn term(&self) -> Duration {
        self.term.moment()
    }

    /// Begins its day.
    pub(crate) fn confirm(&mut self, now: Duration) {
        self.term = Stamp::of(now + OLDEST);
    }

    /// Lets it only receive, for a minute.
    pub(crate) fn retire(&mut self, now: Duration) {
        self.term = self.term.min(Stamp::of(now + RETIRING));
        self.standing = Standing::Retiring;
    }

    pub(crate) fn is_retiring(&self) -> bool {
        self.standing == Standing::Retiring
    }

    /// Whether this side began the session: only then the other one gave a token.
    pub(crate) const fn is_initiator(&self) -> bool {
        self.reset_token.is_some()
    }

    /// Seals a frame into a padded packet; `None` when counters have run out or it is too long.
    pub(crate) fn seal<S: Suite>(
        &mut self,
        frame: &Outgoing<'_>,
        arena: &mut BytesMut,
    ) -> Option<Bytes> {
        let length = frame.length();
        let size = data_size(2 + length)?;
        let counter = self.next;
        if counter == COUNTER_END {
            return None;
        }
        let header = DataHeader {
            receiver: self.remote,
            counter,
        }
        .bytes();
        arena.clear();
        arena.reserve(size);
        arena.put_slice(&header);
        arena.put_u16_le(u16::try_from(length).ok()?);
        frame.write(arena);
        arena.put_bytes(0, (size - 16).saturating_sub(arena.len()));
        let tag = S::seal(
            &self.keys.send,
            counter.into(),
            &header,
            arena.get_mut(DATA_HEADER..)?,
        )?;
        arena.put_slice(&tag);
        self.next = counter + 1;
        Some(arena.split().freeze())
    }

    /// Opens a packet in place and gives its plaintext.
    ///
    /// # Errors
    ///
    /// Why the packet is dropped; the session is as it was.
    pub(crate) fn open<'a, S: Suite>(
        &mut self,
        header: DataHeader,
        from: SocketAddr,
        datagram: &'a mut [u8],
        now: Duration,
    ) -> Result<&'a [u8], DropReason> {
        if from != self.address() {
            return Err(DropReason::WrongAddress);
        }
        if !self.replay.is_fresh(header.counter) {
            return Err(DropReason::Replayed);
        }
        let (_, sealed) = datagram
            .split_at_mut_checked(DATA_HEADER)
            .ok_or(DropReason::Malformed)?;
        let plaintext = S::open(
            &self.keys.receive,
            header.counter.into(),
            &header.bytes(),
            sealed,
        )
        .ok_or(DropReason::BadSeal)?;
        self.replay.note(header.counter);
        self.heard = Stamp::of(now);
        Ok(plaintext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_takes_at_most_184_bytes() {
        assert!(
            size_of::<Session>() <= 184,
            "{} bytes",
            size_of::<Session>()
        );
    }
}
