//! Time to columns: the axis of a trace and the bars below it.

use super::column::{pad, width};
use super::time::duration;

/// The time of a trace, laid over some columns.
pub(super) struct Scale {
    pub start_ns: u64,
    pub duration_ns: u64,
    pub columns: usize,
}

impl Scale {
    /// The bar from one time to another: `sign` in every column it touches, `instant` where it has
    /// no length.
    pub(super) fn bar(&self, start_ns: u64, end_ns: u64, sign: &str, instant: &str) -> String {
        let from = self.column(start_ns, false).min(self.columns - 1);
        let columns = self.column(end_ns, true).saturating_sub(from).max(1);
        let sign = if start_ns == end_ns { instant } else { sign };
        let after = " ".repeat(self.columns - from - columns);
        format!("{}{}{after}", " ".repeat(from), sign.repeat(columns))
    }

    fn column(&self, time_ns: u64, round_up: bool) -> usize {
        let total = u128::from(self.duration_ns.max(1));
        let scaled = u128::from(time_ns - self.start_ns) * self.columns as u128;
        (if round_up {
            scaled.div_ceil(total)
        } else {
            scaled / total
        }) as usize
    }

    /// What time it is at the first column and, where there is room, at each half or quarter.
    pub(super) fn axis(&self, ascii: bool) -> String {
        let labels = |parts: u64| {
            let part_ns = self.duration_ns / parts;
            (1..parts)
                .map(move |part| duration(part_ns * part, ascii))
                .collect::<Vec<_>>()
        };
        let fits = |parts: &u64| {
            let room = self.columns / *parts as usize;
            self.duration_ns >= *parts && labels(*parts).iter().all(|label| width(label) < room)
        };
        let parts = [4, 2].into_iter().find(fits).unwrap_or(1);
        let mut axis = "0".to_string();
        for (index, label) in labels(parts).iter().enumerate() {
            axis = pad(axis, (index + 1) * self.columns / parts as usize) + label;
        }
        pad(axis, self.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(duration_ns: u64, columns: usize) -> Scale {
        Scale {
            start_ns: 1_000,
            duration_ns,
            columns,
        }
    }

    #[test]
    fn a_bar_covers_every_column_it_touches() {
        for (start_ns, end_ns, bar) in [
            (1_000, 1_100, "##########"),
            (1_009, 1_011, "##        "),
            (1_010, 1_020, " #        "),
            (1_099, 1_100, "         #"),
            (1_050, 1_050, "     |    "),
            (1_100, 1_100, "         |"),
        ] {
            assert_eq!(scale(100, 10).bar(start_ns, end_ns, "#", "|"), bar);
        }
        assert_eq!(scale(0, 10).bar(1_000, 1_000, "#", "|"), "|         ");
        assert_eq!(
            Scale {
                start_ns: 0,
                duration_ns: u64::MAX,
                columns: 4
            }
            .bar(0, u64::MAX, "#", "|"),
            "####"
        );
    }

    #[test]
    fn the_axis_has_as_many_labels_as_fit() {
        for (columns, axis) in [
            (36, "0        46.1 ms  92.1 ms  138.2 ms "),
            (24, "0           92.1 ms     "),
            (12, "0           "),
        ] {
            assert_eq!(scale(184_200_000, columns).axis(false), axis);
        }
        assert_eq!(scale(0, 20).axis(false), "0                   ");
    }
}
