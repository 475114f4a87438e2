//! `/v1/task`: the life of the task, and what a person may do about it.
//!
//! Owns the form of requests and answers. Must not decide what an action does, nor who may ask for one.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{ConnectInfo, Path, Request, State as Shared},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use millrace_batch::Failure;
use millrace_lifecycle::Action;
use serde::Deserialize;

use super::{
    guard::{permitted, refused},
    listener::Peer,
};
use crate::{
    config::{Moment, SecretSource},
    task::Life,
};

/// Largest body that is read.
const BODY_LIMIT: usize = 64 << 10;
/// Longest wait for the outcome, longer than a drain and a release take by default.
const PATIENCE: Duration = Duration::from_secs(150);
/// Who asks, as the client claims: shown in the audit log beside the address.
const ACTOR: &str = "x-millrace-actor";
/// Longest name of who asks, in characters.
const ACTOR_LIMIT: usize = 80;

/// What the endpoints need.
pub(super) struct Access {
    pub life: Life,
    pub token: Option<SecretSource>,
}

/// The routes.
pub(super) fn routes(access: Arc<Access>) -> Router {
    Router::new().route("/v1/task", get(view)).route("/v1/task/{action}", post(act)).with_state(access)
}

async fn view(Shared(access): Shared<Arc<Access>>) -> Response {
    Json(access.life.view()).into_response()
}

/// A request for an action.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// When to start, as RFC 3339.
    at: Option<String>,
    /// Whether the answer comes when the action is done; without it, yes.
    wait: Option<bool>,
}

async fn act(
    Shared(access): Shared<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    if let Err(failure) = permitted(access.token.as_ref(), peer.ip(), &headers) {
        return refused(StatusCode::FORBIDDEN, failure);
    }
    let body = match to_bytes(request.into_body(), BODY_LIMIT).await {
        Ok(body) => body,
        Err(_) => {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, bad(format!("its body has more than {BODY_LIMIT} bytes")));
        }
    };
    let wanted = if body.is_empty() { Ok(Wanted::default()) } else { serde_json::from_slice(&body) };
    let wanted: Wanted = match wanted {
        Ok(wanted) => wanted,
        Err(error) => return refused(StatusCode::BAD_REQUEST, bad(error.to_string())),
    };
    let action = match action(&name, wanted.at.as_deref()) {
        Ok(action) => action,
        Err((code, failure)) => return refused(code, failure),
    };
    if let Err(failure) = access.life.act(action, &who(&headers, &peer.ip().to_canonical().to_string())).await {
        let code =
            if failure.code == "action_refused" { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
        return refused(code, failure);
    }
    let done = wanted.wait != Some(false) && access.life.settled(PATIENCE).await;
    let code = if done { StatusCode::OK } else { StatusCode::ACCEPTED };
    (code, Json(access.life.view())).into_response()
}

/// An action by its name.
fn action(name: &str, at: Option<&str>) -> Result<Action, (StatusCode, Failure)> {
    let at_ms = || match at.map(str::parse::<Moment>) {
        Some(Ok(moment)) => Ok(moment.0),
        Some(Err(rule)) => Err((StatusCode::BAD_REQUEST, bad(format!("\"at\" {rule}")))),
        None => Err((StatusCode::BAD_REQUEST, bad("\"at\" is missing: when to start".to_owned()))),
    };
    Ok(match name {
        "check" => Action::Check,
        "start" if at.is_some() => Action::StartAt { at_ms: at_ms()? },
        "start" => Action::Start,
        "start-time" => Action::EditStartTime { at_ms: at_ms()? },
        "information" => Action::EditInformation,
        "passwords" => Action::EditPasswords,
        "pause" => Action::Pause,
        "resume" => Action::Resume,
        "reset" => Action::Reset,
        "stop" => Action::Stop,
        "forced-stop" => Action::ForcedStop,
        "delete" => Action::Delete,
        _ => return Err((StatusCode::NOT_FOUND, bad(format!("{name:?} is no action of a task")))),
    })
}

/// Who asks, for the audit log: what the client says of itself is a claim, the address is not.
pub(super) fn who(headers: &HeaderMap, peer: &str) -> String {
    let claimed = headers.get(ACTOR).and_then(|value| value.to_str().ok());
    match claimed.map(|name| name.chars().filter(|c| !c.is_control()).take(ACTOR_LIMIT).collect::<String>()) {
        Some(name) if !name.is_empty() => format!("{name} at {peer}"),
        _ => peer.to_owned(),
    }
}

fn bad(why: String) -> Failure {
    Failure::definite("request_invalid", "reading a request", why, "docs/task.md has the form of the requests")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_by_their_names() {
        for name in
            ["check", "start", "information", "passwords", "pause", "resume", "reset", "stop", "forced-stop", "delete"]
        {
            assert!(action(name, None).is_ok(), "{name}");
        }
        assert_eq!(action("start", Some("1970-01-01T00:00:01Z")).unwrap(), Action::StartAt { at_ms: 1000 });
        assert_eq!(action("start-time", None).unwrap_err().0, StatusCode::BAD_REQUEST);
        assert_eq!(action("start", Some("soon")).unwrap_err().1.code, "request_invalid");
        assert_eq!(action("clone", None).unwrap_err().0, StatusCode::NOT_FOUND);
    }

    #[test]
    fn who_asks_is_a_claim_and_an_address() {
        let mut headers = HeaderMap::new();
        assert_eq!(who(&headers, "127.0.0.1"), "127.0.0.1");
        headers.insert(ACTOR, "ann".parse().unwrap());
        assert_eq!(who(&headers, "127.0.0.1"), "ann at 127.0.0.1");
    }
}
