//! A module with all four stages that does as its configuration says, so that tests of the host can have any plan and any mischief.
//!
//! The configuration is clauses separated by `;`, in a task as `config = { do = "..." }`; there may be several of `on`:
//!
//! ```text
//! refuse TEXT            init fails with TEXT
//! init BEHAVIOUR         init does it: loop, panic, bomb, recurse, descend, log, flood
//! announce BEHAVIOUR     when told of a table: as for init, or refuse
//! on WHICH BEHAVIOUR     when a batch holds a change with this id (`*`: any, `%N`: a multiple of N): as for init, or fault (each such
//!                        change), count (adds the number of changes to the counter `rows`), and answers that are wrong: short, over,
//!                        back, huge, utf8, topic, partition, million
//! plan ...               per stage, see there; SELECTION is - (nothing), k (key), * (all) or indexes like 0,2
//! ```

#[allow(missing_docs, reason = "generated; the contract has the documentation")]
mod bindings {
    wit_bindgen::generate!({ world: "transform", path: "../../../../../../wit/v1.0" });
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
    // A task gives its configuration as an object: the text is its only value.
    let config = config.strip_prefix("{\"do\":\"").and_then(|rest| rest.strip_suffix("\"}")).unwrap_or(config);
    let clauses: Vec<Vec<String>> =
        config.split(';').map(|clause| clause.split_whitespace().map(str::to_owned).collect()).collect();
    CLAUSES.set(clauses);
    if let Some(words) = clause("init") {
        wreck(&words[0]);
    }
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
    if let Some(words) = clause("announce")
        && !wreck(&words[0])
    {
        return Err("told to refuse".into());
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
    let all = CLAUSES.with_borrow(|clauses| clauses.clone());
    let mut answer = None;
    for words in all.iter().filter(|words| words.first().is_some_and(|word| word == "on")) {
        let (which, behaviour) = (words[1].as_str(), words[2].as_str());
        let hit = |id: u64| match which.strip_prefix('%') {
            Some(modulus) => id % modulus.parse::<u64>().unwrap() == 0,
            None => which == "*" || id.to_string() == which,
        };
        let hits: Vec<usize> = (0..batch.ids.len()).filter(|index| hit(batch.ids[*index])).collect();
        if hits.is_empty() {
            continue;
        }
        if behaviour == "fault" {
            faults.extend(hits.iter().map(|index| Fault { index: *index as u32, message: "told to\nfault".into() }));
        } else if behaviour == "count" {
            counter::add("rows", batch.ids.len() as u64);
        } else if !wreck(behaviour) {
            answer = Some(behaviour.to_owned());
        }
    }
    answer
}

/// Mischief that is the same everywhere; false where there is none of this name.
fn wreck(behaviour: &str) -> bool {
    match behaviour {
        "loop" => spin(),
        "panic" => panic!("told to panic"),
        "bomb" => {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            loop {
                kept.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        "recurse" => {
            std::hint::black_box(recurse(1));
        }
        "descend" => {
            std::hint::black_box(descend(1));
        }
        "log" => (0..1000).for_each(|n| log(2, &format!("line {n}"))),
        "flood" => (0..3000).for_each(|_| log(2, &"x".repeat(1 << 16))),
        _ => return false,
    }
    true
}

/// Recursion that uses up the host's stack for guests.
fn descend(n: u64) -> u64 {
    if n == u64::MAX { 0 } else { descend(std::hint::black_box(n) + 1).wrapping_mul(3).wrapping_add(n) }
}

/// Recursion that uses up the stack in the module's own memory.
#[allow(unconditional_recursion, reason = "it must not end by itself")]
fn recurse(n: u64) -> u64 {
    let here = std::hint::black_box([n; 16]);
    here[0] + recurse(std::hint::black_box(n + 1)) + here[15]
}

/// Text that is none.
fn not_utf8() -> String {
    // SAFETY: none; this is what the host must survive.
    unsafe { String::from_utf8_unchecked(vec![b't', 0xff, 0xfe]) }
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
