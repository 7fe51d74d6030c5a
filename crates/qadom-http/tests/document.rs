//! The description of the API beside what the router does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use qadom_http::{App, router};
use qadom_node::Node;
use serde_json::Value;
use tower::ServiceExt;

/// What scripts rely on, by method and path.
const PROMISED: [(&str, &str); 39] = [
    ("post", "/v1/values"),
    ("get", "/v1/values/{key}"),
    ("get", "/v1/dict/{name}"),
    ("put", "/v1/dict/{name}"),
    ("delete", "/v1/dict/{name}"),
    ("patch", "/v1/dict"),
    ("get", "/v1/bags/{key}"),
    ("post", "/v1/bags/{key}"),
    ("delete", "/v1/bags/{key}"),
    ("put", "/v1/namespaces/{key}"),
    ("get", "/v1/namespaces/{writer}/{key}"),
    ("post", "/v1/topics/{topic}"),
    ("get", "/v1/topics/{topic}/events"),
    ("get", "/v1/watch/{slot}"),
    ("get", "/v1/files"),
    ("post", "/v1/files"),
    ("get", "/v1/files/{id}"),
    ("delete", "/v1/files/{id}"),
    ("post", "/v1/files/{id}/fetch"),
    ("get", "/v1/publications"),
    ("delete", "/v1/publications/{key}"),
    ("get", "/v1/identities"),
    ("post", "/v1/identities"),
    ("get", "/v1/identities/{name}"),
    ("get", "/v1/peers"),
    ("get", "/v1/lookups/{key}"),
    ("post", "/v1/ping"),
    ("get", "/v1/status"),
    ("get", "/v1/doctor"),
    ("put", "/v1/mode"),
    ("post", "/v1/join"),
    ("post", "/v1/stop"),
    ("get", "/v1/openapi.json"),
    ("get", "/docs"),
    ("get", "/metrics"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/files/{id}"),
    ("get", "/name/{name}"),
];

async fn ask(router: &axum::Router, method: &str, path: &str) -> (u16, String, Vec<u8>) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.map_or("", |text| text.to_str().unwrap());
    // A stream has no end: its first bytes tell enough.
    let (media_type, mut body) = (media_type.to_owned(), response.into_body());
    let frame = body
        .frame()
        .await
        .map(|frame| frame.unwrap().into_data().unwrap());
    (status, media_type, frame.unwrap_or_default().to_vec())
}

#[tokio::test]
async fn every_route_of_the_document_is_served_and_every_promised_one_is_in_it() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let node = Node::builder().memory(true).listen(listen);
    let node = node.start().await.unwrap();
    let router = router(App::new(node.clone()));
    let (status, media_type, body) = ask(&router, "GET", "/v1/openapi.json").await;
    assert_eq!((status, media_type.as_str()), (200, "application/json"));
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for (method, path) in PROMISED {
        assert!(paths[path][method].is_object(), "{method} {path}");
    }
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            if (method, path.as_str()) == (&"post".to_owned(), "/v1/stop") {
                continue;
            }
            // A part that varies, and fits nothing: whoever answers is the route itself.
            let place = path.replace(['{', '}'], "-");
            let (status, _, body) = ask(&router, &method.to_uppercase(), &place).await;
            let body = String::from_utf8_lossy(&body);
            assert!(
                !body.contains("there is no route"),
                "{method} {path}: {body}"
            );
            assert_ne!(status, 405, "{method} {path}");
        }
    }
    let (status, media_type, page) = ask(&router, "GET", "/docs").await;
    assert_eq!(
        (status, media_type.as_str()),
        (200, "text/html; charset=utf-8")
    );
    assert!(
        String::from_utf8(page)
            .unwrap()
            .contains("/v1/values/{key}")
    );
    node.shutdown().await;
}
