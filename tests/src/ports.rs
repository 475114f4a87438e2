//! Free TCP ports on loopback.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Mutex;

/// Below the range from which Linux takes ports of outgoing connections, so that a port stays free while its server is down.
const RANGE: std::ops::Range<u16> = 20000..32000;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port nobody listens on now, given to nobody else in this process.
pub fn free() -> u16 {
    let mut given = GIVEN.lock().expect("no holder of the port list panics");
    let given = given.get_or_insert_with(HashSet::new);
    for _ in 0..10_000 {
        let port = fastrand::u16(RANGE);
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port in {RANGE:?}");
}
