//! Writes pgoutput messages, for tests and benchmarks.
#![allow(dead_code, reason = "each test binary uses its part")]

/// One column of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Unchanged,
    Text(Vec<u8>),
}

pub fn text(value: &str) -> Value {
    Value::Text(value.as_bytes().to_vec())
}

/// One column of a table: name, type OID, part of the identity.
pub type Column<'a> = (&'a str, u32, bool);

pub fn begin(final_lsn: u64, time: i64, xid: u32) -> Vec<u8> {
    [&b"B"[..], &final_lsn.to_be_bytes(), &time.to_be_bytes(), &xid.to_be_bytes()].concat()
}

pub fn commit(commit_lsn: u64, end_lsn: u64, time: i64) -> Vec<u8> {
    [&b"C\0"[..], &commit_lsn.to_be_bytes(), &end_lsn.to_be_bytes(), &time.to_be_bytes()].concat()
}

pub fn origin(lsn: u64, name: &str) -> Vec<u8> {
    [&b"O"[..], &lsn.to_be_bytes(), name.as_bytes(), b"\0"].concat()
}

pub fn logical(transactional: bool, lsn: u64, content: &[u8]) -> Vec<u8> {
    let head = [b'M', u8::from(transactional)];
    [&head[..], &lsn.to_be_bytes(), b"prefix\0", &(content.len() as u32).to_be_bytes(), content].concat()
}

pub fn relation(oid: u32, schema: &str, table: &str, identity: u8, columns: &[Column<'_>]) -> Vec<u8> {
    let mut out = [&b"R"[..], &oid.to_be_bytes(), schema.as_bytes(), b"\0", table.as_bytes(), b"\0"].concat();
    out.push(identity);
    out.extend((columns.len() as u16).to_be_bytes());
    for (name, type_oid, identity) in columns {
        out.push(u8::from(*identity));
        out.extend(name.as_bytes());
        out.push(0);
        out.extend(type_oid.to_be_bytes());
        out.extend((-1i32).to_be_bytes());
    }
    out
}

pub fn truncate(oids: &[u32]) -> Vec<u8> {
    let mut out = [&b"T"[..], &(oids.len() as u32).to_be_bytes(), b"\0"].concat();
    out.extend(oids.iter().flat_map(|oid| oid.to_be_bytes()));
    out
}

pub fn tuple(out: &mut Vec<u8>, kind: u8, values: &[Value]) {
    out.push(kind);
    out.extend((values.len() as u16).to_be_bytes());
    for value in values {
        match value {
            Value::Null => out.push(b'n'),
            Value::Unchanged => out.push(b'u'),
            Value::Text(text) => {
                out.push(b't');
                out.extend((text.len() as u32).to_be_bytes());
                out.extend(text);
            }
        }
    }
}

/// `I`, `U` or `D` with the images of these kinds, in this order.
pub fn row(tag: u8, oid: u32, images: &[(u8, &[Value])]) -> Vec<u8> {
    let mut out = [&[tag][..], &oid.to_be_bytes()].concat();
    for (kind, values) in images {
        tuple(&mut out, *kind, values);
    }
    out
}
