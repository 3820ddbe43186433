//! From the queue to the ways out. Everything here is bytes: what they mean is the pipeline's.

pub(crate) mod console;
pub(crate) mod doorbell;
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod queue;

use std::io;

/// Where batches go.
pub(crate) trait WayOut: Send {
    /// Sends what one batch became.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;
}
