//! One dead letter.

use millrace_batch::{Batch, Failure, Relation};
use millrace_host::Fault;
use millrace_module::events::{Change, Event, Reader, change_of, event_json};
use millrace_sink::Header;
use serde_json::{Map, Value as Json, json};

/// Names of the headers, in the order of [`Letter::named`].
const HEADERS: [&str; 12] = [
    "millrace-task",
    "millrace-error",
    "millrace-code",
    "millrace-stage",
    "millrace-stage-kind",
    "millrace-module",
    "millrace-module-sha256",
    "millrace-table",
    "millrace-shard",
    "millrace-commit-lsn",
    "millrace-ordinal",
    "millrace-id",
];

/// Keys of the value, in the order in which the lines of a capture have them.
const PARTS: [&str; 2] = ["relation", "change"];

/// A dead letter as a record.
pub struct Letter {
    /// `schema.table`: the dead letters of a table keep their order.
    pub key: String,
    /// The change and its table, JSON.
    pub value: Vec<u8>,
    headers: [String; HEADERS.len()],
}

/// What the headers of a dead letter say, by name; empty where one is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Named {
    /// The task that could not handle the change.
    pub task: String,
    /// The module's words or the host's finding.
    pub error: String,
    /// Code of the failure, as in docs/errors.md.
    pub code: String,
    /// The stage's name in the task.
    pub stage: String,
    /// filter, map, route or format.
    pub stage_kind: String,
    /// The module's name.
    pub module: String,
    /// Digest of the module.
    pub module_sha256: String,
    /// `schema.table`.
    pub table: String,
    /// Shard of the source.
    pub shard: String,
    /// LSN of the transaction's commit record.
    pub commit_lsn: String,
    /// Position of the change in its transaction.
    pub ordinal: String,
    /// Id of the change.
    pub id: String,
}

impl Letter {
    /// The dead letter of a fault. `relation` is the table as the source announced it.
    pub fn of(task: &str, shard: u16, batch: &Batch, relation: &Relation, fault: &Fault) -> Letter {
        let mut object = Map::new();
        for event in
            [Event::Relation(relation.clone()), Event::Change(Box::new(change_of(batch, fault.change as usize)))]
        {
            if let Json::Object(line) = event_json(&event) {
                object.extend(line);
            }
        }
        let headers = [
            task.to_owned(),
            fault.message.clone(),
            fault.kind.as_str().to_owned(),
            fault.stage.clone(),
            fault.kind_of_stage.to_string(),
            fault.module.clone(),
            fault.digest.to_string(),
            fault.table.clone(),
            shard.to_string(),
            fault.commit_lsn.to_string(),
            fault.ordinal.to_string(),
            fault.id.to_string(),
        ];
        let key = format!("{}.{}", relation.schema, relation.table);
        Letter { key, value: Json::Object(object).to_string().into_bytes(), headers }
    }

    /// Its headers.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        HEADERS.iter().zip(&self.headers).map(|(name, value)| Header { name, value: value.as_bytes() })
    }

    /// Reads a dead letter's value: the table and the change.
    ///
    /// # Errors
    /// Definite `dead_letter_unreadable`: it is not one, or was changed.
    pub fn read(value: &[u8]) -> Result<(Relation, Change), Failure> {
        let unreadable = |why: String| {
            let mend = "leave the record out; a dead letter is a JSON object with `relation` and `change`";
            Failure::definite("dead_letter_unreadable", "reading a dead letter", why, mend)
        };
        let object: Map<String, Json> = serde_json::from_slice(value)
            .map_err(|error| unreadable(format!("its value is no JSON object: {error}")))?;
        let mut lines = String::new();
        for name in PARTS {
            let part = object.get(name).ok_or_else(|| unreadable(format!("it has no {name}")))?;
            lines.push_str(&json!({ name: part }).to_string());
            lines.push('\n');
        }
        if object.len() > PARTS.len() {
            return Err(unreadable("it has more than a table and a change".to_owned()));
        }
        // The reader also checks that the change fits the table.
        let mut reader = Reader::new("value", lines.as_bytes());
        let mut next = || reader.next().transpose().map_err(|error| unreadable(error.to_string()));
        match (next()?, next()?) {
            (Some(Event::Relation(relation)), Some(Event::Change(change))) => Ok((relation, *change)),
            _ => Err(unreadable("it is not a table and a change".to_owned())),
        }
    }
}

impl Named {
    /// From a record's headers; those of others are left out.
    pub fn of<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Named {
        let mut named = Named::default();
        let fields = [
            &mut named.task,
            &mut named.error,
            &mut named.code,
            &mut named.stage,
            &mut named.stage_kind,
            &mut named.module,
            &mut named.module_sha256,
            &mut named.table,
            &mut named.shard,
            &mut named.commit_lsn,
            &mut named.ordinal,
            &mut named.id,
        ];
        let mut fields: Vec<_> = HEADERS.iter().zip(fields).collect();
        for (name, value) in headers {
            if let Some((_, field)) = fields.iter_mut().find(|(known, _)| **known == name) {
                **field = String::from_utf8_lossy(value).into_owned();
            }
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_batch::{ChangeStamp, Column, Lsn, Op, ReplicaIdentity, marks};
    use millrace_host::{Digest, FaultKind, OnError, StageKind, Value};

    fn table() -> Relation {
        let column = |name: &str, key_position| Column {
            name: name.into(),
            type_name: "text".into(),
            type_oid: 25,
            type_modifier: -1,
            jdbc_type: 12,
            key_position,
        };
        Relation {
            id: 4,
            source_oid: 0,
            database: "shop".into(),
            schema: "public".into(),
            table: "orders".into(),
            identity: ReplicaIdentity::Full,
            columns: vec![column("id", 1), column("note", 0), column("raw", 0)],
        }
    }

    fn letter() -> Letter {
        let mut batch = Batch::new(2);
        for id in [1, 5] {
            batch.begin_change(ChangeStamp {
                id,
                commit_lsn: Lsn(0x1_0000_0010),
                xid: 77,
                commit_time: 1_795_000_000_000_000,
                ordinal: 3,
                relation: 4,
                op: Op::Update,
            });
            assert!(batch.push_text(b"7"));
            batch.push_unsent();
            assert!(batch.push_text(b"\xff\xfe"));
            assert!(batch.push_text(b"7"));
            batch.push_null();
            batch.push_null();
            batch.finish_change(3, 3, marks::NEW | marks::OLD);
        }
        let fault = Fault {
            change: 1,
            kind_of_stage: StageKind::Format,
            stage: "format".into(),
            module: "format".into(),
            digest: Digest::of(b""),
            on_error: OnError::DeadLetter,
            kind: FaultKind::Trap,
            message: "it trapped".into(),
            table: "public.orders".into(),
            id: 5,
            commit_lsn: Lsn(0x1_0000_0010),
            ordinal: 3,
        };
        Letter::of("shop-task", 2, &batch, &table(), &fault)
    }

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let letter = letter();
        assert_eq!(letter.key, "public.orders");
        let (relation, change) = Letter::read(&letter.value).unwrap();
        assert_eq!(relation, table());
        assert_eq!((change.stamp.id, change.stamp.ordinal, change.stamp.op), (5, 3, Op::Update));
        assert_eq!(
            change.new,
            Some(vec![Value::Text(b"7".to_vec()), Value::Unsent, Value::Text(b"\xff\xfe".to_vec())])
        );
        assert_eq!(change.old, Some(vec![Value::Text(b"7".to_vec()), Value::Null, Value::Null]));
        let named = Named::of(letter.headers().map(|header| (header.name, header.value)).chain([("other", &b"x"[..])]));
        assert_eq!(
            (named.task.as_str(), named.code.as_str(), named.error.as_str()),
            ("shop-task", "transform_trap", "it trapped")
        );
        assert_eq!((named.shard.as_str(), named.commit_lsn.as_str(), named.ordinal.as_str()), ("2", "1/10", "3"));
        assert_eq!((named.id.as_str(), named.stage_kind.as_str()), ("5", "format"));
        assert_eq!(named.module_sha256.len(), 64);
    }

    #[test]
    fn what_is_no_letter_is_refused() {
        let good: Json = serde_json::from_slice(&letter().value).unwrap();
        let spoil: [fn(&mut Json); 5] = [
            |json| *json = Json::Null,
            |json| drop(json.as_object_mut().unwrap().remove("change")),
            |json| json["change"]["relation"] = 9.into(),
            |json| drop(json["change"]["new"].as_array_mut().unwrap().pop()),
            |json| json["now"] = 5.into(),
        ];
        for spoil in spoil {
            let mut bad = good.clone();
            spoil(&mut bad);
            let failure = Letter::read(bad.to_string().as_bytes()).unwrap_err();
            assert_eq!(failure.code, "dead_letter_unreadable", "{bad}");
        }
        assert!(Letter::read(b"\xff").is_err());
    }
}
