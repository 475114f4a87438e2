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

    /// Hashes and partitions that the Java client itself computed (tests/kafka/Murmur2.java wrote the file): every length to 256.
    #[test]
    fn as_the_java_client_computed_them() {
        const COUNTS: [u32; 5] = [1, 3, 7, 12, 2_147_483_647];
        let mut lines = 0;
        for line in include_str!("../tests/murmur2.tsv").lines() {
            let mut fields = line.split('\t');
            let hex = fields.next().unwrap();
            let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let key: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
            let numbers: Vec<i64> = fields.map(|field| field.parse().unwrap()).collect();
            let partitions = COUNTS.map(|count| i64::from(positive_murmur2(&key) % count));
            assert_eq!((i64::from(murmur2(&key) as i32), &partitions[..]), (numbers[0], &numbers[1..]), "{hex}");
            lines += 1;
        }
        assert_eq!(lines, 269);
    }
}
