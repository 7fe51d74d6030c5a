//! What writers sign: dicts, bags, namespaces, and messages to topics.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use qadom_node::{Key, Reason, SignedRead, Writer};

use super::conditional::{expected_seq, is_there, not_modified, tag_of};
use super::parameters::{ReadQuery, WriteQuery};
use super::{ASK_AGAIN, Answer, conditional, fact, facts, key, parse_key, raw, wants_json};
use crate::api;
use crate::bodies::{BodyKind, read};
use crate::problem::Problem;
use crate::router::App;
use crate::texts::{TextError, parse_name, parse_signature, parse_topic, parse_writer};

type Named = Result<Path<String>, PathRejection>;
type Writes = Result<Query<WriteQuery>, QueryRejection>;
type Reads = Result<Query<ReadQuery>, QueryRejection>;

impl From<TextError> for Problem {
    fn from(error: TextError) -> Self {
        Self::new(Reason::Malformed, error.to_string())
    }
}

/// `PUT /v1/dict/NAME`: sets the name to the body.
pub(crate) async fn dict_set(
    State(app): State<App>,
    name: Named,
    query: Writes,
    body: Body,
) -> Answer<Response> {
    let (Path(name), query) = (name?, query?.0.without_seq()?);
    parse_name(&name)?;
    let value = read(&app, body, BodyKind::Value).await?;
    let dict = app.node.dict().signed_by(query.identity());
    let written = dict.with_options(query.options()?).set(name, value).await?;
    Ok(created(&api::Written::from(&written)))
}

/// `DELETE /v1/dict/NAME`: deletes the name.
pub(crate) async fn dict_delete(
    State(app): State<App>,
    name: Named,
    query: Writes,
) -> Answer<Json<api::Written>> {
    let (Path(name), query) = (name?, query?.0.without_seq()?);
    parse_name(&name)?;
    let dict = app.node.dict().signed_by(query.identity());
    let written = dict.with_options(query.options()?).delete(name).await?;
    Ok(Json(api::Written::from(&written)))
}

/// `GET /v1/dict/NAME`: what was set last, or by one writer.
pub(crate) async fn dict_get(
    State(app): State<App>,
    name: Named,
    query: Reads,
    headers: HeaderMap,
) -> Answer<Response> {
    let (Path(name), query) = (name?, query?.0.without(&["signature", "cursor", "limit"])?);
    parse_name(&name)?;
    let dict = app.node.dict().read_from(query.source()?);
    let (read, what) = if let Some(writer) = query.writer() {
        let read = dict.get_by(&name, parse_writer(writer)?).await;
        (read, format!("that writer has set nothing under {name:?}"))
    } else {
        let read = dict.get(&name).await;
        (read, format!("nothing is set under {name:?}"))
    };
    let read = read.map_err(|error| Problem::not_found(error, &what))?;
    let slot = *read.record.slot();
    Ok(entry(slot, &read, &headers))
}

/// `PATCH /v1/dict`: sets every name of the object; texts as they are, all else as its JSON.
pub(crate) async fn dict_update(
    State(app): State<App>,
    query: Writes,
    body: Body,
) -> Answer<Json<Vec<api::DictWritten>>> {
    let query = query?.0.without_seq()?;
    let dict = app.node.dict().signed_by(query.identity());
    let dict = dict.with_options(query.options()?);
    let _place = app.large.acquire().await;
    let object = read(&app, body, BodyKind::Update).await?;
    let object: api::DictUpdate = serde_json::from_slice(&object).map_err(|error| {
        let detail = format!("an update is one JSON object: {error}");
        Problem::new(Reason::Malformed, detail)
    })?;
    let items = object.into_iter().map(|(name, value)| {
        let value = match value {
            serde_json::Value::String(text) => Bytes::from(text),
            other => Bytes::from(other.to_string()),
        };
        (Bytes::from(name), value)
    });
    let results = dict.update(items).await;
    let mut written: Vec<_> = results
        .into_iter()
        .map(|(name, result)| {
            let (written, error) = match result {
                Ok(written) => (Some(api::Written::from(&written)), None),
                Err(error) => (None, Some(Problem::from(error))),
            };
            let name = String::from_utf8_lossy(&name).into_owned();
            // The name is what people see, so it is told what is wrong with it.
            let error = error.map(|error| parse_name(&name).err().map_or(error, Problem::from));
            api::DictWritten {
                name,
                written,
                error,
            }
        })
        .collect();
    written.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Json(written))
}

/// `POST /v1/bags/KEY`: adds the body.
pub(crate) async fn bag_add(
    State(app): State<App>,
    path: Named,
    query: Writes,
    body: Body,
) -> Answer<Response> {
    let (key, query) = (key(path)?, query?.0.without_seq()?);
    let item = read(&app, body, BodyKind::Item).await?;
    let bag = app.node.bag(key).signed_by(query.identity());
    let written = bag.with_options(query.options()?).add(item).await?;
    Ok(created(&api::Written::from(&written)))
}

/// `DELETE /v1/bags/KEY`: removes the body.
pub(crate) async fn bag_remove(
    State(app): State<App>,
    path: Named,
    query: Writes,
    body: Body,
) -> Answer<Json<api::Written>> {
    let (key, query) = (key(path)?, query?.0.without_seq()?);
    let item = read(&app, body, BodyKind::Item).await?;
    let bag = app.node.bag(key).signed_by(query.identity());
    let written = bag.with_options(query.options()?).remove(item).await;
    let what = format!("the bag {key} has no such item");
    let written = written.map_err(|error| Problem::not_found(error, &what))?;
    Ok(Json(api::Written::from(&written)))
}

/// `GET /v1/bags/KEY`: all items, or `limit` of them behind a `cursor`.
pub(crate) async fn bag_list(
    State(app): State<App>,
    path: Named,
    query: Reads,
) -> Answer<Json<api::BagList>> {
    let (key, query) = (key(path)?, query?.0.without(&["writer", "signature"])?);
    let bag = app.node.bag(key).read_from(query.source()?);
    let list = match query.page()? {
        Some((behind, limit)) => bag.page(behind, limit).await?,
        None => bag.list().await?,
    };
    Ok(Json(api::BagList::new(key, list)))
}

/// `PUT /v1/namespaces/KEY`: sets the key of the identity's namespace to the body.
pub(crate) async fn namespace_set(
    State(app): State<App>,
    path: Named,
    query: Writes,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let (key, Query(query)) = (key(path)?, query?);
    let condition = expected_seq(&headers)?;
    if condition.is_some() && query.if_seq().is_some() {
        let detail = "if_seq and the conditions of HTTP exclude each other";
        return Err(Problem::new(Reason::Usage, detail));
    }
    let value = read(&app, body, BodyKind::Value).await?;
    let namespace = app.node.namespace().signed_by(query.identity());
    let namespace = namespace.with_options(query.options()?);
    let written = match condition.or(query.if_seq()) {
        Some(seq) => namespace.set_if(key, value, seq).await,
        None => namespace.set(key, value).await,
    };
    let written = written.map_err(|error| {
        let has_failed = condition.is_some() && error.reason() == Reason::StaleSeq;
        let problem = Problem::from(error);
        if has_failed {
            problem.with_status(StatusCode::PRECONDITION_FAILED)
        } else {
            problem
        }
    });
    Ok(created(&api::Written::from(&written?)))
}

/// `DELETE /v1/namespaces/KEY`: deletes the key of the identity's namespace.
pub(crate) async fn namespace_delete(
    State(app): State<App>,
    path: Named,
    query: Writes,
) -> Answer<Json<api::Written>> {
    let (key, query) = (key(path)?, query?.0.without_seq()?);
    let namespace = app.node.namespace().signed_by(query.identity());
    let written = namespace.with_options(query.options()?).delete(key).await?;
    Ok(Json(api::Written::from(&written)))
}

/// `GET /v1/namespaces/PUBLIC_KEY/KEY`: what a writer set.
pub(crate) async fn namespace_get(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Reads,
    headers: HeaderMap,
) -> Answer<Response> {
    let (Path((writer, key)), query) = (path?, query?.0.without(&["writer", "cursor", "limit"])?);
    let (writer, key): (Writer, Key) = (parse_writer(&writer)?, parse_key(&key)?);
    let namespace = app.node.namespace().read_from(query.source()?);
    let read = match query.signature() {
        Some(text) => {
            let signature = parse_signature(text)?;
            namespace.get_signed(writer, key, &signature).await
        }
        None if query.latest()? => namespace.latest(writer, key).await,
        None => namespace.get(writer, key).await,
    };
    let what = format!("nothing is set under {key} in that namespace");
    let read = read.map_err(|error| Problem::not_found(error, &what))?;
    Ok(entry(key, &read, &headers))
}

/// `POST /v1/topics/TOPIC`: publishes the body.
pub(crate) async fn publish(
    State(app): State<App>,
    topic: Named,
    query: Writes,
    body: Body,
) -> Answer<Response> {
    let (Path(topic), query) = (topic?, query?.0.without_seq()?);
    let message = read(&app, body, BodyKind::Message).await?;
    let topic = app.node.topic(parse_topic(&topic)?);
    let topic = topic.signed_by(query.identity());
    let written = topic
        .with_options(query.options()?)
        .publish(message)
        .await?;
    Ok(created(&api::Written::from(&written)))
}

fn created(written: &api::Written) -> Response {
    (StatusCode::CREATED, Json(written)).into_response()
}

/// What a read found: the bytes unless the asker has them, or the JSON about them.
fn entry(key: Key, read: &SignedRead, headers: &HeaderMap) -> Response {
    let entry = api::Entry::new(key, read);
    if wants_json(headers) {
        return Json(entry).into_response();
    }
    let tag = tag_of(read);
    if is_there(headers, &tag) {
        return not_modified(&tag, ASK_AGAIN);
    }
    let facts = [
        (facts::KEY, fact(&entry.key)),
        (facts::SOURCE, fact(&entry.source)),
        (facts::AGE, fact(&entry.age_ms)),
        (facts::WRITER, fact(&entry.writer)),
        (facts::SEQ, fact(&entry.seq)),
        (facts::SIGNATURE, fact(&entry.signature)),
        (facts::EXPIRES_AT, fact(&entry.expires_at)),
        (facts::CONFLICT, fact(&entry.conflict)),
        (facts::HOPS, fact(&entry.hops)),
        (facts::MESSAGES, fact(&entry.messages)),
        (facts::TOOK, fact(&entry.took_ms)),
    ];
    raw(entry.value, conditional::tag(&tag), facts).map(Body::new)
}
