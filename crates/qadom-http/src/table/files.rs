//! The routes of files.

use axum::routing::{delete, get, post};

use super::{PAGE, WRITE};
use crate::api;
use crate::bodies::BodyKind;
use crate::route::{Content, Route};
use crate::routes::paging::PageQuery;
use crate::routes::parameters::WriteQuery;
use crate::routes::uploads::UploadQuery;
use crate::routes::{content, files, uploads};

pub(super) fn files() -> Vec<Route> {
    let route = |place, id, summary, serve| Route::new(place, id, "Files", summary, serve);
    let one = "/v1/files/{id}";
    let mut routes = vec![
        route(
            ("get", "/v1/files"),
            "listFiles",
            "Lists what is shared from here and what was begun to be fetched.",
            get(files::list),
        )
        .query::<PageQuery>(PAGE)
        .gives::<api::FileList>("The files."),
        route(
            ("post", "/v1/files"),
            "addFile",
            "Shares a file of the daemon's machine, and pushes copies of it when that is asked for.",
            post(files::add),
        )
        .query::<WriteQuery>(WRITE)
        .takes::<api::AddRequest>(BodyKind::Json)
        .tells::<api::FileEvent<api::FileAdded>>("How far it is, then what came of it."),
        route(("get", one), "getFileStatus", "Tells what is known of a file.", get(files::status))
            .gives::<api::FileStatus>("What is known."),
        route(
            ("delete", one),
            "removeFile",
            "No longer shares a file; what lies elsewhere stays there.",
            delete(files::remove),
        )
        .gives::<api::FileRemoved>("It is no longer shared."),
        route(
            ("get", "/v1/files/{id}/manifest"),
            "getManifest",
            "Gives hash and size of each chunk of a file, a line for each.",
            get(files::manifest),
        )
        .gives_text("text/plain", "The chunks."),
        route(
            ("post", "/v1/files/{id}/fetch"),
            "fetchFile",
            "Fetches a file by its id or its name to the daemon's machine.",
            post(files::fetch),
        )
        .takes::<api::FetchRequest>(BodyKind::Fetch)
        .tells::<api::FileEvent<api::FileFetched>>("How far it is, then what came of it."),
    ];
    routes.push(
        route(
            ("post", "/v1/uploads"),
            "uploadFile",
            "Shares what is sent as a file of the node.",
            post(uploads::upload),
        )
        .query::<UploadQuery>(&["file", "name", "copies", "identity"])
        .takes_file()
        .tells::<api::FileEvent<api::FileAdded>>("How far it is, then what came of it."),
    );
    routes.extend(contents());
    routes
}

/// The bytes of files, as the gateway serves them, too.
fn contents() -> Vec<Route> {
    const RANGES: &[(&str, &str)] = &[
        ("Range", "One range of bytes."),
        ("If-Range", "The ETag that the range is meant for."),
        ("If-None-Match", "The ETag of what the asker has."),
    ];
    let route = |path, id, summary, serve| {
        Route::new(("get", path), id, "Files", summary, serve)
            .heeds(RANGES)
            .answers(200, "The whole file.", vec![("*/*", Content::Bytes)])
            .answers(206, "The range.", vec![("*/*", Content::Bytes)])
    };
    vec![
        route(
            "/files/{id}",
            "readFile",
            "Reads a file by its id.",
            get(content::by_id),
        )
        .answers(304, "The file has this tag already.", Vec::new())
        .answers(416, "The range lies behind the end.", Vec::new()),
        route(
            "/name/{name}",
            "readNamedFile",
            "Reads a file by its name.",
            get(content::by_name),
        )
        .gives_as::<api::NamedFiles>(300, "Several files carry the name.")
        .answers(304, "The file has this tag already.", Vec::new())
        .answers(416, "The range lies behind the end.", Vec::new()),
    ]
}
