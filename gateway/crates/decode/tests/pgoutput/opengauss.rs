//! openGauss 6.0.2 has a pgoutput of its own making: transaction numbers of 64 bits. Its BEGIN is refused by what follows the last field,
//! so that nothing of it can be read wrongly; the other messages are PostgreSQL's.

#[path = "../mppdb/recording.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod recording;

use millrace_decode::pgoutput::Message;

#[test]
fn a_begin_of_opengauss_is_refused_and_the_rest_is_read() {
    let mut read = 0;
    for line in recording::lines("pgoutput.jsonl") {
        // Two long rows of each protocol are kept packed, the refusal of protocol 3 is no message.
        let (Some(hex), Some(kind)) = (line["hex"].as_str(), line["note"].as_str().unwrap().strip_prefix("message "))
        else {
            continue;
        };
        let body = recording::hex(hex);
        let payload = &body[25..];
        assert_eq!(payload[0], kind.as_bytes()[0]);
        match Message::parse(payload, false) {
            Err(error) if kind == "B" => assert!(error.to_string().contains("4 bytes follow"), "{error}"),
            Ok(_) if kind == "B" => panic!("32 bits of a transaction number that has 64"),
            Ok(_) => {}
            Err(error) => panic!("{kind}: {error}"),
        }
        read += 1;
    }
    assert_eq!(read, 60);
}
