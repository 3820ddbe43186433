//! File descriptor 2, whatever Python made of `sys.stderr`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use bytes::Bytes;

use super::patience::Patience;
use super::{Failure, Reply, WayOut};

/// Writes to the standard error stream.
#[derive(Debug)]
pub(crate) struct ConsoleOut;

impl WayOut for ConsoleOut {
    fn send(&mut self, text: &Bytes, _: &Patience) -> Result<Reply, Failure> {
        // A descriptor of our own for each write: std's handle has a lock that a fork could leave
        // locked, and the program may point descriptor 2 elsewhere at any time.
        let descriptor = io::stderr().as_fd().try_clone_to_owned()?;
        File::from(descriptor).write_all(text)?;
        Ok(Reply::default())
    }
}
