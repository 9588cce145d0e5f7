//! What stands around a number, for and against its being a card number (`pci.md` §4.3).
//!
//! Apart because it judges by words, where `search` judges by digits. Looks at a bounded number of
//! bytes on either side, so a stream can be judged as its parts come in.

/// Bytes looked at before a number.
const BEFORE: usize = 48;
/// Bytes looked at behind a number.
const AFTER: usize = 48;

/// Words that speak for a card number; `true`: nothing may be glued behind the word, for it is short.
static FOR: [(&[u8], bool); 15] = [
    (b"card", false),
    (b"cc_", false),
    (b"cc", true),
    (b"ccn", false),
    (b"pan", true),
    (b"acct", false),
    (b"cvv", false),
    (b"cvc", false),
    (b"visa", false),
    (b"maestro", false),
    (b"amex", false),
    (b"mastercard", false),
    (b"credit", false),
    (b"debit", false),
    (b"payment", false),
];

/// Words behind a number that speak for it.
static BEHIND: [(&[u8], bool); 6] = [
    (b"cvv", false),
    (b"cvc", false),
    (b"cid", true),
    (b"exp", false),
    (b"security_code", false),
    (b"valid", false),
];

/// Words that speak against it; `true`: nothing may be glued behind the word, for it is short.
static AGAINST: [(&[u8], bool); 41] = [
    (b"order", false),
    (b"sku", true),
    (b"ean", true),
    (b"upc", true),
    (b"gtin", false),
    (b"imei", false),
    (b"imsi", true),
    (b"iccid", true),
    (b"tracking", false),
    (b"track_number", false),
    (b"phone", false),
    (b"msisdn", false),
    (b"timestamp", false),
    (b"request", false),
    (b"increment", false),
    (b"parcel", false),
    (b"shipment", false),
    (b"waybill", false),
    (b"barcode", false),
    (b"serial", false),
    (b"trace", false),
    (b"span", true),
    (b"session", false),
    (b"isbn", false),
    (b"transaction", false),
    (b"uuid", false),
    (b"invoice", false),
    (b"creditmemo", false),
    (b"iban", true),
    (b"mtime", true),
    (b"ctime", true),
    (b"epoch", false),
    (b"elapsed", false),
    (b"nonce", false),
    (b"checksum", false),
    (b"sha256", false),
    (b"sha1", false),
    (b"md5", false),
    (b"etag", true),
    (b"inode", true),
    (b"telephone", false),
];

/// Decides by the neighbours of `bytes[start..end]` whether it may be a card number.
///
/// `needed`: chance matches are so frequent that a word must speak for it.
pub(crate) fn speaks_for(bytes: &[u8], start: usize, end: usize, needed: bool) -> bool {
    if glued_before(bytes, start) || fraction(bytes, start) {
        return false;
    }
    if crate::track::around(bytes, end).is_some() {
        return true;
    }
    if bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    let before = bytes
        .get(start.saturating_sub(BEFORE)..start)
        .unwrap_or_default();
    let key = key(before);
    // Of words for and against, the one nearest to the number is its key.
    if let Some(against) = last(key, &AGAINST) {
        return last(key, &FOR).is_some_and(|speaks| speaks > against);
    }
    if !needed {
        return true;
    }
    let behind = bytes
        .get(end..bytes.len().min(end + AFTER))
        .unwrap_or_default();
    last(before, &FOR).is_some() || last(behind, &BEHIND).is_some()
}

/// The part of `before` that can be the number's own key: what follows the last end of a field or value.
fn key(before: &[u8]) -> &[u8] {
    let mut digits = 0;
    for (at, byte) in before.iter().enumerate().rev() {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        // Three digits are the value of an earlier key.
        if digits == 3 || b"&,;{}\n|?()<".contains(byte) {
            return before.get(at + 1..).unwrap_or_default();
        }
    }
    before
}

/// Where the last of `words` stands in `text`, at the beginning of a word, and if so marked as all of it.
fn last(text: &[u8], words: &[(&[u8], bool)]) -> Option<usize> {
    let begins = |at: usize| match (
        at.checked_sub(1).and_then(|before| text.get(before)),
        text.get(at),
    ) {
        // A word begins behind no letter, or with a capital behind a small letter: `trackingNumber`, `myEan`.
        (Some(before), Some(here)) if before.is_ascii_lowercase() => here.is_ascii_uppercase(),
        (Some(before), Some(here)) => here.is_ascii_alphabetic() && !before.is_ascii_uppercase(),
        (None, Some(here)) => here.is_ascii_alphabetic(),
        (_, None) => false,
    };
    let ends = |at: usize| match (text.get(at - 1), text.get(at)) {
        (Some(last), Some(next)) => {
            !(next.is_ascii_lowercase() || (next.is_ascii_uppercase() && last.is_ascii_uppercase()))
        }
        _ => true,
    };
    (0..text.len()).rev().filter(|at| begins(*at)).find(|at| {
        words.iter().any(|(word, whole)| {
            text.get(*at..*at + word.len())
                .is_some_and(|here| here.eq_ignore_ascii_case(word))
                && (!whole || ends(at + word.len()))
        })
    })
}

/// Letters or digits glued before a number make it part of an identifier or a hash – escapes apart.
fn glued_before(bytes: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1).and_then(|at| bytes.get(at)) else {
        return false;
    };
    if !before.is_ascii_alphanumeric() {
        return false;
    }
    let tail = bytes
        .get(start.saturating_sub(8)..start)
        .unwrap_or_default();
    let hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match tail {
        // `%3D4111…`, `=3D4111…`, `%224111…`, `%B4111…` (track 1), `\n4111…`.
        [.., b'%', high, low] if hex(&[*high, *low]) => false,
        [.., b'=', b'3', b'D']
        | [.., b'%', b'B' | b'b']
        | [.., b'\\', b'n' | b't' | b'r' | b'b' | b'f' | b'v'] => false,
        // `\x224111…`, `\u00224111…`, `%25224111…`.
        [.., b'\\', b'x', high, low] if hex(&[*high, *low]) => false,
        [.., b'\\', b'u', _, _, _, _] => !hex(tail.get(tail.len() - 4..).unwrap_or_default()),
        [.., b'%', b'2', b'5', high, low] if hex(&[*high, *low]) => false,
        // `cc4111…`, `card4111…`, `PAN4111…`.
        _ => ![&b"card"[..], b"cc", b"pan", b"visa", b"number"]
            .iter()
            .any(|word| {
                tail.len() >= word.len()
                    && tail
                        .get(tail.len() - word.len()..)
                        .is_some_and(|end| end.eq_ignore_ascii_case(word))
            }),
    }
}

/// A digit and a dot before a number make it the fraction of another.
fn fraction(bytes: &[u8], start: usize) -> bool {
    start >= 2
        && bytes.get(start - 1) == Some(&b'.')
        && bytes.get(start - 2).is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::speaks_for;

    /// `#` stands for the number.
    #[track_caller]
    fn check(text: &str, needed: bool, expected: bool) {
        let start = text.find('#').expect("a place");
        let text = text.replace('#', "4111111111111111");
        assert_eq!(
            speaks_for(text.as_bytes(), start, start + 16, needed),
            expected,
            "{text}"
        );
    }

    #[test]
    fn a_key_against_it_refuses() {
        check("tracking=#", false, false);
        check("{\"trackingNumber\":\"#\"", false, false);
        check("imei: #", false, false);
        check("?sku=#", false, false);
        check("\"EAN\":\"#\"", false, false);
        check("order # shipped", false, false);
        check("payment.WARNING: tracking=#", false, false);
        check("time=0.#", false, false);
        check("a3f#", false, false);
        check("#e7", false, false);
    }

    #[test]
    fn a_key_of_something_else_does_not() {
        check("order_id=5&x=#", false, true);
        check("\"order_id\":12345,\"n\":\"#\"", false, true);
        check("order 000000123 paid with #", false, true);
        check("order paid by card #", false, true);
        check("order_card_number=#", false, true);
        check("clean=#", false, true);
        check("track2=;#=29121010000?", false, true);
        check("border: #", false, true);
        check("<order>9</order><n>#</n>", false, true);
    }

    #[test]
    fn escapes_and_tracks_may_be_glued() {
        check("cc=3D#", false, true);
        check("cc%3D#", false, true);
        check("\\u0022#\\u0022", false, true);
        check("\\x22#\\x22", false, true);
        check("%B#^DOE/JO^2912101000?", false, true);
        check("#D2912101000", false, true);
        check("#D2999101000", false, false);
    }

    #[test]
    fn a_weak_brand_needs_a_word() {
        check("n=#", true, false);
        check("n=#&cvv=1", true, true);
        check("<CardNumber>#", true, true);
        check("company=#", true, false);
    }
}
