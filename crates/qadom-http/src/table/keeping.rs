//! The routes of what a node keeps alive, who it can sign as, and what it has nothing to do with.

use axum::routing::{delete, get, post};

use super::PAGE;
use crate::api;
use crate::bodies::BodyKind;
use crate::route::Route;
use crate::routes::keeping;
use crate::routes::paging::PageQuery;

pub(super) fn publications() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Publications", summary, serve);
    vec![
        route(
            ("get", "/v1/publications"),
            "listPublications",
            "Lists what the node keeps alive.",
            get(keeping::publications),
        )
        .query::<PageQuery>(PAGE)
        .gives::<api::Publications>("The publications."),
        route(
            ("delete", "/v1/publications/{key}"),
            "withdraw",
            "Ends what the node keeps alive under a key.",
            delete(keeping::withdraw),
        )
        .gives::<api::Withdrawn>("It ended."),
    ]
}

pub(super) fn identities() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Identities", summary, serve);
    vec![
        route(
            ("get", "/v1/identities"),
            "listIdentities",
            "Lists the identities that the node can sign as.",
            get(keeping::identities),
        )
        .query::<PageQuery>(PAGE)
        .gives::<api::Identities>("The identities."),
        route(
            ("post", "/v1/identities"),
            "addIdentity",
            "Makes an identity, or takes over an exported one.",
            post(keeping::add_identity),
        )
        .takes::<api::IdentityRequest>(BodyKind::Json)
        .gives::<api::Identity>("The identity."),
        route(
            ("get", "/v1/identities/{name}"),
            "exportIdentity",
            "Gives the secret of an identity.",
            get(keeping::export_identity),
        )
        .gives::<api::IdentityRequest>("The secret, as it can be taken over elsewhere."),
    ]
}

pub(super) fn blocks() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Blocks", summary, serve);
    vec![
        route(
            ("get", "/v1/blocks"),
            "listBlocks",
            "Lists what the node has nothing to do with.",
            get(keeping::blocks),
        )
        .query::<PageQuery>(PAGE)
        .gives::<api::Blocks>("The blocks."),
        route(
            ("post", "/v1/blocks"),
            "block",
            "Has nothing to do with a node or a key.",
            post(keeping::block),
        )
        .takes::<api::BlockRequest>(BodyKind::Json)
        .gives::<api::Blocks>("All blocks."),
        route(
            ("delete", "/v1/blocks/{what}"),
            "unblock",
            "Takes a block back.",
            delete(keeping::unblock),
        )
        .gives::<api::Blocks>("All blocks that are left."),
    ]
}
