//! A file that grows by a line with each batch.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;

use super::patience::Patience;
use super::{Failure, Reply, WayOut};

/// Appends lines to a file.
#[derive(Debug)]
pub(crate) struct FileOut {
    file: File,
    /// A write failed half-way: the next line must not join what is left of it.
    torn: bool,
}

impl FileOut {
    /// Opens the file, at its end; makes it if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        Ok(Self { file, torn: false })
    }
}

impl WayOut for FileOut {
    fn send(&mut self, line: &Bytes, _: &Patience) -> Result<Reply, Failure> {
        // One write for a line, so that processes which share the file do not mix theirs.
        let mut bytes = Vec::with_capacity(line.len() + 2);
        if self.torn {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        self.torn = true;
        self.file.write_all(&bytes)?;
        self.torn = false;
        Ok(Reply::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_and_the_next_line_begins_a_new_one() {
        let mut out = FileOut::open(Path::new("/dev/full")).unwrap();
        let send =
            |out: &mut FileOut, line| out.send(&Bytes::from_static(line), &Patience::default());
        assert!(send(&mut out, b"lost").is_err());
        let path = std::env::temp_dir().join(format!("nanospan-{}.jsonl", std::process::id()));
        out.file = FileOut::open(&path).unwrap().file;
        send(&mut out, b"{}").unwrap();
        send(&mut out, b"[]").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, "\n{}\n[]\n");
    }
}
