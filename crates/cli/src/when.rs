//! Times and lengths of time as people read and write them.

use collective_core::{Code, Rejection, Span, Timestamp};

/// Now, by this machine's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

/// How long ago, in the largest unit that fits: `3m`, `2h`, `5d`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    brief(now.since(at))
}

/// How far ahead: `in 3m`; `now` if it has come.
pub(crate) fn ahead(at: Timestamp, now: Timestamp) -> String {
    match at.since(now) {
        Span::ZERO => "now".to_owned(),
        span => format!("in {}", brief(span)),
    }
}

/// A length of time in the largest unit that fits.
pub(crate) fn brief(span: Span) -> String {
    let seconds = span.micros() / 1_000_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A run time: `0.42s`, `12.3s`, `4m10s`, `2h05m`.
pub(crate) fn run_time(span: Span) -> String {
    let seconds = span.as_secs_f64();
    let whole = span.micros() / 1_000_000;
    match whole {
        0..10 => format!("{seconds:.2}s"),
        10..60 => format!("{seconds:.1}s"),
        60..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3_600, whole % 3_600 / 60),
    }
}

/// A point in time in the zone of this machine, to the second.
pub(crate) fn local(at: Timestamp) -> String {
    zoned(at).map_or_else(
        || at.to_string(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// The same, without the day.
pub(crate) fn clock(at: Timestamp) -> String {
    zoned(at).map_or_else(
        || at.to_string(),
        |at| at.strftime("%H:%M:%S%.3f").to_string(),
    )
}

fn zoned(at: Timestamp) -> Option<jiff::Zoned> {
    let at = jiff::Timestamp::from_microsecond(at.micros()).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::system()))
}

/// Reads a point in time, or a length of time from now.
pub(crate) fn point(text: &str) -> Result<Timestamp, Rejection> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(now() + span);
    }
    text.parse().map_err(|_: Rejection| {
        Rejection::new(
            Code::InvalidTime,
            format!("`{}` is not a time", collective_core::text::shown(text)),
        )
        .hint("write it as RFC 3339 (2026-11-24T18:00:00Z) or as a time from now (90s, 2h)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_fit_a_column() {
        for (millis, short, long) in [
            (0, "0s", "0.00s"),
            (420, "0s", "0.42s"),
            (12_340, "12s", "12.3s"),
            (250_000, "4m", "4m10s"),
            (7_500_000, "2h", "2h05m"),
            (200_000_000, "2d", "55h33m"),
        ] {
            let span = Span::from_millis(millis);
            assert_eq!(
                (brief(span), run_time(span)),
                (short.to_owned(), long.to_owned())
            );
        }
    }

    #[test]
    fn a_time_is_a_point_or_a_length_from_now() {
        let fixed = point("2026-11-24T18:00:00Z").unwrap();
        assert_eq!(fixed.to_string(), "2026-11-24T18:00:00.000000Z");
        assert!(point("2h").unwrap().since(now()) > Span::from_secs(7_000));
        assert!(point("tomorrow").unwrap_err().hint_text().is_some());
    }
}
