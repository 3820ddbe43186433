//! Batches kept in memory, for tests.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::patience::Patience;
use super::{Failure, Reply, WayOut};
use crate::sys;

/// The batches so far. Clones share them; a forked child begins with none.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Batches>);

#[derive(Debug)]
struct Batches {
    list: Mutex<Vec<Vec<u8>>>,
    epoch: u32,
    /// What a forked child has instead: the parent's lock may be held for ever there.
    child: OnceLock<Memory>,
}

impl Default for Memory {
    fn default() -> Self {
        let list = Mutex::default();
        Self(Arc::new(Batches {
            list,
            epoch: sys::epoch(),
            child: OnceLock::new(),
        }))
    }
}

impl Memory {
    /// A copy of the batches, oldest first.
    pub fn batches(&self) -> Vec<Vec<u8>> {
        self.list()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.list()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn list(&self) -> &Mutex<Vec<Vec<u8>>> {
        let mut memory = self;
        while memory.0.epoch != sys::epoch() {
            memory = memory.0.child.get_or_init(Memory::default);
        }
        &memory.0.list
    }
}

impl WayOut for Memory {
    fn send(&mut self, bytes: &Bytes, _: &Patience) -> Result<Reply, Failure> {
        self.list()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(bytes.to_vec());
        Ok(Reply::default())
    }
}
