#![no_main]

use libfuzzer_sys::fuzz_target;
use nanospan::propagation::Format;

fuzz_target!(|data: &[u8]| nanospan_fuzz::read(Format::Instana, data));
