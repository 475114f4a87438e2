//! Log-ins recorded from openGauss, replayed through the code that logs in.

use super::proof::{Keys, Method, hex};
use crate::auth::Authenticator;
use crate::error::Error;
use crate::framing::FrameBuffer;
use crate::login::{LogIn, Next};
use crate::message;
use crate::options::{ChannelBinding, Dialect, Secret};
use millrace_batch::Class;

const RECORDED: &str = include_str!("../../tests/data/opengauss/authentication.txt");

enum Step {
    Client(Vec<u8>),
    Server(Vec<u8>),
    Closed,
}

#[derive(Default)]
struct Case {
    name: &'static str,
    protocol: Option<i32>,
    password: &'static str,
    /// With user and database.
    parameters: Vec<(&'static str, &'static str)>,
    steps: Vec<Step>,
}

fn bytes(text: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(pair).collect()
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in RECORDED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "case" {
            cases.push(Case { name: rest, ..Case::default() });
            continue;
        }
        let case = cases.last_mut().unwrap();
        match word {
            "protocol" => {
                let (major, minor) = rest.split_once('.').unwrap();
                case.protocol = Some(major.parse::<i32>().unwrap() << 16 | minor.parse::<i32>().unwrap());
            }
            "user" | "database" => case.parameters.push((word, rest)),
            "password" => case.password = rest,
            "parameter" => case.parameters.push(rest.split_once('=').unwrap()),
            "c" => case.steps.push(Step::Client(bytes(rest))),
            "s" => case.steps.push(Step::Server(bytes(rest))),
            "eof" => case.steps.push(Step::Closed),
            other => panic!("unknown word {other}"),
        }
    }
    cases
}

/// How a replay ended.
#[derive(Debug, Default)]
struct Replayed {
    ready: bool,
    closed: bool,
    /// The server's refusal or error.
    refused: Option<Error>,
    /// Our refusal, before anything was sent.
    declined: Option<Error>,
    /// Our answer and the recorded one, where they differ.
    differs: Option<(Vec<u8>, Vec<u8>)>,
}

fn replay(case: &Case) -> Replayed {
    let user = case.parameters.iter().find(|(name, _)| *name == "user").map_or("", |(_, user)| user);
    let secret = Secret::new(case.password);
    let auth = Authenticator::new(user, Some(&secret), ChannelBinding::Prefer, None).with_dialect(Dialect::GaussDb);
    let mut login = LogIn::new("og:15400", "logging in", auth, true);
    let mut buffer = FrameBuffer::new(256, 1 << 20);
    let mut out = Replayed::default();
    let mut answer = None;
    for (at, step) in case.steps.iter().enumerate() {
        match step {
            Step::Client(sent) if at == 0 => {
                if let Some(protocol) = case.protocol {
                    assert_eq!(&message::startup(protocol, &case.parameters).unwrap(), sent, "{}", case.name);
                }
            }
            Step::Client(sent) if sent[0] == b'p' => match answer.take() {
                Some(ours) if ours == *sent => {}
                Some(ours) => out.differs = Some((ours, sent.clone())),
                None => assert!(out.declined.is_some(), "{}: nothing to send", case.name),
            },
            Step::Client(sent) => assert_eq!(sent[0], b'Q', "{}", case.name),
            Step::Server(received) => {
                // In the clear this byte is the whole answer to a request for TLS.
                let mut received = received.as_slice();
                if at == 1 && received[0] == b'N' {
                    received = &received[1..];
                }
                while !received.is_empty() {
                    let spare = buffer.spare();
                    let count = spare.len().min(received.len());
                    spare[..count].copy_from_slice(&received[..count]);
                    buffer.filled(count);
                    received = &received[count..];
                    while let Some(raw) = buffer.advance().unwrap() {
                        let body = buffer.bytes(raw.body);
                        // A walsender sends ReadyForQuery behind FATAL, before it closes.
                        if out.refused.is_some() || out.ready && raw.tag != b'E' {
                            continue;
                        }
                        match login.take(raw.tag, body) {
                            Ok(Next::Send(bytes)) => answer = Some(bytes),
                            Ok(Next::Read) => {}
                            Ok(Next::Ready) => out.ready = true,
                            Err(error @ Error::Server { .. }) => out.refused = Some(error),
                            Err(error @ Error::Auth { .. }) => out.declined = Some(error),
                            Err(error) => panic!("{}: {error}", case.name),
                        }
                    }
                }
                assert!(!buffer.is_mid_message(), "{}", case.name);
            }
            Step::Closed => out.closed = true,
        }
    }
    out
}

/// Code of the failure where the log-in, or the first query after it, fails.
fn expected_code(case: &str) -> Option<&'static str> {
    Some(match case {
        "ordinary_session_on_ha_port" => "sql_on_ha_port",
        "proto_3_1" | "proto_3_52" | "gss_request" => "wrong_dialect",
        "unknown_database" => "database_missing",
        "no_privilege_replication" => "not_replication_role",
        "replication_bad_value" | "unknown_guc" | "bad_guc_value" | "bad_client_encoding" => "server_error",
        "hba_reject" | "hba_reject_replication" | "hba_no_replication_line" => "no_hba_entry",
        "lock_attempt_11" | "lock_attempt_12" | "locked_right_password" | "account_lock_by_admin" => "account_locked",
        "valid_until_past" => "account_not_valid",
        "password_expired" => "password_expired",
        "connection_limit_0" => "too_many_connections",
        "nologin" => "role_cannot_log_in",
        "ssl_request_then_plaintext" | "startup_no_terminator" => "connection_lost",
        "proto_3_50"
        | "proto_3_0_iter2048"
        | "wrong_password"
        | "unknown_user_3_51"
        | "unknown_user_3_0"
        | "stored_md5_hba_sm3_3_51"
        | "stored_md5_hba_sm3_3_0"
        | "stored_combined_hba_sm3_3_51"
        | "stored_combined_hba_sm3_3_0"
        | "stored_sm3_hba_sha256_3_51"
        | "stored_sm3_hba_sha256_3_0"
        | "lock_attempt_01"
        | "lock_attempt_10"
        | "startup_no_user" => "authentication_failed",
        _ => return None,
    })
}

#[test]
fn every_recorded_log_in_ends_as_it_did() {
    let cases = cases();
    assert_eq!(cases.len(), 71);
    let mut differing = Vec::new();
    let mut declined = Vec::new();
    for case in &cases {
        let replayed = replay(case);
        let name = case.name;
        match (&replayed.refused, expected_code(name)) {
            (Some(error), Some(code)) => {
                let failure = error.failure();
                assert_eq!(failure.code, code, "{name}: {failure}");
                let passes = matches!(code, "too_many_connections" | "connection_lost");
                assert_eq!(failure.class == Class::Transient, passes, "{name}: a refused log-in is never retried");
                assert_eq!(replayed.ready, name == "password_expired", "{name}");
            }
            (None, None) => match name {
                // The recording client had no SM3 and stopped.
                "stored_sm3_hba_md5_3_51" | "stored_sm3_hba_md5_3_0" => assert!(!replayed.ready, "{name}"),
                "proto_1_0" | "cancel_bogus" | "http_get" | "startup_too_long" => {
                    assert!(replayed.closed && !replayed.ready, "{name}");
                }
                // The recording stops behind AuthenticationOk, or at the answer to the request for TLS.
                "password_no_nul" | "password_two_nul" | "ssl_request" => {}
                _ => assert!(replayed.ready, "{name}"),
            },
            (got, expected) => panic!("{name}: {got:?} instead of {expected:?}"),
        }
        if replayed.differs.is_some() {
            differing.push(name);
        }
        if let Some(error) = replayed.declined {
            assert_eq!(error.failure().code, "authentication_failed", "{name}");
            declined.push(name);
        }
    }
    // Where the recording client assumed 2,048 rounds, or left its message without the NUL or with two.
    assert_eq!(
        differing,
        ["proto_3_50", "proto_3_0_iter2048", "hba_md5_stored_sha256_iter2048", "password_no_nul", "password_two_nul"]
    );
    // A signature that this password does not give, or a challenge without a token.
    assert_eq!(
        declined,
        [
            "stored_md5_hba_sm3_3_0",
            "stored_combined_hba_sm3_3_0",
            "stored_sm3_hba_md5_3_51",
            "stored_sm3_hba_md5_3_0",
            "stored_sm3_hba_sha256_3_0"
        ]
    );
}

fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap()
}

/// The same password without the NUL, or with two, is the same proof.
#[test]
fn answers_with_a_wrong_end_hold_our_proof() {
    for name in ["password_no_nul", "password_two_nul"] {
        let (ours, theirs) = replay(&case(name)).differs.unwrap();
        assert_eq!(ours[5..69], theirs[5..69], "{name}");
    }
}

/// The server accepted this answer for a password stored under 2,048 rounds.
#[test]
fn md5_sha256_under_another_count() {
    let (ours, theirs) = replay(&case("hba_md5_stored_sha256_iter2048")).differs.unwrap();
    assert_ne!(ours, theirs);
    let case = case("hba_md5_stored_sha256_iter2048");
    let Step::Server(challenge) = &case.steps[1] else { panic!("no challenge") };
    let salt_hex = std::str::from_utf8(&challenge[9..73]).unwrap();
    let nonce = <[u8; 4]>::try_from(&challenge[73..77]).unwrap();
    let keys = Keys::derive(Method::Sha256, case.password, &bytes(salt_hex), 2_048).unwrap();
    let answer = keys.md5_sha256(salt_hex, 2_048, nonce).unwrap();
    assert_eq!(theirs, message::tagged(b'p', format!("{answer}\0").as_bytes()));
}

/// A client of 3.50 that assumes 2,048 rounds sends another proof than ours, and was refused.
#[test]
fn assumed_counts_matter() {
    let case = case("proto_3_50");
    let Step::Server(challenge) = &case.steps[1] else { panic!("no challenge") };
    let (_, theirs) = replay(&case).differs.unwrap();
    let salt = bytes(std::str::from_utf8(&challenge[13..77]).unwrap());
    let token = bytes(std::str::from_utf8(&challenge[77..85]).unwrap());
    let keys = Keys::derive(Method::Sha256, case.password, &salt, 2_048).unwrap();
    assert_eq!(theirs[5..69], *hex(&keys.proof(&token).unwrap()).as_bytes());
}

#[test]
fn requests_without_a_start_up_are_ours_byte_for_byte() {
    let first = |name: &str| match case(name).steps.swap_remove(0) {
        Step::Client(bytes) => bytes,
        _ => panic!("{name}"),
    };
    assert_eq!(first("ssl_request"), message::SSL_REQUEST);
    assert_eq!(first("cancel_bogus"), message::cancel_request(1, 2));
}

/// A dialect says nothing to the other family.
#[test]
fn challenges_are_refused_in_the_dialect_of_postgresql() {
    let case = case("sha256_ok_3_51");
    let Step::Server(challenge) = &case.steps[1] else { panic!("no challenge") };
    let secret = Secret::new(case.password);
    let mut auth = Authenticator::new("cdc", Some(&secret), ChannelBinding::Prefer, None);
    let refused = auth.step(&challenge[5..]).unwrap_err();
    assert!(refused.to_string().contains("openGauss"), "{refused}");
    let mut auth =
        Authenticator::new("cdc", Some(&secret), ChannelBinding::Require, None).with_dialect(Dialect::GaussDb);
    assert!(auth.step(&challenge[5..]).unwrap_err().to_string().contains("channel binding"));
}
