//! Calendar arithmetic.
//!
//! Owns: days since the epoch from year, month and day and back, the nearest year.
//! Does not own: how times are written.
//! Invariant: a date that does not exist gives no time.

use sawyer_model::Timestamp;

/// A time as a calendar and a clock show it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Civil {
    pub(crate) year: u32,
    pub(crate) month: u32,
    pub(crate) day: u32,
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
    pub(crate) nanos: u32,
    pub(crate) offset_secs: i32,
}

impl Civil {
    /// Midnight of a date, if there is such a date.
    pub(crate) fn date(year: u32, month: u32, day: u32) -> Option<Self> {
        Self { year, month, day, ..Self::default() }.checked()
    }

    /// Itself, if its date exists.
    pub(crate) fn checked(self) -> Option<Self> {
        let real =
            (1..=12).contains(&self.month) && self.day >= 1 && self.day <= days_in(self.year, self.month);
        real.then_some(self)
    }

    /// The instant, if a [`Timestamp`] reaches it.
    pub(crate) fn timestamp(self) -> Option<Timestamp> {
        let days = days_since_epoch(i64::from(self.year), self.month, self.day);
        let second = self.hour * 3600 + self.minute * 60 + self.second.min(59);
        let secs = days * 86_400 + i64::from(second) - i64::from(self.offset_secs);
        let nanos =
            secs.checked_mul(1_000_000_000).and_then(|nanos| nanos.checked_add(i64::from(self.nanos)));
        if let Some(nanos) = nanos {
            return Some(Timestamp::from_nanos(nanos));
        }
        // Near the first instant that there is, the seconds alone may be out of reach.
        let nanos = i128::from(secs) * 1_000_000_000 + i128::from(self.nanos);
        i64::try_from(nanos).ok().map(Timestamp::from_nanos)
    }

    /// The instant in the year that brings it nearest to `observed`.
    pub(crate) fn nearest_year(self, observed: Timestamp) -> Option<Timestamp> {
        let days = observed.nanos().div_euclid(86_400_000_000_000);
        let year = of_days(days).0;
        let candidates = [year - 1, year, year + 1];
        let times = candidates
            .iter()
            .filter_map(|year| Self { year: u32::try_from(*year).ok()?, ..self }.checked()?.timestamp());
        times.min_by_key(|time| time.nanos().abs_diff(observed.nanos()))
    }
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
#[inline]
fn days_since_epoch(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
pub(crate) fn of_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// 1 for `Jan`.
pub(crate) fn month_of_name(name: &[u8]) -> Option<u32> {
    const NAMES: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    NAMES.iter().position(|known| *known == name).map(|at| at as u32 + 1)
}

/// Whether it is `Mon`, `Tue` …
pub(crate) fn weekday_of_name(name: &[u8]) -> bool {
    matches!(name, b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun")
}
