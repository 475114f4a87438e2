import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Random;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

/**
 * Writes the vectors in gateway/crates/host/tests/murmur2.tsv with Kafka's own Java client: key in hexadecimal digits, hash, and the
 * partition its default partitioner chooses among 1, 3, 7, 12 and 2147483647.
 *
 *   java -cp '.cache/kafka/libs/*' tests/kafka/Murmur2.java > gateway/crates/host/tests/murmur2.tsv
 */
public class Murmur2 {
    static final int[] COUNTS = {1, 3, 7, 12, Integer.MAX_VALUE};

    static void line(byte[] key) {
        StringBuilder out = new StringBuilder(HexFormat.of().formatHex(key)).append('\t').append(Utils.murmur2(key));
        for (int count : COUNTS) {
            out.append('\t').append(BuiltInPartitioner.partitionForKey(key, count));
        }
        System.out.println(out);
    }

    public static void main(String[] args) {
        String[] keys = {
            "", "1", "42", "-9223372036854775808", "shop.public.orders", "shop.public", "[\"a\",\"1\"]", "[null,\"\"]", "数据", "ünïcode",
            "a-little-bit-longer-string", "00000000-0000-0000-0000-000000000000", "2021-12-16 12:31:49.344365+08",
        };
        for (String key : keys) {
            line(key.getBytes(StandardCharsets.UTF_8));
        }
        // Every remainder of the four-byte words, and every byte value.
        Random random = new Random(20261124);
        for (int length = 1; length <= 256; length++) {
            byte[] key = new byte[length];
            random.nextBytes(key);
            line(key);
        }
    }
}
