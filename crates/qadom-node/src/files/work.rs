//! The task that takes in what other nodes want of this one's files, and looks after them.

use std::sync::Arc;
use std::time::Duration;

use qadom_routing::NodeKey;
use qadom_transport::{Accepted, Quic};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::service::{Asked, Service, lock};
use super::{announce, hold, repair, serve};
use crate::node::Node;
use crate::transfer::{Purpose, purpose};

/// How often expired chunks are dropped.
const EXPIRE_EVERY: Duration = Duration::from_mins(1);
/// Chunks that are dropped at once.
const EXPIRED_AT_ONCE: usize = 4096;
/// How long after the start, and then how often, it is looked whether this node's address is still
/// the one that it announces.
const REFRESH_EVERY: Duration = Duration::from_mins(10);
/// Streams whose purpose is not known yet; one more is refused.
const UNKNOWN_MAX: usize = 64;

/// Begins the work of a node on files.
pub(crate) fn start(
    service: &Arc<Service>,
    node: &Node,
    asked: mpsc::Receiver<Box<Asked>>,
    streams: mpsc::Receiver<Accepted>,
) {
    service.belong_to(node);
    let quic = Arc::clone(&node.inner.quic);
    service.spawn(run(Arc::clone(service), quic, asked, streams));
}

/// Runs until the node ends.
async fn run(
    service: Arc<Service>,
    quic: Arc<Quic>,
    mut asked: mpsc::Receiver<Box<Asked>>,
    mut streams: mpsc::Receiver<Accepted>,
) {
    let keeping = Arc::clone(&service);
    service.spawn(async move { keep(keeping).await });
    let places = Arc::new(tokio::sync::Semaphore::new(UNKNOWN_MAX));
    loop {
        tokio::select! {
            question = asked.recv() => {
                let Some(question) = question else { return };
                let Ok(place) = Arc::clone(&service.questions).try_acquire_owned() else {
                    hold::refuse(&service, &question);
                    continue;
                };
                let answering = hold::answer(Arc::clone(&service), *question);
                service.spawn(async move {
                    answering.await;
                    drop(place);
                });
            }
            stream = streams.recv() => {
                let Some((key, stream)) = stream else { return };
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    quic.refuse(stream);
                    continue;
                };
                let (working, quic) = (Arc::clone(&service), Arc::clone(&quic));
                service.spawn(async move {
                    let found = purpose(stream).await;
                    drop(place);
                    let Some((purpose, stream)) = found else { return };
                    match (purpose, NodeKey::new(key)) {
                        (Purpose::Files, Ok(key)) => serve::accept(working, key, stream).await,
                        (Purpose::Application, _) => {
                            let application = lock(&working.applications).clone();
                            hand_over(&quic, application, (key, stream));
                        }
                        (Purpose::Files, Err(_)) => {}
                    }
                });
            }
        }
    }
}

/// Gives a stream to the program that accepts streams, or refuses it.
fn hand_over(quic: &Quic, application: Option<mpsc::Sender<Accepted>>, accepted: Accepted) {
    let refused = match application {
        Some(application) => application
            .try_send(accepted)
            .err()
            .map(|error| match error {
                mpsc::error::TrySendError::Full((_, stream))
                | mpsc::error::TrySendError::Closed((_, stream)) => stream,
            }),
        None => Some(accepted.1),
    };
    if let Some(stream) = refused {
        quic.refuse(stream);
    }
}

/// Drops what has expired, announces what is here, and repairs, each in its time; what that takes
/// of memory is there only meanwhile.
async fn keep(service: Arc<Service>) {
    let expiring = async {
        loop {
            sleep(EXPIRE_EVERY).await;
            let now = service.utc_seconds();
            // A disk that fails now is tried again.
            let _ = service
                .blocking(move |folder| folder.held().expire(now, EXPIRED_AT_ONCE))
                .await;
        }
    };
    let announcing = async {
        loop {
            sleep(REFRESH_EVERY).await;
            Box::pin(announce::refresh(&service)).await;
        }
    };
    let repairing = async {
        loop {
            sleep(repair::pause(service.settings.repair_every)).await;
            Box::pin(repair::round(&service)).await;
        }
    };
    tokio::join!(expiring, announcing, repairing);
}
