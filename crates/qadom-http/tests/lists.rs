//! Bulk requests, pages of lists and conditional requests, called on a node in this process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use data_encoding::BASE64;
use http_body_util::BodyExt;
use qadom_http::{App, router};
use qadom_node::Node;
use serde_json::{Value, json};
use tower::ServiceExt;

struct Api {
    router: axum::Router,
    node: Node,
}

impl Api {
    async fn start() -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let node = Node::builder().memory(true).listen(listen);
        let node = node.start().await.unwrap();
        Self {
            router: router(App::new(node.clone())),
            node,
        }
    }

    async fn send(
        &self,
        method: Method,
        route: &str,
        headers: &[(header::HeaderName, &str)],
        body: impl Into<Body>,
    ) -> Response {
        let mut request = Request::builder().method(method).uri(route);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(body.into()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, route: &str) -> Response {
        self.send(Method::GET, route, &[], Body::empty()).await
    }

    async fn post(&self, route: &str, body: &Value) -> Response {
        self.send(Method::POST, route, &[], body.to_string()).await
    }
}

async fn read(response: Response) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

fn value(text: &str) -> Value {
    json!({ "value_base64": BASE64.encode(text.as_bytes()) })
}

#[tokio::test]
async fn many_values_are_put_and_read_in_one_request_each_by_itself() {
    let api = Api::start().await;
    let texts = ["one", "two", "three"];
    let mut items = texts.map(value).to_vec();
    items.insert(1, value(&"x".repeat(8193)));
    let response = api.post("/v1/bulk/put", &json!({ "items": items })).await;
    assert_eq!(response.status(), StatusCode::OK);
    let written = read(response).await;
    let written = written["items"].as_array().unwrap();
    assert_eq!(written.len(), 4);
    let reason = written[1]["error"]["type"].as_str().unwrap();
    assert!(reason.ends_with(":too-large"), "{reason}");
    assert_eq!(written[0]["receipt"]["stored"], 1);

    let mut keys = vec![json!("no key"), json!("name:absent")];
    keys.extend([0, 2, 3].map(|place: usize| written[place]["key"].clone()));
    let response = api
        .post("/v1/bulk/get?local=1", &json!({ "keys": keys }))
        .await;
    let fetched = read(response).await;
    let fetched = fetched["items"].as_array().unwrap();
    for (place, (key, reason)) in [("no key", "malformed"), ("name:absent", "not-found")]
        .into_iter()
        .enumerate()
    {
        assert_eq!(fetched[place]["key"], key);
        let kind = fetched[place]["error"]["type"].as_str().unwrap();
        assert!(kind.ends_with(reason), "{kind}");
    }
    for (found, text) in fetched[2..].iter().zip(texts) {
        assert_eq!(found["value_base64"], value(text)["value_base64"]);
    }
    api.node.shutdown().await;
}

#[tokio::test]
async fn a_bulk_request_of_one_item_too_many_is_refused_whole() {
    let api = Api::start().await;
    for (count, status) in [(1024, 200), (1025, 413)] {
        let keys = vec!["no key"; count];
        let response = api.post("/v1/bulk/get", &json!({ "keys": keys })).await;
        assert_eq!(response.status().as_u16(), status, "{count}");
    }
    api.node.shutdown().await;
}

#[tokio::test]
async fn every_list_is_given_page_by_page() {
    let api = Api::start().await;
    for number in 0..5 {
        let body = json!({ "name": format!("id{number}") });
        let made = api.post("/v1/identities", &body).await;
        assert_eq!(made.status(), StatusCode::OK);
        let body = json!({ "what": format!("name:{number}") });
        assert_eq!(api.post("/v1/blocks", &body).await.status(), StatusCode::OK);
        let item = format!("item {number}");
        let route = "/v1/bags/name:b?identity=id0";
        let added = api.send(Method::POST, route, &[], item).await;
        assert_eq!(added.status(), StatusCode::CREATED);
    }
    for list in ["identities", "blocks", "publications"] {
        let all = read(api.get(&format!("/v1/{list}")).await).await;
        assert_eq!(all["cursor"], Value::Null);
        assert_eq!(all["items"].as_array().unwrap().len(), 5, "{all}");
        let (mut listed, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let route = format!("/v1/{list}?limit=2&cursor={cursor}");
            let page = read(api.get(&route).await).await;
            listed.extend(page["items"].as_array().unwrap().clone());
            match page["cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(&listed, all["items"].as_array().unwrap(), "{list}");
    }
    for list in ["peers", "files", "identities", "blocks", "publications"] {
        for (query, status) in [("cursor=?", 400), ("limit=0", 400), ("limit=1", 200)] {
            let response = api.get(&format!("/v1/{list}?{query}")).await;
            assert_eq!(response.status().as_u16(), status, "{list} {query}");
        }
    }
    api.node.shutdown().await;
}

#[tokio::test]
async fn whoever_has_a_content_by_its_tag_is_not_sent_it_again() {
    let api = Api::start().await;
    let put = api.send(Method::POST, "/v1/values", &[], "content").await;
    let put = read(put).await;
    let value = format!("/v1/values/{}", put["key"].as_str().unwrap());
    let set = api.send(Method::PUT, "/v1/dict/x", &[], "one").await;
    assert_eq!(set.status(), StatusCode::CREATED);
    for route in [value.as_str(), "/v1/dict/x"] {
        let response = api.get(route).await;
        assert_eq!(response.status(), StatusCode::OK);
        let tag = response.headers()[header::ETAG]
            .to_str()
            .unwrap()
            .to_owned();
        let condition = [(header::IF_NONE_MATCH, tag.as_str())];
        let again = api
            .send(Method::GET, route, &condition, Body::empty())
            .await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{route}");
        assert_eq!(again.headers()[header::ETAG], tag);
        let other = [(header::IF_NONE_MATCH, "\"other\"")];
        let other = api.send(Method::GET, route, &other, Body::empty()).await;
        assert_eq!(other.status(), StatusCode::OK);
    }
    api.node.shutdown().await;
}

#[tokio::test]
async fn a_namespace_is_changed_only_from_the_version_that_was_read() {
    let api = Api::start().await;
    let route = "/v1/namespaces/name:motd";
    let new = [(header::IF_NONE_MATCH, "*")];
    let set = api.send(Method::PUT, route, &new, "one").await;
    assert_eq!(set.status(), StatusCode::CREATED);
    let writer = read(set).await["public_key"].as_str().unwrap().to_owned();
    let set = api.send(Method::PUT, route, &new, "two").await;
    assert_eq!(set.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(read(set).await["held"]["seq"], 1);

    let got = api.get(&format!("/v1/namespaces/{writer}/name:motd")).await;
    let tag = got.headers()[header::ETAG].to_str().unwrap().to_owned();
    let condition = [(header::IF_MATCH, tag.as_str())];
    let set = api.send(Method::PUT, route, &condition, "two").await;
    assert_eq!(read(set).await["seq"], 2);
    let set = api.send(Method::PUT, route, &condition, "three").await;
    assert_eq!(set.status(), StatusCode::PRECONDITION_FAILED);
    let both = format!("{route}?if_seq=2");
    let set = api.send(Method::PUT, &both, &condition, "three").await;
    assert_eq!(set.status(), StatusCode::BAD_REQUEST);
    api.node.shutdown().await;
}

#[tokio::test]
async fn the_status_shows_the_limits_of_requests_beside_the_longest_so_far() {
    let api = Api::start().await;
    api.send(Method::POST, "/v1/values", &[], vec![7; 100])
        .await;
    api.send(Method::POST, "/v1/values", &[], vec![7; 99]).await;
    let status = read(api.get("/v1/status").await).await;
    let limits = status["limits"].as_array().unwrap();
    let named = |name: &str| limits.iter().find(|limit| limit["name"] == name).unwrap();
    assert_eq!(named("control-value-bytes")["used"], 100);
    assert_eq!(named("control-value-bytes")["limit"], 8192);
    for name in [
        "control-connections",
        "control-followers",
        "control-json-bytes",
        "control-idle-seconds",
        "control-reader-seconds",
    ] {
        assert!(named(name)["limit"].as_u64().unwrap() > 0, "{name}");
    }
    api.node.shutdown().await;
}
