//! The metrics beside their page and the dashboard.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use qadom_http::{App, router};
use qadom_node::Node;
use tower::ServiceExt;

const PAGE: &str = include_str!("../../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../../packaging/grafana/qadom.json");

/// Every name of a metric in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let names = words.filter(|word| word.starts_with("qadom_"));
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_metric_is_documented_and_the_dashboard_shows_no_other() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let node = Node::builder().memory(true).listen(listen);
    let node = node.start().await.unwrap();
    // So that there is a figure of a lookup, and a drop.
    node.lookup("name:x".parse().unwrap()).await.unwrap();
    let router = router(App::new(node.clone()));
    let ask = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    };
    ask("/v1/values/no-key").await;
    let text = ask("/metrics").await;
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let shown = samples.filter_map(|line| line.split(['{', ' ']).next());
    let shown = shown.map(str::to_owned).collect::<BTreeSet<_>>();
    let documented = names(PAGE);
    assert!(shown.len() > 8, "{text}");
    for name in &shown {
        assert!(
            documented.contains(name),
            "{name} is not in docs/metrics.md"
        );
    }
    for name in names(DASHBOARD) {
        assert!(
            documented.contains(&name),
            "{name} is not in docs/metrics.md"
        );
    }
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
    node.shutdown().await;
}
