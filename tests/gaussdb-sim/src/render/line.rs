//! Lines: BEGIN and COMMIT, rows as JSON (serial and j) and as text (t).

use super::DecodeOptions;
use crate::catalogue::{Column, Literal, Table};
use crate::log::{Cell, Change, Op, Transaction};
use crate::text::{Lsn, quote_identifier, timestamp};
use std::io::Write;

/// Writing to memory does not fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { let _ = write!($out, $($text)*); };
}

pub(super) fn begin_serial(transaction: &Transaction, options: &DecodeOptions, out: &mut Vec<u8>) {
    out.extend_from_slice(b"BEGIN");
    if options.xids {
        put!(out, " {}", transaction.xid);
    }
    if options.origin {
        put!(out, " ORIGIN_ID {}", transaction.origin);
    }
}

pub(super) fn commit_serial(transaction: &Transaction, options: &DecodeOptions, out: &mut Vec<u8>) {
    out.extend_from_slice(b"COMMIT");
    if options.xids {
        put!(out, " {}", transaction.xid);
    }
    at(transaction, options, out);
    put!(out, " CSN {}", transaction.csn);
}

pub(super) fn begin_parallel(transaction: &Transaction, starts: Lsn, options: &DecodeOptions, out: &mut Vec<u8>) {
    put!(out, "BEGIN CSN: {} first_lsn: {}", transaction.csn, starts);
    if options.xids {
        put!(out, " xid: {}", transaction.xid);
    }
    if options.timestamp {
        out.extend_from_slice(b" commit_time: ");
        timestamp(transaction.time, out);
    }
    if options.origin {
        put!(out, " origin_id: {}", transaction.origin);
    }
}

pub(super) fn commit_parallel(transaction: &Transaction, options: &DecodeOptions, out: &mut Vec<u8>) {
    out.extend_from_slice(b"commit");
    if options.xids {
        put!(out, " xid: {}", transaction.xid);
    }
    at(transaction, options, out);
}

fn at(transaction: &Transaction, options: &DecodeOptions, out: &mut Vec<u8>) {
    if options.timestamp {
        out.extend_from_slice(b" (at ");
        timestamp(transaction.time, out);
        out.push(b')');
    }
}

/// As `format_type` of the decoder names it: large character objects are called text there.
fn type_name(column: &Column) -> &str {
    if column.type_name == "clob" { "text" } else { &column.type_name }
}

/// A value as SQL writes it.
fn literal(column: &Column, cell: &Cell, out: &mut Vec<u8>) {
    let Some(text) = cell else {
        out.extend_from_slice(b"null");
        return;
    };
    match column.literal {
        Literal::Bare => out.extend_from_slice(text.as_bytes()),
        Literal::Boolean => out.extend_from_slice(if &**text == "t" { b"true" } else { b"false" }),
        Literal::Bits => put_all(out, &[b"B'", text.as_bytes(), b"'"]),
        Literal::Quoted => {
            out.push(b'\'');
            for byte in text.bytes() {
                if byte == b'\'' {
                    out.push(b'\'');
                }
                out.push(byte);
            }
            out.push(b'\'');
        }
    }
}

fn put_all(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// A row as text: `table public t INSERT: id[integer]:1`. Schema and table are bare, columns quoted where SQL needs it.
pub(super) fn text(change: &Change, out: &mut Vec<u8>) {
    let table = &change.table;
    put!(out, "table {} {} {}:", table.schema, table.name, change.op.name());
    if change.new.is_empty() && change.old.is_empty() {
        out.extend_from_slice(b" (no-tuple-data)");
        return;
    }
    let identity = table.identity_columns();
    let old = || identity.iter().map(|&column| &table.columns[column]).zip(&change.old);
    let new = || table.columns.iter().zip(&change.new);
    let put = |columns: &mut dyn Iterator<Item = (&Column, &Cell)>, out: &mut Vec<u8>| {
        for (column, cell) in columns {
            out.push(b' ');
            quote_identifier(&column.name, out);
            put!(out, "[{}]:", type_name(column));
            literal(column, cell, out);
        }
    };
    if change.op == Op::Update && !change.old.is_empty() {
        out.extend_from_slice(b" old-key:");
        put(&mut old(), out);
        out.extend_from_slice(b" new-tuple:");
        put(&mut new(), out);
    } else {
        put(&mut new(), out);
        put(&mut old(), out);
    }
}

/// The line of a TRUNCATE.
pub(super) fn truncate(tables: &[&Table], out: &mut Vec<u8>) {
    out.extend_from_slice(b"table ");
    for (at, table) in tables.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        quote_identifier(&table.schema, out);
        out.push(b'.');
        quote_identifier(&table.name, out);
    }
    out.extend_from_slice(b": TRUNCATE: (no-flags)");
}

/// A row as JSON.
pub(super) fn json(change: &Change, out: &mut Vec<u8>) {
    let table = &change.table;
    let mut scratch = Vec::new();
    quote_identifier(&table.schema, &mut scratch);
    scratch.push(b'.');
    quote_identifier(&table.name, &mut scratch);
    out.extend_from_slice(b"{\"table_name\":");
    string(&scratch, out);
    put!(out, ",\"op_type\":\"{}\"", change.op.name());
    let columns = if change.new.is_empty() { 0 } else { table.columns.len() };
    image("columns", &(0..columns).collect::<Vec<_>>(), change, &change.new, out);
    let columns = if change.old.is_empty() { Vec::new() } else { table.identity_columns() };
    image("old_keys", &columns, change, &change.old, out);
    out.push(b'}');
}

/// Three arrays: names, types, values.
fn image(label: &str, columns: &[usize], change: &Change, cells: &[Cell], out: &mut Vec<u8>) {
    let mut scratch = Vec::new();
    for part in ["name", "type", "val"] {
        put!(out, ",\"{label}_{part}\":[");
        for (at, (&column, cell)) in columns.iter().zip(cells).enumerate() {
            let column = &change.table.columns[column];
            if at > 0 {
                out.push(b',');
            }
            scratch.clear();
            match part {
                "name" => quote_identifier(&column.name, &mut scratch),
                "type" => scratch.extend_from_slice(type_name(column).as_bytes()),
                _ => literal(column, cell, &mut scratch),
            }
            string(&scratch, out);
        }
        out.push(b']');
    }
}

/// A JSON string as cJSON prints it: control characters escaped, DEL and `/` not.
fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => {
                put!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
