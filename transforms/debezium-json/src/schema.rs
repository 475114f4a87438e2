//! Connect schemas of keys and envelopes, as the JSON converter writes them into each message.

/// Schema of the key of a table.
pub(crate) fn key(name: &str, fields: &str) -> String {
    let name = millrace_guest::quoted(&format!("{name}.Key"), millrace_guest::Escape::Plain);
    format!("{{\"type\":\"struct\",\"fields\":[{fields}],\"optional\":false,\"name\":{name}}}")
}

/// Schema of the envelope of a table.
pub(crate) fn value(name: &str, fields: &str) -> String {
    let quoted = |suffix: &str| millrace_guest::quoted(&format!("{name}.{suffix}"), millrace_guest::Escape::Plain);
    let row = |field: &str| {
        let name = quoted("Value");
        format!("{{\"type\":\"struct\",\"fields\":[{fields}],\"optional\":true,\"name\":{name},\"field\":\"{field}\"}}")
    };
    let fields = [
        row("before"),
        row("after"),
        structure("source", "io.debezium.connector.postgresql.Source", false, &SOURCE),
        structure("transaction", "event.block", true, &TRANSACTION),
        plain(&("op", "string", false)),
        plain(&("ts_ms", "int64", true)),
        plain(&("ts_us", "int64", true)),
        plain(&("ts_ns", "int64", true)),
    ];
    format!(
        "{{\"type\":\"struct\",\"fields\":[{}],\"optional\":false,\"name\":{},\"version\":2}}",
        fields.join(","),
        quoted("Envelope")
    )
}

/// Name, type, and whether it may be null.
type Field = (&'static str, &'static str, bool);

const SOURCE: [Field; 14] = [
    ("version", "string", false),
    ("connector", "string", false),
    ("name", "string", false),
    ("ts_ms", "int64", false),
    ("snapshot", "string", true),
    ("db", "string", false),
    ("sequence", "string", true),
    ("ts_us", "int64", true),
    ("ts_ns", "int64", true),
    ("schema", "string", false),
    ("table", "string", false),
    ("txId", "int64", true),
    ("lsn", "int64", true),
    ("xmin", "int64", true),
];

const TRANSACTION: [Field; 3] =
    [("id", "string", false), ("total_order", "int64", false), ("data_collection_order", "int64", false)];

fn structure(field: &str, name: &str, optional: bool, fields: &[Field]) -> String {
    let fields: Vec<_> = fields.iter().map(plain).collect();
    format!(
        "{{\"type\":\"struct\",\"fields\":[{}],\"optional\":{optional},\"name\":\"{name}\",\"version\":1,\"field\":\"{field}\"}}",
        fields.join(",")
    )
}

fn plain((field, of, optional): &Field) -> String {
    format!("{{\"type\":\"{of}\",\"optional\":{optional},\"field\":\"{field}\"}}")
}
