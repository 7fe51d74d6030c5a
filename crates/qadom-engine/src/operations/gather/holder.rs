//! What is known of one holder.
//!
//! What must stay true: a holder agrees only when it is known to have exactly the union, whether it
//! said so in the walk, a comparison found it, or it was brought there.

use qadom_routing::{Contact, Key};
use qadom_wire::Reason;

use super::survey::Survey;
use super::union::Union;

/// What a holder has, as far as it said in the walk.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// Exactly these records.
    Exactly(Vec<(Key, [u8; 32])>),
    /// What has this fingerprint.
    Fingerprint([u8; 32]),
    /// More than fitted; the next page begins at this id.
    More(Key),
}

/// A node whose records count.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) contact: Contact,
    pub(super) heard: Option<Heard>,
    pub(super) survey: Option<Survey>,
    pub(super) under_way: u32,
    /// Requests that may still be sent again after an answer that was too long for them.
    pub(super) retries: u32,
    /// Batches of a repair that are not acknowledged.
    pub(super) repairs: u32,
    /// The version of the union that it was brought to.
    pub(super) repaired: Option<u64>,
    /// It failed, refused or lied; none while it is fine.
    pub(super) gone: Option<Reason>,
}

impl Holder {
    pub(super) const fn new(contact: Contact, heard: Option<Heard>) -> Self {
        Self {
            contact,
            heard,
            survey: None,
            under_way: 0,
            retries: 2,
            repairs: 0,
            repaired: None,
            gone: None,
        }
    }

    /// Whether it is known to have exactly the union.
    pub(super) fn agrees(&self, union: &Union, fingerprint: &[u8; 32]) -> bool {
        if self.repaired == Some(union.version()) {
            return true;
        }
        if let Some(survey) = &self.survey {
            return survey.agrees(union);
        }
        match &self.heard {
            Some(Heard::Exactly(_)) => self.lacks(union).is_some_and(|lacks| lacks.is_empty()),
            Some(Heard::Fingerprint(heard)) => heard == fingerprint,
            Some(Heard::More(_)) | None => false,
        }
    }

    /// Whether only a comparison can tell what it has.
    pub(super) fn is_to_be_asked(&self, union: &Union, fingerprint: &[u8; 32]) -> bool {
        if let Some(survey) = &self.survey {
            return !survey.is_whole(union);
        }
        match &self.heard {
            Some(Heard::Exactly(_)) => false,
            Some(Heard::Fingerprint(heard)) => heard != fingerprint,
            Some(Heard::More(_)) | None => true,
        }
    }

    /// The ids of what the union has and it has not; none when that is not known.
    pub(super) fn lacks(&self, union: &Union) -> Option<Vec<Key>> {
        if let Some(survey) = &self.survey {
            let lacks = survey.lacks().iter().copied();
            return survey.is_whole(union).then(|| lacks.collect());
        }
        let Some(Heard::Exactly(has)) = &self.heard else {
            return None;
        };
        let ids = union.place().ids();
        let lacks = union.hashes(&ids).filter(|ours| {
            let found = has.binary_search_by_key(&ours.0, |(id, _)| *id);
            found.ok().and_then(|at| has.get(at)) != Some(ours)
        });
        Some(lacks.map(|(id, _)| id).collect())
    }
}
