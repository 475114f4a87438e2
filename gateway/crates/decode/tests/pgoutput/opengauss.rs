//! What openGauss 6.0.2's own pgoutput sends is read like PostgreSQL's: same messages, other bytes before them.

#[path = "../mppdb/recording.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod recording;

use millrace_decode::pgoutput::Message;

#[test]
fn every_recorded_message_is_read() {
    let mut read = 0;
    for line in recording::lines("pgoutput.jsonl") {
        // Two long rows of each protocol are kept packed, the refusal of protocol 3 is no message.
        let (Some(hex), Some(kind)) = (line["hex"].as_str(), line["note"].as_str().unwrap().strip_prefix("message "))
        else {
            continue;
        };
        let body = recording::hex(hex);
        let payload = &body[25..];
        let message = Message::parse(payload, false).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(payload[0], kind.as_bytes()[0], "{message:?}");
        read += 1;
    }
    assert_eq!(read, 60);
}
