//! `/v1/modules`: which modules run, and changing them.
//!
//! Owns the form of requests and answers. Must not decide what a swap does, nor who may ask for one.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{ConnectInfo, Path, Request, State as Shared},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use millrace_batch::Failure;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    guard::{permitted, refused},
    listener::Peer,
};
use crate::{
    config::{SecretSource, Sha256},
    swap::{Place, Share, Ticket},
    task::{
        Swaps,
        swaps::{Asked, Source, StageChange},
    },
};

/// Largest body that is read: a component of the largest size, with room for the request around it.
const BODY_LIMIT: usize = 33 << 20;

/// What the endpoints need.
pub(super) struct Access {
    pub swaps: Swaps,
    pub token: Option<SecretSource>,
}

/// The routes.
pub(super) fn routes(access: Arc<Access>) -> Router {
    let changes = Router::new()
        .route("/v1/modules/{stage}", put(swap))
        .route("/v1/modules/{stage}/rollback", post(roll_back))
        .route("/v1/modules/{stage}/shadow", put(shadow).delete(end_shadow))
        .route("/v1/modules/{stage}/canary", put(canary).delete(end_canary))
        .route("/v1/modules/{stage}/promote", post(promote))
        .route_layer(from_fn_with_state(access.clone(), guard));
    let looks = Router::new()
        .route("/v1/modules", get(list))
        .route("/v1/modules/{stage}/shadow", get(shadow_report))
        .route("/v1/modules/{stage}/canary", get(canary_report));
    looks.merge(changes).with_state(access)
}

async fn list(Shared(access): Shared<Arc<Access>>) -> Json<Value> {
    Json(access.swaps.view())
}

/// A request to change one stage.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// A file of the gateway's machine; without it only the configuration changes.
    path: Option<PathBuf>,
    /// SHA-256 the component must have.
    sha256: Option<Sha256>,
    /// What its `init` gets: a text as it is, anything else as JSON. Without it, what the module before it got.
    config: Option<Value>,
    /// Drain to a durable position first although the stage does not decide over topics.
    #[serde(default)]
    drain: bool,
    /// The part of the changes, for a canary.
    share: Option<Share>,
}

async fn swap(
    Shared(access): Shared<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(stage): Path<String>,
    request: Request,
) -> Response {
    let wait = Query::of(request.uri().query()).value("wait") != Some("false");
    match wanted(&stage, request).await {
        Ok(Asks { share: Some(_), .. }) => refused(
            StatusCode::BAD_REQUEST,
            bad("request_invalid", "only a canary has a share: PUT /v1/modules/{stage}/canary"),
        ),
        Ok(Asks { change, drain, .. }) => answer(access.swaps.swap_stage(change, drain, peer.ip()), wait).await,
        Err(refused) => *refused,
    }
}

/// What a request asks for.
struct Asks {
    change: StageChange,
    drain: bool,
    share: Option<Share>,
}

async fn wanted(stage: &str, request: Request) -> Result<Asks, Box<Response>> {
    let refused = |code, failure| Err(Box::new(refused(code, failure)));
    let uri = request.uri().clone();
    let query = Query::of(uri.query());
    let is_json = content_type(request.headers()).is_some_and(|kind| kind.starts_with("application/json"));
    let place = match stage.parse::<Place>() {
        Ok(place) => place,
        Err(rule) => return refused(StatusCode::NOT_FOUND, bad("stage_unknown", rule)),
    };
    // Beside a component its configuration has place in a header.
    let config = request.headers().get("millrace-config").and_then(|text| text.to_str().ok());
    let config = config.map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
    let share = request.headers().get("millrace-share").map(|text| serde_json::from_slice::<Share>(text.as_bytes()));
    let share = match share.transpose() {
        Ok(share) => share,
        Err(error) => {
            return refused(StatusCode::BAD_REQUEST, bad("request_invalid", format!("Millrace-Share: {error}")));
        }
    };
    let body = match to_bytes(request.into_body(), BODY_LIMIT).await {
        Ok(body) => body,
        Err(_) => {
            let rule = format!("its body is cut short or has more than {BODY_LIMIT} bytes");
            return refused(StatusCode::PAYLOAD_TOO_LARGE, bad("request_invalid", rule));
        }
    };
    let wanted = if is_json {
        match serde_json::from_slice::<Wanted>(&body) {
            Ok(wanted) => wanted,
            // serde's words name keys and places; a value of the configuration is not among them.
            Err(error) => return refused(StatusCode::BAD_REQUEST, bad("request_invalid", error)),
        }
    } else {
        let sha256 = match query.value("sha256").map(str::parse).transpose() {
            Ok(sha256) => sha256,
            Err(rule) => return refused(StatusCode::BAD_REQUEST, bad("request_invalid", format!("sha256 {rule}"))),
        };
        Wanted { path: None, sha256, config, drain: query.is_set("drain"), share }
    };
    let source = match (is_json, wanted.path) {
        (true, Some(path)) => Source::File(path),
        (true, None) => Source::Same,
        (false, _) => Source::Bytes(body.into()),
    };
    let config = wanted.config.map(|config| match config {
        Value::String(text) => text,
        other => other.to_string(),
    });
    let change = StageChange { place, source, pin: wanted.sha256.map(|sha256| sha256.0), config };
    Ok(Asks { change, drain: wanted.drain || query.is_set("drain"), share: wanted.share })
}

async fn shadow(
    Shared(access): Shared<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(stage): Path<String>,
    request: Request,
) -> Response {
    match wanted(&stage, request).await {
        Ok(asks) => told(access.swaps.shadow(asks.change, peer.ip()).await),
        Err(refused) => *refused,
    }
}

async fn shadow_report(Shared(access): Shared<Arc<Access>>, Path(stage): Path<String>) -> Response {
    told(place(&stage).and_then(|place| access.swaps.shadow_report(place)))
}

async fn end_shadow(Shared(access): Shared<Arc<Access>>, Path(stage): Path<String>) -> Response {
    told(place(&stage).and_then(|place| access.swaps.end_shadow(place)))
}

async fn canary(
    Shared(access): Shared<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(stage): Path<String>,
    request: Request,
) -> Response {
    let wait = Query::of(request.uri().query()).value("wait") != Some("false");
    match wanted(&stage, request).await {
        Ok(Asks { change, drain, share: Some(share) }) => {
            answer(access.swaps.canary(change, share, drain, peer.ip()), wait).await
        }
        Ok(_) => {
            let rule = "a canary needs a share: {\"tables\": [\"schema.table\"], \"percent\": 10}, one of them or both";
            refused(StatusCode::BAD_REQUEST, bad("request_invalid", rule))
        }
        Err(refused) => *refused,
    }
}

async fn canary_report(Shared(access): Shared<Arc<Access>>, Path(stage): Path<String>) -> Response {
    told(place(&stage).and_then(|place| access.swaps.canary_report(place)))
}

async fn end_canary(
    Shared(access): Shared<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(stage): Path<String>,
) -> Response {
    let place = match place(&stage) {
        Ok(place) => place,
        Err(failure) => return told(Err(failure)),
    };
    match access.swaps.end_canary(place, peer.ip()) {
        Ok(Some(asked)) => {
            let answered = answer(asked, true).await;
            if answered.status().is_success() { told(access.swaps.canary_report(place)) } else { answered }
        }
        Ok(None) => told(access.swaps.canary_report(place)),
        Err(failure) => told(Err(failure)),
    }
}

async fn promote(
    Shared(access): Shared<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(stage): Path<String>,
) -> Response {
    match place(&stage).and_then(|place| access.swaps.promote(place, peer.ip())) {
        Ok(asked) => answer(asked, true).await,
        Err(failure) => told(Err(failure)),
    }
}

fn place(stage: &str) -> Result<Place, Failure> {
    stage.parse().map_err(|rule: &str| bad("stage_unknown", rule))
}

fn told(outcome: Result<Value, Failure>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(failure) => {
            let code = match failure.code {
                "stage_unknown" | "shadow_unknown" | "canary_unknown" => StatusCode::NOT_FOUND,
                _ if failure.is_definite() => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            refused(code, failure)
        }
    }
}

/// A request to go back.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Back {
    /// The version; without it the one before the one that runs.
    version: Option<Ticket>,
}

async fn roll_back(
    Shared(access): Shared<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(stage): Path<String>,
    request: Request,
) -> Response {
    let uri = request.uri().clone();
    let query = Query::of(uri.query());
    let place = match stage.parse::<Place>() {
        Ok(place) => place,
        Err(rule) => return refused(StatusCode::NOT_FOUND, bad("stage_unknown", rule)),
    };
    let body = to_bytes(request.into_body(), BODY_LIMIT).await.unwrap_or_default();
    let back = if body.is_empty() { Ok(Back::default()) } else { serde_json::from_slice(&body) };
    match back {
        Ok(Back { version }) => match access.swaps.roll_back_stage(place, version, peer.ip()) {
            Ok(asked) => answer(asked, query.value("wait") != Some("false")).await,
            Err(failure) => refused(StatusCode::NOT_FOUND, failure),
        },
        Err(error) => refused(StatusCode::BAD_REQUEST, bad("request_invalid", error)),
    }
}

/// Lets a request pass that may change something.
pub(super) async fn guard(
    Shared(access): Shared<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match permitted(access.token.as_ref(), peer.ip(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => refused(StatusCode::FORBIDDEN, failure),
    }
}

async fn answer((version, told): Asked, wait: bool) -> Response {
    if !wait {
        return (StatusCode::ACCEPTED, Json(json!({ "version": version, "pending": true }))).into_response();
    }
    match told.await {
        Ok(Ok(swapped)) => Json(json!(swapped)).into_response(),
        Ok(Err(failure)) => {
            let code = match failure.code {
                "swap_queue_full" => StatusCode::TOO_MANY_REQUESTS,
                _ if failure.is_definite() => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            refused(code, failure)
        }
        Err(_) => {
            let why = "the gateway ended before it was done";
            refused(
                StatusCode::SERVICE_UNAVAILABLE,
                Failure::transient("swap_stopping", "swapping modules", why, "ask again"),
            )
        }
    }
}

pub(super) fn bad(code: &'static str, why: impl ToString) -> Failure {
    let mend = "docs/hot-reload.md has the form of the requests";
    Failure::definite(code, "reading a request", why.to_string(), mend)
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

/// The few plain parameters of a request.
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(super) fn of(query: Option<&'a str>) -> Query<'a> {
        Query(query.unwrap_or_default())
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.is_empty() || value == "true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let query = Query::of(Some("wait=false&drain&sha256=00"));
        assert_eq!((query.value("wait"), query.value("sha256"), query.value("x")), (Some("false"), Some("00"), None));
        assert!(query.is_set("drain") && !query.is_set("wait") && !Query::of(None).is_set("drain"));
    }
}
