//! Durations and moments as people read them.

/// Nanoseconds in the unit that needs the fewest digits: `850 ns`, `1.5 µs`, `184.2 ms`, `12.34 s`.
pub(super) fn duration(ns: u64, ascii: bool) -> String {
    if ns < 1_000 {
        return format!("{ns} ns");
    }
    for (unit, unit_ns) in [(if ascii { "us" } else { "µs" }, 1_000), ("ms", 1_000_000)] {
        let tenths = rounded(ns, unit_ns / 10);
        if tenths < 10_000 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    let hundredths = rounded(ns, 10_000_000);
    format!("{}.{:02} s", hundredths / 100, hundredths % 100)
}

fn rounded(ns: u64, step_ns: u64) -> u64 {
    (ns / (step_ns / 2)).div_ceil(2)
}

/// Nanoseconds since 1970 as `2023-11-14 22:13:20.000Z`.
pub(super) fn moment(ns: u64) -> String {
    let (ms, seconds) = (ns / 1_000_000 % 1_000, ns / 1_000_000_000);
    let (second, minute, hour) = (seconds % 60, seconds / 60 % 60, seconds / 3_600 % 24);
    let (year, month, day) = date(seconds / 86_400);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Days since 1970 to a date. Counts from a 1st of March, so that a leap day ends its year: Howard
/// Hinnant, "chrono-compatible low-level date algorithms".
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days.min(day_of_era)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year_of_era + era * 400 + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_fits() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.0 µs"),
            (999_949, "999.9 µs"),
            (999_950, "1.0 ms"),
            (184_249_999, "184.2 ms"),
            (184_250_000, "184.3 ms"),
            (999_950_000, "1.00 s"),
            (12_345_000_000, "12.35 s"),
            (u64::MAX, "18446744073.71 s"),
        ] {
            assert_eq!(duration(ns, false), text, "{ns}");
        }
        assert_eq!(duration(1_500, true), "1.5 us");
    }

    #[test]
    fn moments_are_dates_in_utc() {
        for (ns, text) in [
            (0, "1970-01-01 00:00:00.000Z"),
            (951_782_399_999_999_999, "2000-02-28 23:59:59.999Z"),
            (951_782_400_000_000_000, "2000-02-29 00:00:00.000Z"),
            (1_700_000_000_123_000_000, "2023-11-14 22:13:20.123Z"),
            (4_107_542_400_000_000_000, "2100-03-01 00:00:00.000Z"),
            (u64::MAX, "2554-07-21 23:34:33.709Z"),
        ] {
            assert_eq!(moment(ns), text, "{ns}");
        }
    }
}
