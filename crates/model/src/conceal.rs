//! Leaves out what may be a card number where the mask of records can't look: in what is decoded, or joined, by ourselves.

/// Runs of digits from here on may be a card number.
const DIGITS_MAX: usize = 12;

/// The text without its long runs of digits, each of which becomes `…`.
///
/// Cards are written in groups of four to six, or digit by digit; addresses, in groups of three and less, stay.
#[must_use]
pub fn conceal(text: &str) -> String {
    let (mut out, mut run) = (String::with_capacity(text.len()), String::new());
    // Digits of the run, and of its last group.
    let (mut digits, mut group) = (0, 0);
    let end = |run: &mut String, digits: &mut usize, out: &mut String| {
        if *digits < DIGITS_MAX {
            out.push_str(run);
        } else {
            out.push('…');
        }
        run.clear();
        *digits = 0;
    };
    for one in text.chars() {
        let goes_on = match one {
            '.' => group >= 4,
            ' ' | '-' | '_' | '/' | '\t' | '\n' => group == 1 || group >= 4,
            _ => false,
        };
        if one.is_ascii_digit() {
            digits += 1;
            group += 1;
            run.push(one);
        } else {
            group = 0;
            if goes_on {
                run.push(one);
            } else {
                end(&mut run, &mut digits, &mut out);
                out.push(one);
            }
        }
    }
    end(&mut run, &mut digits, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::conceal;

    #[test]
    fn digits_that_may_be_a_card_number_are_left_out() {
        assert_eq!(conceal("a 4111 1111-1111.1111 b 12345"), "a …b 12345");
        assert_eq!(conceal("4111.1111.1111.1111, 3782 822463 10005"), "…, …");
        assert_eq!(conceal("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"), "…");
        // Where something was sent is what an analyst looks for.
        for address in [
            "http://203.113.100.123:8080/12",
            "scp 192.168.100.200 443 8080",
        ] {
            assert_eq!(conceal(address), address);
        }
    }
}
