import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/**
 * Gives a user rights on a broker, which librdkafka's Rust binding cannot.
 *
 *   java -cp '.cache/kafka/libs/*' tests/kafka/Acls.java HOST:PORT User:NAME TYPE/RESOURCE/OPERATION...
 */
public class Acls {
    public static void main(String[] args) throws Exception {
        List<AclBinding> bindings = new ArrayList<>();
        for (int n = 2; n < args.length; n++) {
            String[] parts = args[n].split("/");
            ResourcePattern resource = new ResourcePattern(ResourceType.fromString(parts[0]), parts[1], PatternType.LITERAL);
            bindings.add(new AclBinding(resource,
                new AccessControlEntry(args[1], "*", AclOperation.fromString(parts[2]), AclPermissionType.ALLOW)));
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            admin.createAcls(bindings).all().get();
        }
    }
}
