//! What somebody may have meant.

/// How alike two words are before one counts as a slip of the other (Jaro-Winkler).
const ALIKE: f64 = 0.8;

/// "did you mean `x`?", if one of the known words is near.
pub(crate) fn did_you_mean<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|known| {
            let likeness = strsim::jaro_winkler(&lower, &known.to_ascii_lowercase());
            (likeness, known)
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| format!("did you mean `{known}`?"))
}
