//! The numbered policies of topics and partitions, as the managed service numbers them, and which of them go together.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Which topics there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum TopicPolicy {
    /// 0: everything in one topic, which must exist.
    Single,
    /// 1: one topic per table.
    PerTable,
    /// 2: one topic per database.
    PerDatabase,
    /// 3: one topic per schema.
    PerSchema,
}

/// Which partition of the topic a change goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum PartitionPolicy {
    /// 0: by the hash of database.schema.table.
    ByTable,
    /// 1: always partition 0.
    Zero,
    /// 2: by the hash of the primary key; tables without one as 0.
    ByPrimaryKey,
    /// 3: by the hash of database.schema.
    BySchema,
}

impl TopicPolicy {
    /// All of them, by number.
    pub const ALL: [TopicPolicy; 4] =
        [TopicPolicy::Single, TopicPolicy::PerTable, TopicPolicy::PerDatabase, TopicPolicy::PerSchema];

    /// Whether the managed service permits this pair.
    pub fn allows(self, partition: PartitionPolicy) -> bool {
        use PartitionPolicy::{ByPrimaryKey, BySchema, ByTable, Zero};
        match self {
            TopicPolicy::Single => true,
            TopicPolicy::PerTable => matches!(partition, Zero | ByPrimaryKey),
            TopicPolicy::PerDatabase => matches!(partition, ByTable | Zero | BySchema),
            TopicPolicy::PerSchema => matches!(partition, ByTable | Zero),
        }
    }

    /// The topic name format where none is given; empty for policy 0.
    pub fn default_format(self) -> &'static str {
        match self {
            TopicPolicy::Single => "",
            TopicPolicy::PerTable => "$database$-$schema$-$tablename$",
            TopicPolicy::PerDatabase => "$database$",
            TopicPolicy::PerSchema => "$database$-$schema$",
        }
    }
}

impl PartitionPolicy {
    /// All of them, by number.
    pub const ALL: [PartitionPolicy; 4] =
        [PartitionPolicy::ByTable, PartitionPolicy::Zero, PartitionPolicy::ByPrimaryKey, PartitionPolicy::BySchema];
}

/// Gives a policy its number in serde and in the schema.
macro_rules! numbered {
    ($type:ident, $reserved:expr) => {
        impl TryFrom<i64> for $type {
            type Error = &'static str;

            fn try_from(number: i64) -> Result<$type, &'static str> {
                let index = usize::try_from(number).unwrap_or(usize::MAX);
                $type::ALL.get(index).copied().ok_or(if number == 4 { $reserved } else { "must be 0, 1, 2 or 3" })
            }
        }

        impl From<$type> for i64 {
            fn from(policy: $type) -> i64 {
                policy as i64
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "enum": [0, 1, 2, 3] })
            }
        }
    };
}

numbered!(TopicPolicy, "must be 0, 1, 2 or 3: 4 (per database and data node) is reserved, not built");
numbered!(PartitionPolicy, "must be 0, 1, 2 or 3: 4 (chosen columns) is reserved, not built");
