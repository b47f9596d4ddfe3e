//! Requests to the graph, in this process: what `meshproof fuzz --cloud` sends over a network.

use meshproof_kit::fuzz::Draw;
use meshproof_kit::fuzz::request::{History, Place, judge, request};
use serde_json::Value;

use crate::cloud::{Ask, Cloud};

/// Whether a request was granted.
pub fn graph(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    let mut cloud = Cloud::get();
    let folder = cloud.folder();
    let place = Place {
        path: &folder.0,
        tickets: &folder.1,
        before: &cloud.alice,
        user: &cloud.user,
        stranger: &cloud.bob,
    };
    let mut history = History::default();
    let mut granted = false;
    for _ in 0..=draw.below(6) {
        let plan = request(&mut draw, &place, &history);
        let mut headers = vec![("content-type", b"application/json".to_vec())];
        headers.extend(plan.authorization.clone().map(|field| ("authorization", field.into_bytes())));
        headers.extend(plan.if_match.clone().map(|field| ("if-match", field.into_bytes())));
        let answer =
            cloud.ask(Ask { method: plan.method, path: &plan.path, headers, body: plan.body.clone() });
        judge(&plan, answer.status, &answer.body).unwrap_or_else(|what| panic!("{what}"));
        history.heard(&plan, answer.status, answer.header("etag"));
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        assert!(body["items"].as_array().is_none_or(|items| items.len() <= 1_000), "a page without end");
        granted |= answer.is_success();
    }
    cloud.remove(&folder);
    granted
}
