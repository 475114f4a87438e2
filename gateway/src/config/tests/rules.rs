//! The rules one by one: a legal value on the boundary and an illegal one just beyond it.

use super::{refused, with};

/// `key: [legal values], [illegal values]`, each value as TOML.
const RULES: &[(&str, &[&str], &[&str])] = &[
    ("task.name", &["'abcd'", "'A-_9'"], &["'abc'", "'1abc'", "'-abc'", "'ab.c'", "'äbcd'", "''", "5"]),
    ("task.description", &["''", "'Ö, 5 # $ ()'"], &["'a!'", "'a=b'", "'<'", "'>'", "\"'\"", "'&'", "'\"'", "'\\'"]),
    (
        "task.tags",
        &["{}", "{ a = '' }", "{ 'team 1' = 'a b', 'x_.:=+-@' = '_.:=+-@', 'Gruppe_ä' = '1' }"],
        &[
            "{ '' = 'a' }",
            "{ ' a' = '' }",
            "{ 'a ' = '' }",
            "{ 'a/b' = '' }",
            "{ _sys_x = '' }",
            "{ _sys_enterprise_project_id = '0' }",
            "{ a = ' b' }",
            "{ a = 'b ' }",
            "{ a = 'b!' }",
            "{ a = 1 }",
            "['a']",
        ],
    ),
    ("source.kind", &["'postgresql'", "'gaussdb'"], &["'PostgreSQL'", "'opengauss'"]),
    ("source.decoding", &["'pgoutput'", "'serial'", "'parallel'"], &["'b'", "'mppdb_decoding'"]),
    (
        "source.parallel",
        &["{ threads = 2 }", "{ style = 'j', threads = 20 }", "{ style = 'b', batch = false }"],
        &["{ threads = 1 }", "{ threads = 21 }", "{ style = 'B' }", "{ style = 't', batch = false }", "{ x = 1 }"],
    ),
    ("source.replication_port", &["1", "65535"], &["0", "65536", "'1'"]),
    ("source.white_list", &["false"], &["0"]),
    ("source.plugin_options", &["{}"], &["{ 'max-txn-in-memory' = '8' }", "{ 'decode-style' = 'b' }"]),
    ("source.numbers", &["'canonical'"], &["'as-sent'", "'raw'"]),
    (
        "source.heartbeat",
        &["{ query = 'UPDATE a.b SET c = c' }"],
        &["{ query = '' }", "{ query = 'x', interval = '0s' }", "{}"],
    ),
    ("source.nodes", &["[]"], &["[{ name = 'dn', hosts = ['a:1'] }]", "[{ name = 'dn' }]"]),
    (
        "source.spill",
        &["{}", "{ limit = '0B' }", "{ folder = 'x', limit = '1GiB' }"],
        &["{ limit = '1' }", "{ x = 1 }"],
    ),
    ("source.transaction_memory", &["'1MiB'"], &["'1023KiB'"]),
    ("source.slot_timeout", &["'1s'", "'24h'"], &["'0s'", "'25h'"]),
    ("source.hosts", &["['a:1']", "['/run:5432', '[::1]:1']"], &["[]", "'a:1'", "[5]", "['a']"]),
    ("source.database", &["'a b'"], &["''", "\"a\\u0000b\""]),
    ("source.user", &["'u'"], &["''"]),
    (
        "source.password",
        &["'x'", "{ env = 'X' }", "{ file = 'x' }"],
        &["{}", "{ env = '' }", "{ env = 'A=B' }", "{ x = 'y' }", "5"],
    ),
    (
        "source.sslmode",
        &["'disable'", "'allow'", "'prefer'", "'require'", "'verify-ca'", "'verify-full'"],
        &["'verify_full'", "'on'", "true"],
    ),
    ("source.slot", &["'a'", "'_9'"], &["''", "'9a'", "'A'", "'a-b'", "'a.b'"]),
    ("source.publication", &["'Any name'"], &["''"]),
    ("source.create_publication", &["true", "false"], &["'true'", "1"]),
    ("source.connect_timeout", &["'100ms'", "'10m'"], &["'99ms'", "'601s'", "'10'", "10"]),
    ("source.status_interval", &["'100ms'", "'60s'"], &["'99ms'", "'61s'"]),
    ("source.max_message", &["'64KiB'", "'1GiB'"], &["'65535B'", "'1025MiB'", "'1GB'"]),
    ("source.slot_busy_timeout", &["'0s'", "'24h'"], &["'25h'", "'-1s'"]),
    (
        "objects.include",
        &["['*.*']", "['public.\"a b\"', 's.t*x']"],
        &["[]", "['public']", "['a.b.c']", "['.a']", "['a.']", "['a.b c']", "['a.b?']", "['a.\"b']"],
    ),
    ("objects.exclude", &["[]", "['a.*']"], &["['*']"]),
    ("objects.import", &[], &["'/no/such/list.csv'", "'list.txt'", "5", "''"]),
    (
        "check.confirm",
        &["[]", "['sink.topics', 'source.replica_identity']"],
        &["['sink.topic']", "['']", "'sink.topics'", "[5]"],
    ),
    ("check.strict", &["true"], &["'yes'"]),
    ("check.at_start", &["false"], &["0"]),
    ("route.topic_policy", &["1", "2", "3"], &["-1", "4", "5", "'1'"]),
    ("route.partition_policy", &["1", "2"], &["0", "3", "-1", "4"]),
    ("route.topic", &[], &["'orders'", "'a b'"]),
    (
        "route.topic_name_format",
        &["'$tablename$'", "'a.b_c-$database$.$tablename$'"],
        &[
            "''",
            "'$database$-$schema$'",
            "'$tablename$/x'",
            "'$tablename$$'",
            "'$table$-$tablename$'",
            "'$tablename$ä'",
        ],
    ),
    ("route.sanitize", &["true"], &["'yes'"]),
    ("route.partitions", &["1", "2147483647"], &["0", "2147483648", "'1'", "1.0"]),
    ("route.replication_factor", &["1", "32767"], &["0", "32768"]),
    ("route.create_topics", &["false"], &["0"]),
    (
        "route.topic_settings",
        &["{ 'retention.ms' = '1' }"],
        &["{ 'retention.ms' = 1 }", "{ 'cleanup.policy' = 'compact,delete' }"],
    ),
    ("route.max_topics", &["1", "100000"], &["0", "100001"]),
    ("route.split_key_changes", &["true"], &["1"]),
    ("format.kind", &["'json'", "'avro'"], &["'JSON'", "'json-c'"]),
    ("format.money", &["'text'", "'decimal'"], &["'double'"]),
    ("format.profile", &["'drs'", "'mysql-like'"], &["'debezium'"]),
    ("format.db_type", &["'GaussDB'"], &["''"]),
    ("format.sql_type", &["'jdbc'", "'omit'"], &["'odbc'"]),
    ("format.html_escape", &["false"], &["'no'"]),
    ("format.binary", &["'hex'", "'hex_upper'", "'pg'", "'byte_list'", "'base64'", "'base64_url'"], &["'octal'"]),
    ("modules.filter", &["[{ path = 'a' }]"], &["[{ path = '' }]", "[{}]", "{ path = 'a' }"]),
    (
        "modules.route",
        &["{ path = 'a', config = { a = 1 } }"],
        &["{ path = 'a', config = 1 }", "{ path = 'a', sha256 = '00' }"],
    ),
    (
        "modules.limits",
        &["{ call_timeout = '10ms', memory = '1MiB' }", "{ memory = '4GiB', log_lines_per_second = 0 }"],
        &[
            "{ call_timeout = '9ms' }",
            "{ init_timeout = '601s' }",
            "{ memory = '1023KiB' }",
            "{ output = '63KiB' }",
            "{ log_lines_per_second = -1 }",
            "{ x = 1 }",
        ],
    ),
    ("modules.watch", &["true"], &["'yes'"]),
    ("modules.on_restart", &["'refuse'", "'active'", "'task'"], &["'new'"]),
    (
        "modules.swap",
        &["{ trial = '0s', max_traps = 0 }", "{ drain_timeout = '10ms', queue = 1024 }"],
        &["{ trial = '25h' }", "{ drain_timeout = '9ms' }", "{ queue = 0 }", "{ x = 1 }"],
    ),
    ("sink.kind", &["'kafka'"], &["'file'"]),
    ("sink.brokers", &["['a:1']"], &["[]", "['a']", "['a:65536']", "['/x:1']"]),
    ("sink.protocol", &["'plaintext'", "'ssl'"], &["'SSL'", "'sasl_ssl'", "'sasl_plaintext'"]),
    ("sink.sasl_mechanism", &[], &["'PLAIN'", "'GSSAPI'", "'plain'"]),
    ("sink.token", &[], &["'x'", "{ file = 'x' }"]),
    ("sink.delegation_token", &["false"], &["true", "'no'"]),
    ("sink.trust_store", &[], &["'a.jks'"]),
    ("sink.key_store", &[], &["'a.jks'"]),
    ("sink.trust_store_password", &[], &["'x'"]),
    ("sink.key_store_password", &[], &["'x'"]),
    ("sink.key_password", &[], &["'x'"]),
    ("sink.verify_host", &["true"], &["false", "'https'"]),
    ("sink.kerberos_principal", &[], &["'a@B'"]),
    ("sink.kerberos_keytab", &[], &["'a'"]),
    ("sink.kerberos_service", &["'kafka'"], &["5"]),
    ("sink.ca", &[], &["'ca.pem'"]),
    ("sink.compression", &["'none'", "'lz4'", "'zstd'", "'snappy'", "'gzip'"], &["'LZ4'"]),
    ("sink.linger", &["'0s'", "'15m'"], &["'901s'"]),
    ("sink.queue", &["'1MiB'"], &["'1023KiB'"]),
    ("sink.max_message", &["'1KiB'", "'32MiB'"], &["'1023B'", "'33MiB'"]),
    ("sink.headers", &["false"], &["0"]),
    ("sink.framing", &["'raw'"], &["'registry'", "'single-object'", "'magic'"]),
    ("sink.delivery_timeout", &["'0s'"], &["'1s'"]),
    (
        "sink.properties",
        &["{ 'socket.keepalive.enable' = 'true' }"],
        &[
            "{ acks = '1' }",
            "{ 'enable.idempotence' = 'false' }",
            "{ 'message.timeout.ms' = '1' }",
            "{ 'transactional.id' = 'x' }",
            "{ 'bootstrap.servers' = 'a:1' }",
            "{ 'sasl.password' = 'x' }",
            "{ 'plugin.library.paths' = 'x' }",
        ],
    ),
    ("position.store", &["'topic'"], &["'file'", "'etcd'"]),
    ("position.topic", &["'a'"], &["''", "'.'", "'..'", "'a b'"]),
    ("position.replication_factor", &["1"], &["0"]),
    ("position.path", &[], &["'x'"]),
    ("position.interval", &["'10ms'", "'10m'"], &["'9ms'", "'601s'"]),
    ("pipeline.batch_changes", &["1", "65536"], &["0", "65537"]),
    ("pipeline.batch_bytes", &["'4KiB'"], &["'4095B'", "'65MiB'"]),
    ("pipeline.budget", &["'64MiB'"], &["'1023KiB'"]),
    ("pipeline.workers", &["1"], &["0", "257"]),
    ("pipeline.drain_timeout", &["'0s'", "'1h'"], &["'61m'"]),
    ("pipeline.on_halt", &["'stay'", "'exit'"], &["'restart'"]),
    ("admin.listen", &["'127.0.0.1:0'", "'[::1]:1'"], &["'localhost:1'", "'127.0.0.1'", "9640"]),
    ("admin.status_file", &["'x'", "''"], &["5"]),
];

#[test]
fn each_key_at_its_boundary() {
    for (key, legal, illegal) in RULES {
        for value in *legal {
            assert_eq!(refused(&[&format!("{key} = {value}")]), Vec::<String>::new(), "{key} = {value}");
        }
        for value in *illegal {
            let paths = refused(&[&format!("{key} = {value}")]);
            let section = key.split('.').next().unwrap();
            assert!(
                !paths.is_empty() && paths.iter().all(|path| path.starts_with(section)),
                "{key} = {value}: {paths:?}"
            );
        }
    }
}

#[test]
fn lengths_at_their_boundary() {
    for (key, most, character) in [
        ("task.name", 50, "a"),
        ("task.description", 256, "ö"),
        ("source.database", 63, "a"),
        ("source.user", 63, "a"),
        ("source.slot", 63, "a"),
        ("source.publication", 63, "a"),
        ("position.topic", 249, "a"),
        ("format.db_type", 64, "a"),
    ] {
        let line = |length: usize| format!("{key} = '{}'", character.repeat(length));
        assert_eq!(refused(&[&line(most)]), Vec::<String>::new(), "{key}");
        assert_eq!(refused(&[&line(most + 1)]), [key]);
    }
    let tags = |n: usize| {
        format!("task.tags = {{ {} }}", (0..n).map(|k| format!("k{k} = 'v'")).collect::<Vec<_>>().join(", "))
    };
    assert_eq!(refused(&[&tags(20)]), Vec::<String>::new());
    assert_eq!(refused(&[&tags(21)]), ["task.tags"]);
    let tag = |key: usize, value: usize| format!("task.tags = {{ '{}' = '{}' }}", "k".repeat(key), "v".repeat(value));
    assert_eq!(refused(&[&tag(128, 255)]), Vec::<String>::new());
    assert_eq!((refused(&[&tag(129, 1)]).len(), refused(&[&tag(1, 256)]).len()), (1, 1));
    let hosts = |key: &str, n: usize| format!("{key} = [{}]", vec!["'a:1'"; n].join(", "));
    for key in ["source.hosts", "sink.brokers"] {
        assert_eq!(refused(&[&hosts(key, 10)]), Vec::<String>::new());
        assert_eq!(refused(&[&hosts(key, 11)]), [key]);
    }
}

/// The documented pairs of topic and partition policy, and no others.
#[test]
fn policy_pairs() {
    const ALLOWED: [&[i64]; 4] = [&[0, 1, 2, 3], &[1, 2], &[0, 1, 3], &[0, 1]];
    for topic in 0..4_i64 {
        for partition in 0..4_i64 {
            let name = if topic == 0 { "topic = 'a'" } else { "sanitize = false" };
            let line = format!("route = {{ topic_policy = {topic}, partition_policy = {partition}, {name} }}");
            let allowed = ALLOWED[topic as usize].contains(&partition);
            let expected: &[&str] = if allowed { &[] } else { &["route.partition_policy"] };
            assert_eq!(refused(&[&line]), expected, "{line}");
        }
    }
}

#[test]
fn keys_that_need_or_exclude_each_other() {
    let sasl =
        "sink = { protocol = 'sasl_ssl', sasl_mechanism = 'SCRAM-SHA-512', username = 'u', password = 'p', ca = 'c' }";
    let stores = "sink = { protocol = 'ssl', trust_store = 'a.jks', trust_store_password = 'p', key_store = 'b.p12', \
                  key_store_password = { env = 'X' }, key_password = { file = 'f' }, verify_host = false }";
    let token = "sink = { protocol = 'sasl_plaintext', sasl_mechanism = 'OAUTHBEARER', token = { file = 't' } }";
    for legal in [sasl, stores, token] {
        assert_eq!(refused(&[legal]), Vec::<String>::new(), "{legal}");
    }
    let cases: &[(&str, &[&str])] = &[
        ("route.topic_policy = 0", &["route.topic"]),
        ("route = { topic_policy = 0, topic = 'a', topic_name_format = '$tablename$' }", &["route.topic_name_format"]),
        ("route = { topic_policy = 2, topic_name_format = '$database$-$schema$' }", &["route.topic_name_format"]),
        ("route = { topic_policy = 2, topic_name_format = 'fixed' }", &["route.topic_name_format"]),
        ("route = { topic_policy = 3, topic_name_format = '$database$' }", &["route.topic_name_format"]),
        ("route = { topic_policy = 3, topic_name_format = '$schema$-$tablename$' }", &["route.topic_name_format"]),
        ("route = { topic_policy = 7, topic = 'a', partition_policy = 0 }", &["route.topic_policy"]),
        ("route = { topic_policy = 0, topic = 'millrace-positions' }", &["position.topic"]),
        ("source.client_cert = 'c'", &["source.client_key"]),
        ("source.client_key = 'c'", &["source.client_cert"]),
        ("source = { sslmode = 'disable', root_cert = 'c' }", &["source.root_cert"]),
        ("sink = { protocol = 'ssl', cert = 'c' }", &["sink.key"]),
        ("sink = { protocol = 'ssl', key = 'c' }", &["sink.cert"]),
        ("sink.protocol = 'sasl_ssl'", &["sink.sasl_mechanism"]),
        ("sink = { protocol = 'sasl_ssl', sasl_mechanism = 'PLAIN' }", &["sink.password", "sink.username"]),
        (
            "sink = { protocol = 'sasl_ssl', sasl_mechanism = 'OAUTHBEARER', username = 'u' }",
            &["sink.token", "sink.username"],
        ),
        (
            "sink = { protocol = 'sasl_ssl', sasl_mechanism = 'SCRAM-SHA-256', username = 'u', password = 'p', delegation_token = true }",
            &["sink.delegation_token"],
        ),
        ("sink = { protocol = 'ssl', ca = 'c', trust_store = 't' }", &["sink.trust_store"]),
        ("sink = { protocol = 'ssl', cert = 'c', key = 'k', key_store = 't' }", &["sink.key_store"]),
        ("sink = { protocol = 'ssl', trust_store_password = 'p' }", &["sink.trust_store_password"]),
        (
            "sink = { protocol = 'ssl', key_store_password = 'p', key_password = 'q' }",
            &["sink.key_password", "sink.key_store_password"],
        ),
        #[cfg(not(feature = "gssapi"))]
        (
            "sink = { protocol = 'sasl_ssl', sasl_mechanism = 'GSSAPI', kerberos_principal = 'a@B', kerberos_keytab = 'k' }",
            &["sink.sasl_mechanism"],
        ),
        ("sink.username = 'u'", &["sink.username"]),
        ("format = { kind = 'avro', profile = 'mysql-like' }", &["format.profile"]),
        (
            "format = { kind = 'avro', sql_type = 'omit', html_escape = false }",
            &["format.html_escape", "format.sql_type"],
        ),
        ("format.kind = 'avro'\nmodules.format.path = 'm'", &["format.kind"]),
        ("format.kind = 'avro'\nsink.framing = 'registry'", &["registry.urls"]),
        ("format.kind = 'avro'\nregistry.urls = ['http://r:1']", &["registry"]),
        ("format.kind = 'avro'\nsink.framing = 'registry'\nregistry = {}", &["registry.urls"]),
        ("sink = { kind = 'blackhole', brokers = [] }", &["position.path"]),
        ("position.store = 'file'", &["position.path"]),
        ("pipeline = { budget = '1MiB', batch_bytes = '513KiB' }", &["pipeline.budget"]),
        ("pipeline.budget = '2MiB'\nsink = { queue = '4MiB', max_message = '3MiB' }", &["pipeline.budget"]),
    ];
    for (lines, expected) in cases {
        assert_eq!(refused(&[lines]), *expected, "{lines}");
    }
    assert!(with(&["sink = { kind = 'blackhole', brokers = [] }", "position.path = 'x'"]).is_ok());
    assert!(with(&["route = { sanitize = true, topic_name_format = '$tablename$ ä' }"]).is_ok());
}

#[test]
fn sections_that_are_no_tables_and_text_that_is_no_toml() {
    assert_eq!(refused(&["route = 5"]), ["route"]);
    assert!(refused(&["source = 5"]).iter().all(|path| path == "source"));
    let problems = super::parse("[task\n", std::path::Path::new("/")).unwrap_err();
    assert!(problems.to_string().starts_with("line 1, column"), "{problems}");
}

/// `[registry]`, with the framing that needs it.
#[test]
fn keys_of_the_registry() {
    let registry = |keys: &str| {
        refused(&["format.kind = 'avro'", "sink.framing = 'registry'", &format!("registry = {{ {keys} }}")])
    };
    for legal in [
        "urls = ['http://a:1/apis', 'https://b']",
        "urls = ['http://a'], subject = 'record', register = false, timeout = '100ms'",
        "urls = ['http://a'], subject = 'topic-record', username = 'u', password = 'p', timeout = '5m'",
        "urls = ['https://a'], token = { file = 't' }, ca = 'c', key_store = 'k.jks', key_store_password = 'p'",
        "urls = ['https://a'], trust_store = 't.p12', trust_store_password = 'p'",
    ] {
        assert_eq!(registry(legal), Vec::<String>::new(), "{legal}");
    }
    let many = format!("urls = [{}]", ["'http://a'"; 11].join(", "));
    let cases: &[(&str, &[&str])] = &[
        (&many, &["registry.urls"]),
        ("urls = []", &["registry.urls"]),
        (
            "urls = ['http://a', 'ftp://b', 'http://u:p@c', 'd:1']",
            &["registry.urls[1]", "registry.urls[2]", "registry.urls[3]"],
        ),
        ("urls = ['http://a'], subject = 'value'", &["registry.subject"]),
        ("urls = ['http://a'], username = 'u'", &["registry.password"]),
        ("urls = ['http://a'], password = 'p'", &["registry.username"]),
        ("urls = ['http://a'], username = 'u:v', password = 'p'", &["registry.username"]),
        ("urls = ['http://a'], username = 'u', password = 'p', token = 't'", &["registry.token"]),
        ("urls = ['http://a'], ca = 'c'", &["registry.ca"]),
        ("urls = ['http://a'], key_store = 'c'", &["registry.key_store"]),
        ("urls = ['https://a'], ca = 'c', trust_store = 't'", &["registry.trust_store"]),
        (
            "urls = ['https://a'], trust_store_password = 'p', key_store_password = 'q'",
            &["registry.key_store_password", "registry.trust_store_password"],
        ),
        ("urls = ['http://a'], timeout = '99ms'", &["registry.timeout"]),
        ("urls = ['http://a'], url = 'x'", &["registry.url"]),
    ];
    for (keys, expected) in cases {
        assert_eq!(registry(keys), *expected, "{keys}");
    }
    let framed = |framing: &str| refused(&["format.kind = 'avro'", &format!("sink.framing = '{framing}'")]);
    assert_eq!([framed("raw"), framed("single-object")], [Vec::<String>::new(), Vec::new()]);
    assert!(
        with(&["sink.framing = 'single-object'", "modules.format.path = 'm'"]).is_ok(),
        "its schemas are its affair"
    );
}

/// The file is the whole selection: patterns beside it are refused, and what is printed names the file alone.
#[test]
fn a_list_and_patterns_exclude_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("l.csv");
    std::fs::write(&list, "object,table_mapping\npublic.a,\n\"public.B\",x.y\n").unwrap();
    let import = format!("objects.import = {:?}", list.display().to_string());
    let task = with(&[&import]).unwrap();
    assert!(task.selects("public", "a") && task.selects("public", "B") && !task.selects("public", "b"));
    assert_eq!(refused(&[&import, "objects.include = ['public.*']"]), ["objects.include"]);
    assert_eq!(refused(&[&import, "objects.exclude = ['public.*']"]), ["objects.exclude"]);
    std::fs::write(&list, "object,topic_mapping\npublic.a,t\n").unwrap();
    assert_eq!(refused(&[&import]), Vec::<String>::new());
    assert_eq!(refused(&[&import, "modules.route = { path = 'm' }"]), ["objects.import"]);
    std::fs::write(&list, "object,table_mapping\na,\nb.c d,\npublic.a,\n").unwrap();
    assert_eq!(refused(&[&import]), ["objects.import line 2", "objects.import line 3"]);
}

#[test]
fn tables_of_the_server_are_never_selected() {
    let gaussdb = |lines: &[&str]| with(&[&["source.kind = 'gaussdb'"], lines].concat()).unwrap();
    let all = gaussdb(&[]);
    for (schema, table, selected) in [
        ("dbe_perf", "x", false),
        ("pg_toast_temp_3", "x", false),
        ("public", "redis_status", false),
        ("public", "orders", true),
        ("shop", "redis_status", true),
    ] {
        assert_eq!(all.selects(schema, table), selected, "{schema}.{table}");
    }
    assert!(all.select_config().contains("dbe_perf.*") && all.select_config().contains("public.redis_status"));
    assert!(!gaussdb(&["objects.include = ['public.orders']"]).select_config().contains("dbe_perf"));
    let named = ["source.kind = 'gaussdb'", "objects.include = ['public.orders', 'dbe_perf.x']"];
    assert_eq!(refused(&named), ["objects.include[1]"]);
    // Elsewhere these names are anybody's.
    let postgresql = with(&["objects.include = ['snapshot.*', 'sys.x']"]).unwrap();
    assert!(
        postgresql.selects("snapshot", "a")
            && postgresql.selects("sys", "x")
            && !postgresql.selects("pg_catalog", "pg_class")
    );
    assert_eq!(refused(&["objects.include = ['information_schema.x']"]), ["objects.include[0]"]);
}

/// What only GaussDB and openGauss have, with the kind that has it.
#[test]
fn keys_of_gaussdb() {
    let gaussdb = |line: &str| refused(&["source.kind = 'gaussdb'", line]);
    for legal in [
        "source.decoding = 'parallel'",
        "source.numbers = 'as-sent'",
        "source.plugin_options = { 'max-txn-in-memory' = '8', 'sender-timeout' = '60s' }",
        "source.nodes = [{ name = 'dn_1', hosts = ['a:1', 'b:1'] }, { name = 'dn_2', hosts = ['c:1'] }]",
    ] {
        assert_eq!(gaussdb(legal), Vec::<String>::new(), "{legal}");
    }
    for illegal in [
        "source.decoding = 'pgoutput'",
        "source.create_publication = true",
        "source.plugin_options = { 'decode-style' = 'b' }",
        "source.plugin_options = { 'max-txn-in-memory' = \"8'\" }",
        "source.nodes = [{ name = 'dn_1', hosts = [] }]",
        "source.nodes = [{ name = '', hosts = ['a:1'] }]",
        "source.nodes = [{ name = 'dn_1', hosts = ['a:1'] }, { name = 'dn_1', hosts = ['b:1'] }]",
    ] {
        assert!(!gaussdb(illegal).is_empty(), "{illegal}");
    }
    let task = with(&["source.kind = 'gaussdb'"]).unwrap();
    assert_eq!((task.source.decoding, task.format.db_type.as_str()), (crate::config::Decoding::Serial, "GaussDB"));
}
