//! OTLP's wire forms, out and back. Knows no I/O.

pub(crate) mod answer;
pub(crate) mod encode;
pub mod json;
pub mod message;
