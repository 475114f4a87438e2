//! Default format: one JSON envelope per changed row, in the shape the DRS service is recollected to write for GaussDB.
//!
//! Everything a table's messages share is written once in `announce`; a change adds its numbers and cells. Truncates become
//! no record. Knows nothing of topics; the record key is what the router hashed.

mod config;
mod envelope;

use config::Config;
use envelope::Envelope;
use millrace_guest::{Change, Format, FormatPlan, Interest, JsonWriter, Key, Module, Op, Records, Relation};

/// The module.
pub struct DrsJson {
    config: Config,
}

impl Module for DrsJson {
    const NAME: &'static str = "drs-json";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Format for DrsJson {
    type Table = Envelope;

    fn init(config: &str) -> Result<Self, String> {
        Ok(Self { config: millrace_guest::config::parse(config)? })
    }

    fn announce(&mut self, table: &Relation) -> Result<(FormatPlan, Envelope), String> {
        Ok((Interest::ALL.into(), Envelope::new(&self.config, table)))
    }

    fn format(&mut self, envelope: &Envelope, change: &Change<'_>, out: &mut Records) -> Result<(), String> {
        if change.op() == Op::Truncate {
            return Ok(());
        }
        let mut record = out.begin(Key::Hashed);
        envelope.write(change, &mut JsonWriter::new(record.value(), self.config.escape()))?;
        record.finish();
        Ok(())
    }
}

millrace_guest::export!(DrsJson: format);

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample of the message contract this module was written to; golden/envelope.* holds it too, but can be blessed.
    const SAMPLE: &str = concat!(
        r#"{"columnType":{"id":"bigint","name":"character varying","ok":"boolean","payload":"bytea","#,
        r#""at":"timestamp without time zone","tags":"text[]"},"#,
        r#""dbType":"GaussDB","schema":"sales","opType":"UPDATE","id":332,"es":1639626187000,"ts":1639629261915,"#,
        r#""database":"shop","table":"orders","type":"UPDATE","isDdl":false,"sql":"","#,
        r#""sqlType":{"id":-5,"name":12,"ok":16,"payload":-2,"at":93,"tags":2003},"#,
        r#""data":[{"id":"7","name":"cloud","ok":"true","payload":"62797465","at":"2021-12-16 12:31:49.344365","#,
        r#""tags":"{a,b}"}],"#,
        r#""old":[{"id":"7","name":null,"ok":"false","payload":"","at":"2021-12-16 12:31:49.344365","tags":"{}"}],"#,
        r#""pkNames":["id"]}"#,
    );

    #[test]
    fn the_sample_is_met_to_the_byte() {
        let golden = include_str!("../golden/envelope.expected.jsonl").lines().next().unwrap();
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        assert_eq!(golden["value"], SAMPLE);
    }

    #[test]
    fn golden() {
        millrace_guest::golden::format::<DrsJson>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }

    /// The schema names exactly the options there are, with their values and defaults.
    #[test]
    fn the_schema_is_the_config() {
        let schema: serde_json::Value = serde_json::from_str(DrsJson::CONFIG_SCHEMA).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        let given = DrsJson::init("{}").unwrap().config;
        for (name, property) in properties {
            let with = |value: &serde_json::Value| DrsJson::init(&serde_json::json!({ name: value }).to_string());
            assert_eq!(with(&property["default"]).unwrap().config, given, "default of {name}");
            for value in property["enum"].as_array().into_iter().flatten() {
                with(value).unwrap();
            }
        }
        let error = DrsJson::init(r#"{"nothing":1}"#).err().unwrap();
        for name in error.split('`').skip(3).step_by(2) {
            assert!(properties.contains_key(name), "{name} is not in the schema");
        }
        assert_eq!(error.split('`').skip(3).step_by(2).count(), properties.len());
    }

    #[test]
    fn a_bad_config_names_the_place() {
        let error = DrsJson::init(r#"{"binary":"octal"}"#).err().unwrap();
        assert!(error.starts_with("binary: unknown variant `octal`"), "{error}");
    }
}
