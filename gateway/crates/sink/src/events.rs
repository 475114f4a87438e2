//! What librdkafka reports from its own threads: deliveries and errors.
//!
//! Owns the delivery state of one producer: the ring, the first failure, the counts and who waits for the watermark. Must not produce. The
//! first failure stays; after it nothing beyond the watermark counts as acknowledged (I1).

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use millrace_batch::Failure;
use rdkafka::{
    ClientContext, Message,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{DeliveryResult, ProducerContext},
    types::RDKafkaErrorCode as Code,
};
use tokio::sync::Notify;

use crate::{
    KafkaConfig, TokenSource,
    failure::{cause_of, of_code, refuses_connection},
    ring::AckRing,
};

/// Nobody waits.
const NOBODY: u64 = u64::MAX;

/// Delivery state of one producer.
#[derive(Debug)]
pub(crate) struct Deliveries {
    ring: AckRing,
    failure: OnceLock<Failure>,
    /// Written by the sending thread only: records and bytes given to the producer.
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    /// Written by the reporting thread only: bytes that came back, delivered or not.
    returned_bytes: AtomicU64,
    /// Smallest watermark somebody waits for.
    awaited: AtomicU64,
    moved: Notify,
}

impl Deliveries {
    pub fn new(records: usize) -> Deliveries {
        Deliveries {
            ring: AckRing::new(records),
            failure: OnceLock::new(),
            sent: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            returned_bytes: AtomicU64::new(0),
            awaited: AtomicU64::new(NOBODY),
            moved: Notify::new(),
        }
    }

    /// Where the next record stands; `Ok(true)` where there is room for it.
    ///
    /// # Panics
    /// Where `seq` is not the next number: a gap would never be acknowledged, a repetition would acknowledge a record that is not.
    pub fn admit(&self, seq: u64) -> Result<bool, Failure> {
        assert_eq!(seq, self.sent.load(Ordering::Relaxed), "records are numbered without gaps and sent once");
        match self.failure.get() {
            Some(failure) => Err(failure.clone()),
            None => Ok(self.ring.has_room(seq)),
        }
    }

    /// The record went to the producer. By the sending thread only, hence no read-modify-write.
    pub fn note_sent(&self, seq: u64, bytes: u64) {
        self.sent.store(seq + 1, Ordering::Release);
        self.sent_bytes.store(self.sent_bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// A record came back acknowledged. By the reporting thread only.
    pub fn note_acked(&self, seq: u64, bytes: u64) {
        self.note_returned(bytes);
        if self.ring.acknowledge(seq) {
            // Orders the watermark's store before the load of who waits; the waiter does both the other way round.
            std::sync::atomic::fence(Ordering::SeqCst);
            if self.ring.watermark() >= self.awaited.load(Ordering::Relaxed) {
                self.wake();
            }
        }
    }

    fn note_returned(&self, bytes: u64) {
        self.returned_bytes.store(self.returned_bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// Keeps the first failure; later ones are its consequences.
    pub fn fail(&self, failure: Failure) {
        if self.failure.set(failure).is_ok() {
            self.wake();
        }
    }

    fn wake(&self) {
        self.awaited.store(NOBODY, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    pub fn failure(&self) -> Option<Failure> {
        self.failure.get().cloned()
    }

    pub fn watermark(&self) -> u64 {
        self.ring.watermark()
    }

    pub fn in_flight(&self) -> u64 {
        let sent = self.sent.load(Ordering::Acquire);
        sent.saturating_sub(self.watermark())
    }

    pub fn in_flight_bytes(&self) -> u64 {
        let returned = self.returned_bytes.load(Ordering::Relaxed);
        self.sent_bytes.load(Ordering::Relaxed).saturating_sub(returned)
    }

    /// Waits until the watermark is at least `seq`; gives it. The failure where one came first.
    pub async fn reached(&self, seq: u64) -> Result<u64, Failure> {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            self.awaited.fetch_min(seq, Ordering::SeqCst);
            std::sync::atomic::fence(Ordering::SeqCst);
            let watermark = self.watermark();
            if watermark >= seq {
                return Ok(watermark);
            }
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            moved.await;
        }
    }
}

/// Context of a client: where its reports go.
#[derive(Clone)]
pub(crate) struct Reports {
    pub deliveries: std::sync::Arc<Deliveries>,
    /// What the client is for, in a failure's first part.
    pub tried: &'static str,
    /// Where the token of an OAUTHBEARER login comes from.
    pub token: Option<TokenSource>,
    /// The last thing librdkafka said about the connection: what a time-out does not tell.
    pub said: std::sync::Arc<Mutex<String>>,
}

impl Reports {
    pub fn new(config: &KafkaConfig, deliveries: std::sync::Arc<Deliveries>, tried: &'static str) -> Reports {
        Reports { deliveries, tried, token: config.token().cloned(), said: Default::default() }
    }

    /// The failure that came by callback; else one for `code`, with the last word about the connection.
    pub fn explain(&self, code: Code, why: String) -> Failure {
        if let Some(failure) = self.deliveries.failure() {
            return failure;
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let why = if said.is_empty() { why } else { format!("{why}; {said}") };
        of_code(code, self.tried, why)
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// Asked for at the start and when most of a token's life is over; a failure is asked again after ten seconds.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let source = self.token.as_ref().ok_or("the login has no token")?;
        Ok(source.read()?)
    }

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "millrace_sink::librdkafka", fac, "{message}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "millrace_sink::librdkafka", fac, "{message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "millrace_sink::librdkafka", fac, "{message}"),
        }
    }

    /// A refused login shows only here: the records themselves would wait for ever.
    fn error(&self, error: KafkaError, reason: &str) {
        let code = cause_of(error.rdkafka_error_code().unwrap_or(Code::Unknown), reason);
        if refuses_connection(code, reason) {
            self.deliveries.fail(of_code(code, self.tried, reason));
        } else {
            tracing::warn!(code = "kafka_connection", "{}: {reason}", self.tried);
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            // That no broker is left is the consequence of what was said before.
            if code != Code::AllBrokersDown || said.is_empty() {
                reason.clone_into(&mut said);
            }
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, seq: usize) {
        match result {
            Ok(message) => self.deliveries.note_acked(seq as u64, (message.key_len() + message.payload_len()) as u64),
            Err((error, message)) => {
                self.deliveries.note_returned((message.key_len() + message.payload_len()) as u64);
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                // The key is not printed: it is data of a row.
                let tried = format!("delivering to topic {} partition {}", message.topic(), message.partition());
                self.deliveries.fail(of_code(code, tried, error.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_first_failure_stays_and_stops_sending() {
        let state = Deliveries::new(64);
        assert_eq!(state.admit(0), Ok(true));
        state.note_sent(0, 10);
        state.fail(of_code(Code::MessageSizeTooLarge, "a", "b"));
        state.fail(of_code(Code::PurgeQueue, "a", "b"));
        assert_eq!(state.failure().unwrap().code, "message_too_large");
        assert_eq!(state.admit(1).unwrap_err().code, "message_too_large");
        assert_eq!((state.watermark(), state.in_flight(), state.in_flight_bytes()), (0, 1, 10));
    }

    #[test]
    #[should_panic(expected = "without gaps")]
    fn a_gap_in_the_numbers_is_a_defect() {
        let _ = Deliveries::new(64).admit(1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn waiters_wake_at_their_number_and_on_failure() {
        let state = Arc::new(Deliveries::new(1 << 16));
        let waiting = state.clone();
        let waiter = tokio::spawn(async move { waiting.reached(20_000).await });
        let acking = state.clone();
        std::thread::spawn(move || (0..20_000).for_each(|seq| acking.note_acked(seq, 0))).join().unwrap();
        assert_eq!(waiter.await.unwrap(), Ok(20_000));
        let waiting = state.clone();
        let waiter = tokio::spawn(async move { waiting.reached(20_001).await });
        state.fail(of_code(Code::Authentication, "a", "b"));
        assert_eq!(waiter.await.unwrap().unwrap_err().code, "kafka_authentication");
    }
}
