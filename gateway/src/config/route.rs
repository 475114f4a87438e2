//! `[route]` and `[format]`: what the default router and the default format do, and the topics they need.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bounded, Framing, Modules, PartitionPolicy, Problems, Sink, TopicName, TopicPolicy};

/// `[route]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Which topics there are: 0 one, 1 per table, 2 per database, 3 per schema.
    #[serde(default = "per_table")]
    pub topic_policy: TopicPolicy,
    /// The topic of policy 0, and of no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicName>,
    /// Names of the topics of policies 1 to 3, with $database$, $schema$ and $tablename$. Default by policy:
    /// $database$-$schema$-$tablename$, $database$, $database$-$schema$.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name_format: Option<String>,
    /// Which partition: 0 hash of database.schema.table, 1 partition 0, 2 hash of the primary key, 3 hash of database.schema.
    /// Default: 2 for topic policies 0 and 1, else 0.
    #[serde(default = "by_table")]
    pub partition_policy: PartitionPolicy,
    /// Whether an update of a primary key becomes two changes, the delete of the old row and the insert of the new one, each with an id
    /// of its own. Change it after a clean stop only: changes that are read again get other ids.
    #[serde(default)]
    pub split_key_changes: bool,
    /// Whether topic names Kafka would refuse are rewritten instead of refused.
    #[serde(default)]
    pub sanitize: bool,
    /// Partitions of a topic the gateway creates.
    #[serde(default = "one")]
    pub partitions: Bounded<1, 2_147_483_647>,
    /// Replicas of a topic the gateway creates; not more than there are brokers.
    #[serde(default = "one_replica")]
    pub replication_factor: Bounded<1, 32_767>,
    /// Whether missing topics are created. Default: true for policies 1 to 3; the topic of policy 0 must exist.
    #[serde(default)]
    pub create_topics: bool,
    /// Most topics a shard of the task may come to use by creating them; one more halts the task.
    #[serde(default = "ten_thousand")]
    pub max_topics: Bounded<1, 100_000>,
    /// Kafka settings of a topic the gateway creates, as "retention.ms".
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topic_settings: BTreeMap<String, String>,
}

fn per_table() -> TopicPolicy {
    TopicPolicy::PerTable
}

fn by_table() -> PartitionPolicy {
    PartitionPolicy::ByTable
}

fn one() -> Bounded<1, 2_147_483_647> {
    Bounded::new(1)
}

fn ten_thousand() -> Bounded<1, 100_000> {
    Bounded::new(10_000)
}

fn one_replica() -> Bounded<1, 32_767> {
    Bounded::new(1)
}

/// The variables of a topic name format.
const VARIABLES: [&str; 3] = ["$database$", "$schema$", "$tablename$"];

impl Route {
    pub(super) fn check(&self, problems: &mut Problems) {
        let policy = "route.topic_policy";
        match (self.topic_policy, &self.topic) {
            (TopicPolicy::Single, None) => {
                problems.refuse(&["route.topic", policy], "is missing: topic_policy = 0 needs the topic");
            }
            (TopicPolicy::Single, Some(_)) | (_, None) => {}
            (_, Some(_)) => {
                problems.refuse(&["route.topic", policy], "has no effect: only topic_policy = 0 takes a topic");
            }
        }
        if !self.topic_policy.allows(self.partition_policy) {
            let allowed: Vec<String> = PartitionPolicy::ALL
                .into_iter()
                .filter(|partition| self.topic_policy.allows(*partition))
                .map(|partition| i64::from(partition).to_string())
                .collect();
            problems.refuse(
                &["route.partition_policy", policy],
                format!("must be {} with topic_policy = {}", allowed.join(", "), i64::from(self.topic_policy)),
            );
        }
        if let Some(format) = &self.topic_name_format
            && let Some(rule) = self.topic_policy.refuses_format(format, self.sanitize)
        {
            problems.refuse(&["route.topic_name_format", policy], rule);
        }
        if self.topic_settings.contains_key("cleanup.policy")
            && self.topic_settings["cleanup.policy"].contains("compact")
        {
            // Compaction keeps one record per key: consumers that are behind would not see every change.
            problems.refuse(
                &["route.topic_settings"],
                "must not compact: changes would be lost for consumers that are behind",
            );
        }
    }
}

impl TopicPolicy {
    /// Why a format cannot serve under this policy, if it cannot: every table needs its own topic under policy 1, and tables
    /// of one database or schema must share theirs under policies 2 and 3.
    fn refuses_format(self, format: &str, sanitize: bool) -> Option<&'static str> {
        let [database, schema, table] = VARIABLES.map(|variable| format.contains(variable));
        let rule = match self {
            TopicPolicy::Single => return Some("has no effect with topic_policy = 0"),
            TopicPolicy::PerTable if !table => "must contain $tablename$ with topic_policy = 1",
            TopicPolicy::PerDatabase if schema || table => "must hold no variable but $database$ with topic_policy = 2",
            TopicPolicy::PerDatabase if !database => "must contain $database$ with topic_policy = 2",
            TopicPolicy::PerSchema if table => "must not contain $tablename$ with topic_policy = 3",
            TopicPolicy::PerSchema if !schema => "must contain $schema$ with topic_policy = 3",
            _ => {
                let literals = VARIABLES.iter().fold(format.to_owned(), |rest, variable| rest.replace(variable, ""));
                if literals.contains('$') {
                    return Some("has a '$' that is no part of $database$, $schema$ or $tablename$");
                }
                let legal = literals.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
                let rule = "may hold letters, digits, '.', '_' and '-' beside its variables";
                return (!sanitize && !legal).then_some(rule);
            }
        };
        Some(rule)
    }
}

/// What the messages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatKind {
    /// JSON text.
    Json,
    /// Avro, with one published schema: transforms/drs-avro/schema.avsc.
    Avro,
}

/// Field set of the JSON messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The 16 keys of the managed service's messages for this family.
    Drs,
    /// The field order and names of its MySQL messages.
    MysqlLike,
}

/// What the `sqlType` object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SqlType {
    /// JDBC type codes.
    Jdbc,
    /// Nothing: the key is left out.
    Omit,
}

/// How binary values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binary {
    /// Lower-case hexadecimal digits.
    Hex,
    /// Upper-case hexadecimal digits.
    HexUpper,
    /// As PostgreSQL prints them: `\x` and lower-case digits.
    Pg,
    /// A list of numbers.
    ByteList,
    /// Base64, with padding.
    Base64,
    /// Base64 with the alphabet of URLs, with padding.
    Base64Url,
}

/// How values of type money are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Money {
    /// As the database prints them, by its locale.
    Text,
    /// The plain number; where the text does not have `,` between thousands and `.` before the fraction, the row is refused.
    Decimal,
}

/// `[format]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// What the messages are written in: json or avro.
    #[serde(default = "json")]
    pub kind: FormatKind,
    /// Field set of the JSON messages: drs (sixteen keys) or mysql-like (thirteen).
    #[serde(default = "drs")]
    pub profile: Profile,
    /// Value of dbType. Default by source.kind: PostgreSQL.
    #[serde(default)]
    pub db_type: String,
    /// What sqlType holds: jdbc (type codes) or omit (the key is left out; JSON only).
    #[serde(default = "jdbc")]
    pub sql_type: SqlType,
    /// Whether < > & = ' are written as \u003c and so on, as the managed service does; JSON only.
    #[serde(default = "yes")]
    pub html_escape: bool,
    /// How bytea, blob and raw are written: hex, hex_upper, pg, byte_list, base64 or base64_url.
    #[serde(default = "hex")]
    pub binary: Binary,
    /// How money is written: text (by the database's locale) or decimal (the plain number).
    #[serde(default = "as_text")]
    pub money: Money,
}

fn drs() -> Profile {
    Profile::Drs
}

fn jdbc() -> SqlType {
    SqlType::Jdbc
}

fn json() -> FormatKind {
    FormatKind::Json
}

fn as_text() -> Money {
    Money::Text
}

fn hex() -> Binary {
    Binary::Hex
}

fn yes() -> bool {
    true
}

impl Format {
    pub(super) fn check(&self, modules: &Modules, sink: &Sink, problems: &mut Problems) {
        if !(1..=64).contains(&self.db_type.len()) {
            problems.refuse(&["format.db_type"], "must have 1 to 64 bytes");
        }
        if self.kind == FormatKind::Avro {
            for (path, given) in [
                ("format.profile", self.profile != Profile::Drs),
                ("format.sql_type", self.sql_type != SqlType::Jdbc),
                ("format.html_escape", !self.html_escape),
            ] {
                if given {
                    problems.refuse(&[path, "format.kind"], "has no effect with kind = \"avro\"");
                }
            }
            if modules.format.is_some() {
                problems
                    .refuse(&["format.kind", "modules.format"], "has no effect: modules.format writes the messages");
            }
        } else if sink.framing != Framing::Raw && modules.format.is_none() {
            problems.refuse(
                &["sink.framing", "format.kind"],
                "must be \"raw\" with format.kind = \"json\": its messages have no schema",
            );
        }
    }
}
