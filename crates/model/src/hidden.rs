//! Characters that make a text look like another one. One list for pages, terminals, letters and what is typed.

/// Whether a character is drawn by nobody, or turns the direction of others: Unicode's controls, formats (Cc, Cf) and separators of
/// lines and paragraphs, as of version 15.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::is_hidden;

    #[test]
    fn what_nobody_sees_is_hidden_and_letters_are_not() {
        for hidden in [
            '\0',
            '\u{1b}',
            '\u{ad}',
            '\u{180e}',
            '\u{200b}',
            '\u{202e}',
            '\u{2064}',
            '\u{fffa}',
            '\u{1d173}',
            '\u{e0041}',
        ] {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
        for shown in ['a', ' ', 'é', 'ß', '中', '–', '🛒', '\u{fffd}'] {
            assert!(!is_hidden(shown), "{shown:?}");
        }
    }
}
