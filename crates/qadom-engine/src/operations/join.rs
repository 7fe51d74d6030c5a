//! Joining: reach somebody, then look up the own id (the paper, section 2.3). The engine refreshes
//! the farther buckets afterwards.

use std::net::SocketAddr;

use qadom_routing::{Contact, NodeKey, canonical};
use qadom_wire::Answer;

use crate::core::Purpose;
use crate::effect::RequestFailure;
use crate::ledger::Cause;
use crate::network::Effort;
use crate::operation::{Failure, JoinProblem, Joined, Outcome};
use crate::operations::{Operation, Progress};
use crate::walk::{Context, Query, Walk};

/// Saved contacts that are tried at once.
pub(crate) const CONTACTS_TRIED: usize = 64;

/// Enters the network through addresses and saved contacts.
#[derive(Debug)]
pub(crate) struct JoinOperation {
    addresses: Vec<SocketAddr>,
    contacts: Vec<Contact>,
    /// Addresses and contacts that have not said yet whether they help.
    waiting_for: usize,
    is_reached: bool,
    problems: Vec<(SocketAddr, JoinProblem)>,
    walk: Option<Walk>,
    is_walked: bool,
    /// Whether the node comes back to contacts that it knew before.
    is_return: bool,
}

impl JoinOperation {
    pub(crate) fn new(addresses: Vec<SocketAddr>, mut contacts: Vec<Contact>) -> Self {
        contacts.truncate(CONTACTS_TRIED);
        Self {
            is_return: !contacts.is_empty(),
            addresses,
            contacts,
            waiting_for: 0,
            is_reached: false,
            problems: Vec::new(),
            walk: None,
            is_walked: false,
        }
    }

    fn ping(&mut self, context: &mut Context<'_>, contact: &Contact) {
        if context.core.ping(Some(context.operation), contact) {
            self.waiting_for += 1;
        } else if let Some(address) = address_of(contact) {
            self.problems.push((address, JoinProblem::Unreachable));
        }
    }

    fn settle(&mut self, address: Option<SocketAddr>, problem: Option<JoinProblem>) {
        self.waiting_for = self.waiting_for.saturating_sub(1);
        if let (Some(address), Some(problem)) = (address, problem) {
            self.problems.push((address, problem));
        }
    }

    /// Looks up the own id, through the first node that answered and what is known besides.
    fn walk_through(&mut self, context: &mut Context<'_>, first: &Contact) {
        let own = *context.core.own.key();
        let mut seeds = context.core.seeds(&own);
        // It may be a client, which is asked here all the same.
        seeds.extend(Contact::new(*first.key(), first.v4(), first.v6(), true));
        self.walk = Some(Walk::through(
            context.core,
            (own, Query::Node),
            Effort::PLAIN,
            seeds,
            context.now,
        ));
    }
}

impl Operation for JoinOperation {
    fn cause(&self) -> Cause {
        Cause::Join
    }

    fn walk(&mut self) -> Option<&mut Walk> {
        self.walk.as_mut().filter(|_| !self.is_walked)
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        if let Some(walk) = &mut self.walk {
            self.is_walked = self.is_walked || walk.go_on(context);
        }
        if self.waiting_for > 0 || (self.is_reached && !self.is_walked) {
            return Progress::Going;
        }
        let problems = std::mem::take(&mut self.problems);
        if !self.is_reached {
            return Progress::failed(Failure::NotJoined { problems });
        }
        context.core.want_refresh(self.is_return, context.now);
        let peers = u32::try_from(context.core.table.len()).unwrap_or(u32::MAX);
        Progress::done(Outcome::Joined(Joined { peers, problems }))
    }

    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        for address in std::mem::take(&mut self.addresses) {
            context.core.identify(context.operation, address);
            self.waiting_for += 1;
        }
        for contact in std::mem::take(&mut self.contacts) {
            self.ping(context, &contact);
        }
        self.go_on(context)
    }

    fn on_identified(
        &mut self,
        context: &mut Context<'_>,
        address: SocketAddr,
        result: Result<NodeKey, RequestFailure>,
    ) -> Progress {
        match result {
            Ok(key) if key == context.core.config.key => {
                self.settle(Some(address), Some(JoinProblem::Own));
            }
            Ok(key) => {
                self.settle(None, None);
                // Whether it stores, its session will say.
                self.ping(context, &Contact::at(key, address, false));
            }
            Err(failure) => self.settle(Some(address), Some(problem_of(&failure))),
        }
        self.go_on(context)
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        if purpose == Purpose::Ping {
            let is_pong = matches!(answer, Answer::Pong(_));
            if is_pong && !self.is_reached {
                self.is_reached = true;
                self.walk_through(context, from);
            }
            let problem = (!is_pong).then_some(JoinProblem::Unreachable);
            self.settle(address_of(from), problem);
        } else if let Some(walk) = self.walk() {
            walk.on_answer(context, from, answer);
        }
        self.go_on(context)
    }

    fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        failure: &RequestFailure,
    ) -> Progress {
        if purpose == Purpose::Ping {
            self.settle(address_of(from), Some(problem_of(failure)));
        } else if let Some(walk) = self.walk() {
            walk.on_failed(context, from, failure);
        }
        self.go_on(context)
    }
}

fn problem_of(failure: &RequestFailure) -> JoinProblem {
    match failure {
        RequestFailure::Mismatch(differences) => JoinProblem::WrongNetwork(differences.clone()),
        _ => JoinProblem::Unreachable,
    }
}

fn address_of(contact: &Contact) -> Option<SocketAddr> {
    contact
        .address(qadom_routing::Families::BOTH)
        .map(canonical)
}
