//! Text from agents and people is data: bounded, and safe to show.

/// The start of `text`, without control characters, for use inside an error message.
pub fn shown(text: &str) -> String {
    const MAX_SHOWN: usize = 80;
    let mut out: String = text
        .chars()
        .take(MAX_SHOWN)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        out.push('…');
    }
    out
}

/// `text` cut to at most `max` bytes on a character boundary, keeping the end,
/// where compilers and test runners say what went wrong.
pub fn tail(text: &str, max: usize) -> &str {
    let mut start = text.len().saturating_sub(max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// `text` cut to at most `max` bytes on a character boundary, keeping the start.
pub fn head(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The candidate nearest to `word`, if near enough to be a slip of the finger.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_fall_on_character_boundaries() {
        assert_eq!(tail("aäö", 3), "ö");
        assert_eq!(head("aäö", 2), "a");
        assert_eq!(tail("abc", 10), "abc");
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        assert_eq!(nearest("python", ["rust", "review"]), None);
        assert_eq!(nearest("rsut", ["rust", "review"]), Some("rust"));
        assert_eq!(nearest("reveiw", ["rust", "review"]), Some("review"));
        assert_eq!(nearest("defualt", ["default"]), Some("default"));
    }
}
