//! Requests that nobody sends who means well: each is refused with its reason, and the next one is
//! answered as before.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use qadom_http::{App, Client, Server, router};
use qadom_node::Node;
use serde_json::Value;
use tower::ServiceExt;

const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";

struct Api {
    node: Node,
    router: Router,
}

impl Api {
    async fn start() -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let node = Node::builder().memory(true).listen(listen);
        let node = node.start().await.unwrap();
        let router = router(App::new(node.clone()));
        Self { node, router }
    }

    async fn send(
        &self,
        method: &Method,
        route: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(route);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// The end of the test: whatever came, the node is asked as before.
    async fn stop(self) {
        let asked = self.send(&Method::GET, "/v1/status", &[], "").await;
        assert_eq!(asked.status(), 200);
        self.node.shutdown().await;
    }
}

/// The reason of a refusal; the body has to be problem details.
async fn reason(response: Response<Body>) -> (u16, String, HeaderMap) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let kind = head.headers.get("content-type").unwrap();
    assert_eq!(kind, "application/problem+json", "{body:?}");
    let problem: Value = serde_json::from_slice(&body).unwrap();
    let reason = problem["type"].as_str().unwrap().rsplit(':').next();
    assert_eq!(problem["status"], head.status.as_u16());
    (
        head.status.as_u16(),
        reason.unwrap().to_owned(),
        head.headers,
    )
}

/// Every route whose body is JSON.
fn json_routes() -> [(Method, String); 9] {
    [
        (Method::PUT, "/v1/mode".to_owned()),
        (Method::POST, "/v1/join".to_owned()),
        (Method::POST, "/v1/ping".to_owned()),
        (Method::POST, "/v1/bulk/put".to_owned()),
        (Method::POST, "/v1/bulk/get".to_owned()),
        (Method::POST, "/v1/identities".to_owned()),
        (Method::POST, "/v1/blocks".to_owned()),
        (Method::POST, "/v1/files".to_owned()),
        (Method::POST, format!("/v1/files/{KEY}/fetch")),
    ]
}

#[tokio::test]
async fn what_is_no_json_of_the_route_is_refused_under_any_content_type() {
    let api = Api::start().await;
    let deep = "[".repeat(60_000);
    let bodies: [&[u8]; 13] = [
        b"",
        b"{",
        b"}",
        b"[]",
        b" [\"client\"]",
        b"null",
        b"1e999",
        b"\"text\"",
        b"{\"unknown\": 1}",
        b"{\"mode\": 1, \"addresses\": 1, \"keys\": 1, \"what\": 1, \"name\": 1, \"path\": 1, \"node\": 1}",
        b"{\"mode\": \"client\"} and more",
        b"{\"name\": \"\xff\xfe\"}",
        deep.as_bytes(),
    ];
    let types = [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "\u{e9};;=",
    ];
    for (method, route) in json_routes() {
        for body in bodies {
            for kind in types {
                let headers = [("content-type", kind)];
                let response = api.send(&method, &route, &headers, body.to_vec()).await;
                let (status, reason, _) = reason(response).await;
                let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
                assert_eq!(
                    (status, reason.as_str()),
                    (400, "malformed"),
                    "{route} {shown}"
                );
            }
        }
    }
    // What is right is taken, whatever it is called.
    for kind in types {
        let headers = [("content-type", kind)];
        let body = r#"{"keys": []}"#;
        let response = api
            .send(&Method::POST, "/v1/bulk/get", &headers, body)
            .await;
        assert_eq!(response.status(), 200, "{kind}");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_body_of_one_byte_too_many_is_refused_on_every_route_that_takes_one() {
    const MANY: usize = 16 << 20;
    let api = Api::start().await;
    let value = "/v1/values".to_owned();
    let raw = [
        (Method::POST, value, 8192),
        (Method::PUT, "/v1/dict/x".to_owned(), 8192),
        (Method::PUT, format!("/v1/namespaces/{KEY}"), 8192),
        (Method::POST, "/v1/topics/x".to_owned(), 8192),
        (Method::POST, format!("/v1/bags/{KEY}"), 1024),
        (Method::DELETE, format!("/v1/bags/{KEY}"), 1024),
        (Method::PATCH, "/v1/dict".to_owned(), MANY),
    ];
    let json = json_routes().into_iter().filter_map(|(method, route)| {
        let limit = match route.as_str() {
            "/v1/bulk/put" | "/v1/bulk/get" => MANY,
            route if route.ends_with("/fetch") => return None,
            _ => 65_536,
        };
        Some((method, route, limit))
    });
    for (method, route, limit) in raw.into_iter().chain(json) {
        let response = api.send(&method, &route, &[], spaces(limit + 1)).await;
        let (status, reason, _) = reason(response).await;
        assert_eq!(
            (status, reason.as_str()),
            (413, "too-large"),
            "{method} {route}"
        );
    }
    api.stop().await;
}

/// Spaces in pieces, so that nobody is told before how many there are.
fn spaces(bytes: usize) -> Body {
    const PIECE: usize = 8192;
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(async move {
        for _ in 0..bytes.div_ceil(PIECE) {
            // Whoever refuses the rest does not read it.
            if sender
                .send_data(Bytes::from_static(&[b' '; PIECE]))
                .await
                .is_err()
            {
                break;
            }
        }
    });
    Body::new(body)
}

#[tokio::test]
async fn no_path_leads_out_of_the_routes() {
    let api = Api::start().await;
    for path in [
        "/v1/../v1/status",
        "/v1//status",
        "//v1/status",
        "/v1/status/",
        "/v1/./status",
        "/V1/status",
        "/v1/%73tatus/x",
        "/v1/%2e%2e/metrics",
        "/dashboard/../main.js",
        "/dashboard/..%2f..%2fCargo.toml",
        "/dashboard/%2e%2e%2findex.html",
        "/dashboard/%00",
        "/v1/identities/..%2Fnode.key",
        "/v1/identities/%2e%2e%2fnode.key",
        "/v1/identities/node.key%00",
        "/v1/files/..%2F..%2Fetc%2Fpasswd",
        "/v1/files/..%2F..%2Fetc%2Fpasswd/manifest",
        "/v1/values/..%2F..%2Fetc%2Fpasswd",
        "/v1/values/%ff",
        "/v1/bags/%2e%2e",
        "/v1/watch/..%2f",
        "/files/..%2f..%2fetc%2fpasswd",
        "/etc/passwd",
    ] {
        let response = api.send(&Method::GET, path, &[], "").await;
        let (status, _, _) = reason(response).await;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    // A name of the dict is text, and has no parts.
    let odd = "/v1/dict/..%2F..%2Fetc%2Fpasswd";
    let put = api.send(&Method::PUT, odd, &[], "a value").await;
    assert_eq!(put.status(), 201);
    let got = api.send(&Method::GET, odd, &[], "").await;
    assert_eq!(
        got.into_body().collect().await.unwrap().to_bytes(),
        "a value"
    );
    api.stop().await;
}

#[tokio::test]
async fn a_cursor_that_nobody_gave_is_refused_by_lists_and_streams() {
    let api = Api::start().await;
    for cursor in ["zz", "%00", "-1", "18446744073709551616", "..%2f", "now%20"] {
        for route in [
            format!("/v1/bags/{KEY}?cursor={cursor}"),
            format!("/v1/topics/x/events?cursor={cursor}"),
            format!("/v1/watch/topic:x?cursor={cursor}"),
            format!("/v1/peers?cursor={cursor}"),
            format!("/v1/publications?cursor={cursor}"),
            format!("/v1/identities?cursor={cursor}"),
            format!("/v1/files?cursor={cursor}"),
        ] {
            let response = api.send(&Method::GET, &route, &[], "").await;
            let (status, reason, _) = reason(response).await;
            assert_eq!(status, 400, "{route}: {reason}");
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn no_answer_lets_a_page_of_another_site_read_it() {
    let api = Api::start().await;
    let page = [
        ("origin", "https://site.example"),
        ("access-control-request-method", "POST"),
    ];
    for (method, route) in [
        (Method::GET, "/v1/status"),
        (Method::GET, "/v1/openapi.json"),
        (Method::GET, "/metrics"),
        (Method::OPTIONS, "/v1/values"),
        (Method::OPTIONS, "/v1/stop"),
        (Method::GET, "/v1/nothing"),
    ] {
        let response = api.send(&method, route, &page, "").await;
        if method == Method::OPTIONS {
            assert_eq!(response.status(), 405, "{route}");
        }
        let names = response
            .headers()
            .keys()
            .map(axum::http::HeaderName::as_str);
        let mut shared = names.filter(|name| name.starts_with("access-control-"));
        assert_eq!(shared.next(), None, "{method} {route}");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_head_that_does_not_end_is_refused_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listen = "127.0.0.1:0".parse().unwrap();
    let node = Node::builder().memory(true).listen(listen);
    let node = node.start().await.unwrap();
    let server = Server::start(&path, node.clone()).await.unwrap();
    for head in [
        format!("GET /v1/status HTTP/1.1\r\nhost: {}", "x".repeat(1 << 20)),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000)),
    ] {
        let path = path.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            // The other side may have closed before all of it was taken.
            let _ = stream.write_all(head.as_bytes());
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8(answer).unwrap()
        });
        let answer = answer.await.unwrap();
        let is_refusal = answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 414 ");
        assert!(is_refusal || answer.is_empty(), "{answer}");
    }
    let status = Client::new(&path).status().await.unwrap();
    assert_eq!(
        status.drops.get("malformed"),
        Some(&3),
        "{:?}",
        status.drops
    );
    node.shutdown().await;
    server.close().await;
}
