//! What a failure means for trying again.

use millrace_batch::Failure;
use millrace_lifecycle::Fault;

use crate::task::login;

/// Refusals of the brokers and the registry that every further log-in would meet too.
const OF_THE_SINK: [&str; 2] = ["kafka_authentication", "registry_authentication"];

/// Parts of the gateway itself that broke down; the next attempt builds them anew.
const OF_THE_RUNTIME: [&str; 3] = ["internal", "reader_defect", "session_ended"];

/// Kind of a failure: a transient one is the network's or a peer's that restarts, whatever its code.
pub(super) fn of(failure: &Failure) -> Fault {
    if login::is_refusal(failure.code) || OF_THE_SINK.contains(&failure.code) {
        Fault::Authentication
    } else if failure.code == "position_fenced" {
        Fault::TakenOver
    } else if failure.is_definite() {
        Fault::Other
    } else {
        Fault::Network
    }
}

/// Whether the gateway itself broke down.
pub(super) fn is_of_the_runtime(failure: &Failure) -> bool {
    !failure.is_definite() && OF_THE_RUNTIME.contains(&failure.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_again() {
        let definite = |code| of(&Failure::definite(code, "t", "w", "m"));
        assert_eq!(definite("authentication_failed"), Fault::Authentication);
        assert_eq!(definite("kafka_authentication"), Fault::Authentication);
        assert_eq!(definite("position_fenced"), Fault::TakenOver);
        assert_eq!(definite("slot_lost"), Fault::Other);
        assert_eq!(of(&Failure::transient("source_unreachable", "t", "w", "m")), Fault::Network);
        assert!(is_of_the_runtime(&Failure::transient("reader_defect", "t", "w", "m")));
        assert!(!is_of_the_runtime(&Failure::transient("source_unreachable", "t", "w", "m")));
    }
}
