//! The resume position (invariant I2: never a bare LSN).

use millrace_batch::Lsn;

/// Where reading of one shard resumes. Positions of different shards are never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Shard the position belongs to, below the task's shard count.
    pub shard: u16,
    /// LSN right behind the last transaction that is done with; [`Lsn`] zero before the first.
    #[serde(with = "lsn_text")]
    pub end_lsn: Lsn,
    /// Changes of the transaction after `end_lsn` that are done with too; 0 unless a transaction was split.
    pub ordinal: u32,
    /// The `n` of the next id to be given (`id = n * shards + shard`).
    pub next_id: u64,
}

impl Position {
    /// Before anything was read of a shard.
    pub fn start(shard: u16) -> Position {
        Position { shard, end_lsn: Lsn(0), ordinal: 0, next_id: 0 }
    }

    /// True where this position lies behind `other` in the same shard's log; false for another shard's position.
    pub fn is_after(&self, other: &Position) -> bool {
        self.shard == other.shard && (self.end_lsn, self.ordinal) > (other.end_lsn, other.ordinal)
    }
}

/// LSNs are written the way every tool of the source prints them, so that a person can compare them.
mod lsn_text {
    use millrace_batch::Lsn;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(lsn: &Lsn, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(lsn)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Lsn, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_lsn_then_ordinal_and_never_across_shards() {
        let at = |shard, lsn, ordinal| Position { shard, end_lsn: Lsn(lsn), ordinal, next_id: 0 };
        assert!(at(0, 2, 0).is_after(&at(0, 1, 9)));
        assert!(at(0, 1, 1).is_after(&at(0, 1, 0)));
        assert!(!at(0, 1, 0).is_after(&at(0, 1, 0)));
        assert!(!at(1, 9, 0).is_after(&at(0, 1, 0)));
    }
}
