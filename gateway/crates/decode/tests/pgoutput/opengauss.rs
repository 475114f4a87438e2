//! openGauss 6.0.2 has a pgoutput of its own making: transaction numbers of 64 bits. Its BEGIN, which every transaction begins with, is
//! refused by what follows the last field, so nothing of it can be read wrongly.

#[path = "../mppdb/recording.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod recording;

use millrace_decode::pgoutput::Message;

#[test]
fn a_begin_of_opengauss_is_refused() {
    let mut refused = 0;
    for line in recording::lines("pgoutput.jsonl").iter().filter(|line| line["note"] == "message B") {
        let body = recording::hex(line["hex"].as_str().unwrap());
        let error = Message::parse(&body[25..], false).unwrap_err();
        assert!(error.to_string().contains("4 bytes follow"), "{error}");
        refused += 1;
    }
    assert_eq!(refused, 18);
}
