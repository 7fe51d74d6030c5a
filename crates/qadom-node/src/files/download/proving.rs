//! From what nodes claim of a file's size to the one that its last chunk proves.
//!
//! What must stay true: room is made for a file only once its size is proven, so that no claim costs
//! what was verified before; then those who claimed another size are no holders.

use qadom_files::{Availability, ChunkSet, Download, Layout, PeerId, Proof};
use tokio::sync::mpsc;

use super::super::error::FileError;
use super::super::frame::Frame;
use super::super::peer::Gone;
use super::super::place::{NotKept, Place, proven};
use super::super::service::lock;
use super::{Attempt, Standing, Target};

impl Attempt<'_> {
    /// Goes on with what is here of the file, where that or a list of its chunks proves the size.
    pub(super) async fn begin_with_what_is_here(&mut self) -> Result<(), FileError> {
        let file = self.order.file;
        let known = if let Some(manifest) = &self.order.manifest {
            Some(manifest.layout())
        } else {
            let known = self.service.blocking(move |folder| proven(folder, &file));
            known.await?
        };
        match known {
            Some(layout) => self.lay_out(layout, None).await,
            None => Ok(()),
        }
    }

    /// Takes down what a node says that it has.
    pub(super) fn on_met(
        &mut self,
        peer: PeerId,
        (layout, has, say): (Layout, Availability, mpsc::Sender<Frame>),
    ) {
        if self.layout.is_some() {
            self.take_in(peer, (layout, has, say));
        } else {
            self.stand(peer, Standing::Claims);
            self.sizing.claim(peer, (layout, has, say));
        }
    }

    /// Asks for the chunks that prove the claims, and gives up those who were asked in vain.
    pub(super) fn ask_for_proof(&mut self) {
        if self.layout.is_some() {
            return;
        }
        let now = self.service.now();
        for peer in self.sizing.late(now) {
            self.stand(peer, Standing::Gone);
        }
        for peer in self.sizing.next(now) {
            let Some(claim) = self.sizing.get(peer) else {
                continue;
            };
            let index = claim.layout.last();
            if claim.say.try_send(Frame::Ask { index }).is_err() {
                self.stand(peer, Standing::Gone);
            }
        }
    }

    /// A last chunk has verified: so large is the file.
    pub(super) async fn on_proven(
        &mut self,
        layout: Layout,
        last: (bytes::Bytes, Proof),
    ) -> Result<(), FileError> {
        if self.layout.is_some() {
            return Ok(());
        }
        self.lay_out(layout, Some(last)).await?;
        for (peer, claim) in self.sizing.take() {
            self.take_in(peer, (claim.layout, claim.has, claim.say));
        }
        Ok(())
    }

    /// Lets a node take part under the proven size. Whoever holds chunks that a liar pushed says the
    /// liar's size and has true chunks all the same; whoever says that it has the whole file knows.
    fn take_in(
        &mut self,
        peer: PeerId,
        (claimed, has, say): (Layout, Availability, mpsc::Sender<Frame>),
    ) {
        let (Some(layout), Some(download)) = (self.layout, &mut self.download) else {
            return;
        };
        match under(layout, claimed, has) {
            Some(has) => {
                download.add_peer(self.service.now(), peer, has, None);
                self.stand(peer, Standing::Here(say));
            }
            None => self.bar(peer),
        }
    }

    /// Notes that a node has something else by now.
    pub(super) fn on_has(&mut self, peer: PeerId, (claimed, has): (Layout, Availability)) {
        let now = self.service.now();
        let (Some(layout), Some(download)) = (self.layout, &mut self.download) else {
            return self.sizing.update(peer, has);
        };
        if let Some(has) = under(layout, claimed, has) {
            download.update_peer(now, peer, has);
        } else {
            download.remove_peer(now, peer);
            self.bar(peer);
        }
    }

    /// Makes room for a file of this size, or goes on with what is there of it.
    async fn lay_out(
        &mut self,
        layout: Layout,
        last: Option<(bytes::Bytes, Proof)>,
    ) -> Result<(), FileError> {
        let (file, target) = (self.order.file, self.order.path());
        let is_passing = self.order.target == Target::Passing;
        let path = target.clone().unwrap_or_else(|| self.service.path.clone());
        let now = self.service.utc_seconds();
        let made = self.service.blocking(move |folder| {
            let place = if is_passing {
                Place::Passing { file, layout }
            } else {
                let partial = folder.download(&file, layout.size(), target.as_deref());
                Place::Own(partial.map_err(|error| FileError::of_download(&path, &error))?)
            };
            if let Some((bytes, proof)) = last {
                let written = place.write(folder, now, layout.last(), (&bytes, &proof));
                written.map_err(|error| match error {
                    NotKept::Disk(error) => error,
                    // It was verified under this very size.
                    NotKept::Wrong => FileError::Internal,
                })?;
            }
            let have = place.have(folder);
            Ok::<_, FileError>((place, have))
        });
        let (place, have) = made.await??;
        let seed = rand::random();
        let mut download = Download::new(layout, have, seed);
        download.want_whole(self.service.now(), self.is_whole);
        self.download = Some(download);
        self.layout = Some(layout);
        *lock(self.place) = Some(place);
        self.tell.send_modify(|state| state.layout = Some(layout));
        self.learn_list();
        Ok(())
    }

    /// Notes that a node is gone, and why.
    pub(super) fn on_gone(&mut self, peer: PeerId, why: Gone) {
        if let Some(download) = &mut self.download {
            download.remove_peer(self.service.now(), peer);
        }
        let state = match why {
            Gone::Lied => Standing::Barred,
            Gone::Busy => Standing::Busy,
            Gone::Left => Standing::Gone,
        };
        self.stand(peer, state);
    }
}

/// What a node can have under the proven size that says that it has this under a claimed one; nothing
/// when its word is a lie.
fn under(layout: Layout, claimed: Layout, has: Availability) -> Option<Availability> {
    if claimed == layout {
        return Some(has);
    }
    let Availability::Some(chunks) = has else {
        return None;
    };
    let mut clipped = ChunkSet::new(layout.chunks());
    for chunk in chunks.iter().take_while(|chunk| *chunk < layout.last()) {
        clipped.insert(chunk);
    }
    Some(Availability::Some(clipped))
}
