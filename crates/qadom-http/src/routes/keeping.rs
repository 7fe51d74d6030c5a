//! What a node keeps alive, who it can sign as, and what it has nothing to do with.

use std::collections::HashMap;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use qadom_node::{Blocked, Kind, NodeId, NodeName, PublicationId, Reason};

use super::paging::{PageQuery, Paged, cursor, not_a_cursor};
use super::{Answer, key, parse_key};
use crate::api;
use crate::bodies::{BodyKind, read_json};
use crate::duration::parse_duration;
use crate::problem::Problem;
use crate::router::App;

type Named = Result<Path<String>, PathRejection>;

/// `GET /v1/publications`: all that is kept alive.
pub(crate) async fn publications(
    State(app): State<App>,
    page: Paged,
) -> Answer<Json<api::Publications>> {
    let Query(page) = page?;
    let behind = page.behind()?;
    let behind = behind.map(|text| publication_id(&text).ok_or_else(|| not_a_cursor(&text)));
    let limit = page.limit();
    let mut publications = app
        .node
        .publications_behind(behind.transpose()?, limit.saturating_add(1))
        .await?;
    let is_last = publications.len() <= limit;
    publications.truncate(limit);
    let last = publications.last().filter(|_| !is_last);
    let cursor = last.map(|last| cursor(&place(&last.id())));
    let mut names = HashMap::new();
    let items = publications.iter().map(|publication| {
        api::Publication::new(publication, |writer| {
            let name = || app.node.identity_name(writer);
            names.entry(*writer).or_insert_with(name).clone()
        })
    });
    let items = items.collect();
    Ok(Json(api::Publications { items, cursor }))
}

/// The place of a publication in the list of all.
fn place(id: &PublicationId) -> String {
    format!("{}.{}.{}", id.slot, id.kind.number(), id.item)
}

/// Reads the place of a publication.
fn publication_id(place: &str) -> Option<PublicationId> {
    let mut parts = place.split('.');
    let (slot, kind, item) = (parts.next()?, parts.next()?, parts.next()?);
    let mut kinds = Kind::ALL.iter();
    Some(PublicationId {
        slot: slot.parse().ok()?,
        kind: *kinds.find(|known| known.number().to_string() == kind)?,
        item: item.parse().ok()?,
    })
}

/// `DELETE /v1/publications/KEY`: ends what is kept alive under a key.
pub(crate) async fn withdraw(State(app): State<App>, path: Named) -> Answer<Json<api::Withdrawn>> {
    let key = key(path)?;
    let withdrawn = app.node.withdraw(key).await.map_err(|error| {
        let what = format!("this node keeps nothing alive under {key}");
        let advice = "list the publications for their keys; a name of a dict and an entry of a \
                      namespace have the key of their slot";
        let is_unknown = error.reason() == Reason::NotFound;
        let problem = Problem::not_found(error, &what);
        if is_unknown {
            problem.with_advice(advice)
        } else {
            problem
        }
    })?;
    Ok(Json(api::Withdrawn::from(&withdrawn)))
}

/// `GET /v1/identities`: the identities and their public keys.
pub(crate) async fn identities(
    State(app): State<App>,
    page: Paged,
) -> Answer<Json<api::Identities>> {
    let identities = app.node.identities().await?;
    let page = page?.of(identities, |(name, _)| name.clone())?;
    let items = page.items.into_iter().map(api::Identity::from).collect();
    let cursor = page.cursor;
    Ok(Json(api::Identities { items, cursor }))
}

/// `POST /v1/identities`: makes an identity, or takes over an exported one.
pub(crate) async fn add_identity(
    State(app): State<App>,
    body: Body,
) -> Answer<Json<api::Identity>> {
    let request: api::IdentityRequest = read_json(&app, body, BodyKind::Json).await?;
    let writer = match &request.secret {
        Some(secret) => app.node.import_identity(&request.name, secret).await?,
        None => app.node.create_identity(&request.name).await?,
    };
    Ok(Json(api::Identity::from((request.name, writer))))
}

/// `GET /v1/identities/NAME`: the secret of an identity.
pub(crate) async fn export_identity(
    State(app): State<App>,
    name: Named,
) -> Answer<Json<api::IdentityRequest>> {
    let Path(name) = name?;
    let secret = Some(app.node.export_identity(&name).await?);
    Ok(Json(api::IdentityRequest { name, secret }))
}

/// `GET /v1/blocks`: all that is blocked.
pub(crate) async fn blocks(State(app): State<App>, page: Paged) -> Answer<Json<api::Blocks>> {
    list_blocks(&app, &page?.0).await
}

async fn list_blocks(app: &App, page: &PageQuery) -> Answer<Json<api::Blocks>> {
    let blocks = app.node.blocks().await?;
    let blocks = blocks.iter().map(api::Block::from).collect();
    let page = page.of(blocks, |block: &api::Block| {
        format!("{} {}", block.kind, block.what)
    })?;
    let (items, cursor) = (page.items, page.cursor);
    Ok(Json(api::Blocks { items, cursor }))
}

/// `POST /v1/blocks`: blocks a node or a key.
pub(crate) async fn block(State(app): State<App>, body: Body) -> Answer<Json<api::Blocks>> {
    let request: api::BlockRequest = read_json(&app, body, BodyKind::Json).await?;
    let lasts = request.duration.as_deref().map(parse_duration).transpose();
    let lasts = lasts.map_err(|error| Problem::new(Reason::Malformed, error.to_string()))?;
    for what in blocked(&request.what)? {
        app.node.block(what, lasts).await?;
    }
    list_blocks(&app, &PageQuery::default()).await
}

/// `DELETE /v1/blocks/WHAT`: takes a block back.
pub(crate) async fn unblock(State(app): State<App>, what: Named) -> Answer<Json<api::Blocks>> {
    let Path(text) = what?;
    let mut was_blocked = false;
    for what in blocked(&text)? {
        was_blocked |= app.node.unblock(what).await?;
    }
    if !was_blocked {
        let detail = format!("{text} is not blocked");
        return Err(Problem::new(Reason::NotFound, detail));
    }
    list_blocks(&app, &PageQuery::default()).await
}

/// What a text names: a node by its address text; by 64 hex digits a node and a key, since they
/// look alike; else a key.
fn blocked(text: &str) -> Answer<Vec<Blocked>> {
    if let Ok(NodeName::Address(address)) = text.parse() {
        return Ok(vec![Blocked::Node(address.key().id())]);
    }
    if !text.starts_with("name:")
        && let Ok(NodeName::Plain(_)) = text.parse()
    {
        let detail = format!("{text} is a place, where another node may be tomorrow");
        return Err(Problem::new(Reason::Malformed, detail)
            .with_advice("name the node by its id or its address text"));
    }
    let key = parse_key(text)?;
    let is_hex = !text.contains(':');
    let node = is_hex.then(|| Blocked::Node(NodeId::from(key)));
    Ok(node.into_iter().chain([Blocked::Key(key)]).collect())
}
