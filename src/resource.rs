//! What makes the spans: the process's name and whatever else its spans share.

use std::sync::Mutex;

use crate::attribute::Attributes;
use crate::id::random_bytes;
use crate::limits::Surplus;
use crate::sys;
use crate::value::Value;
use crate::wire::{put_bytes, put_optional};

/// Attributes that all spans of a pipeline share (OpenTelemetry resource specification).
#[derive(Debug)]
pub struct Resource {
    attributes: Attributes,
    /// Those that each process finds out for itself, a forked child anew.
    of_process: Vec<&'static str>,
    /// Of the attributes' names; empty when none is known.
    schema_url: String,
}

const ATTRIBUTES_FIELD: u32 = 1;
const SERVICE_NAME: &str = "service.name";
const SERVICE_INSTANCE_ID: &str = "service.instance.id";
const PROCESS_PID: &str = "process.pid";

impl Default for Resource {
    /// The name OpenTelemetry gives to a service without one, and who we are.
    fn default() -> Self {
        let mut resource = Self {
            attributes: Attributes::default(),
            of_process: Vec::new(),
            schema_url: String::new(),
        };
        resource.set(SERVICE_NAME, Value::Text("unknown_service:python"));
        resource.set("telemetry.sdk.name", Value::Text("nanospan"));
        resource.set("telemetry.sdk.language", Value::Text("python"));
        resource.set(
            "telemetry.sdk.version",
            Value::Text(env!("CARGO_PKG_VERSION")),
        );
        resource
    }
}

impl Resource {
    /// One that also tells the processes apart that share it: each has its own `process.pid` and
    /// `service.instance.id`, unless they are set by hand.
    pub fn of_each_process() -> Self {
        Self {
            of_process: vec![SERVICE_INSTANCE_ID, PROCESS_PID],
            ..Self::default()
        }
    }

    /// One without attributes: somebody else says all of them, and by what schema they are named.
    pub fn empty(schema_url: &str) -> Self {
        Self {
            attributes: Attributes::default(),
            of_process: Vec::new(),
            schema_url: schema_url.to_owned(),
        }
    }

    /// Sets an attribute, over an earlier value.
    pub fn set(&mut self, key: &str, value: Value<'_>) {
        self.of_process.retain(|of_process| *of_process != key);
        self.attributes
            .set(ATTRIBUTES_FIELD, key, value, usize::MAX, Surplus::Newest);
    }

    /// Leaves an attribute out, but for `service.name`, which every resource has.
    pub fn unset(&mut self, key: &str) {
        if key != SERVICE_NAME {
            self.of_process.retain(|of_process| *of_process != key);
            self.attributes.unset(key);
        }
    }

    /// The `Resource` message of this process.
    fn message(&self) -> Vec<u8> {
        let instance_id = instance_id();
        let mut own = Attributes::default();
        for &key in &self.of_process {
            let value = match key {
                PROCESS_PID => Value::Int(i64::from(std::process::id())),
                _ => Value::Text(&instance_id),
            };
            own.set(ATTRIBUTES_FIELD, key, value, usize::MAX, Surplus::Newest);
        }
        [self.attributes.as_bytes(), own.as_bytes()].concat()
    }

    /// The fields of `ResourceSpans` that say what makes the spans.
    pub fn fields(&self) -> Vec<u8> {
        const RESOURCE: u32 = 1;
        const SCHEMA_URL: u32 = 3;
        let mut fields = Vec::new();
        put_bytes(&mut fields, RESOURCE, &self.message());
        put_optional(&mut fields, SCHEMA_URL, self.schema_url.as_bytes());
        fields
    }
}

/// What tells this process from others of the same service: a random UUID (RFC 9562, version 4),
/// one for all pipelines of the process.
fn instance_id() -> String {
    static OF_EPOCH: Mutex<Option<(u32, String)>> = Mutex::new(None);
    // Held by somebody else it never becomes free where a fork copied it so.
    let Ok(mut known) = OF_EPOCH.try_lock() else {
        return random_uuid();
    };
    match &*known {
        Some((epoch, id)) if *epoch == sys::epoch() => id.clone(),
        _ => known.insert((sys::epoch(), random_uuid())).1.clone(),
    }
}

fn random_uuid() -> String {
    let mut bytes = random_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let number = u128::from_be_bytes(bytes);
    let part = |shift: u32, bits: u32| number >> shift & ((1 << bits) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 32),
        part(80, 16),
        part(64, 16),
        part(48, 16),
        part(0, 48)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_uuid_says_its_version_and_variant() {
        let (a, b) = (random_uuid(), random_uuid());
        assert_ne!(a, b);
        for uuid in [a, b] {
            let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12]);
            assert_eq!(&uuid[14..15], "4", "{uuid}");
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
    }

    #[test]
    fn a_process_has_one_instance_id() {
        assert_eq!(instance_id(), instance_id());
    }

    #[test]
    fn what_is_set_or_left_out_by_hand_is_not_found_out() {
        let mut resource = Resource::of_each_process();
        let found = resource.message().len();
        resource.unset(PROCESS_PID);
        resource.set(SERVICE_INSTANCE_ID, Value::Text("one"));
        assert!(resource.message().len() < found);
        assert_eq!(resource.message(), resource.attributes.as_bytes());
    }
}
