//! What Kafka's and librdkafka's error codes mean to a person.
//!
//! Owns the map from code to stable name, class and mend. Code names: `RD_KAFKA_RESP_ERR_*` of librdkafka, which are the protocol's.

use millrace_batch::Failure;
use rdkafka::types::RDKafkaErrorCode as Code;

/// True where the code tells of a connection that was refused for a reason waiting does not mend.
pub(crate) fn refuses_connection(code: Code, reason: &str) -> bool {
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => true,
        // A handshake can break for reasons of the network as well; these words come with a certificate that is not accepted.
        Code::SSL => ["certificate", "verify", "alert", "no shared cipher"].iter().any(|word| reason.contains(word)),
        _ => false,
    }
}

/// The code behind a code: a broker that wants a client certificate, or does not accept the one it got, says so in a TLS alert after
/// the handshake, and librdkafka reports a connection that was lost.
pub(crate) fn cause_of(code: Code, reason: &str) -> Code {
    let alert = code == Code::BrokerTransportFailure && reason.contains("SSL alert number");
    if alert && reason.contains("certificate") { Code::SSL } else { code }
}

/// The failure for a code. `why` is the peer's or the library's own text.
pub(crate) fn of_code(code: Code, tried: impl Into<String>, why: impl Into<String>) -> Failure {
    let (tried, why) = (tried.into(), why.into());
    let definite = |name, mend: &str| Failure::definite(name, tried.clone(), why.clone(), mend);
    match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => definite(
            "kafka_authentication",
            "correct sink user, password and mechanism, or the user at the brokers; then restart the task",
        ),
        Code::SSL => definite("kafka_tls", "correct the CA, certificate and key files, or the protocol"),
        Code::TopicAuthorizationFailed => definite(
            "kafka_topic_authorization",
            "grant the user Write, Describe and DescribeConfigs (and Create where topics are to be made) on the topic",
        ),
        Code::ClusterAuthorizationFailed => definite(
            "kafka_cluster_authorization",
            "grant the user IdempotentWrite on the cluster (brokers before 2.8), or Create for new topics",
        ),
        Code::TransactionalIdAuthorizationFailed => definite(
            "kafka_transactional_id_authorization",
            "grant the user Write and Describe on transactional ids \"millrace-*\"",
        ),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => definite(
            "message_too_large",
            "raise max.message.bytes of the topic and the sink's largest message, or make the record smaller in a module",
        ),
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::InvalidTopic => definite(
            "kafka_unknown_topic",
            "create the topic, or let the gateway create it; a deleted topic needs a reset of the task",
        ),
        Code::InvalidRecord | Code::PolicyViolation => definite(
            "kafka_record_refused",
            "the topic's settings refuse the record (a compacted topic needs keys); correct the topic or the route",
        ),
        Code::UnsupportedForMessageFormat | Code::UnsupportedVersion | Code::UnsupportedFeature => {
            definite("kafka_unsupported", "use brokers of Kafka 0.11 or later with message format 0.11 or later")
        }
        Code::InvalidProducerEpoch | Code::ProducerFenced | Code::Fenced => {
            definite("position_fenced", "another gateway took over this task; stop one of the two")
        }
        Code::InvalidReplicationFactor => {
            definite("replication_factor", "set a replication factor of at most the number of brokers")
        }
        Code::InvalidConfig | Code::InvalidRequest | Code::InvalidArgument => {
            definite("kafka_request_refused", "correct the topic settings")
        }
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::RequestTimedOut => Failure::transient(
            "kafka_unreachable",
            tried,
            why,
            "start the brokers, correct their addresses, or open the way to them; their advertised listeners must resolve here",
        ),
        Code::PurgeQueue | Code::PurgeInflight => Failure::transient(
            "kafka_purged",
            tried,
            why,
            "the producer was stopped before the record was acknowledged",
        ),
        _ => Failure::transient(
            "kafka_delivery",
            tried,
            why,
            "look at the brokers' log; the gateway starts again from the durable position",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waiting_mends_is_transient_and_the_rest_is_not() {
        for (code, name, definite) in [
            (Code::Authentication, "kafka_authentication", true),
            (Code::TopicAuthorizationFailed, "kafka_topic_authorization", true),
            (Code::MessageSizeTooLarge, "message_too_large", true),
            (Code::Fenced, "position_fenced", true),
            (Code::AllBrokersDown, "kafka_unreachable", false),
            (Code::NotEnoughReplicas, "kafka_delivery", false),
        ] {
            let failure = of_code(code, "a", "b");
            assert_eq!((failure.code, failure.is_definite()), (name, definite));
        }
    }

    #[test]
    fn a_broken_handshake_is_not_a_refused_certificate() {
        assert!(refuses_connection(Code::SSL, "broker certificate could not be verified"));
        assert!(!refuses_connection(Code::SSL, "connection reset by peer"));
        assert!(!refuses_connection(Code::BrokerTransportFailure, "certificate"));
        assert_eq!(cause_of(Code::BrokerTransportFailure, "certificate"), Code::BrokerTransportFailure);
        let alert = "Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42";
        assert_eq!(cause_of(Code::BrokerTransportFailure, alert), Code::SSL);
    }
}
