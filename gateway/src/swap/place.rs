//! A stage's place in the chain, as a person names it.

use std::{fmt, str::FromStr};

use millrace_host::{ChainSpec, StageKind, StageSpec};

/// A place in the chain `filter* map* route format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The default filter, which takes tables by name: the first of all.
    Select,
    /// The operator's filter of this number, from 0.
    Filter(usize),
    /// The operator's map of this number, from 0.
    Map(usize),
    /// The router.
    Route,
    /// The formatter.
    Format,
}

impl Place {
    /// The stage a module must have to stand here.
    pub fn kind(self) -> StageKind {
        match self {
            Place::Select | Place::Filter(_) => StageKind::Filter,
            Place::Map(_) => StageKind::Map,
            Place::Route => StageKind::Route,
            Place::Format => StageKind::Format,
        }
    }

    /// All places of a chain, in its order.
    pub fn all(spec: &ChainSpec) -> Vec<Place> {
        let filters = (0..spec.filters.len()).map(|at| at.checked_sub(1).map_or(Place::Select, Place::Filter));
        let maps = (0..spec.maps.len()).map(Place::Map);
        filters.chain(maps).chain([Place::Route, Place::Format]).collect()
    }

    /// What stands there, where the chain has the place.
    pub fn get(self, spec: &ChainSpec) -> Option<&StageSpec> {
        match self {
            Place::Select => spec.filters.first(),
            Place::Filter(at) => spec.filters.get(at + 1),
            Place::Map(at) => spec.maps.get(at),
            Place::Route => Some(&spec.route),
            Place::Format => Some(&spec.format),
        }
    }

    /// The same, to be replaced.
    pub fn get_mut(self, spec: &mut ChainSpec) -> Option<&mut StageSpec> {
        match self {
            Place::Select => spec.filters.first_mut(),
            Place::Filter(at) => spec.filters.get_mut(at + 1),
            Place::Map(at) => spec.maps.get_mut(at),
            Place::Route => Some(&mut spec.route),
            Place::Format => Some(&mut spec.format),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Select => f.write_str("select"),
            Place::Filter(at) => write!(f, "filter[{at}]"),
            Place::Map(at) => write!(f, "map[{at}]"),
            Place::Route => f.write_str("route"),
            Place::Format => f.write_str("format"),
        }
    }
}

impl FromStr for Place {
    type Err = &'static str;

    /// Reads what `Display` writes; in a URL `filter.0` is the same as `filter[0]`.
    fn from_str(text: &str) -> Result<Place, &'static str> {
        let numbered = |kind: &str| {
            let rest = text.strip_prefix(kind)?;
            let number = rest.strip_prefix('.').or_else(|| rest.strip_prefix('[')?.strip_suffix(']'))?;
            number.parse().ok()
        };
        match text {
            "select" => Ok(Place::Select),
            "route" => Ok(Place::Route),
            "format" => Ok(Place::Format),
            _ => numbered("filter")
                .map(Place::Filter)
                .or_else(|| numbered("map").map(Place::Map))
                .ok_or("a stage is select, filter[N], map[N], route or format (in a URL also filter.N and map.N)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_what_it_prints() {
        for place in [Place::Select, Place::Filter(0), Place::Filter(15), Place::Map(3), Place::Route, Place::Format] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        assert_eq!("filter.2".parse(), Ok(Place::Filter(2)));
        for bad in ["", "filter", "filter[", "filter[]", "filter[x]", "map.-1", "formats", "select[0]"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
