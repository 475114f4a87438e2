//! The HTTP endpoints: health, readiness, metrics, status, modules, the life of the task.
//!
//! Owns the listener, its bounds and the form of the answers. What only reads needs no login; it listens on the loopback interface
//! unless the task file says otherwise. Changing something passes a guard.

mod guard;
mod listener;
mod modules;
mod objects;
mod task;

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::State as Shared,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use millrace_batch::Failure;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    config,
    observe::{Observe, State},
    task::{Life, Swaps},
};

/// The endpoints, listening.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    observe: Arc<Observe>,
    access: Option<Arc<modules::Access>>,
    file: Option<PathBuf>,
    life: Option<Arc<task::Access>>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Admin {
    /// Listens, and writes the status file when one is asked for.
    ///
    /// # Errors
    /// Definite `admin_listen` when the address cannot be had, `status_file` when the file cannot be written.
    pub async fn bind(config: &config::Admin, observe: Arc<Observe>) -> Result<Admin, Failure> {
        let refused = |error: std::io::Error| {
            let why = match error.kind() {
                std::io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
                _ => error.to_string(),
            };
            Failure::definite(
                "admin_listen",
                format!("listening on {} for the HTTP endpoints", config.listen),
                why,
                "set admin.listen to a free address; port 0 takes any",
            )
        };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        if let Some(path) = &config.status_file {
            write_status_file(path, address).map_err(|error| {
                Failure::definite(
                    "status_file",
                    format!("writing {}", path.display()),
                    error.to_string(),
                    "make the folder of admin.status_file writable, or leave the key out",
                )
            })?;
        }
        tracing::info!(code = "admin_listening", address = %address, "HTTP endpoints on http://{address}");
        Ok(Admin { listener, address, observe, access: None, file: None, life: None })
    }

    /// With the modules of a task: which run, and changing them. `config`: for the token.
    pub fn with_modules(mut self, config: &config::Admin, swaps: Swaps) -> Admin {
        self.access = Some(Arc::new(modules::Access { swaps, token: config.token.clone() }));
        self
    }

    /// With the selection of tables, which is changed through the task file.
    pub fn with_task_file(mut self, file: PathBuf) -> Admin {
        self.file = Some(file);
        self
    }

    /// With the life of a task: what it is doing, and doing something about it. `config`: for the token.
    pub fn with_life(mut self, config: &config::Admin, life: Life) -> Admin {
        self.life = Some(Arc::new(task::Access { life, token: config.token.clone() }));
        self
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the future is dropped.
    pub async fn serve(self) {
        let router = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/v1/status", get(status))
            .fallback(unknown)
            .with_state(self.observe);
        let router = match self.access {
            Some(access) => {
                let router = router.merge(modules::routes(access.clone()));
                match self.file {
                    Some(file) => {
                        let life = self.life.as_ref().map(|of| of.life.clone());
                        router.merge(objects::routes(access, file, life))
                    }
                    None => router,
                }
            }
            None => router,
        };
        let router = match self.life {
            Some(access) => router.merge(task::routes(access)),
            None => router,
        };
        let service = router.into_make_service_with_connect_info::<listener::Peer>();
        // Serving a listener of ours ends only when it is dropped: accept errors are waited out.
        let _ = axum::serve(listener::Bounded::new(self.listener), service).await;
    }
}

/// Written beside and renamed, so that who waits for the file never reads half of it.
fn write_status_file(path: &Path, address: SocketAddr) -> std::io::Result<()> {
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = std::fs::File::create(&beside)?;
    writeln!(file, "{}", json!({ "admin": address.to_string(), "pid": std::process::id() }))?;
    std::fs::rename(&beside, path)
}

async fn healthz() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

async fn readyz(Shared(observe): Shared<Arc<Observe>>) -> Response {
    let state = observe.state();
    let mut failure = observe.failure();
    if failure.is_none() && state == State::Streaming && observe.is_stalled() {
        failure = Some(Failure::transient(
            "sink_stalled",
            "delivering records",
            "records are in flight and the sink has acknowledged none for 10 s",
            "look at the brokers; nothing is lost and delivery goes on by itself",
        ));
    }
    let code = if observe.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({ "state": state });
    if let Some(failure) = failure {
        body["failure"] = json!(failure);
    }
    (code, Json(body)).into_response()
}

async fn metrics(Shared(observe): Shared<Arc<Observe>>) -> Response {
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, form)], observe.encode()).into_response()
}

async fn status(Shared(observe): Shared<Arc<Observe>>) -> Response {
    Json(observe.snapshot()).into_response()
}

async fn unknown(uri: Uri) -> Response {
    let why = format!("there is no {}", uri.path());
    let error = Failure::definite(
        "not_found",
        "answering a request",
        why,
        "GET /healthz, /readyz, /metrics, /v1/status, /v1/task or /v1/modules",
    );
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::About;
    use std::io::{Read, Write};

    fn observe() -> Arc<Observe> {
        Arc::new(Observe::new(About { task: "shop".to_owned(), ..About::default() }))
    }

    fn config(listen: &str, status_file: Option<std::path::PathBuf>) -> config::Admin {
        config::Admin { listen: listen.parse().unwrap(), status_file, token: None }
    }

    fn ask(address: SocketAddr, request: &str) -> (u16, String) {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[test]
    fn the_answers_follow_the_state() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("status.json");
        let observe = observe();
        let admin = runtime.block_on(Admin::bind(&config("127.0.0.1:0", Some(file.clone())), observe.clone())).unwrap();
        let address = admin.address();
        let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(told, json!({ "admin": address.to_string(), "pid": std::process::id() }));
        runtime.spawn(admin.serve());

        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(ask(address, "GET /healthz"), (200, r#"{"status":"ok"}"#.to_owned()));
        assert_eq!(ask(address, "GET /readyz"), (503, r#"{"state":"starting"}"#.to_owned()));
        observe.streaming();
        assert_eq!(ask(address, "GET /readyz"), (200, r#"{"state":"streaming"}"#.to_owned()));
        observe.retrying(&Failure::transient("source_unreachable", "t", "w", "m"), std::time::Duration::ZERO);
        let (code, body) = ask(address, "GET /readyz");
        assert_eq!(
            (code, &json(&body)["state"], &json(&body)["failure"]["class"]),
            (503, &json!("retrying"), &json!("transient"))
        );
        observe.halted(&Failure::definite("slot_lost", "t", "w", "m"));
        let (code, body) = ask(address, "GET /readyz");
        assert_eq!((code, &json(&body)["failure"]["code"]), (503, &json!("slot_lost")));
        assert_eq!(ask(address, "GET /healthz").0, 200);
        let status = json(&ask(address, "GET /v1/status").1);
        assert_eq!(
            (&status["task"], &status["state"], &status["ready"]),
            (&json!("shop"), &json!("halted"), &json!(false))
        );
        assert_eq!(status["shards"][0]["confirmed_lsn"], "0/0");
        let (code, text) = ask(address, "GET /metrics");
        assert!(code == 200 && text.contains("millrace_reconnects_total{task=\"shop\",shard=\"0\"} 1"), "{text}");
        assert_eq!(ask(address, "GET /nothing").0, 404);
        assert_eq!(ask(address, "POST /healthz").0, 405);

        let taken = runtime.block_on(Admin::bind(&config(&address.to_string(), None), observe.clone())).unwrap_err();
        assert_eq!((taken.code, taken.is_definite()), ("admin_listen", true));
        let unwritable = config("127.0.0.1:0", Some("/no/such/folder/x".into()));
        assert_eq!(runtime.block_on(Admin::bind(&unwritable, observe)).unwrap_err().code, "status_file");
    }
}
