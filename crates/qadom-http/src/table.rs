//! Every route of the control API, once.
//!
//! What must stay true: routes are only ever added; what is not here is neither served nor documented.
//! The work behind the routes is in `routes/`.

mod files;
mod keeping;

use axum::routing::{delete, get, patch, post, put};

use crate::api;
use crate::bodies::BodyKind;
use crate::route::{Content, EVENTS, JSON, Route, schema_of};
use crate::routes::events::FollowQuery;
use crate::routes::paging::PageQuery;
use crate::routes::parameters::{ReadQuery, WriteQuery};
use crate::routes::{
    bulk, daemon, dashboard, documents, events, metrics, network, records, values,
};

/// What every write may say.
const WRITE: &[&str] = &["identity", "ttl", "min_copies", "once"];
/// What the write of a value may say, which nobody signs.
const WRITE_VALUE: &[&str] = &["ttl", "min_copies", "once"];
/// What a write by compare-and-swap may say.
const WRITE_IF: &[&str] = &["identity", "ttl", "min_copies", "once", "if_seq"];
/// Where a read may look.
const READ: &[&str] = &["from", "local"];
/// What says which part of a list is wanted.
const PAGE: &[&str] = &["cursor", "limit"];

/// What is known of a value beside its bytes.
const VALUE_FACTS: &[(&str, &str)] = &[
    ("ETag", "The key: what it stands for never changes."),
    ("Qadom-Key", "The key, 64 hex digits."),
    (
        "Qadom-Source",
        "`local`, or the id of the node that gave it.",
    ),
    ("Qadom-Age-Ms", "How long ago the copy was stored here."),
    ("Qadom-Hops", "The depth at which it was found."),
    ("Qadom-Messages", "Requests sent."),
    ("Qadom-Took-Ms", "From the call to the verified value."),
];

/// What is known of something signed beside its bytes.
const SIGNED_FACTS: &[(&str, &str)] = &[
    (
        "ETag",
        "Version and content; give it back as `If-Match` to change nothing else.",
    ),
    ("Qadom-Key", "The key, 64 hex digits."),
    (
        "Qadom-Source",
        "`local`, or the id of the node that gave it.",
    ),
    ("Qadom-Age-Ms", "How long ago the copy was stored here."),
    ("Qadom-Writer", "Who wrote it: a public key, 64 hex digits."),
    ("Qadom-Seq", "Its version."),
    (
        "Qadom-Signature",
        "The signature of the record, 128 hex digits.",
    ),
    (
        "Qadom-Expires-At",
        "When it expires unless its writer renews it.",
    ),
    (
        "Qadom-Conflict",
        "Whether its writer signed other content under this version, too.",
    ),
    ("Qadom-Hops", "The depth of the lookup."),
    ("Qadom-Messages", "Requests sent."),
    ("Qadom-Took-Ms", "From the call to the verified value."),
];

/// What makes a write conditional.
const WRITE_CONDITIONS: &[(&str, &str)] = &[
    ("If-Match", "The ETag of the read that the write follows."),
    ("If-None-Match", "`*` when nothing shall be there."),
];

/// Every route, by chapter.
pub(crate) fn all() -> Vec<Route> {
    let chapters = [
        values(),
        dicts(),
        bags(),
        namespaces(),
        topics(),
        files::files(),
        keeping::publications(),
        keeping::identities(),
        keeping::blocks(),
        network(),
        daemon(),
        pages(),
    ];
    chapters.into_iter().flatten().collect()
}

fn values() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Values", summary, serve);
    vec![
        route(
            ("post", "/v1/values"),
            "putValue",
            "Puts a value.",
            post(values::put),
        )
        .query::<WriteQuery>(WRITE_VALUE)
        .takes_bytes(BodyKind::Value)
        .gives_as::<api::Written>(201, "It is stored."),
        route(
            ("get", "/v1/values/{key}"),
            "getValue",
            "Reads a value.",
            get(values::get),
        )
        .query::<ReadQuery>(READ)
        .gives_value::<api::Fetched>(VALUE_FACTS),
        route(
            ("post", "/v1/bulk/put"),
            "putValues",
            "Puts many values; each is answered by itself.",
            post(bulk::put),
        )
        .query::<WriteQuery>(WRITE_VALUE)
        .takes::<api::BulkPut>(BodyKind::Bulk)
        .gives::<api::BulkWritten>("What became of each, in the order of the request."),
        route(
            ("post", "/v1/bulk/get"),
            "getValues",
            "Reads many values; each is answered by itself.",
            post(bulk::get),
        )
        .query::<ReadQuery>(READ)
        .takes::<api::BulkGet>(BodyKind::Bulk)
        .gives::<api::BulkFetched>("What was found, in the order of the request."),
    ]
}

fn dicts() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Dict", summary, serve);
    vec![
        route(
            ("get", "/v1/dict/{name}"),
            "getName",
            "Reads what a name of the dict was set to last, or by one writer.",
            get(records::dict_get),
        )
        .query::<ReadQuery>(&["from", "local", "latest", "writer"])
        .gives_value::<api::Entry>(SIGNED_FACTS),
        route(
            ("put", "/v1/dict/{name}"),
            "setName",
            "Sets a name of the dict.",
            put(records::dict_set),
        )
        .query::<WriteQuery>(WRITE)
        .takes_bytes(BodyKind::Value)
        .gives_as::<api::Written>(201, "It is set."),
        route(
            ("delete", "/v1/dict/{name}"),
            "deleteName",
            "Deletes a name of the dict.",
            delete(records::dict_delete),
        )
        .query::<WriteQuery>(WRITE)
        .gives::<api::Written>("It is deleted."),
        route(
            ("patch", "/v1/dict"),
            "updateNames",
            "Sets every name of an object: texts as they are, all else as its JSON.",
            patch(records::dict_update),
        )
        .query::<WriteQuery>(WRITE)
        .takes::<api::DictUpdate>(BodyKind::Update)
        .gives::<Vec<api::DictWritten>>("What became of each name."),
    ]
}

fn bags() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Bags", summary, serve);
    let place = "/v1/bags/{key}";
    vec![
        route(
            ("get", place),
            "listBag",
            "Lists a bag; one that nobody has added to is empty.",
            get(records::bag_list),
        )
        .query::<ReadQuery>(&["from", "local", "latest", "cursor", "limit"])
        .gives::<api::BagList>("Its items."),
        route(
            ("post", place),
            "addItem",
            "Adds an item to a bag.",
            post(records::bag_add),
        )
        .query::<WriteQuery>(WRITE)
        .takes_bytes(BodyKind::Item)
        .gives_as::<api::Written>(201, "It is added."),
        route(
            ("delete", place),
            "removeItem",
            "Removes an item from a bag.",
            delete(records::bag_remove),
        )
        .query::<WriteQuery>(WRITE)
        .takes_bytes(BodyKind::Item)
        .gives::<api::Written>("It is removed."),
    ]
}

fn namespaces() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Namespaces", summary, serve);
    vec![
        route(
            ("put", "/v1/namespaces/{key}"),
            "setEntry",
            "Sets a key of the identity's own namespace.",
            put(records::namespace_set),
        )
        .query::<WriteQuery>(WRITE_IF)
        .heeds(WRITE_CONDITIONS)
        .takes_bytes(BodyKind::Value)
        .gives_as::<api::Written>(201, "It is set."),
        route(
            ("delete", "/v1/namespaces/{key}"),
            "deleteEntry",
            "Deletes a key of the identity's own namespace.",
            delete(records::namespace_delete),
        )
        .query::<WriteQuery>(WRITE)
        .gives::<api::Written>("It is deleted."),
        route(
            ("get", "/v1/namespaces/{writer}/{key}"),
            "getEntry",
            "Reads a key of a writer's namespace.",
            get(records::namespace_get),
        )
        .query::<ReadQuery>(&["from", "local", "latest", "signature"])
        .gives_value::<api::Entry>(SIGNED_FACTS),
    ]
}

fn topics() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Topics", summary, serve);
    vec![
        route(
            ("post", "/v1/topics/{topic}"),
            "publish",
            "Publishes a message to all who follow the topic.",
            post(records::publish),
        )
        .query::<WriteQuery>(WRITE)
        .takes_bytes(BodyKind::Message)
        .gives_as::<api::Written>(201, "It is published."),
        route(
            ("get", "/v1/topics/{topic}/events"),
            "follow",
            "Follows a topic: what is held behind the cursor, then each message as it comes.",
            get(events::topic),
        )
        .query::<FollowQuery>(&["cursor"])
        .tells::<api::Event>("The messages."),
        route(
            ("get", "/v1/watch/{slot}"),
            "watch",
            "Follows what is written to a bag, a dict name, a namespace entry or a topic.",
            get(events::watch),
        )
        .query::<FollowQuery>(&["cursor"])
        .tells::<api::Event>("What is written."),
    ]
}

fn network() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Network", summary, serve);
    vec![
        route(
            ("get", "/v1/peers"),
            "listPeers",
            "Lists the routing table.",
            get(network::peers),
        )
        .query::<PageQuery>(PAGE)
        .gives::<api::Peers>("The contacts."),
        route(
            ("get", "/v1/lookups/{key}"),
            "lookup",
            "Looks a key up: a `step` for each step as it happens, then one `end`.",
            get(network::lookup),
        )
        .answers(
            200,
            "The steps as they happen, or with `Accept: application/json` all of them at the end.",
            vec![
                (EVENTS, Content::Events(schema_of::<api::LookupNews>)),
                (JSON, Content::Json(schema_of::<api::Lookup>)),
            ],
        ),
        route(
            ("post", "/v1/ping"),
            "ping",
            "Measures the round trip to a node.",
            post(network::ping),
        )
        .takes::<api::PingRequest>(BodyKind::Json)
        .gives::<api::Pong>("It answered."),
        route(
            ("post", "/v1/join"),
            "join",
            "Joins a network through nodes that belong to it.",
            post(network::join),
        )
        .takes::<api::JoinRequest>(BodyKind::Json)
        .gives::<api::Joined>("The node has joined."),
    ]
}

fn daemon() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Daemon", summary, serve);
    vec![
        route(
            ("get", "/v1/status"),
            "getStatus",
            "Tells how the node is doing.",
            get(daemon::status),
        )
        .gives::<api::Status>("The state of the node."),
        route(
            ("get", "/v1/doctor"),
            "examine",
            "Finds out what is wrong and what to do about it.",
            get(daemon::doctor),
        )
        .gives::<api::Diagnosis>("What was found."),
        route(
            ("put", "/v1/mode"),
            "setMode",
            "Lets the node store for others, or no longer.",
            put(daemon::set_mode),
        )
        .takes::<api::ModeRequest>(BodyKind::Json)
        .gives::<api::TakenMode>("The mode that it has taken."),
        route(
            ("post", "/v1/stop"),
            "stop",
            "Ends the daemon; what it acknowledged is kept.",
            post(daemon::stop),
        )
        .gives::<api::Stopped>("It has ended."),
    ]
}

/// What shows the daemon, and the API itself, to people and programs.
fn pages() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Daemon", summary, serve);
    vec![
        route(
            ("get", dashboard::PAGE),
            "readDashboard",
            "Shows the node, and lets people work with it.",
            get(dashboard::page),
        )
        .gives_text("text/html", "A page."),
        route(
            ("get", "/dashboard/{name}"),
            "readAsset",
            "Gives a file that the page loads.",
            get(dashboard::asset),
        )
        .answers(200, "The file.", vec![("*/*", Content::Text)]),
        route(
            ("get", "/v1/openapi.json"),
            "getDocument",
            "Gives this description.",
            get(documents::openapi),
        )
        .gives::<serde_json::Map<String, serde_json::Value>>("An OpenAPI 3.1 document."),
        route(
            ("get", "/docs"),
            "readDocument",
            "Shows this description.",
            get(documents::page),
        )
        .gives_text("text/html", "A page."),
        route(
            ("get", "/metrics"),
            "getMetrics",
            "Gives the state of the node to Prometheus.",
            get(metrics::metrics),
        )
        .gives_text("application/openmetrics-text", "The metrics."),
        route(
            ("get", "/healthz"),
            "isAlive",
            "Tells that the process answers.",
            get(daemon::healthz),
        )
        .gives_text("text/plain", "It does."),
        route(
            ("get", "/readyz"),
            "isReady",
            "Tells whether the node is of use to its clients.",
            get(daemon::readyz),
        )
        .gives::<api::Ready>("It is.")
        .gives_as::<api::Ready>(503, "It is starting or cut off."),
    ]
}
