//! Trace and span ids, and the generator that makes them.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZero;

use crate::turn::{Guarded, Turn};

macro_rules! id {
    ($name:ident, $bytes:literal, $number:ty, $doc:literal) => {
        #[doc = $doc]
        // A number, so that it is moved as one.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(NonZero<$number>);

        impl $name {
            /// What stands where there is no id yet.
            pub(crate) const LEAST: Self = Self(NonZero::<$number>::MIN);

            /// None when all bytes are zero: W3C Trace Context forbids that id.
            #[inline]
            pub fn new(bytes: [u8; $bytes]) -> Option<Self> {
                NonZero::new(<$number>::from_be_bytes(bytes)).map(Self)
            }

            /// The bytes, in the order in which they are sent.
            #[inline]
            pub fn to_bytes(self) -> [u8; $bytes] {
                self.0.get().to_be_bytes()
            }
        }

        /// Lowercase hexadecimal digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", self.0, width = 2 * $bytes)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    TraceId,
    16,
    u128,
    "Sixteen bytes, never all zero: the id that all spans of a trace share."
);
id!(
    SpanId,
    8,
    u64,
    "Eight bytes, never all zero: the id of one span."
);

/// Where a pipeline's ids come from.
#[derive(Debug)]
pub struct Ids {
    generator: Guarded<Generator>,
    /// Ids to give before random ones: tests that compare whole spans choose them.
    script: Option<Guarded<Script>>,
}

/// Ids given by hand, each list in its own order.
#[derive(Debug, Default, Clone)]
pub struct Script {
    /// Trace ids of the next local roots.
    pub trace_ids: VecDeque<TraceId>,
    /// Ids of the next spans.
    pub span_ids: VecDeque<SpanId>,
}

impl Ids {
    /// Random ids, seeded by the operating system.
    pub fn random() -> Self {
        Self {
            generator: Guarded::new(Generator::seeded()),
            script: None,
        }
    }

    /// The ids of `script`, and random ones when they are used up.
    pub fn scripted(script: Script) -> Self {
        Self {
            script: Some(Guarded::new(script)),
            ..Self::random()
        }
    }

    /// The id of a new trace, made at `now_ns`.
    #[inline(always)]
    pub fn trace_id(&self, turn: Turn<'_>, now_ns: u64) -> TraceId {
        if let Some(script) = &self.script {
            let scripted = script.borrow(turn).trace_ids.pop_front();
            if let Some(id) = scripted {
                return id;
            }
        }
        self.generator.borrow(turn).trace_id(now_ns)
    }

    /// The id of a new trace, made at `now_ns`, and that of its first span.
    #[inline(always)]
    pub(crate) fn trace_and_span_id(&self, turn: Turn<'_>, now_ns: u64) -> (TraceId, SpanId) {
        if self.script.is_some() {
            return (self.trace_id(turn, now_ns), self.span_id(turn));
        }
        let mut generator = self.generator.borrow(turn);
        (generator.trace_id(now_ns), generator.span_id())
    }

    /// The id of a new span.
    #[inline(always)]
    pub fn span_id(&self, turn: Turn<'_>) -> SpanId {
        if let Some(script) = &self.script {
            let scripted = script.borrow(turn).span_ids.pop_front();
            if let Some(id) = scripted {
                return id;
            }
        }
        self.generator.borrow(turn).span_id()
    }
}

/// Sixteen random bytes that have nothing to do with anybody's ids.
pub(crate) fn random_bytes() -> [u8; 16] {
    let mut generator = Generator::seeded();
    let mut bytes = [0; 16];
    for part in bytes.chunks_exact_mut(8) {
        part.copy_from_slice(&generator.next().to_ne_bytes());
    }
    bytes
}

/// xoshiro256++ (Blackman and Vigna, 2019): 256 bits of state, because 64 make runs of two
/// processes overlap and trace ids of 64 bits.
#[derive(Debug)]
struct Generator {
    state: [u64; 4],
    /// On the clock of the traces; 0 until the first.
    seeded_ns: u64,
}

/// A cloned virtual machine cannot be noticed from user space, so no seed lives longer.
const SEED_LIFETIME_NS: u64 = 1_000_000_000;

impl Generator {
    fn seeded() -> Self {
        Self {
            state: seed().unwrap_or_else(seed_without_system),
            seeded_ns: 0,
        }
    }

    /// Takes a new seed at the first trace of each second.
    #[inline(always)]
    fn refresh(&mut self, now_ns: u64) {
        if now_ns.abs_diff(self.seeded_ns) >= SEED_LIFETIME_NS {
            self.reseed(now_ns);
        }
    }

    #[inline(always)]
    fn trace_id(&mut self, now_ns: u64) -> TraceId {
        self.refresh(now_ns);
        loop {
            let (high, low) = (self.next(), self.next());
            if let Some(number) = NonZero::new(u128::from(high) << 64 | u128::from(low)) {
                return TraceId(number);
            }
        }
    }

    #[inline(always)]
    fn span_id(&mut self) -> SpanId {
        loop {
            if let Some(number) = NonZero::new(self.next()) {
                return SpanId(number);
            }
        }
    }

    #[cold]
    fn reseed(&mut self, now_ns: u64) {
        self.seeded_ns = now_ns;
        if let Some(state) = seed() {
            self.state = state;
        }
    }

    #[inline(always)]
    fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }
}

/// None when the system has no random bytes, or gave the one state that xoshiro cannot leave.
fn seed() -> Option<[u64; 4]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    let mut state = [0; 4];
    for (word, chunk) in state.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(chunk.try_into().expect("chunks_exact gives eight bytes"));
    }
    (state != [0; 4]).then_some(state)
}

/// A sandbox may refuse `getrandom`; tracing goes on with the keys that std drew at its start.
fn seed_without_system() -> [u64; 4] {
    use std::hash::{BuildHasher, RandomState};
    [0u64, 1, 2, 3].map(|word| RandomState::new().hash_one((word, std::process::id())) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn;
    use std::collections::HashSet;

    #[test]
    fn an_id_of_zeros_cannot_be_made() {
        assert_eq!(TraceId::new([0; 16]), None);
        assert_eq!(SpanId::new([0; 8]), None);
    }

    #[test]
    fn an_id_shows_as_lowercase_hex() {
        let id = SpanId::new([0, 1, 0xab, 0xff, 0, 0, 0, 9]).unwrap();
        assert_eq!(id.to_string(), "0001abff00000009");
    }

    #[test]
    fn ids_of_two_generators_do_not_meet() {
        let taken = turn::take();
        let (a, b) = (Ids::random(), Ids::random());
        let ids: HashSet<_> = (0..2_000)
            .flat_map(|_| [a.span_id(taken.turn()), b.span_id(taken.turn())])
            .collect();
        assert_eq!(ids.len(), 4_000);
    }

    #[test]
    fn the_generator_is_xoshiro256_plus_plus() {
        let mut generator = Generator {
            state: [1, 2, 3, 4],
            seeded_ns: 0,
        };
        let first: Vec<u64> = (0..4).map(|_| generator.next()).collect();
        assert_eq!(
            first,
            [
                41_943_041,
                58_720_359,
                3_588_806_011_781_223,
                3_591_011_842_654_386
            ]
        );
    }

    #[test]
    fn scripted_ids_come_first_and_then_random_ones() {
        let wanted = SpanId::new([7; 8]).unwrap();
        let ids = Ids::scripted(Script {
            span_ids: [wanted].into(),
            ..Script::default()
        });
        let taken = turn::take();
        assert_eq!(ids.span_id(taken.turn()), wanted);
        assert_ne!(ids.span_id(taken.turn()), wanted);
    }
}
