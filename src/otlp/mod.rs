//! OTLP's wire forms, out and back. Knows no I/O.

<<<<<<< HEAD
pub mod encode;
=======
pub(crate) mod answer;
pub(crate) mod encode;
>>>>>>> main
pub mod json;
pub mod message;
