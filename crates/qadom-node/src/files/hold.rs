//! Chunks that this node keeps for others: what it is offered, and how it pulls what it wants.
//!
//! What must stay true: a chunk is told as kept only when it was verified and is on the disk; a peer
//! can make this node remember no more than the limits here, and pull nothing that the folder did not
//! want.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qadom_files::{
    ChunkIndex, DiskError, FileId, HoldError, Holdings, Layout, Offer as HeldOffer, Offered, Proof,
    Refusal,
};
use qadom_routing::NodeKey;
use qadom_wire::{HELD_BYTES_MAX, Held, Holds, MAX_TTL, Offer, OfferResult, Reason, SourceGroup};

use super::announce;
use super::frame::{BadFrame, Frame};
use super::link::{FrameReader, FrameWriter, LinkError};
use super::push::COPIES_MAX;
use super::service::{Asked, Service, lock};
use crate::command::Command;

/// Offers that wait for their stream; the oldest gives way to one more.
pub(super) const OFFERS_MAX: usize = 1024;
/// How long an offer waits for its stream.
const OFFER_TIME: Duration = Duration::from_mins(2);
/// Chunks that are asked for and have not come, of one stream.
const IN_FLIGHT: usize = 8;
/// How long the next chunk may take.
const CHUNK_TIME: Duration = Duration::from_secs(30);
/// How much later than the longest life an expiry may be, for clocks that differ.
const EXPIRY_SLACK: u64 = 3600;

/// What this node said that it wants of one file from one peer.
#[derive(Debug)]
struct Wanted {
    size: u64,
    expiry: u64,
    group: [u8; 8],
    chunks: BTreeSet<u64>,
    since: Duration,
}

impl Wanted {
    const fn without_chunks(&self) -> Self {
        Self {
            chunks: BTreeSet::new(),
            ..*self
        }
    }
}

/// What this node said that it wants, how many copies those who offered it ask for, and what was not
/// taken.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    wanted: BTreeMap<([u8; 32], FileId), Wanted>,
    copies: BTreeMap<FileId, u32>,
    /// Chunks that were not taken, under the names that users see.
    drops: BTreeMap<&'static str, u64>,
}

impl Offers {
    fn insert(&mut self, peer: &NodeKey, file: FileId, new: Wanted) {
        let now = new.since;
        self.wanted
            .retain(|_, wanted| now.saturating_sub(wanted.since) < OFFER_TIME);
        if self.wanted.len() >= OFFERS_MAX {
            let oldest = self.wanted.iter().min_by_key(|(_, wanted)| wanted.since);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.wanted.remove(&oldest);
            }
        }
        let wanted = self.wanted.entry((*peer.as_bytes(), file));
        let wanted = wanted.or_insert_with(|| new.without_chunks());
        // Whoever says another size now speaks of something else.
        if wanted.size != new.size {
            *wanted = new.without_chunks();
        }
        wanted.since = now;
        wanted.chunks.extend(new.chunks);
    }

    /// Counts a chunk that was not taken.
    fn note_drop(&mut self, why: &'static str) {
        *self.drops.entry(why).or_default() += 1;
    }

    /// Chunks that were not taken, by why.
    pub(super) const fn drops(&self) -> &BTreeMap<&'static str, u64> {
        &self.drops
    }

    fn take(&mut self, peer: &NodeKey, file: FileId) -> Option<Wanted> {
        self.wanted.remove(&(*peer.as_bytes(), file))
    }

    /// How many offers wait, and of how many files it is known how many copies there are to be.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.wanted.len(), self.copies.len())
    }

    /// How many copies of a file's chunks there are to be, as far as somebody said.
    pub(crate) fn copies(&self, file: &FileId) -> Option<u32> {
        self.copies.get(file).copied()
    }

    /// Notes how many copies somebody asks for: the most that anybody does, so that nobody ends what
    /// holders do for another's file.
    fn note_copies(&mut self, file: FileId, copies: u32) {
        if self.copies.len() >= OFFERS_MAX && !self.copies.contains_key(&file) {
            // Which one does not matter: of that file as many are kept as of one without a word.
            self.copies.pop_first();
        }
        let noted = self.copies.entry(file).or_default();
        *noted = copies.min(COPIES_MAX).max(*noted);
    }
}

/// Answers what a peer asks about files.
pub(crate) async fn answer(service: Arc<Service>, asked: Asked) {
    let command = match asked {
        Asked::Offer {
            inbound,
            key,
            address,
            offer,
        } => Command::AnswerOffer(inbound, decide(&service, key, address, offer).await),
        Asked::Holds { inbound, holds } => {
            Command::AnswerHolds(inbound, held(&service, holds).await)
        }
    };
    if let Some(node) = service.node() {
        // A driver with no room leaves the peer without an answer, and it asks again.
        let _ = node.send(command);
    }
}

/// Tells a peer that this node answers as many others as it can.
pub(crate) fn refuse(service: &Service, asked: &Asked) {
    let busy = match asked {
        Asked::Offer { inbound, .. } => Command::AnswerOffer(*inbound, Err(Reason::Busy)),
        Asked::Holds { inbound, .. } => Command::AnswerHolds(*inbound, Err(Reason::Busy)),
    };
    if let Some(node) = service.node() {
        let _ = node.send(busy);
    }
}

const fn refusal(offered: &Result<Offered, DiskError>) -> Option<Refusal> {
    match offered {
        Ok(Offered::Refused(refusal)) => Some(*refusal),
        _ => None,
    }
}

/// Under which name it is counted that a chunk is not taken.
const fn dropped(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Quota => "chunks-quota",
        Refusal::OtherSize => "chunks-other-size",
        Refusal::Unproven => "chunks-unproven",
        _ => "chunks-malformed",
    }
}

/// Which of the chunks this node will keep.
async fn decide(
    service: &Service,
    key: NodeKey,
    address: SocketAddr,
    offer: Offer,
) -> Result<Vec<OfferResult>, Reason> {
    let latest = service.utc_seconds() + MAX_TTL.as_secs() + EXPIRY_SLACK;
    if offer.expiry > latest {
        return Err(Reason::LifetimeTooLong);
    }
    let file = FileId::from_bytes(offer.file);
    let group = *SourceGroup::of(address.ip()).as_bytes();
    let (size, expiry, chunks) = (offer.length, offer.expiry, offer.chunks);
    if expiry <= service.utc_seconds() {
        return Err(Reason::Expired);
    }
    let (owner, asked) = (*key.as_bytes(), chunks.clone());
    let (has_last, offered) = service
        .blocking(move |folder| {
            let last = Layout::new(size).map(Layout::last);
            let has_last = last.is_ok_and(|last| folder.held().contains(&file, last));
            let offered = asked.into_iter().map(|index| {
                folder.held().offer(&HeldOffer {
                    id: file,
                    size,
                    index,
                    group,
                    owner,
                    expires_at: expiry,
                })
            });
            (has_last, offered.collect::<Vec<_>>())
        })
        .await
        .map_err(|error| error.reason())?;
    let wanted = chunks.iter().zip(&offered);
    let wanted = wanted.filter(|(_, offered)| matches!(offered, Ok(Offered::Wanted)));
    let mut wanted: BTreeSet<u64> = wanted.map(|(index, _)| *index).collect();
    if let Ok(layout) = Layout::new(size)
        && !has_last
        && let Some(ChunkIndex::List(_)) = wanted.last().and_then(|wire| layout.index(*wire))
    {
        // A piece of the list is kept beside the chunk that proves the size.
        wanted.insert(layout.last());
    }
    let mut offers = lock(&service.offers);
    for refusal in offered.iter().filter_map(refusal) {
        offers.note_drop(dropped(refusal));
    }
    let results: Vec<OfferResult> = offered.into_iter().map(result).collect();
    let is_kept = |result: &OfferResult| !matches!(result, OfferResult::Refused(_));
    if offer.copies > 0 && results.iter().any(is_kept) {
        offers.note_copies(file, offer.copies);
    }
    if !wanted.is_empty() {
        let wanted = Wanted {
            size,
            expiry,
            group,
            chunks: wanted,
            since: service.now(),
        };
        offers.insert(&key, file, wanted);
    }
    Ok(results)
}

fn result(offered: Result<Offered, DiskError>) -> OfferResult {
    match offered {
        Ok(Offered::Wanted) => OfferResult::Wanted,
        Ok(Offered::Held) => OfferResult::Held,
        Ok(Offered::Refused(Refusal::Quota)) => OfferResult::Refused(Reason::Quota),
        Ok(Offered::Refused(_)) => OfferResult::Refused(Reason::Malformed),
        Err(error) if error.is_full() => OfferResult::Refused(Reason::DiskFull),
        Err(_) => OfferResult::Refused(Reason::StorageFailed),
    }
}

/// Which chunks of a file are here.
async fn held(service: &Service, holds: Holds) -> Result<Held, Reason> {
    let file = FileId::from_bytes(holds.file);
    if super::serve::is_blocked(service, file).await {
        return Err(Reason::Blocked);
    }
    let holdings = service.blocking(move |folder| folder.holdings(&file)).await;
    let holdings = holdings.map_err(|error| error.reason())?;
    Ok(holdings.map_or_else(Held::default, |holdings| Held {
        length: holdings.layout.size(),
        bits: bits(&holdings, holds.first).into(),
    }))
}

/// Which chunks are here from `first` on, or which pieces of the list: these count down from the
/// highest number, and so their first number is the one of the last of them.
fn bits(holdings: &Holdings, first: u64) -> Vec<u8> {
    let last = first.saturating_add(HELD_BYTES_MAX as u64 * 8 - 1);
    let piece = |wire: u64| matches!(holdings.layout.index(wire), Some(ChunkIndex::List(_)));
    if !piece(last) {
        return holdings.chunks.to_bytes(first, HELD_BYTES_MAX);
    }
    let mut bits = Vec::new();
    for wire in first..=last {
        if (wire - first).is_multiple_of(8) {
            bits.push(0_u8);
        }
        if let Some(ChunkIndex::List(piece)) = holdings.layout.index(wire)
            && holdings.list_pieces.contains(piece)
            && let Some(byte) = bits.last_mut()
        {
            *byte |= 1 << ((wire - first) % 8);
        }
    }
    bits
}

/// Pulls over a stream that a peer opened what this node wants of what the peer offered.
pub(crate) async fn pull(
    service: &Arc<Service>,
    peer: NodeKey,
    (file, size): (FileId, u64),
    (mut writer, reader): (FrameWriter, FrameReader),
) -> Result<(), LinkError> {
    let wanted = lock(&service.offers).take(&peer, file);
    let Some(wanted) = wanted.filter(|wanted| wanted.size == size) else {
        let reason = Reason::NotFound;
        return writer.send(Frame::End { reason }).await;
    };
    let pull = Pull {
        service,
        file,
        owner: *peer.as_bytes(),
        wanted,
    };
    let kept = pull.run(&mut writer, reader).await;
    if matches!(&kept, Ok(kept) if *kept > 0) {
        let announcing = announce::announce(Arc::clone(service), file);
        service.spawn(announcing);
    }
    kept.map(|_| ())
}

struct Pull<'a> {
    service: &'a Arc<Service>,
    file: FileId,
    owner: [u8; 32],
    wanted: Wanted,
}

impl Pull<'_> {
    /// Asks for one chunk after the other, and tells the peer which are kept; gives their number.
    async fn run(
        &self,
        writer: &mut FrameWriter,
        mut reader: FrameReader,
    ) -> Result<u64, LinkError> {
        let mut left = self.wanted.chunks.iter().copied();
        let mut asked = HashSet::new();
        let mut kept = 0;
        loop {
            while asked.len() < IN_FLIGHT
                && let Some(index) = left.next()
            {
                writer.send(Frame::Ask { index }).await?;
                asked.insert(index);
            }
            if asked.is_empty() {
                let reason = Reason::NotFound;
                writer.send(Frame::End { reason }).await?;
                return Ok(kept);
            }
            match reader.next(CHUNK_TIME, true, |_, _| ()).await? {
                Some(Frame::Chunk {
                    index,
                    proof,
                    bytes,
                }) if asked.remove(&index) => {
                    if self.keep(index, proof, bytes).await? {
                        writer.send(Frame::Kept { index }).await?;
                        kept += 1;
                    }
                }
                Some(Frame::Refuse { index, .. }) if asked.remove(&index) => {}
                Some(Frame::End { .. }) | None => return Ok(kept),
                Some(_) => return Err(BadFrame.into()),
            }
        }
    }

    /// Verifies and keeps a chunk; whether it is kept. Bytes that are not the chunk end the stream.
    async fn keep(&self, index: u64, proof: Bytes, bytes: Bytes) -> Result<bool, LinkError> {
        let proof = Proof::from_bytes(&proof).ok_or(BadFrame)?;
        let offer = HeldOffer {
            id: self.file,
            size: self.wanted.size,
            index,
            group: self.wanted.group,
            owner: self.owner,
            expires_at: self.wanted.expiry,
        };
        let put = self
            .service
            .blocking(move |folder| folder.held().put(&offer, &bytes, &proof));
        match put.await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(HoldError::Verify(_))) => {
                lock(&self.service.offers).note_drop("chunks-wrong");
                Err(BadFrame.into())
            }
            Ok(Err(error)) => {
                if let HoldError::Refused(refusal) = error {
                    lock(&self.service.offers).note_drop(dropped(refusal));
                }
                tracing::warn!(file = %self.file, index, %error, "a chunk is not kept");
                Ok(false)
            }
            Err(_) => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_lowers_the_copies_of_anothers_file_or_asks_for_more_than_there_may_be() {
        let mut offers = Offers::default();
        let file = FileId::of(b"film");
        offers.note_copies(file, 6);
        offers.note_copies(file, 1);
        assert_eq!(offers.copies(&file), Some(6));
        offers.note_copies(file, u32::MAX);
        assert_eq!(offers.copies(&file), Some(COPIES_MAX));
        for number in 0..2 * OFFERS_MAX {
            offers.note_copies(FileId::of(&number.to_le_bytes()), 3);
        }
        assert_eq!(offers.len(), (0, OFFERS_MAX));
    }
}
