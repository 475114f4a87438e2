//! What a component has on its outside, whether or not this gateway takes it.
//!
//! For tools that explain a refusal. Must not judge: that is `module`'s.

use crate::engine::HostEngine;
use crate::error::{LoadError, ModuleError};
use crate::instance::TEXT_LIMIT;
use crate::log::line;
use crate::module::{Digest, check_header, compile};

/// Names a component imports and exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surface {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Imports by full name, those that hold types alone included.
    pub imports: Vec<String>,
    /// Exports by full name.
    pub exports: Vec<String>,
}

impl Surface {
    /// Reads a component's imports and exports. Nothing of it runs.
    ///
    /// # Errors
    /// It is too large, not a component, or does not compile.
    pub fn of(engine: &HostEngine, name: &str, bytes: &[u8]) -> Result<Surface, LoadError> {
        let read = || {
            let limit = engine.limits().component_bytes;
            if bytes.len() > limit {
                return Err(ModuleError::TooLarge { bytes: bytes.len(), limit });
            }
            check_header(bytes)?;
            let digest = Digest::of(bytes);
            let component = compile(engine, bytes, &digest)?;
            let (ty, engine) = (component.component_type(), engine.engine());
            let imports = ty.imports(engine).map(|(name, _)| line(name, TEXT_LIMIT)).collect();
            let exports = ty.exports(engine).map(|(name, _)| line(name, TEXT_LIMIT)).collect();
            Ok(Surface { digest, imports, exports })
        };
        read().map_err(|why| LoadError { module: name.to_owned(), why })
    }
}
