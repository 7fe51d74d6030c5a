//! The dashboard: a page that shows the node and works with it, out of the binary alone.
//!
//! What must stay true: the page loads nothing from elsewhere and no page of another site can frame
//! it; its files tell nothing about the node, so that they may be read without the token, which the
//! page asks for.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use qadom_node::Reason;

use super::Answer;
use crate::problem::Problem;

/// Where the page is.
pub(crate) const PAGE: &str = "/";
/// Below it lie the files that the page loads.
pub(crate) const FILES: &str = "/dashboard/";

/// What the page may load, and who may show it: nothing and nobody but this node.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const DRAWING: &str = "image/svg+xml";

/// A file of the dashboard.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        Asset {
            name: $name,
            content_type: $content_type,
            content: include_str!(concat!("../../dashboard/", $name)),
        }
    };
}

const ASSETS: [Asset; 8] = [
    asset!("api.js", SCRIPT),
    asset!("elements.js", SCRIPT),
    asset!("files.js", SCRIPT),
    asset!("forms.js", SCRIPT),
    asset!("icon.svg", DRAWING),
    asset!("main.js", SCRIPT),
    asset!("ring.js", SCRIPT),
    asset!("style.css", STYLE),
];

/// `GET /`: the page.
pub(crate) async fn page() -> Response {
    serve(&asset!("index.html", HTML))
}

/// `GET /dashboard/NAME`: a file that the page loads.
pub(crate) async fn asset(name: Result<Path<String>, PathRejection>) -> Answer<Response> {
    let Path(name) = name?;
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    asset.map(serve).ok_or_else(|| {
        let detail = format!("the dashboard has no file {name:?}");
        Problem::new(Reason::NotFound, detail)
    })
}

fn serve(asset: &Asset) -> Response {
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        // A newer binary has newer files.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, asset.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_only_files_that_are_here() {
        let page = include_str!("../../dashboard/index.html");
        let loaded = page.split(FILES).skip(1).map(|rest| {
            let end = rest.find('"').expect("names stand in quotes");
            &rest[..end]
        });
        let loaded: Vec<_> = loaded.collect();
        assert!(!loaded.is_empty());
        for name in loaded {
            assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
        }
    }

    #[test]
    fn nothing_of_the_dashboard_names_another_host() {
        let page = asset!("index.html", HTML);
        for asset in ASSETS.iter().chain([&page]) {
            let foreign = asset.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("://"), "{}", asset.name);
        }
    }
}
