//! Smaller bytes for a slower network.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The gzip form. Level 1: higher levels take several times longer for little less.
pub(crate) fn gzip(bytes: Bytes) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    let written = encoder.write_all(&bytes).and_then(|()| encoder.finish());
    written.expect("a Vec takes all bytes").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    #[test]
    fn what_was_compressed_reads_back_and_is_smaller() {
        let bytes = Bytes::from("GET /cart ".repeat(1_000));
        let compressed = gzip(bytes.clone());
        assert!(compressed.len() * 20 < bytes.len());
        let mut read = Vec::new();
        GzDecoder::new(&*compressed).read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }
}
