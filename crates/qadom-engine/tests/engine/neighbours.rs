//! A few engines that all know each other, whose messages arrive at once.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::one::{One, STORING, far, node_key};
use qadom_engine::{Config, Effect, Inbound, InboundId, RequestFailure};
use qadom_store::Store as _;
use qadom_wire::{BODY_MAX, Request};

pub(crate) struct Neighbours {
    pub(crate) nodes: Vec<One>,
    /// Everything that was asked: by whom, of whom, what.
    pub(crate) asked: Vec<(usize, usize, Request)>,
    /// What nodes wanted while they answered others.
    waiting: Vec<(usize, Effect)>,
}

impl Neighbours {
    /// Storing nodes with trusted clocks.
    pub(crate) fn new(count: u8, configure: impl Fn(&mut Config)) -> Self {
        let nodes = (0..count).map(|number| {
            One::with(|config| {
                config.key = node_key(number);
                config.expiry_grace = Duration::ZERO;
                configure(config);
            })
        });
        let mut world = Self {
            nodes: nodes.collect(),
            asked: Vec::new(),
            waiting: Vec::new(),
        };
        for (index, node) in world.nodes.iter_mut().enumerate() {
            for other in (0..count).filter(|other| usize::from(*other) != index) {
                node.confirm(other, far(other), &STORING);
            }
        }
        world.run();
        world
    }

    fn one(&mut self, node: usize) -> &mut One {
        self.nodes.get_mut(node).unwrap()
    }

    /// Lets one node go on until its deadlines lie this far ahead.
    pub(crate) fn live(&mut self, node: usize, seconds: u64) {
        let end = self.one(node).now.moment + Duration::from_secs(seconds);
        loop {
            let one = self.one(node);
            let deadline = one.engine.next_deadline().map_or(end, |at| at.min(end));
            let step = deadline.since(one.now.moment).max(Duration::from_millis(1));
            one.now.moment = one.now.moment + step;
            one.now.utc_micros += u64::try_from(step.as_micros()).unwrap();
            one.engine.on_deadline(one.now);
            self.run();
            if self.one(node).now.moment >= end {
                return;
            }
        }
    }

    fn index_of(&self, address: SocketAddr) -> Option<usize> {
        (0..self.nodes.len())
            .find(|index| u8::try_from(*index).is_ok_and(|number| far(number) == address))
    }

    /// Carries messages until there are none.
    pub(crate) fn run(&mut self) {
        let mut queue: VecDeque<usize> = (0..self.nodes.len()).collect();
        while let Some(index) = queue.pop_front() {
            while let Some(effect) = self.effect(index) {
                match effect {
                    Effect::Request(outgoing) => {
                        let Some(to) = self.index_of(outgoing.address) else {
                            let one = self.one(index);
                            one.engine
                                .on_failed(one.now, outgoing.id, &RequestFailure::Timeout);
                            continue;
                        };
                        let request = Request::decode(outgoing.body.clone()).unwrap();
                        let answer = self.serve(index, to, outgoing.body);
                        // Who is to call somebody back answers when that has ended.
                        let is_late = matches!(request, Request::DialBack(_));
                        assert!(answer.is_some() || is_late, "no answer to {request:?}");
                        self.asked.push((index, to, request));
                        let one = self.one(index);
                        let (now, id) = (one.now, outgoing.id);
                        let rtt = Duration::from_millis(1);
                        match answer {
                            Some(body) => one.engine.on_answer(now, id, body, rtt, None),
                            None => one.engine.on_failed(now, id, &RequestFailure::Timeout),
                        }
                        queue.push_back(to);
                    }
                    Effect::Commit(_) => {
                        let one = self.one(index);
                        let ticket = one.store.commit().unwrap();
                        one.engine.on_committed(one.now, ticket);
                    }
                    _ => {}
                }
            }
        }
    }

    /// What a node wants next, first what it wanted while it answered others.
    fn effect(&mut self, index: usize) -> Option<Effect> {
        match self.waiting.iter().position(|(node, _)| *node == index) {
            Some(place) => Some(self.waiting.remove(place).1),
            None => self.one(index).engine.poll_effect(),
        }
    }

    /// Lets a node answer another one.
    fn serve(&mut self, from: usize, to: usize, body: bytes::Bytes) -> Option<bytes::Bytes> {
        let number = u8::try_from(from).unwrap();
        let one = self.one(to);
        let inbound = Inbound {
            id: InboundId(7),
            key: node_key(number),
            address: far(number),
            confirmed: true,
            body,
            answer_max: BODY_MAX,
        };
        one.engine.on_request(one.now, &inbound);
        let ticket = one.store.commit().unwrap();
        one.engine.on_committed(one.now, ticket);
        let mut answer = None;
        let mut others = Vec::new();
        while let Some(effect) = one.engine.poll_effect() {
            match effect {
                Effect::Answer { body, .. } => answer = Some(body),
                other => others.push((to, other)),
            }
        }
        self.waiting.extend(others);
        answer
    }
}
