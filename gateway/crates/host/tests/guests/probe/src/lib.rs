//! A module with all four stages that does as its configuration says, so that tests of the host can have any plan and any mischief.
//!
//! The configuration is clauses separated by `;`:
//!
//! ```text
//! refuse TEXT            init fails with TEXT
//! announce BEHAVIOUR     when told of a table: loop, panic, refuse
//! on ID BEHAVIOUR        when a batch holds the change with this id (`*`: always): loop, panic, bomb, huge, log, fault, short, over,
//!                        count (adds the number of changes to the counter `rows`)
//! plan ...               per stage, see there; SELECTION is - (nothing), k (key), * (all) or indexes like 0,2
//! ```

#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({ world: "transform", path: "../../../../../../wit/next" });
}

mod stages;

use bindings::exports::millrace::transform::describe;
use bindings::millrace::transform::counter;
use bindings::millrace::transform::log::log;
use bindings::millrace::transform::types::{Batch, Fault, Interest, Selection};
use std::cell::RefCell;

pub struct Probe;

thread_local! {
    static CLAUSES: RefCell<Vec<Vec<String>>> = const { RefCell::new(Vec::new()) };
}

const END: u32 = (1 << 30) - 1;

impl describe::Guest for Probe {
    fn about() -> describe::Module {
        describe::Module {
            name: "probe".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            config_schema: String::new(),
            stateful: false,
        }
    }
}

fn init(config: &str) -> Result<(), String> {
    std::panic::set_hook(Box::new(|info| log(0, &info.to_string())));
    let clauses: Vec<Vec<String>> =
        config.split(';').map(|clause| clause.split_whitespace().map(str::to_owned).collect()).collect();
    CLAUSES.set(clauses);
    match clause("refuse") {
        Some(words) => Err(words.join(" ")),
        None => Ok(()),
    }
}

/// The words after the first clause that begins with `name`.
fn clause(name: &str) -> Option<Vec<String>> {
    CLAUSES.with_borrow(|clauses| {
        clauses.iter().find(|clause| clause.first().is_some_and(|word| word == name)).map(|clause| clause[1..].to_vec())
    })
}

fn announced() -> Result<Vec<String>, String> {
    match clause("announce").as_deref().and_then(<[String]>::first).map(String::as_str) {
        Some("loop") => spin(),
        Some("panic") => panic!("told to panic"),
        Some(_) => return Err("told to refuse".into()),
        None => {}
    }
    Ok(clause("plan").unwrap_or_default())
}

fn selection(text: &str) -> Selection {
    match text {
        "-" => Selection::Nothing,
        "k" => Selection::Key,
        "*" => Selection::All,
        list => Selection::Listed(list.split(',').map(|index| index.parse().unwrap()).collect()),
    }
}

fn interest(new: &str, old: &str) -> Interest {
    Interest { new: selection(new), old: selection(old) }
}

fn spin() {
    let mut n = 0u64;
    loop {
        n = std::hint::black_box(n + 1);
    }
}

/// Does the mischief that needs no answer; the name of the one that does.
fn mischief(batch: &Batch, faults: &mut Vec<Fault>) -> Option<String> {
    let words = clause("on")?;
    let (id, behaviour) = (&words[0], words[1].as_str());
    let index = if id == "*" { 0 } else { batch.ids.iter().position(|found| found.to_string() == *id)? };
    match behaviour {
        "loop" => spin(),
        "panic" => panic!("told to panic"),
        "bomb" => {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            loop {
                kept.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        "log" => (0..1000).for_each(|n| log(2, &format!("line {n}"))),
        "count" => counter::add("rows", batch.ids.len() as u64),
        "fault" => faults.push(Fault { index: index as u32, message: "told to\nfault".into() }),
        other => return Some(other.to_owned()),
    }
    None
}

/// A cell as `N`, `U`, or `T` with length and bytes.
fn render(batch: &Batch, cell: usize, out: &mut Vec<u8>) {
    let end = batch.ends[cell];
    let start = if cell == 0 { 0 } else { batch.ends[cell - 1] & END };
    match end & !END {
        0 => {
            let text = &batch.data[start as usize..(end & END) as usize];
            out.extend_from_slice(format!("T{}:", text.len()).as_bytes());
            out.extend_from_slice(text);
        }
        flag if flag == 1 << 31 => out.push(b'N'),
        _ => out.push(b'U'),
    }
}

fn image(batch: &Batch, change: usize, old: bool) -> std::ops::Range<usize> {
    let (first, new) = (batch.first_cells[change] as usize, usize::from(batch.new_cells[change]));
    if old { first + new..first + new + usize::from(batch.old_cells[change]) } else { first..first + new }
}

bindings::export!(Probe with_types_in bindings);
