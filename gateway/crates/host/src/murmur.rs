//! Kafka's partition hash.
//!
//! Owns murmur2 as `org.apache.kafka.common.utils.Utils.murmur2` computes it, which every client that shares keys with a Java
//! producer must match bit by bit.

/// The positive murmur2 of a key: `Utils.toPositive(Utils.murmur2(bytes))`. The partition is this modulo the partition count.
pub fn positive_murmur2(bytes: &[u8]) -> u32 {
    murmur2(bytes) & 0x7fff_ffff
}

fn murmur2(bytes: &[u8]) -> u32 {
    // Seed, multiplier and shift of the Java client.
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = SEED ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Apache Kafka's `UtilsTest.testMurmur2`.
    #[test]
    fn as_the_java_client() {
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, expected) in vectors {
            assert_eq!(murmur2(text.as_bytes()) as i32, expected, "{text}");
        }
        assert_eq!(positive_murmur2(b"21"), (-973_932_308_i32 & 0x7fff_ffff) as u32);
    }
}
