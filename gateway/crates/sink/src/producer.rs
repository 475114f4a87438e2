//! Producing records: in order per partition, without gaps, acknowledged by a watermark.
//!
//! Owns the librdkafka producer of one shard. Records go straight to `rd_kafka_producev` with a topic handle that is looked up once: the safe
//! wrapper looks the topic up by name and allocates for each record. Must not wait: a full queue is the caller's to wait for.

use std::{
    ffi::{CString, c_void},
    ptr,
    sync::Arc,
    time::{Duration, Instant},
};

use millrace_batch::Failure;
use rdkafka::{
    bindings as sys,
    config::FromClientConfigAndContext,
    producer::{Producer as _, PurgeConfig, ThreadedProducer},
    types::{RDKafkaErrorCode as Code, RDKafkaRespErr as Answer},
};
use sys::rd_kafka_vtype_t as Part;

use crate::{
    KafkaConfig,
    admin::bad_config,
    events::{Deliveries, Reports},
    failure::of_code,
    gate::Gates,
    record::{OutRecord, SendError, TopicHandle},
};

/// Most records queued in librdkafka: it keeps about 250 bytes for each beside its data.
const QUEUE_RECORDS: usize = 1 << 17;
/// Sequence numbers the ring can hold above the watermark. More than the queue, because a slow partition holds the watermark
/// while others go on.
const RING_RECORDS: usize = 1 << 20;

type Native = ThreadedProducer<Reports>;

/// A producer of records. Shared by reference: one thread sends, any thread asks.
pub struct Producer {
    native: Arc<Native>,
    deliveries: Arc<Deliveries>,
    batch_bytes: usize,
    max_message_bytes: usize,
}

/// A topic of one producer. Keeps the producer alive: librdkafka wants topics gone before their client.
pub(crate) struct NativeTopic {
    topic: *mut sys::rd_kafka_topic_t,
    owner: Arc<Native>,
    gates: Gates,
}

// SAFETY: rd_kafka_topic_t is reference counted and locked inside librdkafka, whose API is thread safe (rdkafka.h,
// "Threads and callbacks"); the pointer is only read here, and freed once, by Drop.
unsafe impl Send for NativeTopic {}
// SAFETY: as above.
unsafe impl Sync for NativeTopic {}

impl Drop for NativeTopic {
    fn drop(&mut self) {
        // SAFETY: the pointer came from rd_kafka_topic_new, its reference is given back exactly once, and `owner`, dropped
        // after this, still holds the client.
        unsafe { sys::rd_kafka_topic_destroy(self.topic) }
    }
}

impl Producer {
    /// Starts a producer; it connects in the background, and a refused login shows as [`Producer::failure`].
    ///
    /// Errors: definite `kafka_config` where librdkafka does not take the settings.
    pub fn start(config: &KafkaConfig) -> Result<Producer, Failure> {
        let deliveries = Arc::new(Deliveries::new(RING_RECORDS));
        let reports = Reports::new(config, deliveries.clone(), "producing to Kafka");
        let native = Native::from_config_and_context(&config.producer(QUEUE_RECORDS)?, reports)
            .map_err(|error| bad_config(&error))?;
        Ok(Producer {
            native: Arc::new(native),
            deliveries,
            batch_bytes: config.batch_bytes,
            max_message_bytes: config.max_message_bytes,
        })
    }

    /// A handle for an existing topic. `max_message_bytes` is the topic's own limit, where it is known.
    ///
    /// Errors: definite `batch_exceeds_topic` where batches could be larger than the topic takes (the broker refuses the whole batch then);
    /// definite `kafka_unknown_topic` for a name Kafka does not allow.
    pub fn topic(&self, name: &str, max_message_bytes: Option<usize>) -> Result<TopicHandle, Failure> {
        let tried = || format!("opening topic {name:?}");
        if let Some(limit) = max_message_bytes.filter(|limit| *limit < self.batch_bytes) {
            return Err(Failure::definite(
                "batch_exceeds_topic",
                tried(),
                format!("its max.message.bytes is {limit}, batches may have {} bytes", self.batch_bytes),
                format!("raise max.message.bytes of the topic, or set the sink's batch size to at most {limit}"),
            ));
        }
        let c_name = CString::new(name).map_err(|_| of_code(Code::InvalidTopic, tried(), "the name has a NUL byte"))?;
        // SAFETY: the client is alive, the name is NUL-terminated and copied, and a null configuration means the client's.
        let topic =
            unsafe { sys::rd_kafka_topic_new(self.native.client().native_ptr(), c_name.as_ptr(), ptr::null_mut()) };
        if topic.is_null() {
            // SAFETY: no arguments; reads the thread's last error.
            let code = Code::from(unsafe { sys::rd_kafka_last_error() });
            return Err(of_code(code, tried(), code.to_string()));
        }
        let native = NativeTopic { topic, owner: self.native.clone(), gates: Gates::default() };
        Ok(TopicHandle {
            name: name.into(),
            limit: max_message_bytes.unwrap_or(usize::MAX).min(self.max_message_bytes),
            native: Some(Arc::new(native)),
        })
    }

    /// Queues a record; its bytes are copied. By one thread at a time, with `seq` rising by one.
    ///
    /// Errors: [`SendError::QueueFull`], to be tried again with the same record; a failure where the record is too large or the
    /// producer failed before.
    ///
    /// # Panics
    /// Where `seq` is not the next number, or the topic belongs to another producer: both are defects of the caller that would break
    /// the watermark.
    pub fn send(&self, topic: &TopicHandle, record: &OutRecord<'_>) -> Result<(), SendError> {
        topic.check(record).map_err(SendError::Failed)?;
        let native = topic.native.as_ref().filter(|native| Arc::ptr_eq(&native.owner, &self.native));
        let native = native.expect("a topic is used with the producer that opened it");
        // The second record to a partition waits for the acknowledgement of the first one, see `gate`.
        let free = native.gates.admits(record.partition, self.deliveries.watermark());
        if !self.deliveries.admit(record.seq).map_err(SendError::Failed)? || !free {
            return Err(SendError::QueueFull);
        }
        let headers = match headers(record) {
            Ok(headers) => headers,
            Err(code) => return Err(SendError::Failed(self.refused(topic, record, code))),
        };
        let (value, value_len) = pointer(record.value);
        let (key, key_len) = pointer(record.key);
        // SAFETY: the client and the topic are alive and belong together (checked above); every tag is followed by the arguments
        // rdkafka.h names for it, of those types (`int` for flags, `int32_t` for the partition, `int64_t` for the time, pointer and
        // `size_t` for value and key); MSG_F_COPY copies value and key before the call returns, so the borrows may end then; a
        // null header list means none. The number of a record survives the way through a pointer: usize has 64 bits here
        // (asserted below).
        let answer = unsafe {
            sys::rd_kafka_producev(
                self.native.client().native_ptr(),
                Part::RD_KAFKA_VTYPE_RKT,
                native.topic,
                Part::RD_KAFKA_VTYPE_PARTITION,
                record.partition,
                Part::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                Part::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                Part::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                Part::RD_KAFKA_VTYPE_OPAQUE,
                record.seq as usize as *mut c_void,
                Part::RD_KAFKA_VTYPE_TIMESTAMP,
                record.timestamp_ms,
                Part::RD_KAFKA_VTYPE_HEADERS,
                headers,
                Part::RD_KAFKA_VTYPE_END,
            )
        };
        if answer == Answer::RD_KAFKA_RESP_ERR_NO_ERROR {
            self.deliveries.note_sent(record.seq, (key_len + value_len) as u64);
            native.gates.sent(record.partition, record.seq);
            return Ok(());
        }
        if !headers.is_null() {
            // SAFETY: producev takes the list only where it succeeds (rdkafka.h), so it is still ours, and destroyed once.
            unsafe { sys::rd_kafka_headers_destroy(headers) };
        }
        match Code::from(answer) {
            Code::QueueFull => Err(SendError::QueueFull),
            code => Err(SendError::Failed(self.refused(topic, record, code))),
        }
    }

    /// The failure of a record librdkafka did not take; kept, so that nothing overtakes it.
    fn refused(&self, topic: &TopicHandle, record: &OutRecord<'_>, code: Code) -> Failure {
        let tried = format!("producing to topic {} partition {}", topic.name, record.partition);
        let failure = match self.native.client().fatal_error() {
            Some((code, reason)) => of_code(code, tried, reason),
            None => of_code(code, tried, code.to_string()),
        };
        self.deliveries.fail(failure.clone());
        // A delivery that failed first is the cause; the producer only repeats it.
        self.deliveries.failure().unwrap_or(failure)
    }

    /// Every record numbered below this is acknowledged by all in-sync replicas.
    pub fn watermark(&self) -> u64 {
        self.deliveries.watermark()
    }

    /// The first failure; what was not acknowledged before it never will be by this producer.
    pub fn failure(&self) -> Option<Failure> {
        self.deliveries.failure()
    }

    /// Records sent and not below the watermark.
    pub fn in_flight(&self) -> u64 {
        self.deliveries.in_flight()
    }

    /// Bytes of keys and values that librdkafka holds.
    pub fn in_flight_bytes(&self) -> u64 {
        self.deliveries.in_flight_bytes()
    }

    /// Waits until the watermark is at least `seq` and gives it, or gives the failure that came before.
    pub async fn reached(&self, seq: u64) -> Result<u64, Failure> {
        self.deliveries.reached(seq).await
    }

    /// Sends what lingers and waits until all is acknowledged; gives the watermark. Blocks, up to `patience`.
    ///
    /// `rd_kafka_flush` itself, while the producer's own thread serves the reports: the wrapper's flush polls in steps of 100 ms.
    pub fn flush(&self, patience: Duration) -> Result<u64, Failure> {
        let deadline = Instant::now() + patience;
        while self.failure().is_none() && self.in_flight() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = format!("{} records are not acknowledged after {patience:?}", self.in_flight());
                return Err(of_code(Code::OperationTimedOut, "flushing the producer", why));
            }
            flush_native(&self.native, left.min(Duration::from_millis(100)));
            if self.native.in_flight_count() == 0 && self.in_flight() > 0 {
                // All reports are out of librdkafka; the last ones are in the hands of the reporting thread.
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        self.failure().map_or_else(|| Ok(self.watermark()), Err)
    }

    /// Forgets all that is queued or in flight: nothing more is sent, the watermark stays where it can get without it. The
    /// producer is spent after this.
    pub fn purge(&self) {
        self.deliveries.fail(of_code(Code::PurgeQueue, "producing to Kafka", "the producer was stopped"));
        self.native.purge(PurgeConfig::default().queue().inflight());
    }
}

const _: () = assert!(size_of::<usize>() == size_of::<u64>(), "a sequence number fits librdkafka's opaque pointer");

/// `rd_kafka_flush` for a producer whose own thread serves its events; true where nothing is outstanding.
pub(crate) fn flush_native<C: rdkafka::producer::ProducerContext>(
    native: &ThreadedProducer<C>,
    patience: Duration,
) -> bool {
    let millis = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive for as long as the borrow; flush only waits for its queue.
    let answer = unsafe { sys::rd_kafka_flush(native.client().native_ptr(), millis) };
    answer == Answer::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// librdkafka's list of the record's headers; null for none. Owned by the caller until a record takes it.
fn headers(record: &OutRecord<'_>) -> Result<*mut sys::rd_kafka_headers_t, Code> {
    if record.headers.is_empty() {
        return Ok(ptr::null_mut());
    }
    // SAFETY: allocates a list; the library aborts where it cannot.
    let list = unsafe { sys::rd_kafka_headers_new(record.headers.len()) };
    for header in record.headers {
        // SAFETY: the list is ours; name and value are given with their lengths and copied.
        let answer = unsafe {
            sys::rd_kafka_header_add(
                list,
                header.name.as_ptr().cast(),
                header.name.len() as isize,
                header.value.as_ptr().cast(),
                header.value.len() as isize,
            )
        };
        if answer != Answer::RD_KAFKA_RESP_ERR_NO_ERROR {
            // SAFETY: still ours, destroyed once.
            unsafe { sys::rd_kafka_headers_destroy(list) };
            return Err(answer.into());
        }
    }
    Ok(list)
}

/// Pointer and length for librdkafka, which takes an empty value for an absent one only where the pointer is null.
fn pointer(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| (bytes.as_ptr().cast_mut().cast(), bytes.len()))
}
