//! Many values in one request: put, or read.
//!
//! What must stay true: each item is answered by itself, in the order of the request, so that one that
//! fails spoils no other; a request has at most [`ITEMS_MAX`] items, and works on a bounded number of
//! them at once.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use qadom_node::{Key, Node, ReadFrom, Reason, WriteOptions};
use tokio::task::JoinSet;

use super::parameters::{ReadQuery, WriteQuery};
use super::{Answer, parse_key};
use crate::api;
use crate::bodies::{BodyKind, read_json};
use crate::problem::Problem;
use crate::router::App;

/// Items of one request.
pub(crate) const ITEMS_MAX: usize = 1024;

/// Items of one request that are worked on at once.
const AT_ONCE: usize = 32;

/// `POST /v1/bulk/put`: puts every value of the body.
pub(crate) async fn put(
    State(app): State<App>,
    query: Result<Query<WriteQuery>, QueryRejection>,
    body: Body,
) -> Answer<Json<api::BulkWritten>> {
    let options = query?.0.without_seq()?.options()?;
    let _place = app.large.acquire().await;
    let request: api::BulkPut = read_json(&app, body, BodyKind::Bulk).await?;
    let items = bounded(request.items)?;
    let node = app.node.clone();
    let items = each(items, move |item| put_one(node.clone(), item, options)).await;
    Ok(Json(api::BulkWritten { items }))
}

async fn put_one(node: Node, item: api::BulkValue, options: WriteOptions) -> api::BulkWrite {
    match node.put_with(item.value, options).await {
        Ok(receipt) => api::BulkWrite::Written(Box::new((&receipt).into())),
        Err(error) => api::BulkWrite::Failed {
            error: Box::new(error.into()),
        },
    }
}

/// `POST /v1/bulk/get`: reads the value of every key of the body.
pub(crate) async fn get(
    State(app): State<App>,
    query: Result<Query<ReadQuery>, QueryRejection>,
    body: Body,
) -> Answer<Json<api::BulkFetched>> {
    let query = query?
        .0
        .without(&["writer", "signature", "cursor", "limit"])?;
    let source = query.source()?;
    let _place = app.large.acquire().await;
    let request: api::BulkGet = read_json(&app, body, BodyKind::Bulk).await?;
    let keys = bounded(request.keys)?;
    let node = app.node.clone();
    let items = each(keys, move |key| get_one(node.clone(), key, source.clone()));
    Ok(Json(api::BulkFetched { items: items.await }))
}

async fn get_one(node: Node, key: String, source: ReadFrom) -> api::BulkFetch {
    let found = match parse_key(&key) {
        Ok(key) => fetch(&node, key, source).await,
        Err(problem) => Err(problem),
    };
    match found {
        Ok(fetched) => api::BulkFetch::Found(Box::new(fetched)),
        Err(error) => api::BulkFetch::Failed {
            key,
            error: Box::new(error),
        },
    }
}

/// Reads one value from wherever it is asked for.
pub(super) async fn fetch(node: &Node, key: Key, source: ReadFrom) -> Answer<api::Fetched> {
    let fetched = match source {
        ReadFrom::Network => node.get(key).await?,
        ReadFrom::Local => node.get_local(key).await?,
        ReadFrom::Node(name) => node.get_from(key, name).await?,
    };
    Ok(fetched.into())
}

fn bounded<T>(items: Vec<T>) -> Answer<Vec<T>> {
    if items.len() > ITEMS_MAX {
        let count = items.len();
        let detail = format!("a bulk request has at most {ITEMS_MAX} items, not {count}");
        return Err(Problem::new(Reason::TooLarge, detail));
    }
    Ok(items)
}

/// Works on every item, some at once, and gives the results in the order of the items. When nobody
/// waits any more, the rest is given up.
async fn each<I, T, F>(items: Vec<I>, work: impl Fn(I) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut results = Vec::with_capacity(items.len());
    let mut running = JoinSet::new();
    let mut items = items.into_iter().enumerate();
    loop {
        while running.len() < AT_ONCE
            && let Some((place, item)) = items.next()
        {
            let work = work(item);
            running.spawn(async move { (place, work.await) });
        }
        match running.join_next().await {
            Some(Ok(result)) => results.push(result),
            // Work neither panics nor is it cancelled while somebody waits for it.
            Some(Err(_)) => {}
            None => break,
        }
    }
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn results_come_in_the_order_of_the_items_and_few_are_worked_on_at_once() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let items = (0..5 * AT_ONCE).collect::<Vec<_>>();
        let results = each(items.clone(), |item| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                let running = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(running, Ordering::SeqCst);
                for _ in 0..item % 7 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                item
            }
        });
        assert_eq!(results.await, items);
        assert!(most.load(Ordering::SeqCst) <= AT_ONCE);
    }

    #[test]
    fn one_item_too_many_is_refused() {
        for (count, is_fit) in [(0, true), (ITEMS_MAX, true), (ITEMS_MAX + 1, false)] {
            assert_eq!(bounded(vec![(); count]).is_ok(), is_fit, "{count}");
        }
    }
}
