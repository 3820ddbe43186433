//! What makes the spans: the process's name and whatever else its spans share.

use crate::attribute::Attributes;
use crate::value::Value;

/// Attributes that all spans of a pipeline share (OpenTelemetry resource specification).
#[derive(Debug)]
pub struct Resource {
    attributes: Attributes,
}

const ATTRIBUTES_FIELD: u32 = 1;

impl Default for Resource {
    /// The name OpenTelemetry gives to a service without one, and who we are.
    fn default() -> Self {
        let mut resource = Self {
            attributes: Attributes::default(),
        };
        resource.set("service.name", Value::Text("unknown_service:python"));
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
    /// Sets an attribute, over an earlier value.
    pub fn set(&mut self, key: &str, value: Value<'_>) {
        self.attributes
            .set(ATTRIBUTES_FIELD, key, value, usize::MAX);
    }

    /// The `Resource` message.
    pub fn as_bytes(&self) -> &[u8] {
        self.attributes.as_bytes()
    }
}
