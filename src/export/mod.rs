//! From the queue to the ways out. Everything here is bytes: what they mean is the pipeline's.

pub(crate) mod compress;
pub(crate) mod console;
pub(crate) mod dial;
pub(crate) mod doorbell;
pub(crate) mod endpoint;
pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod memory;
pub(crate) mod patience;
pub(crate) mod queue;
pub(crate) mod retry;
mod ring;

use std::io;
use std::time::Duration;

use bytes::Bytes;

use patience::Patience;

/// Where batches go.
pub(crate) trait WayOut: Send {
    /// Tries once to send what one batch became, for as long as there is patience.
    fn send(&mut self, bytes: &Bytes, patience: &Patience) -> Result<Reply, Failure>;

    /// Lets go, until the next batch, of what a forked child must not inherit: connections, which
    /// it would share, and threads, which it would not have.
    fn rest(&mut self) {}
}

/// What the other side said; empty where nobody answers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The media type without parameters, in lower case; empty when it was not given.
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// Why a batch was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(crate) again: Again,
    pub(crate) reply: Reply,
}

/// Whether to try the same batch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It would fail again.
    Never,
    /// After a while.
    Later,
    /// Not before this time, as the other side asked.
    After(Duration),
    /// After a while, but not if the program is about to end: nobody is there.
    Absent,
    /// It was not sent at all, for a fork: when that is over.
    AfterFork,
}

impl Failure {
    pub(crate) fn new(why: impl Into<String>, again: Again) -> Self {
        let (why, reply) = (why.into(), Reply::default());
        Self { why, again, reply }
    }
}

/// A write that failed is not tried again: part of it may be there.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string(), Again::Never)
    }
}
