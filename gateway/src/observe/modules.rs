//! What the modules use up, their limits and their own counters, in Prometheus form.
//!
//! Owns the names and helps. The numbers are the host's, which outlive instances and swaps: they are read when somebody asks.

use std::{
    fmt::{Debug, Error},
    sync::{Arc, Mutex, PoisonError},
};

use millrace_host::{FaultKind, HostEngine, LimitKind, ModuleUsage};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// The engine that is asked; none before the modules are loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Modules(Arc<Mutex<Option<HostEngine>>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModuleLabels {
    stage: &'static str,
    module: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    stage: &'static str,
    module: String,
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    stage: &'static str,
    module: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CountLabels {
    module: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

/// One number per stage and module: its name, help, unit, whether it only rises, and where it is.
type Number = (&'static str, &'static str, Option<Unit>, bool, fn(&ModuleUsage) -> f64);

const NUMBERS: [Number; 13] = [
    ("module_calls", "Calls of announce and process", None, true, |u| u.calls as f64),
    ("module_call", "Time in those calls", Some(Unit::Seconds), true, |u| u.call_time.as_secs_f64()),
    ("module_call_max", "The longest call", Some(Unit::Seconds), false, |u| u.call_time_max.as_secs_f64()),
    ("module_instances", "Instances there are", None, false, |u| u.instances as f64),
    ("module_instances_started", "Instances made, those after a failure included", None, true, |u| {
        u.instances_started as f64
    }),
    ("module_memory", "Linear memory of all instances", Some(Unit::Bytes), false, |u| u.memory_bytes as f64),
    ("module_memory_max", "The most linear memory of one instance", Some(Unit::Bytes), false, |u| {
        u.memory_bytes_max as f64
    }),
    ("module_table_elements_max", "The most elements of one table", None, false, |u| u.table_elements_max as f64),
    ("module_output", "Bytes of answers taken", Some(Unit::Bytes), true, |u| u.output_bytes as f64),
    ("module_output_max", "The largest answer", Some(Unit::Bytes), false, |u| u.output_bytes_max as f64),
    ("module_host_call", "Bytes of text handed to log and counter", Some(Unit::Bytes), true, |u| {
        u.host_call_bytes as f64
    }),
    ("module_log_lines", "Lines that passed to the log", None, true, |u| u.log_lines as f64),
    ("module_fuel", "Fuel burnt, where there is a budget", None, true, |u| u.fuel as f64),
];

impl Modules {
    /// The engine to ask from now on.
    pub(super) fn set(&self, engine: HostEngine) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine);
    }
}

impl Collector for Modules {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let engine = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(engine) = engine else { return Ok(()) };
        let usages = engine.module_usage();
        for (name, help, unit, rises, number) in &NUMBERS {
            let kind = if *rises { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
            for usage in &usages {
                let labels = ModuleLabels { stage: usage.stage.as_str(), module: usage.module.to_string() };
                let series = metric.encode_family(&labels)?;
                match rises {
                    true => ConstCounter::new(number(usage)).encode(series)?,
                    false => ConstGauge::new(number(usage)).encode(series)?,
                }
            }
        }
        let help = "Instances lost, and calls whose changes were given back as faults, by what happened";
        let mut metric = encoder.encode_descriptor("module_failures", help, None, MetricType::Counter)?;
        for usage in &usages {
            for (kind, count) in FaultKind::ALL.iter().zip(usage.failures) {
                let (stage, module) = (usage.stage.as_str(), usage.module.to_string());
                let labels = FailureLabels { stage, module, kind: kind.as_str() };
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "How often a module met one of its limits; log: lines held back";
        let mut metric = encoder.encode_descriptor("module_limit_hits", help, None, MetricType::Counter)?;
        for usage in &usages {
            for (limit, count) in LimitKind::ALL.iter().zip(usage.limit_hits) {
                let (stage, module) = (usage.stage.as_str(), usage.module.to_string());
                let labels = LimitLabels { stage, module, limit: limit.as_str() };
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "The limits of every module: seconds, bytes, elements, records, units of fuel or lines a second";
        let mut metric = encoder.encode_descriptor("module_limit", help, None, MetricType::Gauge)?;
        for limit in LimitKind::ALL {
            if let Some(value) = engine.limits().value(limit) {
                ConstGauge::new(value).encode(metric.encode_family(&LimitLabel { limit: limit.as_str() })?)?;
            }
        }
        let counts = engine.module_counters();
        let help = "What modules count by the counter grant";
        let mut metric = encoder.encode_descriptor("module_counter", help, None, MetricType::Counter)?;
        for count in counts {
            let labels = CountLabels { module: count.module.to_string(), name: count.name };
            ConstCounter::new(count.value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
