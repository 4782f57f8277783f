//! Every metric: its name, what it means, and where its samples come from. The manual page `monitoring` shows the
//! same list, held by a test.

use super::text::{Samples, Seconds, View};

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

/// One metric.
pub(super) struct Family {
    /// Without `_total` and its like.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// With which the name ends, or nothing.
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
    pub(super) samples: fn(&View<'_>, &mut Samples),
}

macro_rules! families {
    ($($name:literal $kind:ident $unit:literal $help:literal $samples:expr;)*) => {
        /// All of them, in the order of an answer.
        pub(super) const FAMILIES: &[Family] = &[$(Family {
            name: concat!("peergate_", $name),
            kind: Kind::$kind,
            unit: $unit,
            help: $help,
            samples: $samples,
        },)*];
    };
}

families! {
    // --- what is asked ---------------------------------------------------------------------------------
    "decisions" Counter "" "Requests that were judged, by route, decision and refusal."
        decisions;
    "shadow_decisions" Counter "" "Requests on which a rule in shadow mode would have decided otherwise, by route."
        |view, samples| for (place, of) in view.counters.of_routes.iter().filter(|(_, of)| of.shadow > 0) {
            samples.one(&[("route", &view.route(*place))], of.shadow);
        };
    "outcomes" Counter "" "Exchanges with a backend that ended, by route, result and class of status."
        outcomes;
    "request_duration_seconds" Histogram "seconds" "From a request's head to its answer, or to the end of its exchange, by route."
        |view, samples| for (place, of) in view.counters.of_routes.iter().filter(|(_, of)| of.took.count() > 0) {
            samples.histogram(&[("route", &view.route(*place))], &of.took);
        };
    "received_bytes" Counter "bytes" "Body and tunnel bytes from callers in exchanges that ended, by route."
        |view, samples| for (place, of) in view.counters.of_routes.iter().filter(|(_, of)| !of.outcomes.is_empty()) {
            samples.one(&[("route", &view.route(*place))], of.received);
        };
    "sent_bytes" Counter "bytes" "Body and tunnel bytes to callers in exchanges that ended, by route."
        |view, samples| for (place, of) in view.counters.of_routes.iter().filter(|(_, of)| !of.outcomes.is_empty()) {
            samples.one(&[("route", &view.route(*place))], of.sent);
        };
    "exchanges_open" Gauge "" "Exchanges that were allowed and have not ended."
        |view, samples| samples.one(&[], view.counters.open.len());

    // --- who comes in ----------------------------------------------------------------------------------
    "connections" Counter "" "Connections that were accepted, by listener."
        |view, samples| for (place, count) in &view.counters.accepted {
            samples.one(&[("listener", &view.counters.listeners.name(*place))], count);
        };
    "connections_shed" Counter "" "Connections that were closed at once, by listener and refusal."
        |view, samples| for ((place, code), count) in &view.counters.shed {
            let listener = view.counters.listeners.name(*place);
            samples.one(&[("listener", &listener), ("refusal", &view.counters.codes.name(*code))], count);
        };
    "connections_open" Gauge "" "Connections that are open now, by listener."
        |view, samples| for (listener, open) in &view.told.open {
            samples.one(&[("listener", listener)], open);
        };

    // --- the roles -------------------------------------------------------------------------------------
    "grants" Counter "" "Backend connections that gates asked the warden for, by backend and refusal."
        |view, samples| for ((place, refused), count) in &view.counters.grants {
            let refusal = refused.map_or("", |code| view.counters.codes.name(code));
            let backend = view.counters.backends.name(*place);
            samples.one(&[("backend", &backend), ("refusal", &refusal)], count);
        };
    "role_events" Counter "" "Starts and ends of role processes, by role and event; violated is a system call that its table does not have."
        |view, samples| for ((role, event), count) in &view.counters.lives {
            samples.one(&[("role", role), ("event", event)], count);
        };
    "gates" Gauge "" "Gates that run."
        |view, samples| samples.one(&[], view.told.gates);
    "scribe_deaths" Counter "" "Scribes that died since the daemon started."
        |view, samples| samples.one(&[], view.told.scribe_deaths);
    "intrusions" Counter "" "Segments in which the scribe found what no writer of ours may have done."
        |view, samples| samples.one(&[], view.counters.intrusions);
    "posture_missing" Gauge "" "1 for each layer of the full posture that is missing."
        |view, samples| for layer in &view.told.missing {
            samples.one(&[("layer", layer)], 1);
        };

    // --- the record ------------------------------------------------------------------------------------
    "recordable" Gauge "" "1 while there is room for records, none fails to be written, and a scribe seals them; else requests are refused, at once or when what is reserved is used."
        |view, samples| samples.one(&[], u8::from(view.told.recordable));
    "records" Counter "" "Records that the scribe has read."
        |view, samples| samples.one(&[], view.counters.records);
    "record_bytes" Counter "bytes" "Bytes of lines that the scribe has read."
        |view, samples| samples.one(&[], view.counters.bytes);
    "segments_open" Gauge "" "Segments that are not closed."
        |view, samples| samples.one(&[], view.own.segments);
    "unsynced_bytes" Gauge "bytes" "Bytes of records that are not known to be durable."
        |view, samples| samples.one(&[], view.own.unsynced);
    "unsealed_bytes" Gauge "bytes" "Bytes of records that no seal covers."
        |view, samples| samples.one(&[], view.own.unsealed);
    "seal_age_seconds" Gauge "seconds" "Time since the last seal."
        |view, samples| if let Some(age) = view.own.seal_age {
            samples.one(&[], Seconds(u64::try_from(age.as_micros()).unwrap_or(u64::MAX)));
        };
    "seal_epoch" Gauge "" "Epoch of the last seal."
        |view, samples| if let Some((epoch, _)) = view.own.seal {
            samples.one(&[], epoch);
        };
    "seal_index" Gauge "" "Place of the last seal in its epoch."
        |view, samples| if let Some((_, index)) = view.own.seal {
            samples.one(&[], index);
        };
    "sync_duration_seconds" Histogram "seconds" "How long fdatasync took."
        |view, samples| samples.histogram(&[], &view.counters.syncs);
    "disk_free_bytes" Gauge "bytes" "What the daemon may still write on the audit directory's file system."
        |view, samples| if let Some((free, _)) = view.told.disk {
            samples.one(&[], free);
        };
    "disk_size_bytes" Gauge "bytes" "Size of the audit directory's file system."
        |view, samples| if let Some((_, size)) = view.told.disk {
            samples.one(&[], size);
        };

    // --- witnesses -------------------------------------------------------------------------------------
    "witness_age_seconds" Gauge "seconds" "Time since a witness took the head of the seals, or since the start where it never did, by sink."
        |view, samples| for witness in &view.told.witness {
            samples.one(&[("sink", &witness.sink)], witness.age_s.unwrap_or(view.told.up_s));
        };
    "witness_heads" Counter "" "Heads that a witness took, by sink."
        |view, samples| for witness in &view.told.witness {
            samples.one(&[("sink", &witness.sink)], witness.taken);
        };
    "witness_failures" Counter "" "Heads that a witness did not take, by sink."
        |view, samples| for witness in &view.told.witness {
            samples.one(&[("sink", &witness.sink)], witness.failed);
        };

    // --- the daemon ------------------------------------------------------------------------------------
    "policies" Counter "" "Policies that came into force, or were refused, by result."
        |view, samples| {
            samples.one(&[("result", &"taken")], view.counters.policies);
            samples.one(&[("result", &"refused")], view.counters.policies_refused);
        };
    "policy_generation" Gauge "" "How many policies were in force since the start."
        |view, samples| samples.one(&[], view.told.policy.0);
    "policy_since_seconds" Gauge "seconds" "When the policy came into force, in seconds since 1970."
        |view, samples| samples.one(&[], Seconds(view.told.policy.2));
    "policy" Info "" "The policy in force, by the first eight digits of its hash."
        |view, samples| samples.one(&[("hash", &view.told.policy.1)], 1);
    "build" Info "" "The daemon."
        |_, samples| samples.one(&[("version", &env!("CARGO_PKG_VERSION"))], 1);
    "up_seconds" Gauge "seconds" "Time since the daemon was ready."
        |view, samples| samples.one(&[], view.told.up_s);
    "counted_since_seconds" Gauge "seconds" "When this scribe, and with it each counter, began; in seconds since 1970."
        |view, samples| samples.one(&[], Seconds(view.own.since));
    "diagnostic_lines_lost" Counter "" "Diagnostic lines that were lost."
        |view, samples| samples.one(&[], view.own.lost_lines);
    "feeds_open" Gauge "" "Answers of metrics and decisions that are being sent."
        |view, samples| samples.one(&[], view.own.serving);
    "feed_events_lost" Counter "" "Events that listeners to decisions were too slow for."
        |view, samples| samples.one(&[], view.own.lost_events);
}

impl View<'_> {
    fn route(&self, place: u16) -> &str {
        self.counters.routes.name(place)
    }
}

fn decisions(view: &View<'_>, samples: &mut Samples) {
    for (place, of) in &view.counters.of_routes {
        let route = view.route(*place);
        if of.allowed > 0 {
            samples.one(&[("route", &route), ("decision", &"allow"), ("refusal", &"")], of.allowed);
        }
        for (code, count) in &of.denied {
            let refusal = view.counters.codes.name(*code);
            samples.one(&[("route", &route), ("decision", &"deny"), ("refusal", &refusal)], count);
        }
    }
}

fn outcomes(view: &View<'_>, samples: &mut Samples) {
    const CLASSES: [&str; 10] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "6xx", "7xx", "8xx", "9xx"];
    for (place, of) in &view.counters.of_routes {
        let route = view.route(*place);
        for ((result, class), count) in &of.outcomes {
            let result = view.counters.codes.name(*result);
            let class = CLASSES.get(usize::from(*class)).copied().unwrap_or("none");
            samples.one(&[("route", &route), ("result", &result), ("status", &class)], count);
        }
    }
}
