//! Answers of the stages as the lines of `*.expected.jsonl`.

use serde_json::{Map, Value, json};

use crate::{
    Batch, Fault, FilterPlan, FormatPlan, Interest, MapPlan, Partition, RoutePlan, Schema, SchemaLanguage,
    bindings::exports::millrace::transform::{filter::Verdicts, format::Records, route::Routes},
};

pub(super) fn filter_plan(plan: &FilterPlan) -> Value {
    match plan {
        FilterPlan::Keep => json!("keep"),
        FilterPlan::Drop => json!("drop"),
        FilterPlan::PerChange(_) => json!("per_change"),
    }
}

pub(super) fn filter_interest(plan: FilterPlan) -> Option<Interest> {
    if let FilterPlan::PerChange(interest) = plan { Some(interest) } else { None }
}

pub(super) fn verdicts(batch: &Batch, verdicts: &Verdicts, out: &mut Vec<Value>) {
    for (i, &id) in batch.ids.iter().enumerate() {
        let keep = verdicts.keep.get(i / 8).is_some_and(|bits| bits >> (i % 8) & 1 == 1);
        out.push(fault(id, i, &verdicts.faults).unwrap_or_else(|| json!({ "id": id, "keep": keep })));
    }
}

pub(super) fn route_plan(plan: &RoutePlan) -> Value {
    match plan {
        RoutePlan::Fixed(target) => match &target.partition {
            Partition::Number(number) => json!({ "topic": target.topic, "partition": number }),
            Partition::HashOf(bytes) => json!({ "topic": target.topic, "hash_of": text(bytes) }),
        },
        RoutePlan::ByColumns(hashed) => json!({ "topic": hashed.topic, "by_columns": hashed.columns }),
        RoutePlan::PerChange(_) => json!("per_change"),
    }
}

pub(super) fn map_plan(plan: &MapPlan) -> Value {
    let MapPlan::Rewritten(rewrite) = plan else { return json!("unchanged") };
    let after = &rewrite.after;
    let columns = after.columns.iter().map(|c| {
        let mut column = Map::new();
        column.insert("name".to_owned(), c.name.as_str().into());
        column.insert("type".to_owned(), c.type_name.as_str().into());
        column.insert("oid".to_owned(), c.type_oid.into());
        if c.type_modifier != -1 {
            column.insert("modifier".to_owned(), c.type_modifier.into());
        }
        column.insert("jdbc".to_owned(), c.jdbc_type.into());
        if c.key_position > 0 {
            column.insert("key".to_owned(), c.key_position.into());
        }
        Value::from(column)
    });
    let identity = ["default", "full", "index", "nothing"].get(usize::from(after.identity));
    json!({
        "after": {
            "database": after.database,
            "schema": after.schema,
            "table": after.table,
            "identity": identity,
            "columns": columns.collect::<Vec<_>>(),
        },
        "sources": rewrite.sources,
        "may_drop": rewrite.may_drop,
    })
}

/// The schemas; null where there are none.
pub(super) fn format_plan(plan: &FormatPlan) -> Value {
    let mut shown = Map::new();
    for (name, schema) in [("key_schema", &plan.key_schema), ("value_schema", &plan.value_schema)] {
        shown.extend(schema.as_ref().map(|schema| (name.to_owned(), self::schema(schema))));
    }
    if shown.is_empty() { Value::Null } else { shown.into() }
}

fn schema(schema: &Schema) -> Value {
    let language = match schema.language {
        SchemaLanguage::Avro => "avro",
        SchemaLanguage::Json => "json",
        SchemaLanguage::Protobuf => "protobuf",
    };
    json!({ "language": language, "name": schema.name, "text": schema.text })
}

pub(super) fn routes(batch: &Batch, routes: &Routes, out: &mut Vec<Value>) {
    let mut start = 0;
    for (i, &id) in batch.ids.iter().enumerate() {
        let end = routes.hash_ends[i] as usize;
        let topic = routes.topics.get(routes.topic_of[i] as usize);
        out.push(fault(id, i, &routes.faults).unwrap_or_else(|| match routes.partitions[i] {
            -1 => json!({ "id": id, "topic": topic, "hash_of": text(&routes.arena[start..end]) }),
            number => json!({ "id": id, "topic": topic, "partition": number }),
        }));
        start = end;
    }
}

pub(super) fn records(batch: &Batch, records: &Records, out: &mut Vec<Value>) {
    let mut record = 0;
    for (i, &id) in batch.ids.iter().enumerate() {
        out.extend(fault(id, i, &records.faults));
        while records.changes.get(record).is_some_and(|&change| change as usize == i) {
            out.push(one_record(id, record, records));
            record += 1;
        }
    }
    assert_eq!(record, records.changes.len(), "records are not in the order of the changes");
}

fn one_record(id: u64, record: usize, records: &Records) -> Value {
    let (key_end, mark) = (records.key_ends[record] as usize, records.marks[record]);
    let start = if record == 0 { 0 } else { records.value_ends[record - 1] as usize };
    let key = match mark {
        m if m & 1 != 0 => Value::Null,
        m if m & 4 != 0 => json!({ "hashed": true }),
        _ => text(&records.arena[start..key_end]),
    };
    let value = &records.arena[key_end..records.value_ends[record] as usize];
    let mut line = Map::new();
    line.insert("id".to_owned(), id.into());
    line.insert("key".to_owned(), key);
    line.insert("value".to_owned(), if mark & 2 != 0 { Value::Null } else { text(value) });
    if let Some(topic) = usize::try_from(records.topic_of[record]).ok().and_then(|t| records.topics.get(t)) {
        line.insert("topic".to_owned(), topic.as_str().into());
    }
    let headers = &records.headers;
    let given: Vec<Value> = (0..headers.record_of.len())
        .filter(|&h| headers.record_of[h] as usize == record)
        .map(|h| {
            let start = if h == 0 { 0 } else { headers.value_ends[h - 1] as usize };
            json!([
                headers.names[headers.name_of[h] as usize],
                text(&headers.arena[start..headers.value_ends[h] as usize])
            ])
        })
        .collect();
    if !given.is_empty() {
        line.insert("headers".to_owned(), given.into());
    }
    line.into()
}

pub(super) fn fault(id: u64, index: usize, faults: &[Fault]) -> Option<Value> {
    let fault = faults.iter().find(|f| f.index as usize == index)?;
    Some(json!({ "id": id, "fault": fault.message }))
}

/// A string where the bytes are text, else their hexadecimal digits.
pub(super) fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>() }),
    }
}
