//! Files as people have them: written and read back, damaged, and refused.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

use millrace_objects::{FORBIDDEN, Form, Import, ImportError, Mapping, Row, failure_detail, list, read, template};
use proptest::prelude::*;

fn csv(rows: &str) -> Result<Import, ImportError> {
    read("a.csv", format!("object,table_mapping\n{rows}").as_bytes())
}

fn refused(rows: &str) -> Vec<(u32, String)> {
    match csv(rows) {
        Err(ImportError::Rows(faults)) => faults.into_iter().map(|fault| (fault.line, fault.rule)).collect(),
        other => panic!("{rows:?} gave {other:?}"),
    }
}

#[test]
fn a_template_reads_back_in_every_form() {
    for mapping in [Mapping::Table, Mapping::Topic] {
        for (form, name) in [(Form::Xlsx, "objects (1).xlsx"), (Form::Csv, "objects-2.csv")] {
            let import = read(name, &template(mapping, form).unwrap()).unwrap();
            assert_eq!((import.mapping, import.rows.len(), import.rows[0].line), (mapping, 1, 2));
            assert_eq!((&*import.rows[0].schema, &*import.rows[0].table), ("public", "orders"));
        }
    }
}

/// Written by the Python library xlwt, in the format of Excel 97 to 2003.
#[test]
fn an_old_workbook_is_read() {
    let import = read("old.xls", include_bytes!("old.xls")).unwrap();
    let rows: Vec<_> =
        import.rows.iter().map(|row| (row.line, &*row.schema, &*row.table, row.target.as_deref())).collect();
    assert_eq!(import.mapping, Mapping::Topic);
    assert_eq!(rows, [(2, "public", "orders", Some("orders")), (4, "Shop", "Zeilen", None)]);
}

/// Its strings go on over several records and change between one and two bytes a character.
#[test]
fn a_long_old_workbook_is_read_whole() {
    let import = read("long.xls", include_bytes!("long.xls")).unwrap();
    assert_eq!((import.mapping, import.rows.len()), (Mapping::Table, 599));
    for (n, row) in (1..).zip(&import.rows) {
        let name = if n % 3 == 0 { "表的名称" } else { "tabelle_für_größen" };
        assert_eq!((&row.schema, &row.table), (&format!("schema_{}", n % 7), &format!("{name}_{n}")));
        assert_eq!(row.target, (n % 5 == 0).then(|| format!("renamed.t{n}")));
    }
}

#[test]
fn cells_follow_the_rules_and_every_bad_row_is_told() {
    let good = csv("public.a,\n,\npublic.A,public.A\ns.b,x.y\n").unwrap();
    let row = |line, schema: &str, table: &str, target: Option<&str>| Row {
        line,
        schema: schema.to_owned(),
        table: table.to_owned(),
        target: target.map(str::to_owned),
    };
    assert_eq!(good.rows, [row(2, "public", "a", None), row(4, "public", "A", None), row(5, "s", "b", Some("x.y"))]);

    assert_eq!(
        refused("public.a,\nnothing,\npublic.a,\n,public.x\n").iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [3, 4, 5]
    );
    for bad in FORBIDDEN.into_iter().filter(|c| *c != ',') {
        assert_eq!(refused(&format!("s{bad}.t,\n")).len(), 1, "{bad} in a schema");
        assert_eq!(refused(&format!("s.t{bad},\n")).len(), 1, "{bad} in a table");
        assert_eq!(refused(&format!("s.t,x.{bad}\n")).len(), 1, "{bad} in a target");
    }
    assert_eq!(refused("\"s,x.t\",\n").len(), 1);
    for bad in [" s.t", "s.t ", "s.a b", "\"s.\"\"t\"\"\"", "s.", ".t"] {
        assert_eq!(refused(&format!("{bad},\n")).len(), 1, "{bad}");
    }
    let topic = |target: &str| read("a.csv", format!("object,topic_mapping\ns.t,{target}\n").as_bytes());
    assert_eq!(topic("a.b-c_D1").unwrap().rows[0].target.as_deref(), Some("a.b-c_D1"));
    for bad in ["a/b", "ä", "..", &"x".repeat(250)] {
        assert!(matches!(topic(bad), Err(ImportError::Rows(_))), "{bad}");
    }
}

#[test]
fn names_heads_and_sizes_are_checked() {
    let body = b"object,table_mapping\ns.t,\n";
    for good in ["a.csv", "My tables-1 (2)_x.CSV", "表.csv"] {
        assert!(read(good, body).is_ok(), "{good}");
    }
    for bad in ["a", ".csv", "a.ods", "a/b.csv", "a;b.csv", "a.b.csv", "a'.csv"] {
        assert!(matches!(read(bad, body), Err(ImportError::Name(_))), "{bad}");
    }
    assert!(matches!(read("a.csv", b"s.t,\n"), Err(ImportError::Head { .. })));
    assert_eq!(read("a.csv", b""), Err(ImportError::Empty));
    assert_eq!(read("a.csv", b"object,table_mapping\n,\n"), Err(ImportError::Empty));
    assert!(matches!(read("a.csv", &vec![b'x'; (8 << 20) + 1]), Err(ImportError::TooLarge(_))));
    assert!(matches!(read("a.xlsx", body), Err(ImportError::Unreadable(_))));
    assert!(matches!(read("a.xls", body), Err(ImportError::Unreadable(_))));
    assert_eq!(read("a.xlsx", body).unwrap_err().failure("a.xlsx").code, "objects_import");
}

#[test]
fn what_unpacks_to_too_much_is_refused_before_it_is_read() {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    archive.start_file("xl/worksheets/sheet1.xml", options).unwrap();
    for _ in 0..129 {
        std::io::Write::write_all(&mut archive, &vec![b' '; 1 << 20]).unwrap();
    }
    let bytes = archive.finish().unwrap().into_inner();
    assert!(bytes.len() < 1 << 20);
    assert!(matches!(read("bomb.xlsx", &bytes), Err(ImportError::TooLarge(_))));
}

#[test]
fn the_failure_detail_names_line_cell_and_rule() {
    let Err(ImportError::Rows(faults)) = csv("nothing,x\n") else { panic!("must be refused") };
    let text = String::from_utf8(failure_detail(&faults, Form::Csv).unwrap()).unwrap();
    assert_eq!(text, "line,object,target,rule\n2,nothing,x,must be schema.table\n");
    assert!(failure_detail(&faults, Form::Xlsx).unwrap().starts_with(b"PK"));
}

proptest! {
    #[test]
    fn any_bytes_give_rows_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0..200_000usize, flip in any::<u8>()) {
        for name in ["a.xls", "a.xlsx", "a.csv"] {
            let _ = read(name, &bytes);
        }
        for whole in [&include_bytes!("old.xls")[..], include_bytes!("long.xls")] {
            let mut old = whole.to_vec();
            // The header and the first records decide most.
            let at = if flip & 1 == 0 { cut % old.len() } else { cut % 700 };
            old[at] ^= flip;
            let _ = read("a.xls", &old);
            old.truncate(at);
            let _ = read("a.xls", &old);
        }
    }

    #[test]
    fn a_list_written_reads_back_the_same(names in proptest::collection::btree_map("[a-zA-Z_äö表$-]{1,9}", proptest::option::of("[a-z]{1,5}"), 1..20)) {
        let row = |(line, (table, target)): (u32, (&String, &Option<String>))| Row {
            line,
            schema: "s".to_owned(),
            table: table.clone(),
            target: target.clone(),
        };
        let import = Import { mapping: Mapping::Topic, rows: (2..).zip(&names).map(row).collect() };
        for (form, name) in [(Form::Xlsx, "a.xlsx"), (Form::Csv, "a.csv")] {
            prop_assert_eq!(&read(name, &list(&import, form).unwrap()).unwrap(), &import);
        }
    }
}
