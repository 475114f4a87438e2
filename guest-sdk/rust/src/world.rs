//! The contract as Rust types. Owns the generated bindings; nothing else in the kit names their module paths.

/// Generated from `wit/v1.0`; described there.
#[allow(missing_docs, clippy::all, reason = "generated; the contract has the documentation")]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/v1.0",
        world: "transform",
        pub_export_macro: true,
        default_bindings_module: "millrace_guest::bindings",
        runtime_path: "::millrace_guest::bindings::runtime",
        additional_derives: [Clone, PartialEq],
    });
    pub use wit_bindgen::rt as runtime;
}

pub use bindings::exports::millrace::transform::{
    filter::Plan as FilterPlan,
    format::{Plan as FormatPlan, Schema, SchemaLanguage},
    map::{Plan as MapPlan, Rewrite},
    route::{Hashed, Partition, Plan as RoutePlan, Target},
};
pub use bindings::millrace::transform::types::{Batch, Column, Fault, Interest, Relation, Selection};

/// What `export!` puts into the `component-type` section of a component: the description of its world.
#[doc(hidden)]
pub mod sections {
    /// World `filter-module`.
    pub const FILTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/filter-module.world"));
    /// World `map-module`.
    pub const MAP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/map-module.world"));
    /// World `route-module`.
    pub const ROUTE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/route-module.world"));
    /// World `format-module`.
    pub const FORMAT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/format-module.world"));
    /// World `transform`.
    pub const TRANSFORM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/transform.world"));

    /// A section as the array a `link_section` static must be.
    #[must_use]
    pub const fn array<const N: usize>(section: &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        let mut i = 0;
        while i < N {
            bytes[i] = section[i];
            i += 1;
        }
        bytes
    }
}

impl Interest {
    /// Neither image; the metadata of a change is always there.
    pub const NOTHING: Self = Self { new: Selection::Nothing, old: Selection::Nothing };
    /// The key columns of both images.
    pub const KEY: Self = Self { new: Selection::Key, old: Selection::Key };
    /// Every column of both images.
    pub const ALL: Self = Self { new: Selection::All, old: Selection::All };
}

impl From<Interest> for FormatPlan {
    /// The plan of a format without schemas.
    fn from(reads: Interest) -> Self {
        Self { reads, key_schema: None, value_schema: None }
    }
}

impl Relation {
    /// Column indexes of the primary key in key order; empty where there is none.
    #[must_use]
    pub fn key(&self) -> Vec<u16> {
        let mut key: Vec<u16> = Vec::new();
        for (i, column) in (0..).zip(&self.columns).filter(|(_, c)| c.key_position > 0) {
            // Keys are short, and a sort would be a twentieth of a small module.
            let before = |&k: &u16| self.columns[usize::from(k)].key_position <= column.key_position;
            key.insert(key.partition_point(before), i);
        }
        key
    }
}

impl Selection {
    /// The column indexes this selection stands for, in the order its cells have.
    #[must_use]
    pub fn columns(&self, table: &Relation) -> Vec<u16> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Key => table.key(),
            Self::Listed(columns) => columns.clone(),
            Self::All => (0..).zip(&table.columns).map(|(i, _)| i).collect(),
        }
    }
}
