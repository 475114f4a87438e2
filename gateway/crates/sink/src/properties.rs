//! Which properties of librdkafka an operator may pass through.
//!
//! A list of what is allowed, because a property that is new in librdkafka must not become a way around an invariant. Properties that take
//! secrets are refused: these are shown with the configuration (I9).

/// Allowed as they are.
const ALLOWED: [&str; 36] = [
    "api.version.fallback.ms",
    "api.version.request",
    "api.version.request.timeout.ms",
    "batch.num.messages",
    "broker.address.family",
    "broker.address.ttl",
    "broker.version.fallback",
    "client.dns.lookup",
    "client.rack",
    "compression.level",
    "connections.max.idle.ms",
    "debug",
    "enable.metrics.push",
    "enable.sparse.connections",
    "log.connection.close",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.sigalgs.list",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.interval.ms",
];

/// Refused for a reason worth telling.
const REASONS: [(&str, &str); 12] = [
    ("enable.idempotence", "without it records repeat and change places"),
    ("acks", "only acks = all loses nothing"),
    ("request.required.acks", "only acks = all loses nothing"),
    ("max.in.flight", "it keeps the order"),
    ("max.in.flight.requests.per.connection", "it keeps the order"),
    ("message.timeout.ms", "a record that expires is a gap"),
    ("delivery.timeout.ms", "a record that expires is a gap"),
    ("enable.gapless.guarantee", "without it records behind a refused one overtake it"),
    ("retries", "a record that is given up is a gap"),
    ("message.send.max.retries", "a record that is given up is a gap"),
    ("transactional.id", "it fences a second owner of the task"),
    ("plugin.library.paths", "it would load foreign code"),
];

/// Why a property may not be passed through; `None` where it may.
pub fn refused_property(name: &str) -> Option<&'static str> {
    if ALLOWED.contains(&name) {
        return None;
    }
    let reason = REASONS.iter().find(|(refused, _)| *refused == name).map(|(_, reason)| *reason);
    Some(reason.unwrap_or("not among the properties that may be passed through; the typed settings cover the rest"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::{error::KafkaError, types::RDKafkaConfRes};

    #[test]
    fn librdkafka_knows_every_allowed_name() {
        let unknown = |name: &str| {
            let made = rdkafka::ClientConfig::new().set(name, "?").create_native_config();
            matches!(made, Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)))
        };
        assert!(unknown("no.such"));
        assert_eq!(ALLOWED.into_iter().filter(|name| unknown(name)).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn secrets_and_unheard_of_names_are_refused() {
        for name in ["sasl.password", "ssl.key.pem", "sasl.oauthbearer.client.secret", "no.such", "transactional.id"] {
            assert!(refused_property(name).is_some(), "{name}");
        }
    }
}
