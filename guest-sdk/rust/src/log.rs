//! Messages to the gateway's log; the host limits their rate. Natively they go to standard error.

use std::sync::Once;

use crate::bindings::millrace::transform::log as import;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is off but handled.
    Warn,
    /// Worth knowing once.
    Info,
    /// For the author of the module.
    Debug,
    /// Per change or finer.
    Trace,
}

/// Writes one message.
pub fn write(level: Level, message: &str) {
    if cfg!(target_family = "wasm") {
        import::log(level as u8, message);
    } else {
        eprintln!("{level:?}: {message}");
    }
}

/// Writes at [`Level::Error`].
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Writes at [`Level::Warn`].
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Writes at [`Level::Info`].
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Sends panic messages with file and line to the log before the instance dies: the trap itself carries no text.
#[doc(hidden)]
pub fn install_panic_hook() {
    static HOOK: Once = Once::new();
    // Native tests keep the hook of their harness.
    if cfg!(target_family = "wasm") {
        HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| error(&panic.to_string()))));
    }
}
