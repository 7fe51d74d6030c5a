//! Asking a daemon for dicts, bags, namespaces, topics, publications, identities and blocks.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use qadom_node::Key;

use super::events::Events;
use super::{Client, ClientError, ReadFrom, escaped, json};
use crate::api;

/// Items of a long list that are asked for at once.
const PAGE: usize = 4096;

/// How a write is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteQuery {
    /// Who signs; none stands for the identity `default`. Values have no writer.
    pub identity: Option<String>,
    /// How long a copy lives without renewal; none stands for 36 h.
    pub ttl: Option<Duration>,
    /// Copies below which the write counts as failed; none stands for half of what can be reached.
    pub min_copies: Option<u32>,
    /// Whether it is not renewed.
    pub once: bool,
}

/// Which part of a list is wanted; all of it by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The cursor that came with the page before; none begins with the first item.
    pub cursor: Option<String>,
    /// Items at most.
    pub limit: Option<NonZeroUsize>,
}

impl WriteQuery {
    fn parameters(&self) -> Vec<String> {
        let identity = self.identity.as_deref();
        let parameters = [
            identity.map(|identity| format!("identity={}", escaped(identity))),
            self.ttl.map(|ttl| format!("ttl={}s", ttl.as_secs())),
            self.min_copies.map(|copies| format!("min_copies={copies}")),
            self.once.then(|| "once=1".to_owned()),
        ];
        parameters.into_iter().flatten().collect()
    }

    pub(super) fn route(&self, path: &str) -> String {
        route(path, &self.parameters())
    }
}

impl ReadFrom {
    fn parameters(&self) -> Vec<String> {
        match self {
            Self::Anywhere => Vec::new(),
            Self::Local => vec!["local=1".to_owned()],
            Self::Node(node) => vec![format!("from={}", escaped(node))],
        }
    }

    pub(super) fn route(&self, path: &str) -> String {
        route(path, &self.parameters())
    }
}

/// A path and its parameters.
pub(super) fn route(path: &str, parameters: &[String]) -> String {
    if parameters.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", parameters.join("&"))
    }
}

impl Client {
    /// Sets a name of the dict, at most 256 bytes, to a value of at most 8192.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `too-few-copies` carries the receipt.
    pub async fn dict_set(
        &self,
        name: &str,
        value: Bytes,
        write: &WriteQuery,
    ) -> Result<api::Written, ClientError> {
        let path = format!("/v1/dict/{}", escaped(name));
        self.call(Method::PUT, &write.route(&path), value).await
    }

    /// Reads a name of the dict; with a writer (a public key), what that one set.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `not-found` when it was never set or is deleted.
    pub async fn dict_get(
        &self,
        name: &str,
        writer: Option<&str>,
        from: &ReadFrom,
    ) -> Result<api::Entry, ClientError> {
        let mut parameters = from.parameters();
        parameters.extend(writer.map(|writer| format!("writer={}", escaped(writer))));
        let path = route(&format!("/v1/dict/{}", escaped(name)), &parameters);
        self.call(Method::GET, &path, Bytes::new()).await
    }

    /// Deletes a name of the dict.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn dict_delete(
        &self,
        name: &str,
        write: &WriteQuery,
    ) -> Result<api::Written, ClientError> {
        let path = format!("/v1/dict/{}", escaped(name));
        self.call(Method::DELETE, &write.route(&path), Bytes::new())
            .await
    }

    /// Sets many names of the dict; each is answered by itself. `object` is one JSON object.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when nothing was set.
    pub async fn dict_update(
        &self,
        object: Bytes,
        write: &WriteQuery,
    ) -> Result<Vec<api::DictWritten>, ClientError> {
        self.call(Method::PATCH, &write.route("/v1/dict"), object)
            .await
    }

    /// Adds an item of at most 1024 bytes to a bag.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `too-few-copies` carries the receipt.
    pub async fn bag_add(
        &self,
        key: &Key,
        item: Bytes,
        write: &WriteQuery,
    ) -> Result<api::Written, ClientError> {
        let path = write.route(&format!("/v1/bags/{key}"));
        self.call(Method::POST, &path, item).await
    }

    /// Lists the items of a bag; an unknown bag is empty.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn bag_list(
        &self,
        key: &Key,
        page: &Page,
        from: &ReadFrom,
    ) -> Result<api::BagList, ClientError> {
        let mut parameters = from.parameters();
        let cursor = page.cursor.as_deref();
        parameters.extend(cursor.map(|cursor| format!("cursor={}", escaped(cursor))));
        parameters.extend(page.limit.map(|limit| format!("limit={limit}")));
        let path = route(&format!("/v1/bags/{key}"), &parameters);
        self.call(Method::GET, &path, Bytes::new()).await
    }

    /// Removes an item that the identity added.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `not-yours` when others alone added it.
    pub async fn bag_remove(
        &self,
        key: &Key,
        item: Bytes,
        write: &WriteQuery,
    ) -> Result<api::Written, ClientError> {
        let path = write.route(&format!("/v1/bags/{key}"));
        self.call(Method::DELETE, &path, item).await
    }

    /// Sets a key of the identity's namespace; with `if_seq` only when that is the version there.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `stale-seq` tells what is there instead.
    pub async fn namespace_set(
        &self,
        key: &Key,
        value: Bytes,
        if_seq: Option<u64>,
        write: &WriteQuery,
    ) -> Result<api::Written, ClientError> {
        let mut parameters = write.parameters();
        parameters.extend(if_seq.map(|seq| format!("if_seq={seq}")));
        let path = route(&format!("/v1/namespaces/{key}"), &parameters);
        self.call(Method::PUT, &path, value).await
    }

    /// Reads a key of a writer's namespace: the first valid answer, or the newest of all.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `bad-signature` when the content is not the one that was signed so.
    pub async fn namespace_get(
        &self,
        writer: &str,
        key: &Key,
        latest: bool,
        signature: Option<&str>,
        from: &ReadFrom,
    ) -> Result<api::Entry, ClientError> {
        let mut parameters = from.parameters();
        parameters.extend(latest.then(|| "latest=1".to_owned()));
        parameters.extend(signature.map(|signature| format!("signature={}", escaped(signature))));
        let path = format!("/v1/namespaces/{}/{key}", escaped(writer));
        self.call(Method::GET, &route(&path, &parameters), Bytes::new())
            .await
    }

    /// Deletes a key of the identity's namespace.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn namespace_delete(
        &self,
        key: &Key,
        write: &WriteQuery,
    ) -> Result<api::Written, ClientError> {
        let path = write.route(&format!("/v1/namespaces/{key}"));
        self.call(Method::DELETE, &path, Bytes::new()).await
    }

    /// Publishes a message of at most 8192 bytes.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `too-few-copies` carries the receipt.
    pub async fn publish(
        &self,
        topic: &str,
        message: Bytes,
        write: &WriteQuery,
    ) -> Result<api::Written, ClientError> {
        let path = write.route(&format!("/v1/topics/{}", escaped(topic)));
        self.call(Method::POST, &path, message).await
    }

    /// Follows a topic from a cursor on: `now`, `0`, or what came with an event.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn subscribe(&self, topic: &str, since: &str) -> Result<Events, ClientError> {
        let path = format!("/v1/topics/{}/events", escaped(topic));
        self.follow(&path, since).await
    }

    /// Follows a slot from a cursor on: `now`, `0`, or what came with an event.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn watch(&self, slot: &str, since: &str) -> Result<Events, ClientError> {
        self.follow(&format!("/v1/watch/{}", escaped(slot)), since)
            .await
    }

    async fn follow(&self, path: &str, since: &str) -> Result<Events, ClientError> {
        let cursor = format!("cursor={}", escaped(since));
        self.events(Method::GET, &route(path, &[cursor]), Bytes::new())
            .await
    }

    /// Lists what the daemon keeps alive, which it is asked for page by page.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn publications(&self) -> Result<api::Publications, ClientError> {
        let path = format!("/v1/publications?limit={PAGE}");
        let mut all: api::Publications = self.call(Method::GET, &path, Bytes::new()).await?;
        while let Some(cursor) = all.cursor.take() {
            let path = format!("{path}&cursor={}", escaped(&cursor));
            let page: api::Publications = self.call(Method::GET, &path, Bytes::new()).await?;
            all.items.extend(page.items);
            all.cursor = page.cursor;
        }
        Ok(all)
    }

    /// Ends what the daemon keeps alive under a key.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `not-found` when there is nothing.
    pub async fn withdraw(&self, key: &Key) -> Result<api::Withdrawn, ClientError> {
        let path = format!("/v1/publications/{key}");
        self.call(Method::DELETE, &path, Bytes::new()).await
    }

    /// Lists the daemon's identities.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn identities(&self) -> Result<api::Identities, ClientError> {
        self.call(Method::GET, "/v1/identities", Bytes::new()).await
    }

    /// Makes an identity, or takes over an exported one.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `conflict` when the name is taken.
    pub async fn add_identity(
        &self,
        request: &api::IdentityRequest,
    ) -> Result<api::Identity, ClientError> {
        self.call(Method::POST, "/v1/identities", json(request)?)
            .await
    }

    /// The secret of an identity, in the text that [`Client::add_identity`] takes.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `not-found` when there is none of that name.
    pub async fn export_identity(&self, name: &str) -> Result<api::IdentityRequest, ClientError> {
        let path = format!("/v1/identities/{}", escaped(name));
        self.call(Method::GET, &path, Bytes::new()).await
    }

    /// Lists what the daemon has nothing to do with.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn blocks(&self) -> Result<api::Blocks, ClientError> {
        self.call(Method::GET, "/v1/blocks", Bytes::new()).await
    }

    /// Lets the daemon have nothing to do with a node or a key.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn block(&self, request: &api::BlockRequest) -> Result<api::Blocks, ClientError> {
        self.call(Method::POST, "/v1/blocks", json(request)?).await
    }

    /// Takes a block back.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `not-found` when there is none.
    pub async fn unblock(&self, what: &str) -> Result<api::Blocks, ClientError> {
        let path = format!("/v1/blocks/{}", escaped(what));
        self.call(Method::DELETE, &path, Bytes::new()).await
    }
}
