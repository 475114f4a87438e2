//! Every type of the contract, in every layout: the same words in the record, whatever the server printed.

use super::{SOON, Scene, single};
use millrace_gaussdb_sim::{Op, Product, RowChange};
use millrace_tests::servers;
use serde_json::{Value, json};

/// Type, text of the server (an openGauss in A compatibility), text in the record.
const TYPES: [(&str, &str, &str); 43] = [
    ("integer", "-2147483648", "-2147483648"),
    ("tinyint", "255", "255"),
    ("smallint", "-32768", "-32768"),
    ("bigint", "9223372036854775807", "9223372036854775807"),
    ("numeric", "-.50", "-0.50"),
    ("real", ".100000001", "0.1"),
    ("double precision", ".100000000000000006", "0.1"),
    ("character", "ab  ", "ab  "),
    ("character varying", "it's \\ \"x\"\n中文 😀", "it's \\ \"x\"\n中文 😀"),
    ("nvarchar2", "null", "null"),
    ("bit", "101", "101"),
    ("bit varying", "0", "0"),
    ("blob", "00FF7D", "00ff7d"),
    ("bytea", "\\x00ff7d", "00ff7d"),
    ("clob", "a 'long' text", "a 'long' text"),
    ("raw", "7D", "7d"),
    ("text", " ", " "),
    ("json", "{\"a\": [1, null, \"x'y\"]}", "{\"a\": [1, null, \"x'y\"]}"),
    ("boolean", "t", "true"),
    ("date", "2021-10-10", "2021-10-10"),
    ("smalldatetime", "2003-04-12 04:05:00", "2003-04-12 04:05:00"),
    ("time without time zone", "21:21:21.5", "21:21:21.5"),
    ("time with time zone", "21:21:21+08", "21:21:21+08"),
    ("timestamp without time zone", "2024-02-05 14:46:35.203057", "2024-02-05 14:46:35.203057"),
    ("timestamp with time zone", "2024-02-05 14:46:35.25+08", "2024-02-05 06:46:35.25+00"),
    ("interval", "1 year 2 mons 3 days 04:05:06", "1 year 2 mons 3 days 04:05:06"),
    ("box", "(2,2),(0.5,1)", "(2,2),(0.5,1)"),
    ("cidr", "192.168.0.0/24", "192.168.0.0/24"),
    ("circle", "<(0,0),1>", "<(0,0),1>"),
    ("inet", "::1", "::1"),
    ("lseg", "[(0,0),(1,1)]", "[(0,0),(1,1)]"),
    ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
    ("money", "-$0.05", "-$0.05"),
    ("path", "((0,0),(1,1),(2,0))", "((0,0),(1,1),(2,0))"),
    ("point", "(0.5,-0.5)", "(0.5,-0.5)"),
    ("polygon", "((0,0),(1,1),(2,0))", "((0,0),(1,1),(2,0))"),
    ("tsquery", "'a' & 'b'", "'a' & 'b'"),
    ("tsvector", "'it''s':1", "'it''s':1"),
    ("refcursor", "portal", "portal"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("integer[]", "{1,2,NULL}", "{1,2,NULL}"),
    ("text[]", "{a,\"b c\",NULL,\"NULL\"}", "{a,\"b c\",NULL,\"NULL\"}"),
    ("numeric[]", "{.5,-1.50,NaN}", "{0.5,-1.50,NaN}"),
];

/// The records of a row of all types, and of one where all but the key is NULL.
fn delivered(name: &str, layout: &str, numbers: &str) -> Vec<Value> {
    let mut scene = Scene::new(name, single(Product::OpenGauss));
    scene.task.set("objects.include", "[\"sales.all_types\"]").text("source.numbers", numbers);
    if let Some(style) = layout.strip_prefix("parallel ") {
        scene.task.text("source.decoding", "parallel");
        scene.task.set("source.parallel", &format!("{{ style = \"{style}\" }}"));
    }
    let (mut gateway, _) = scene.start();
    let table = scene.cluster.catalogue().table("sales", "all_types").expect("the table").clone();
    let kinds = || table.columns.iter().skip(1).map(|column| column.type_name.as_ref());
    let text = |kind: &str| TYPES.iter().find(|(name, ..)| *name == kind).map(|(_, text, _)| *text);
    let sent = kinds().map(|kind| Some(text(kind).unwrap_or_else(|| panic!("no text for {kind}")).into()));
    let full = std::iter::once(Some("1".into())).chain(sent).collect();
    let nulls = std::iter::once(Some("2".into())).chain(kinds().map(|_| None)).collect();
    let insert = |new| RowChange { table: table.clone(), op: Op::Insert, new, old: Vec::new() };
    scene.cluster.commit(0, vec![insert(full), insert(nulls)]);
    let mut reader = servers::kafka().reader(&[&format!("{name}-all_types")]);
    let records = reader.exactly(2, SOON).iter().map(|record| record.json()).collect();
    gateway.stop_cleanly();
    records
}

#[test]
fn every_type_is_the_same_in_every_layout() {
    let layouts = ["serial", "parallel b", "parallel j", "parallel t"];
    let name = |at: usize| format!("gs-types-{at}");
    let all: Vec<Vec<Value>> =
        layouts.iter().enumerate().map(|(at, layout)| delivered(&name(at), layout, "canonical")).collect();
    let column = |kind: &str| format!("c_{}", kind.replace([' ', '['], "_").replace(']', ""));
    for (layout, records) in layouts.iter().zip(&all) {
        let (full, nulls) = (&records[0]["data"][0], &records[1]["data"][0]);
        let wrong: Vec<String> = TYPES
            .iter()
            .filter(|(kind, _, text)| full[column(kind)].as_str() != Some(*text))
            .map(|(kind, _, text)| format!("{kind}: {} for {text:?}", full[column(kind)]))
            .collect();
        assert_eq!(wrong, [] as [String; 0], "{layout}");
        for (kind, ..) in TYPES {
            assert_eq!(nulls.get(column(kind)), Some(&Value::Null), "{kind} in {layout}");
        }
        // The catalogue's types win over what a style calls them.
        for part in ["columnType", "sqlType", "pkNames"] {
            assert_eq!(records[0][part], all[0][0][part], "{part} in {layout}");
        }
    }
    assert_eq!((&all[0][0]["columnType"]["c_clob"], &all[0][0]["sqlType"]["c_tinyint"]), (&json!("clob"), &json!(-6)));
}

/// On request numbers come as the server sends them.
#[test]
fn numbers_as_they_were_sent() {
    let records = delivered("gs-types-raw", "parallel b", "as-sent");
    let row = &records[0]["data"][0];
    assert_eq!((&row["c_real"], &row["c_numeric"]), (&json!(".100000001"), &json!("-.50")));
    assert_eq!(row["c_boolean"], "true", "other types stay canonical");
}
