//! Writes each stage's world as the bytes a component carries in its `component-type` section.
//!
//! The bindings are generated once, for the world of all stages, so that a module has the types of every stage from one
//! place. What a module then exports is decided by `export!`, which needs the description of that world alone.

use std::{env, error::Error, fs, path::PathBuf};

use wit_component::{StringEncoding, metadata};
use wit_parser::Resolve;

const WORLDS: [&str; 5] = ["filter-module", "map-module", "route-module", "format-module", "transform"];

fn main() -> Result<(), Box<dyn Error>> {
    let wit = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../wit/v1.0");
    println!("cargo:rerun-if-changed={}", wit.display());
    println!("cargo:rerun-if-changed=build.rs");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&wit)?;
    for name in WORLDS {
        let world = resolve.select_world(&[package], Some(name))?;
        let section = metadata::encode(&resolve, world, StringEncoding::UTF8, None)?;
        fs::write(PathBuf::from(env::var("OUT_DIR")?).join(format!("{name}.world")), section)?;
    }
    Ok(())
}
