//! Every rule of the task file, at its boundary, through the front door.

mod rules;

use std::path::Path;

use super::{Problems, Task, parse};

/// A task file that is legal and short.
pub(super) const LEGAL: &str = r#"
[task]
name = "shop-orders"
[source]
kind = "postgresql"
hosts = ["127.0.0.1:5432"]
database = "shop"
user = "millrace"
[sink]
kind = "kafka"
brokers = ["127.0.0.1:9092"]
"#;

/// The legal file with one key set, given as `section.key = value`.
pub(super) fn with(lines: &[&str]) -> Result<Task, Problems> {
    let mut table: toml::Table = toml::from_str(LEGAL).unwrap();
    for line in lines {
        merge(&mut table, toml::from_str(line).unwrap());
    }
    parse(&toml::to_string(&table).unwrap(), Path::new("/etc/millrace"))
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => merge(inner, value),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// The paths that are refused; empty where the file is legal.
pub(super) fn refused(lines: &[&str]) -> Vec<String> {
    with(lines).map_or_else(|problems| problems.problems.into_iter().map(|p| p.path).collect(), |_| Vec::new())
}

#[test]
fn defaults_that_follow_from_other_keys() {
    let task = with(&[]).unwrap();
    assert_eq!(task.source.slot.as_str(), "millrace_shop_orders");
    assert_eq!(task.source.publication.as_str(), "millrace_shop_orders");
    assert_eq!(task.route.topic_name_format.as_deref(), Some("$database$-$schema$-$tablename$"));
    assert_eq!(i64::from(task.route.partition_policy), 2);
    assert!(task.route.create_topics);
    assert_eq!(task.format.db_type, "PostgreSQL");
    let task = with(&["source.slot = \"own\"", "route.topic_policy = 3"]).unwrap();
    assert_eq!(task.source.publication.as_str(), "own");
    assert_eq!(task.route.topic_name_format.as_deref(), Some("$database$-$schema$"));
    assert_eq!(i64::from(task.route.partition_policy), 0);
    let task = with(&["route = { topic_policy = 0, topic = \"orders\" }"]).unwrap();
    assert!(!task.route.create_topics, "the topic of policy 0 must exist");
    let long = format!("task.name = \"A{}\"", "-".repeat(49));
    assert_eq!(with(&[&long]).unwrap().source.slot.as_str().len(), 59);
}

#[test]
fn documents_of_the_default_modules() {
    let task = with(&["objects = { include = [\"public.*\"], exclude = [\"public.x\"] }"]).unwrap();
    assert_eq!(task.select_config(), r#"{"include":["public.*"],"exclude":["public.x"]}"#);
    assert_eq!(
        task.router_config(),
        r#"{"topic_policy":1,"partition_policy":2,"sanitize":false,"topic_name_format":"$database$-$schema$-$tablename$"}"#
    );
    assert_eq!(
        task.format_config(),
        r#"{"profile":"drs","db_type":"PostgreSQL","sql_type":"jdbc","html_escape":true,"binary":"hex","money":"text"}"#
    );
    let task = with(&["format = { kind = 'avro', money = 'decimal', binary = 'base64_url' }"]).unwrap();
    assert_eq!(task.format_config(), r#"{"db_type":"PostgreSQL","binary":"base64_url","money":"decimal"}"#);
    let task = with(&["route = { topic_policy = 0, topic = \"orders\" }"]).unwrap();
    assert_eq!(task.router_config(), r#"{"topic_policy":0,"partition_policy":2,"sanitize":false,"topic":"orders"}"#);
    let task =
        with(&["modules.map = [{ path = \"m.wasm\", config = { a = 1, b = [true, 1.5], c = 2020-01-02 } }]"]).unwrap();
    assert_eq!(task.modules.map[0].config_json(), r#"{"a":1,"b":[true,1.5],"c":"2020-01-02"}"#);
}

#[test]
fn all_problems_are_reported_at_once() {
    let text = r#"
        colour = "red"
        [task]
        nmae = "shop"
        [source]
        kind = "mysql"
        hosts = ["a:1", "b", "c:2", "d:0"]
        database = 5
        linger = "5ms"
        connect_timeout = "soon"
        [sink]
        kind = "kafka"
        brokers = []
        linger = 5
        [[modules.map]]
        config = {}
        [[modules.map]]
        path = "ok.wasm"
        sha = "00"
    "#;
    let problems = parse(text, Path::new("/")).unwrap_err();
    let lines: Vec<String> = problems.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "colour: is no key",
            "modules.map[0].path: is missing",
            "modules.map[1].sha: is no key; did you mean sha256?",
            "sink.brokers: must name 1 to 10 brokers",
            "sink.linger: must be a string (is 5)",
            "source.connect_timeout: must be a duration: a whole number and ms, s, m or h, as \"10s\" (is \"soon\")",
            "source.database: must be a string (is 5)",
            "source.hosts[1]: must be host:port with a port from 1 to 65535; an IPv6 address stands in brackets, as [::1]:5432 (is \"b\")",
            "source.hosts[3]: must be host:port with a port from 1 to 65535; an IPv6 address stands in brackets, as [::1]:5432 (is \"d:0\")",
            "source.kind: must be `postgresql` or `gaussdb` (is \"mysql\")",
            "source.linger: is no key here; [sink] has one of this name",
            "source.user: is missing",
            "task.name: is missing",
            "task.nmae: is no key; did you mean name?",
        ]
    );
}

#[test]
fn an_empty_file_says_what_is_needed() {
    let paths: Vec<String> = parse("", Path::new("/")).unwrap_err().problems.into_iter().map(|p| p.path).collect();
    assert_eq!(paths, ["sink.kind", "source.database", "source.hosts", "source.kind", "source.user", "task.name"]);
}

#[test]
fn new_passwords_are_taken_and_nothing_else() {
    let old = with(&["source.password = \"one\"", "admin.token = \"t\""]).unwrap();
    let new = with(&["source.password = \"two\"", "source.user = \"other\"", "sink.brokers = [\"other:1\"]"]).unwrap();
    let mut task = old.clone();
    task.take_secrets(&new);
    let password =
        |task: &Task| task.source.password.as_ref().map(|secret| secret.resolve().unwrap().expose().to_owned());
    assert_eq!(password(&task).as_deref(), Some("two"));
    assert_eq!((task.source.user.as_str(), &task.sink.brokers), ("millrace", &old.sink.brokers));
    assert!(task.admin.token.is_some(), "the token is not the peers'");
    task.erase_secrets();
    assert!(task.secrets().all(|(key, _)| key == "admin.token"), "erased");
}

#[test]
fn secrets_are_never_shown() {
    const PLANTED: &str = "planted-secret-77";
    let lines = [
        &format!("source.password = \"{PLANTED}\""),
        "sink = { protocol = \"sasl_ssl\", sasl_mechanism = \"PLAIN\", username = \"u\" }",
        &format!("sink.password = \"{PLANTED}\""),
        &format!("admin.token = \"{PLANTED}\""),
        "format.kind = \"avro\"",
        "sink.framing = \"registry\"",
        &format!("registry = {{ urls = [\"http://r\"], username = \"u\", password = \"{PLANTED}\" }}"),
        &format!("modules.map = [{{ path = \"m\", config = {{ nested = {{ api_token = \"{PLANTED}\" }} }} }}]"),
    ];
    let task = with(&lines).unwrap();
    for shown in [task.to_json().to_string(), task.to_toml(), format!("{:?}", task.source), format!("{:?}", task.sink)]
    {
        assert!(!shown.contains(PLANTED), "{shown}");
    }
    let shown = format!("{task:?}");
    assert!(!shown.contains(PLANTED), "{shown}");
    // Wherever a file is refused, the place of a secret is named and its value is not.
    for bad in [
        format!("source.password = [\"{PLANTED}\"]"),
        format!("source.password = {{ evn = \"{PLANTED}\" }}"),
        format!("source.password = {{ env = \"{PLANTED}\", file = \"{PLANTED}\" }}"),
        format!("source.password = {{ env = [\"{PLANTED}\"] }}"),
        "source.password = 7700770077".to_owned(),
        "source.password = true".to_owned(),
        format!("sink.properties = {{ \"sasl.password\" = \"{PLANTED}\" }}"),
        format!("sink.properties = {{ \"sasl.password\" = [\"{PLANTED}\"] }}"),
        format!("sink.properties = {{ \"ssl.key.password\" = \"{PLANTED}\" }}"),
        format!("sink.properties = {{ \"ssl.key.pem\" = \"{PLANTED}\" }}"),
        format!("registry = {{ urls = [\"http://u:{PLANTED}@r\"], password = [\"{PLANTED}\"] }}"),
    ] {
        let problems = with(&[&bad]).unwrap_err();
        let shown = format!("{problems} {problems:?} {}", serde_json::to_string(&problems).unwrap());
        assert!(shown.contains("password") || shown.contains("ssl.key.pem"), "{shown}");
        assert!(!shown.contains(PLANTED) && !shown.contains("7700770077") && !shown.contains("true"), "{shown}");
    }
    let broken = format!("[source]\npassword = \"{PLANTED}\n");
    let shown = format!("{:?}", parse(&broken, Path::new("/")).unwrap_err());
    assert!(shown.contains("line 2") && !shown.contains(PLANTED), "{shown}");
}

#[test]
fn what_is_printed_is_a_task_file_again() {
    let task =
        with(&["source.password = { env = \"PW\" }", "route.topic_settings = { \"retention.ms\" = \"1\" }"]).unwrap();
    let again = parse(&task.to_toml(), Path::new("/etc/millrace")).unwrap();
    assert_eq!(task.to_json(), again.to_json());
}

#[test]
fn relative_paths_start_from_the_folder_of_the_file() {
    let task = with(&[
        "source.password = { file = \"pw\" }",
        "source.root_cert = \"/abs\"",
        "source.spill = { folder = \"spill\" }",
        "modules.map = [{ path = \"m.wasm\" }]",
        "admin.status_file = \"\"",
    ])
    .unwrap();
    assert_eq!(task.source.root_cert.as_deref(), Some(Path::new("/abs")));
    assert_eq!(task.source.spill.folder.as_deref(), Some(Path::new("/etc/millrace/spill")));
    assert_eq!(task.modules.map[0].path, Path::new("/etc/millrace/m.wasm"));
    assert!(task.to_toml().contains("/etc/millrace/pw"));
    assert_eq!(task.admin.status_file, None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("task.toml");
    std::fs::write(&file, format!("{LEGAL}[position]\nstore = \"file\"\npath = \"x.position\"\n")).unwrap();
    assert_eq!(super::load(&file).unwrap().position.path, Some(folder.path().join("x.position")));
    std::fs::write(&file, vec![b'#'; (super::FILE_LIMIT + 1) as usize]).unwrap();
    assert!(super::load(&file).unwrap_err().to_string().contains("more than"));
    assert!(super::load(Path::new("/no/such/file")).unwrap_err().to_string().contains("cannot read /no/such/file"));
}

#[test]
fn the_schema_and_the_loader_know_the_same_keys() {
    let schema = super::schema();
    let printed = with(&[]).unwrap().to_json();
    for (section, keys) in printed.as_object().unwrap() {
        for key in keys.as_object().unwrap().keys() {
            assert!(schema["properties"][section]["properties"].get(key).is_some(), "{section}.{key}");
        }
    }
    assert_eq!(schema["properties"]["route"]["properties"]["partitions"]["maximum"], 2_147_483_647);
    assert!(!schema.to_string().contains("unset"), "a stand-in is no default");
}

/// docs/configuration.md has the rows that `millrace config reference` writes: every key in the schema's order, with its default where
/// the schema has one, and the words of the types. The page adds what stands between the tables.
#[test]
fn the_page_about_the_task_file_is_complete() {
    let page = include_str!("../../../../docs/configuration.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_start_matches("| ").trim_end_matches(" |").splitn(3, " | ").collect())
        .collect();
    let known = super::reference();
    let documented: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(documented, known.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), "the schema's order");
    for (row, known) in rows.iter().zip(&known) {
        assert_eq!(row[2], known.meaning, "{}", known.key);
        if let Some(default) = &known.default {
            assert_eq!(row[1].trim_matches('`'), default, "default of {}", known.key);
        }
    }
    let text = super::markdown();
    assert_eq!(text.lines().filter(|line| line.starts_with("| `")).count(), known.len());
}

proptest::proptest! {
    /// No text makes the loader panic (I8), and what it takes it takes again in its printed form.
    #[test]
    fn any_text_gives_a_task_or_problems(
        key in "(task|source|sink|route|position|pipeline|admin|modules)\\.[a-z_]{1,12}",
        value in "(-?[0-9]{1,12}|\"[a-zA-Z0-9:*._$-]{0,20}\"|true|\\[\\]|\\[\"[a-z0-9:.]{0,9}\", 1\\]|\\{\\}|1\\.5|2020-01-02)",
    ) {
        let line = format!("{key} = {value}");
        proptest::prop_assume!(line.parse::<toml::Table>().is_ok());
        match with(&[&line]) {
            Ok(task) => {
                let again = parse(&task.to_toml(), Path::new("/etc/millrace")).unwrap();
                proptest::prop_assert_eq!(task.to_json(), again.to_json());
            }
            Err(problems) => proptest::prop_assert!(!problems.problems.is_empty()),
        }
    }
}
