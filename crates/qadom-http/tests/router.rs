//! The routes, called one request at a time on a node in this process.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use qadom_http::{App, api, router};
use qadom_node::Node;
use serde_json::Value;
use tower::ServiceExt;

const GOLDEN_VALUE: &str = "sudo python";
const GOLDEN_KEY: &str = "626f674b4ba4fed89391a3390a68e8fdc9ccfff9d77b16c25a62d4c550dac2d4";
const GOLDEN_DECIMAL: &str =
    "int:44523492095186523269265158000087001266127815262863473237438729878159874507476";

struct Api {
    router: axum::Router,
    node: Node,
}

impl Api {
    async fn start() -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let node = Node::builder()
            .memory(true)
            .listen(listen)
            .start()
            .await
            .unwrap();
        Self {
            router: router(App::new(node.clone())),
            node,
        }
    }

    async fn send(
        &self,
        method: Method,
        route: &str,
        accept: &str,
        body: impl Into<Body>,
    ) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(route)
            .header(header::ACCEPT, accept)
            .body(body.into())
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, route: &str) -> Response {
        self.send(Method::GET, route, "*/*", Body::empty()).await
    }

    async fn post(&self, route: &str, body: impl Into<Body>) -> Response {
        self.send(Method::POST, route, "*/*", body).await
    }
}

async fn bytes(response: Response) -> Vec<u8> {
    response
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
        .to_vec()
}

async fn json(response: Response) -> Value {
    serde_json::from_slice(&bytes(response).await).unwrap()
}

/// Checks the status and the reason of a problem, and gives its detail.
async fn problem(response: Response, status: u16, reason: &str) -> String {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/problem+json"
    );
    let problem = json(response).await;
    assert_eq!(problem["status"], status);
    let kind = problem["type"].as_str().unwrap();
    assert!(kind.ends_with(&format!(":{reason}")), "{kind}");
    problem["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_value_that_is_put_comes_back_byte_for_byte_with_its_facts() {
    let api = Api::start().await;
    let response = api.post("/v1/values", GOLDEN_VALUE).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(
        response.headers()[header::LOCATION],
        format!("/v1/values/{GOLDEN_KEY}")
    );
    let written = json(response).await;
    assert_eq!(written["key"], GOLDEN_KEY);
    let receipt = &written["receipt"];
    assert_eq!(
        (&receipt["wanted"], &receipt["stored"]),
        (&20.into(), &1.into())
    );
    assert_eq!(receipt["alone"], true);
    assert!(
        receipt["expires_at"]
            .as_str()
            .unwrap()
            .parse::<api::Timestamp>()
            .is_ok()
    );

    for key in [GOLDEN_KEY, GOLDEN_DECIMAL] {
        let response = api.get(&format!("/v1/values/{key}?local=1")).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["qadom-key"], GOLDEN_KEY);
        assert_eq!(response.headers()["qadom-source"], "local");
        assert_eq!(bytes(response).await, GOLDEN_VALUE.as_bytes());
    }
    let route = format!("/v1/values/{GOLDEN_KEY}");
    let accept = "text/html, application/json;q=0.9";
    let fetched = json(api.send(Method::GET, &route, accept, Body::empty()).await).await;
    assert_eq!(fetched["value_base64"], "c3VkbyBweXRob24=");
    assert_eq!(fetched["source"], "local");
    let fetched: api::Fetched = serde_json::from_value(fetched).unwrap();
    assert_eq!(fetched.value, GOLDEN_VALUE);
    api.node.shutdown().await;
}

#[tokio::test]
async fn the_longest_value_is_taken_and_one_byte_more_is_not() {
    let api = Api::start().await;
    for (length, status) in [(0, 201), (8191, 201), (8192, 201)] {
        let response = api.post("/v1/values", vec![7_u8; length]).await;
        assert_eq!(response.status().as_u16(), status, "{length}");
    }
    let response = api.post("/v1/values", vec![7_u8; 8193]).await;
    assert!(problem(response, 413, "too-large").await.contains("8192"));
    api.node.shutdown().await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_with_its_reason() {
    let api = Api::start().await;
    let value = format!("/v1/values/{}", "0".repeat(64));
    for (route, status, reason) in [
        (value.clone(), 404, "not-found"),
        ("/v1/values/abc".to_owned(), 400, "malformed"),
        ("/v1/values/name:%FF".to_owned(), 400, "malformed"),
        (format!("{value}?from=x"), 400, "malformed"),
        (format!("{value}?from=a:1&local=1"), 400, "usage"),
        (format!("{value}?local=maybe"), 400, "usage"),
        (format!("{value}?when=now"), 400, "usage"),
        ("/v1/nothing".to_owned(), 404, "not-found"),
    ] {
        problem(api.get(&route).await, status, reason).await;
    }
    for (route, body, status, reason) in [
        ("/v1/values?ttl=59s", "x", 400, "usage"),
        ("/v1/values?ttl=8d", "x", 422, "lifetime-too-long"),
        ("/v1/values?min_copies=-1", "x", 400, "usage"),
        ("/v1/ping", "{}", 400, "malformed"),
        ("/v1/ping", r#"{"node": "x"}"#, 400, "malformed"),
        ("/v1/join", r#"{"addresses": []}"#, 400, "usage"),
        ("/v1/join", &" ".repeat(65_537), 413, "too-large"),
        ("/v1/status", "", 405, "usage"),
    ] {
        problem(api.post(route, body.to_owned()).await, status, reason).await;
    }
    for (route, body, status, reason, nearest) in [
        ("/v1/values?tll=1h", "x", 400, "usage", "ttl"),
        ("/v1/ping", r#"{"nodes": "x"}"#, 400, "malformed", "node"),
        (
            "/v1/bulk/put",
            r#"{"items": [{"value_base46": ""}]}"#,
            400,
            "malformed",
            "value_base64",
        ),
    ] {
        let response = api.post(route, body.to_owned()).await;
        assert_eq!(response.status().as_u16(), status, "{route}");
        let problem = json(response).await;
        assert!(problem["type"].as_str().unwrap().ends_with(reason));
        assert_eq!(problem["advice"], format!("did you mean {nearest}?"));
    }
    let status = json(api.get("/v1/status").await).await;
    assert_eq!(status["drops"]["malformed"], 14, "{status}");
    api.node.shutdown().await;
}

#[tokio::test]
async fn a_life_of_36_hours_is_taken_and_a_second_more_is_not() {
    let api = Api::start().await;
    let response = api.post("/v1/values?ttl=36h", "x").await;
    assert_eq!(response.status(), StatusCode::CREATED);
    for ttl in ["604801s", "8d"] {
        let response = api.post(&format!("/v1/values?ttl={ttl}"), "x").await;
        let detail = problem(response, 422, "lifetime-too-long").await;
        assert!(detail.contains("7d") && detail.contains(ttl), "{detail}");
    }
    api.node.shutdown().await;
}

#[tokio::test]
async fn too_few_copies_are_told_with_the_receipt() {
    let api = Api::start().await;
    let response = api.post("/v1/values?min_copies=2", GOLDEN_VALUE).await;
    assert_eq!(response.status(), StatusCode::FAILED_DEPENDENCY);
    let problem = json(response).await;
    assert_eq!(problem["type"], "urn:qadom:reason:too-few-copies");
    assert_eq!(problem["key"], GOLDEN_KEY);
    assert_eq!(problem["receipt"]["stored"], 1);
    api.node.shutdown().await;
}

#[tokio::test]
async fn a_lookup_streams_its_steps_and_ends_with_the_closest() {
    let (api, other) = (Api::start().await, Api::start().await);
    let address = other.node.address().to_string();
    let request = serde_json::json!({ "addresses": [address] }).to_string();
    let joined = json(api.post("/v1/join", request).await).await;
    assert_eq!(joined["peers"], 1, "{joined}");

    let route = format!("/v1/lookups/{GOLDEN_KEY}");
    let response = api.get(&route).await;
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    let text = String::from_utf8(bytes(response).await).unwrap();
    let events: Vec<_> = text.split_terminator("\n\n").collect();
    let (last, steps) = events.split_last().unwrap();
    assert!(
        !steps.is_empty()
            && steps
                .iter()
                .all(|step| step.starts_with("event: step\ndata: "))
    );
    let end = last.strip_prefix("event: end\ndata: ").unwrap();
    let end: api::LookupEnd = serde_json::from_str(end).unwrap();
    assert_eq!(end.closest[0].node.0, other.node.id());

    let response = api
        .send(Method::GET, &route, "application/json", Body::empty())
        .await;
    let lookup: api::Lookup = serde_json::from_value(json(response).await).unwrap();
    assert!(
        lookup
            .steps
            .iter()
            .any(|step| step.event == api::LookupEvent::Asked)
    );
    assert_eq!(lookup.end.closest.len(), 1);
    api.node.shutdown().await;
    other.node.shutdown().await;
}

#[tokio::test]
async fn a_node_that_runs_is_ready_and_one_that_stopped_is_not() {
    let api = Api::start().await;
    assert_eq!(api.get("/healthz").await.status(), StatusCode::OK);
    let response = api.get("/readyz").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(json(response).await["ready"], true);

    let stopped = json(api.post("/v1/stop", "").await).await;
    assert_eq!(stopped["stopped"], true);
    problem(api.get("/readyz").await, 503, "shutting-down").await;
    problem(api.post("/v1/values", "x").await, 503, "shutting-down").await;
    assert_eq!(api.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_read_refuses_what_has_no_meaning_for_it() {
    let api = Api::start().await;
    let writer = "00".repeat(32);
    for route in [
        format!("/v1/values/name:x?writer={writer}"),
        format!("/v1/bags/name:x?writer={writer}"),
        format!("/v1/dict/x?signature={writer}"),
        format!("/v1/dict/x?cursor={writer}"),
        "/v1/values/name:x?limit=1".to_owned(),
        format!("/v1/namespaces/{writer}/name:x?writer={writer}"),
    ] {
        let refused = api.get(&route).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{route}");
        let problem = json(refused).await;
        let kind = problem["type"].as_str().unwrap();
        assert!(kind.ends_with(":usage"), "{route}: {problem}");
    }
    api.node.shutdown().await;
}

#[tokio::test]
async fn a_bag_is_listed_page_by_page() {
    let api = Api::start().await;
    for number in 0..7 {
        let added = api.post("/v1/bags/name:x", format!("item {number}")).await;
        assert_eq!(added.status(), StatusCode::CREATED);
    }
    let all = json(api.get("/v1/bags/name:x").await).await;
    assert_eq!(all["cursor"], Value::Null, "{all}");
    let items = |list: &Value| {
        let items = list["items"].as_array().unwrap().iter();
        let values = items.map(|item| item["value_base64"].as_str().unwrap().to_owned());
        values.collect::<Vec<_>>()
    };
    for limit in [1, 3, 6, 7, 8] {
        let (mut listed, mut cursor, mut count) = (Vec::new(), "0".to_owned(), 0);
        loop {
            let route = format!("/v1/bags/name:x?limit={limit}&cursor={cursor}");
            let page = json(api.get(&route).await).await;
            assert_eq!(page["complete"], true, "{page}");
            assert!(items(&page).len() <= limit);
            listed.extend(items(&page));
            count += 1;
            let Some(next) = page["cursor"].as_str() else {
                break;
            };
            cursor = next.to_owned();
        }
        assert_eq!(count, 7_usize.div_ceil(limit), "{limit}");
        listed.sort_unstable();
        let mut expected = items(&all);
        expected.sort_unstable();
        assert_eq!(listed, expected, "{limit}");
    }
    for (parameters, kind) in [("cursor=name:x", "malformed"), ("cursor=ab", "malformed")] {
        let refused = api.get(&format!("/v1/bags/name:x?{parameters}")).await;
        problem(refused, 400, kind).await;
    }
    let refused = api.get("/v1/bags/name:x?limit=0").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    api.node.shutdown().await;
}

#[tokio::test]
async fn the_status_names_every_limit_once() {
    let api = Api::start().await;
    let status = json(api.get("/v1/status").await).await;
    let limits = status["limits"].as_array().unwrap();
    let mut names: Vec<_> = limits
        .iter()
        .map(|limit| limit["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "{status}");
    api.node.shutdown().await;
}

#[tokio::test]
async fn the_dashboard_comes_out_of_the_binary_and_may_load_nothing_else() {
    let api = Api::start().await;
    for (route, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard/main.js", "text/javascript; charset=utf-8"),
        ("/dashboard/style.css", "text/css; charset=utf-8"),
    ] {
        let response = api.get(route).await;
        assert_eq!(response.status(), StatusCode::OK, "{route}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], kind);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str();
        assert!(policy.unwrap().starts_with("default-src 'none'"), "{route}");
    }
    problem(api.get("/dashboard/none.js").await, 404, "not-found").await;
    api.node.shutdown().await;
}

#[tokio::test]
async fn a_file_that_is_sent_is_shared_and_leaves_nothing_else_behind() {
    let api = Api::start().await;
    let content = vec![7; 300_000];
    let route = "/v1/uploads?file=..%2Fholiday.raw&name=holiday";
    let sent = api.post(route, content.clone()).await;
    assert_eq!(sent.status(), StatusCode::OK);
    let told = sent.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&told).contains("\"receipt\""));
    let files = json(api.get("/v1/files").await).await;
    let file = &files["items"][0];
    assert_eq!(file["name"], "holiday.raw", "{files}");
    assert_eq!(file["path"], Value::Null, "{files}");
    let read = api.get("/name/holiday").await.into_body().collect().await;
    assert_eq!(read.unwrap().to_bytes(), content);
    let entries = std::fs::read_dir(api.node.data_dir()).unwrap();
    let left = entries.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("upload-")
    });
    assert_eq!(left.count(), 0);
    problem(
        api.post("/v1/uploads?file=a%00b", "x").await,
        400,
        "malformed",
    )
    .await;
    api.node.shutdown().await;
}
