//! Text from agents and people, made safe for a terminal.
//!
//! Prompts, results, output and names are data. What would move the cursor,
//! change colours, set a title, hide or reorder text is taken out before it is
//! shown; `--json` keeps it, escaped.

/// `text` for a place of several lines: line breaks and tabs stay, other
/// control characters and terminal sequences go.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' => out.push(c),
            // A carriage return alone lets a later text cover an earlier one.
            '\r' => {
                if rest.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\u{1b}' => skip_sequence(&mut rest),
            '\u{9b}' => skip_parameters(&mut rest),
            c if c.is_control() || reorders(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// `text` for a place of one line.
pub(crate) fn line(text: &str) -> String {
    let cleaned = clean(text);
    cleaned.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` for a place of one line with room for `max` characters.
pub(crate) fn short(text: &str, max: usize) -> String {
    let whole = line(text);
    if whole.chars().count() <= max {
        return whole;
    }
    let mut cut: String = whole.chars().take(max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// How many there are of something: `1 task`, `2 tasks`.
pub(crate) fn count(count: impl Into<u64>, what: &str) -> String {
    match count.into() {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Whether a character changes the direction of the text around it (Unicode UAX #9), so that it reads as what it isn't.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

type Rest<'t> = std::iter::Peekable<std::str::Chars<'t>>;

/// Skips what follows an escape character (ECMA-48).
fn skip_sequence(rest: &mut Rest<'_>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_parameters(rest);
        }
        // Strings: operating system commands, device control, and their kin.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            rest.next();
            skip_string(rest);
        }
        // Intermediate characters, then one final character.
        Some(' '..='/') => {
            while rest.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            rest.next_if(|c| matches!(c, '0'..='~'));
        }
        Some('0'..='~') => {
            rest.next();
        }
        _ => {}
    }
}

fn skip_parameters(rest: &mut Rest<'_>) {
    while rest.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    rest.next_if(|c| matches!(c, '@'..='~'));
}

/// A string ends with BEL or ST; one that doesn't end within its line hides nothing beyond it.
fn skip_string(rest: &mut Rest<'_>) {
    while let Some(c) = rest.next_if(|c| !matches!(c, '\n')) {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                rest.next_if(|c| *c == '\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_taken_out() {
        for (input, expected) in [
            ("plain ä 漢", "plain ä 漢"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{9b}31mred", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}]0;never ends\nnext line", "\nnext line"),
            ("\u{1b}(Btext", "text"),
            ("\u{1b}ctext", "text"),
            ("over\rwritten", "over\nwritten"),
            ("dos\r\nline", "dos\nline"),
            ("a\u{8}b\u{0}c\u{7f}d\u{85}e", "abcde"),
            ("abc\u{202e}fed", "abcfed"),
            ("\u{1b}", ""),
            ("tab\tand\nline", "tab\tand\nline"),
        ] {
            assert_eq!(clean(input), expected, "{input:?}");
        }
    }

    #[test]
    fn one_thing_is_no_things() {
        assert_eq!(
            (count(1u32, "task"), count(0u32, "task")),
            ("1 task".to_owned(), "0 tasks".to_owned())
        );
    }

    #[test]
    fn a_place_of_one_line_gets_one_line() {
        assert_eq!(line(" a\n b\t\r\nc "), "a b c");
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(short("abcd", 4), "abcd");
    }
}
