//! `millrace module list|swap|rollback|shadow|canary|promote|report|end`: the modules of a running gateway, over its HTTP port.
//!
//! Owns the requests and the form of their answers. What a swap does is the gateway's affair.

use std::{path::PathBuf, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{Method, Request, header},
};
use clap::{Args, Subcommand};
use hyper_util::rt::TokioIo;
use millrace_batch::Failure;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{Exit, Json, answer, block_on};
use crate::config::Sha256;

/// Largest answer that is read.
const ANSWER_LIMIT: usize = 4 << 20;
/// Longest wait for a connection.
const CONNECT_BOUND: Duration = Duration::from_secs(5);
/// Environment variable that holds the token.
const TOKEN: &str = "MILLRACE_ADMIN_TOKEN";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows which modules a running gateway runs, what waits, and the history
    List(List),
    /// Gives a stage of a running gateway another component or configuration
    Swap(Swap),
    /// Brings back what an earlier version had in a stage
    Rollback(Rollback),
    /// Runs another component or configuration beside the one of a stage, sends nothing of it, and compares
    Shadow(Shadow),
    /// Lets another component or configuration answer for a part of the changes
    Canary(Canary),
    /// Puts what a canary or a shadow runs in the place of what it is compared with
    Promote(Promote),
    /// Shows what a shadow, or a canary, has found
    Report(Beside),
    /// Ends a shadow, or a canary, and shows what it found
    End(Beside),
}

/// Where the gateway is.
#[derive(Debug, Args)]
struct Gateway {
    /// Address of its HTTP endpoints; MILLRACE_ADMIN_TOKEN holds the token where it wants one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9640")]
    admin: String,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    gateway: Gateway,
}

/// A component or a configuration for a stage.
#[derive(Debug, Args)]
struct Given {
    /// Stage: select, filter.N, map.N, route or format
    stage: String,
    /// The component; without it only the configuration changes
    #[arg(value_name = "FILE.wasm")]
    file: Option<PathBuf>,
    /// Its configuration: JSON, or @FILE  [default: what the stage has]
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// SHA-256 the component must have
    #[arg(long, value_name = "HEX")]
    sha256: Option<Sha256>,
}

#[derive(Debug, Args)]
pub(super) struct Swap {
    #[command(flatten)]
    given: Given,
    /// Drains to a durable position first, whatever the stage
    #[arg(long)]
    drain: bool,
    /// Returns at once instead of when the new version runs
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// Stage: select, filter.N, map.N, route or format
    stage: String,
    /// Number of the version; without it the one before the one that runs
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, Args)]
pub(super) struct Shadow {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("share").required(true).multiple(true)))]
pub(super) struct Canary {
    #[command(flatten)]
    given: Given,
    /// Keys out of a hundred, chosen by hash  [default: all keys of the tables]
    #[arg(long, value_name = "N", group = "share", value_parser = clap::value_parser!(u8).range(1..=100))]
    percent: Option<u8>,
    /// A table it answers for; may be given several times  [default: all tables]
    #[arg(long = "table", value_name = "SCHEMA.TABLE", group = "share")]
    tables: Vec<String>,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, Args)]
pub(super) struct Promote {
    /// Stage: select, filter.N, map.N, route or format
    stage: String,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, Args)]
pub(super) struct Beside {
    /// Stage: select, filter.N, map.N, route or format
    stage: String,
    /// The canary of the stage, not its shadow
    #[arg(long)]
    canary: bool,
    #[command(flatten)]
    gateway: Gateway,
}

pub(super) fn run(command: &Command) -> Exit {
    let (gateway, asked) = match command {
        Command::List(list) => (&list.gateway, Ok((Method::GET, "/v1/modules".to_owned(), Vec::new(), Bytes::new()))),
        Command::Swap(swap) => (&swap.gateway, swap.request()),
        Command::Rollback(back) => {
            let path = format!("/v1/modules/{}/rollback", back.stage);
            let body = back.version.map_or_else(Bytes::new, |version| json!({ "version": version }).to_string().into());
            (&back.gateway, Ok((Method::POST, path, Vec::new(), body)))
        }
        Command::Shadow(shadow) => {
            let path = format!("/v1/modules/{}/shadow?", shadow.given.stage);
            (&shadow.gateway, shadow.given.request(path, None))
        }
        Command::Canary(canary) => {
            let Canary { given, percent, tables, gateway } = canary;
            let share = json!({ "tables": tables, "percent": percent });
            (gateway, given.request(format!("/v1/modules/{}/canary?", given.stage), Some(share)))
        }
        Command::Promote(Promote { stage, gateway }) => {
            (gateway, Ok((Method::POST, format!("/v1/modules/{stage}/promote"), Vec::new(), Bytes::new())))
        }
        Command::Report(beside) => (&beside.gateway, Ok((Method::GET, beside.path(), Vec::new(), Bytes::new()))),
        Command::End(beside) => (&beside.gateway, Ok((Method::DELETE, beside.path(), Vec::new(), Bytes::new()))),
    };
    let json = gateway.json.json;
    let answered = asked.and_then(|(method, path, headers, body)| {
        block_on(ask(&gateway.admin, method, &path, &headers, body)).unwrap_or_else(|_| {
            Err(Failure::transient("internal", "asking the gateway", "no runtime could be started", "try again"))
        })
    });
    match answered {
        Ok(told) if json => answer::object(&told),
        Ok(told) if matches!(command, Command::List(_)) => list(&told),
        Ok(told) if told["report"].is_object() => report(&told),
        Ok(told) if told["pending"] == true => answer::text(&format!("version {} is pending", told["version"])),
        Ok(told) if told["at_next_start"] == true => {
            answer::text(&format!("version {} runs from the next start of the stream on", told["version"]));
        }
        Ok(told) => {
            answer::text(&format!(
                "version {} runs; the stream stood still for {} us",
                told["version"], told["pause_us"]
            ));
        }
        Err(failure) => return answer::failure(&failure, json),
    }
    Exit::Done
}

type Asked = (Method, String, Vec<(&'static str, String)>, Bytes);

impl Swap {
    fn request(&self) -> Result<Asked, Failure> {
        let mut path = format!("/v1/modules/{}?wait={}", self.given.stage, !self.no_wait);
        if self.drain {
            path += "&drain=true";
        }
        self.given.request(path, None)
    }
}

impl Beside {
    fn path(&self) -> String {
        format!("/v1/modules/{}/{}", self.stage, if self.canary { "canary" } else { "shadow" })
    }
}

impl Given {
    fn request(&self, mut path: String, share: Option<Value>) -> Result<Asked, Failure> {
        let unreadable = |path: &std::path::Path, error: std::io::Error| {
            let tried = format!("reading {}", path.display());
            Failure::definite("input_unreadable", tried, error.to_string(), "correct the path, or the file")
        };
        let config = match self.config.as_deref().map(|text| text.strip_prefix('@').ok_or(text)) {
            None => None,
            Some(Err(text)) => Some(text.to_owned()),
            Some(Ok(file)) => Some(std::fs::read_to_string(file).map_err(|error| unreadable(file.as_ref(), error))?),
        };
        let config = config.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
        let mut headers = Vec::new();
        let body: Bytes = match &self.file {
            Some(file) => {
                headers.push(("content-type", "application/wasm".to_owned()));
                if let Some(config) = &config {
                    headers.push(("millrace-config", ascii(&config.to_string())));
                }
                if let Some(share) = &share {
                    headers.push(("millrace-share", ascii(&share.to_string())));
                }
                if let Some(sha256) = &self.sha256 {
                    path += &format!("&sha256={sha256}");
                }
                std::fs::read(file).map_err(|error| unreadable(file, error))?.into()
            }
            None => {
                headers.push(("content-type", "application/json".to_owned()));
                let mut body = json!({});
                if let Some(config) = config {
                    body["config"] = config;
                }
                if let Some(share) = share {
                    body["share"] = share;
                }
                body.to_string().into()
            }
        };
        Ok((Method::PUT, path, headers, body))
    }
}

/// JSON in the characters a header may have.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            character.encode_utf16(&mut units).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        }
    }
    text
}

/// Asks the gateway at an address; gives the JSON of its answer.
///
/// # Errors
/// Transient `gateway_unreachable`; `gateway_refused`, of the class the gateway's own failure has.
pub(super) async fn ask(
    admin: &str,
    method: Method,
    path: &str,
    headers: &[(&'static str, String)],
    body: Bytes,
) -> Result<Value, Failure> {
    let address = admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/');
    let tried = format!("asking the gateway at {address}");
    let failed = |why: String| {
        Failure::transient(
            "gateway_unreachable",
            tried.clone(),
            why,
            "start the gateway, or name its admin.listen with --admin",
        )
    };
    let connected = tokio::time::timeout(CONNECT_BOUND, TcpStream::connect(address)).await;
    let stream = connected.map_err(|_| failed(format!("no answer within {CONNECT_BOUND:?}")))?;
    let stream = stream.map_err(|error| failed(error.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, address);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let has_token = headers.iter().any(|(name, _)| *name == header::AUTHORIZATION.as_str());
    if let (false, Ok(token)) = (has_token, std::env::var(TOKEN)) {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Body::from(body)).map_err(|error| {
        Failure::definite("request_invalid", tried.clone(), error.to_string(), "correct the stage's name or the token")
    })?;
    let response = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    let good = response.status().is_success();
    let body =
        to_bytes(Body::new(response.into_body()), ANSWER_LIMIT).await.map_err(|error| failed(error.to_string()))?;
    connection.abort();
    let told: Value =
        serde_json::from_slice(&body).map_err(|_| failed("it does not answer as a gateway does".into()))?;
    if good {
        return Ok(told);
    }
    let error = &told["error"];
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let why = format!("{}: {} ({})", text("tried"), text("why"), text("code"));
    Err(if error["class"] == "transient" {
        Failure::transient("gateway_refused", tried, why, text("mend"))
    } else {
        Failure::definite("gateway_refused", tried, why, text("mend"))
    })
}

/// The modules as lines for people.
fn list(told: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    answer::text(&format!("version {}", told["version"]));
    for module in told["modules"].as_array().into_iter().flatten() {
        let how = match (module["built_in"] == true, module["swapped"] == true) {
            (true, _) => "built in",
            (_, true) => "swapped in",
            _ => "task file",
        };
        let digest: String = text(&module["sha256"]).chars().take(12).collect();
        answer::text(&format!("  {:<10} {} {digest} ({how})", text(&module["stage"]), text(&module["name"])));
    }
    for waits in told["pending"].as_array().into_iter().flatten() {
        answer::text(&format!(
            "pending: version {} of {}, {}",
            waits["version"],
            text(&waits["stage"]),
            text(&waits["phase"])
        ));
    }
    for entry in told["history"].as_array().into_iter().flatten() {
        let why = entry["failure"]["why"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        answer::text(&format!(
            "{:>4} {} {} by {}{why}",
            entry["version"],
            entry["stage"].as_str().unwrap_or("chain"),
            text(&entry["outcome"]),
            text(&entry["trigger"]["by"])
        ));
    }
}

/// What a shadow or a canary found, as lines for people.
fn report(told: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = &told["report"];
    let state = match told["ended"].as_str() {
        Some(why) => format!("ended: {why}"),
        None => "running".to_owned(),
    };
    answer::text(&format!("{} {} ({state})", text(&told["stage"]), text(&told["name"])));
    if told["share"].is_object() {
        answer::text(&format!("  share       {}", told["share"]));
    }
    for name in ["changes", "records", "differences", "failures", "old_us", "new_us"] {
        answer::text(&format!("  {name:<11} {}", found[name]));
    }
    for sample in found["samples"].as_array().into_iter().flatten() {
        let at = sample["at"].as_str().map(|at| format!(" at {at}")).unwrap_or_default();
        answer::text(&format!(
            "  {}{at}: {}, transaction {}, change {}",
            text(&sample["what"]),
            text(&sample["table"]),
            text(&sample["commit_lsn"]),
            sample["ordinal"]
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_fits_a_header_and_says_the_same() {
        let config = json!({ "a": "ü 🦀\n" });
        let text = ascii(&config.to_string());
        assert!(text.is_ascii() && !text.contains('\n'));
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), config);
    }
}
