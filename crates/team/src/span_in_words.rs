//! Durations as people write them, turned into how they are written here.

/// Unit words and their short forms.
const WORDS: [(&str, &str); 6] = [
    ("d", "day"),
    ("h", "hour"),
    ("m", "minute"),
    ("s", "second"),
    ("ms", "millisecond"),
    ("us", "microsecond"),
];
/// Usual abbreviations.
const SHORT: [(&str, &str); 5] = [
    ("h", "hr"),
    ("m", "min"),
    ("s", "sec"),
    ("ms", "msec"),
    ("us", "µs"),
];

/// `5 minutes` as `5m`, `1 h 30 min` as `1h30m`, a bare `90` as `90s`; nothing for what is no duration.
pub(crate) fn mend(text: &str) -> Option<String> {
    let mut rest = text.trim();
    if !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit()) {
        return checked(format!("{rest}s"));
    }
    let mut mended = String::new();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let end = tail
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(tail.len());
        let (word, tail) = tail.split_at(end);
        let word = word.to_lowercase();
        let (unit, _) = WORDS.iter().chain(&SHORT).find(|(unit, name)| {
            word == *unit || word == *name || word.strip_suffix('s') == Some(name)
        })?;
        mended.push_str(number);
        mended.push_str(unit);
        rest = tail.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        rest = rest.strip_prefix("and ").unwrap_or(rest).trim_start();
    }
    checked(mended)
}

fn checked(text: String) -> Option<String> {
    text.parse::<collective_core::Span>()
        .is_ok()
        .then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_words_are_mended_and_nonsense_is_not() {
        for (words, mended) in [
            ("5 minutes", Some("5m")),
            ("5m ", Some("5m")),
            ("1 hour 30 minutes", Some("1h30m")),
            ("1 hour and 30 min", Some("1h30m")),
            ("2 Days", Some("2d")),
            ("90", Some("90s")),
            ("1.5h", None),
            ("soon", None),
            ("-5s", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(mend(words).as_deref(), mended, "{words:?}");
        }
    }
}
