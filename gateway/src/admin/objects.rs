//! `PUT /v1/objects`: another selection of tables for the task that runs.
//!
//! Owns the form of the request and the answer; who may ask is `modules`' guard. Must not decide what a change does.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{ConnectInfo, Request, State as Shared},
    http::{HeaderMap, StatusCode},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::put,
};
use millrace_batch::Failure;
use serde_json::json;

use super::{
    guard::refused,
    listener::Peer,
    modules::{Access, Query, bad, guard},
    task::who,
};
use crate::task::{
    Life,
    objects::{Sent, change},
};

/// What the route works on.
struct Edits {
    access: Arc<Access>,
    /// The task file.
    file: PathBuf,
    life: Option<Life>,
}

/// The routes. `file`: the task file; `life`: what is told of an edit.
pub(super) fn routes(access: Arc<Access>, file: PathBuf, life: Option<Life>) -> Router {
    Router::new()
        .route("/v1/objects", put(set))
        .route_layer(from_fn_with_state(access.clone(), guard))
        .with_state(Arc::new(Edits { access, file, life }))
}

/// An empty body: the selection that the task file names now. Otherwise the body is a list, and `?name=` its file name.
async fn set(
    Shared(edits): Shared<Arc<Edits>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let uri = request.uri().clone();
    let name = unescaped(Query::of(uri.query()).value("name").unwrap_or_default());
    let limit = millrace_objects::FILE_LIMIT;
    let Ok(body) = to_bytes(request.into_body(), limit).await else {
        let why = format!("its body is cut short or has more than {limit} bytes");
        return refused(StatusCode::PAYLOAD_TOO_LARGE, bad("request_invalid", why));
    };
    let sent = (!body.is_empty()).then(|| Sent { name, bytes: body.to_vec() });
    let who = who(&headers, &peer.ip().to_canonical().to_string());
    if let Some(Err(failure)) = edits.life.as_ref().map(|life| life.edit_objects(&who)) {
        return refused(StatusCode::CONFLICT, failure);
    }
    // On a task of its own: a client that goes away ends no edit half-way, and the life hears what it came to.
    let edit = tokio::spawn(async move {
        let outcome = change(&edits.access.swaps, &edits.file, sent).await;
        if let Some(life) = &edits.life {
            life.objects_edited(&who, outcome.as_ref().err());
        }
        outcome
    });
    let outcome = edit.await.unwrap_or_else(|error| {
        Err(Failure::definite(
            "internal",
            "changing the selection of tables",
            error.to_string(),
            "report it with the log",
        ))
    });
    match outcome {
        Ok(edited) => Json(json!(edited)).into_response(),
        Err(failure) if failure.is_definite() => refused(StatusCode::UNPROCESSABLE_ENTITY, failure),
        Err(failure) => refused(StatusCode::SERVICE_UNAVAILABLE, failure),
    }
}

/// A query's value without its escapes; what is no escape stands for itself.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten().and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &after[2..]),
            None => (bytes.push(*first), rest = after),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes() {
        for (text, plain) in [
            ("a%20b%281%29.csv", "a b(1).csv"),
            ("%", "%"),
            ("%zz%4", "%zz%4"),
            ("%C3%A4", "\u{e4}"),
            ("%FF", "\u{fffd}"),
        ] {
            assert_eq!(super::unescaped(text), plain, "{text}");
        }
    }
}
