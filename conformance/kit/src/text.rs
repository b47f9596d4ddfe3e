//! What a target says, as a person may see it. All of it that comes to a terminal or into a file for people passes here.

/// The text with each character that would act on a terminal, or turn what stands around it, written out: `\u{1b}`. Line
/// ends stay.
pub fn printable(text: &str) -> String {
    written_out(text, |c| c != '\n' && acts(c))
}

/// The same in one line.
pub fn one_line(text: &str) -> String {
    written_out(text, acts)
}

fn written_out(text: &str, acts: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Controls, and what has no width or changes the direction of writing.
fn acts(c: char) -> bool {
    let unseen =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || unseen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_written_out_and_all_else_stays() {
        assert_eq!(printable("a\u{1b}[2J\rb\n\u{9b}1mc\u{7f}"), "a\\u{1b}[2J\\rb\n\\u{9b}1mc\\u{7f}");
        assert_eq!(one_line("a\nb\u{202e}c"), "a\\nb\\u{202e}c");
        assert_eq!(printable("Größe 3 – \"x\" 😀"), "Größe 3 – \"x\" 😀");
    }
}
