//! The text of the first two columns of a workbook of Excel 97 to 2003.
//!
//! Read by hand, because the libraries for this format allocate whatever a damaged header says, and an allocation that fails
//! ends the process. Layouts: [MS-CFB] for the container, [MS-XLS] for the records. Every step is bounded by the size of the file.

use std::collections::BTreeMap;

use crate::{ImportError, sheet::Line};

const SIGNATURE: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
/// Numbers from here on are marks (end of a chain, free, FAT), no sectors.
const FIRST_MARK: u32 = 0xffff_fffa;
/// Streams below this size lie in the mini stream.
const MINI_CUTOFF: u32 = 4096;
/// The part of a mini stream's chain.
const MINI_SECTOR: usize = 64;

const EOF: u16 = 0x000a;
const BOUND_SHEET: u16 = 0x0085;
const CONTINUE: u16 = 0x003c;
const SHARED_STRINGS: u16 = 0x00fc;
const SHARED_CELL: u16 = 0x00fd;
const LABEL_CELL: u16 = 0x0204;
const NUMBER_CELL: u16 = 0x0203;
const COMPACT_NUMBER_CELL: u16 = 0x027e;
const BOF: u16 = 0x0809;

/// Reads the first sheet.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Line>, ImportError> {
    let damaged = || ImportError::Unreadable("it is no workbook of Excel 97 to 2003, or it is damaged".to_owned());
    let book = workbook(bytes).ok_or_else(damaged)?;
    lines(&book).ok_or_else(damaged)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The stream of records out of the container.
fn workbook(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.get(..8)? != SIGNATURE {
        return None;
    }
    let shift = u16_at(bytes, 30)?;
    let size = match shift {
        9 | 12 => 1usize << shift,
        _ => return None,
    };
    let sector = |number: u32| {
        bytes
            .get((number as usize + 1) * size..(number as usize + 2) * size)
            .or_else(|| bytes.get((number as usize + 1) * size..))
    };
    let most = bytes.len() / size + 1;

    // Where the FAT lies: 109 places in the header, then chained sectors of places.
    let mut places: Vec<u32> = (0..109).filter_map(|index| u32_at(bytes, 76 + 4 * index)).collect();
    let mut next = u32_at(bytes, 68)?;
    for _ in 0..most {
        if next >= FIRST_MARK {
            break;
        }
        let part = sector(next)?;
        let entries = size / 4 - 1;
        places.extend((0..entries).filter_map(|index| u32_at(part, 4 * index)));
        next = u32_at(part, size - 4)?;
    }
    let mut fat = Vec::new();
    for place in places.into_iter().filter(|place| *place < FIRST_MARK).take(most) {
        fat.extend(
            sector(place)?.chunks_exact(4).map(|entry| u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]])),
        );
    }
    let chain = |first: u32, limit: usize| -> Option<Vec<u8>> {
        let (mut data, mut number) = (Vec::new(), first);
        // A chain that is longer than the file goes round in a circle.
        for _ in 0..=most {
            if number >= FIRST_MARK || data.len() >= limit {
                data.truncate(limit);
                return Some(data);
            }
            data.extend_from_slice(sector(number)?);
            number = *fat.get(number as usize)?;
        }
        None
    };

    let folder = chain(u32_at(bytes, 48)?, usize::MAX)?;
    let mut root = None;
    for entry in folder.chunks_exact(128) {
        let (first, length) = (u32_at(entry, 116)?, u32_at(entry, 120)?);
        root.get_or_insert((first, length));
        let name_bytes = usize::from(u16_at(entry, 64)?).saturating_sub(2);
        let name: Vec<u16> =
            entry.get(..name_bytes)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        if String::from_utf16_lossy(&name) != "Workbook" {
            continue;
        }
        if length >= MINI_CUTOFF {
            return chain(first, length as usize);
        }
        let (mini_first, mini_length) = root?;
        let mini = chain(mini_first, mini_length as usize)?;
        let mini_fat = chain(u32_at(bytes, 60)?, usize::MAX)?;
        let (mut data, mut number) = (Vec::new(), first);
        while number < FIRST_MARK && data.len() < length as usize {
            let at = number as usize * MINI_SECTOR;
            data.extend_from_slice(mini.get(at..at + MINI_SECTOR)?);
            number = u32_at(&mini_fat, 4 * number as usize)?;
        }
        data.truncate(length as usize);
        return Some(data);
    }
    None
}

/// Kind and content of the records from a place on.
fn records(book: &[u8], mut at: usize) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let kind = u16_at(book, at)?;
        let length = usize::from(u16_at(book, at + 2)?);
        let content = book.get(at + 4..at + 4 + length)?;
        at += 4 + length;
        Some((kind, content))
    })
}

fn lines(book: &[u8]) -> Option<Vec<Line>> {
    let mut first_sheet = None;
    let mut parts: Vec<&[u8]> = Vec::new();
    let mut in_strings = false;
    for (kind, content) in records(book, 0) {
        match kind {
            BOUND_SHEET => first_sheet = first_sheet.or(u32_at(content, 0)),
            SHARED_STRINGS => {
                parts = vec![content];
                in_strings = true;
                continue;
            }
            CONTINUE if in_strings => {
                parts.push(content);
                continue;
            }
            EOF => break,
            _ => {}
        }
        in_strings = false;
    }
    let shared = if parts.is_empty() { Vec::new() } else { shared_strings(&parts)? };
    let mut cells: BTreeMap<u16, (String, String)> = BTreeMap::new();
    let mut depth = 0;
    for (kind, content) in records(book, first_sheet? as usize) {
        let text = match kind {
            // Charts inside a sheet are streams of their own between such marks.
            BOF => {
                depth += 1;
                continue;
            }
            EOF => {
                depth -= 1;
                if depth <= 0 {
                    break;
                }
                continue;
            }
            SHARED_CELL => shared.get(u32_at(content, 6)? as usize)?.clone(),
            LABEL_CELL => text(content.get(6..)?)?,
            NUMBER_CELL => {
                f64::from_bits(u64::from(u32_at(content, 6)?) | u64::from(u32_at(content, 10)?) << 32).to_string()
            }
            COMPACT_NUMBER_CELL => compact(u32_at(content, 6)?).to_string(),
            _ => continue,
        };
        let (row, column) = (u16_at(content, 0)?, u16_at(content, 2)?);
        let cell = cells.entry(row).or_default();
        match column {
            0 => cell.0 = text,
            1 => cell.1 = text,
            _ => {}
        }
    }
    Some(cells.into_iter().map(|(row, (first, second))| (u32::from(row) + 1, first, second)).collect())
}

/// A number in 30 bits: an integer or the upper bits of a double, either perhaps times 100.
fn compact(bits: u32) -> f64 {
    let value = if bits & 2 != 0 { f64::from((bits as i32) >> 2) } else { f64::from_bits(u64::from(bits & !3) << 32) };
    if bits & 1 != 0 { value / 100.0 } else { value }
}

/// A string with its length in characters and a flag before it: bit 0 says two bytes a character.
fn text(content: &[u8]) -> Option<String> {
    let count = usize::from(u16_at(content, 0)?);
    let wide = content.get(2)? & 1 != 0;
    let bytes = content.get(3..3 + if wide { 2 * count } else { count })?;
    Some(characters(bytes, wide))
}

fn characters(bytes: &[u8], wide: bool) -> String {
    if wide {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    } else {
        bytes.iter().map(|byte| char::from(*byte)).collect()
    }
}

/// The table of strings. It goes on through CONTINUE records; a string that is cut there has its flag once more.
fn shared_strings(parts: &[&[u8]]) -> Option<Vec<String>> {
    let count = u32_at(parts.first()?, 4)?;
    let mut reader = Parts { parts, part: 0, at: 8 };
    let mut strings = Vec::new();
    for _ in 0..count {
        let mut left = usize::from(reader.u16()?);
        let flags = reader.byte()?;
        let runs = if flags & 8 != 0 { usize::from(reader.u16()?) } else { 0 };
        let phonetic = if flags & 4 != 0 { usize::from(reader.u16()?) | usize::from(reader.u16()?) << 16 } else { 0 };
        let (mut wide, mut string) = (flags & 1 != 0, String::new());
        while left > 0 {
            let rest = reader.rest();
            let take = left.min(rest.len() / if wide { 2 } else { 1 });
            let bytes = rest.get(..if wide { 2 * take } else { take })?;
            string.push_str(&characters(bytes, wide));
            reader.at += bytes.len();
            left -= take;
            if left > 0 {
                reader.next_part()?;
                wide = reader.byte()? & 1 != 0;
            }
        }
        reader.skip(4 * runs)?;
        reader.skip(phonetic)?;
        strings.push(string);
    }
    Some(strings)
}

struct Parts<'a> {
    parts: &'a [&'a [u8]],
    part: usize,
    at: usize,
}

impl<'a> Parts<'a> {
    fn rest(&self) -> &'a [u8] {
        self.parts.get(self.part).and_then(|part| part.get(self.at..)).unwrap_or_default()
    }

    fn next_part(&mut self) -> Option<()> {
        self.part += 1;
        self.at = 0;
        (self.part < self.parts.len()).then_some(())
    }

    fn byte(&mut self) -> Option<u8> {
        while self.rest().is_empty() {
            self.next_part()?;
        }
        let byte = *self.rest().first()?;
        self.at += 1;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.byte()?, self.byte()?]))
    }

    fn skip(&mut self, mut count: usize) -> Option<()> {
        while count > 0 {
            let here = count.min(self.rest().len());
            self.at += here;
            count -= here;
            if count > 0 {
                self.next_part()?;
            }
        }
        Some(())
    }
}
