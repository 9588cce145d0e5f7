//! Finds where in bytes a card number may lie, fast, and judges each place with care.
//!
//! 64 bytes become one bit mask of digits ([`crate::level`]); shifts of it leave the places where
//! twelve digits follow each other, groups of four stand a separator apart, or digits alternate with
//! an encoding's own bytes. Only those few go to code that looks at them digit by digit.
//! Time is linear in the input whatever it holds.

use crate::separator::separator_at;
use model::{Brand, MarkKind};

use crate::brand::{check_digit_holds, is_test, issued};
use crate::context;
use crate::encoded::{COVERED, Encoding, Stretch};
use crate::level::{Digits, Level, Work};
use crate::track;

/// A number may start so many bytes before the first of its digits that is encoded.
const NEAR: usize = 64;
/// Bytes of context, from a number's first byte on, that a judgement may look at.
pub(crate) const AHEAD: usize = crate::encoded::STRETCH;
/// Bytes of context before a number that a judgement may look at.
pub(crate) const BEHIND: usize = crate::encoded::STRETCH;

/// A card number found, by place. No `Debug`: it holds the digits.
#[derive(Clone, Copy)]
pub(crate) struct Number {
    pub(crate) start: usize,
    /// End of the number itself.
    pub(crate) end: usize,
    /// A number, or the track it stands in.
    pub(crate) kind: MarkKind,
    /// End of the number, or of its track.
    pub(crate) whole_end: usize,
    pub(crate) brand: Brand,
    /// Digit values, the first `count` used.
    pub(crate) digits: [u8; 19],
    /// Where the byte of each digit stands, counted from `start`.
    pub(crate) places: [u8; 19],
    pub(crate) count: u8,
    pub(crate) is_test: bool,
}

impl Number {
    /// The digit values.
    pub(crate) fn values(&self) -> &[u8] {
        self.digits
            .get(..usize::from(self.count))
            .unwrap_or_default()
    }

    /// Where the byte of each digit stands in the searched bytes.
    pub(crate) fn places(&self) -> impl ExactSizeIterator<Item = usize> {
        self.places
            .iter()
            .take(usize::from(self.count))
            .map(|place| self.start + usize::from(*place))
    }
}

/// Digits gathered so far, with where each stands.
#[derive(Clone, Copy, Default)]
struct Gathered {
    digits: [u8; 19],
    places: [u8; 19],
    count: usize,
}

impl Gathered {
    /// Adds the digit at `place`, counted from the number's start; nothing past nineteen.
    fn add(&mut self, byte: u8, place: usize) -> Option<()> {
        *self.digits.get_mut(self.count)? = byte.wrapping_sub(b'0');
        *self.places.get_mut(self.count)? = u8::try_from(place).ok()?;
        self.count += 1;
        Some(())
    }
}

/// Gives `found` every card number in `bytes`, in order, not overlapping.
pub(crate) fn numbers(level: Level, bytes: &[u8], found: &mut dyn FnMut(Number)) {
    if bytes.len() >= 12 {
        level.run(Search {
            bytes,
            found,
            past: 0,
            decoded: [0; 3],
            later: Vec::new(),
            deep: true,
        });
    }
}

/// One search in progress.
struct Search<'a> {
    bytes: &'a [u8],
    found: &'a mut dyn FnMut(Number),
    /// End of the last number found.
    past: usize,
    /// For escapes, and UTF-16 at even and odd places: numbers that start before this were looked for already.
    decoded: [usize; 3],
    /// Numbers seen in a decoded stretch ahead of their place, the nearest last; their turn comes.
    later: Vec<Number>,
    /// Whether to look into encoded stretches.
    deep: bool,
}

/// Places worth a look among 32 bytes, as bit masks.
struct Places {
    /// Digits side by side, or groups of them.
    plain: u64,
    /// Digit, other, digit, other…
    utf16: u64,
    /// Other, digit, digit, other, digit, digit…
    percent: u64,
}

impl Places {
    /// Reads them off the digit mask of 64 bytes: no pattern is longer than 32.
    #[inline(always)]
    fn of(digits: u64) -> Self {
        let four = {
            let pairs = digits & (digits >> 1);
            pairs & (pairs >> 2)
        };
        let twelve = four & (four >> 4) & (four >> 8);
        // Four, a separator of one to four, six or eight bytes (see `SEPARATORS`), then four and four or six and four.
        let groups = |gap: u32| {
            (four >> (4 + gap))
                & ((four >> (8 + 2 * gap)) | ((four >> (6 + gap)) & (four >> (10 + 2 * gap))))
        };
        let grouped = groups(1) | groups(2) | groups(3) | groups(4) | groups(6) | groups(8);
        let alternating = digits & !(digits >> 1);
        let two = alternating & (alternating >> 2);
        let alternating = two & (two >> 4);
        let utf16 = alternating & ((alternating >> 8) | (alternating >> 10));
        let led = !digits & (digits >> 1) & (digits >> 2);
        let two = led & (led >> 3);
        let led = two & (two >> 6);
        let percent = led & ((led >> 12) | (led >> 13));
        let here = u64::from(u32::MAX);
        Self {
            plain: (twelve | (four & !(digits >> 4) & grouped)) & here,
            utf16: utf16 & here,
            percent: percent & here,
        }
    }
}

impl Work for Search<'_> {
    #[inline(always)]
    fn with<D: Digits>(mut self, level: D) {
        let bytes = self.bytes;
        let mut next = mask(level, bytes, 0);
        let mut base = 0;
        while base < bytes.len() {
            let this = next;
            next = mask(level, bytes, base + 64);
            let (front, back) = (Places::of(this), Places::of((this >> 32) | (next << 32)));
            if (front.plain | front.utf16 | front.percent | back.plain | back.utf16 | back.percent)
                != 0
            {
                self.look(base, &front);
                self.look(base + 32, &back);
            }
            base += 64;
        }
        self.turn(usize::MAX);
    }
}

/// The digit mask of the 64 bytes at `at`, those past the end not digits.
#[inline(always)]
fn mask<D: Digits>(level: D, bytes: &[u8], at: usize) -> u64 {
    let Some(rest) = bytes.get(at..) else {
        return 0;
    };
    if let Some((block, _)) = rest.split_first_chunk::<64>() {
        return level.digits(block);
    }
    if rest.is_empty() {
        return 0;
    }
    // The last 64 bytes, those before `at` shifted out; a copy only where there are fewer.
    if let Some(block) = bytes.last_chunk::<64>() {
        return level.digits(block) >> (64 - rest.len());
    }
    let mut block = [0; 64];
    if let Some(front) = block.get_mut(..rest.len()) {
        front.copy_from_slice(rest);
    }
    level.digits(&block)
}

impl Search<'_> {
    /// Looks at the places among the 32 bytes at `base`.
    #[inline(never)]
    fn look(&mut self, base: usize, places: &Places) {
        let mut all = places.plain | places.utf16 | places.percent;
        while all != 0 {
            let bit = all.trailing_zeros();
            let at = base + bit as usize;
            all &= all - 1;
            let here = |mask: u64| mask & (1 << bit) != 0;
            if here(places.plain) {
                let run = self.side_by_side(at);
                // The rest of one run of twelve and more is the same place.
                if run >= 12 {
                    all &= u64::MAX
                        .checked_shl(bit + u32::try_from(run).unwrap_or(64))
                        .unwrap_or(0);
                }
            }
            if here(places.utf16) && self.deep && self.bytes.get(at + 1) == Some(&0) {
                self.stretch(at, Encoding::Utf16);
            }
            if here(places.percent) && self.deep && self.bytes.get(at) == Some(&b'%') {
                self.stretch(at, Encoding::Escaped);
            }
        }
    }

    /// Reports a number, unless it overlaps the one before.
    fn take(&mut self, number: Number) {
        if !self.later.is_empty() {
            self.turn(number.start);
        }
        if number.start >= self.past {
            self.past = number.whole_end;
            (self.found)(number);
        }
    }

    /// Reports the numbers seen ahead that start before `until`.
    fn turn(&mut self, until: usize) {
        while let Some(number) = self.later.pop_if(|number| number.start < until) {
            if number.start >= self.past {
                self.past = number.whole_end;
                (self.found)(number);
            }
        }
    }

    /// Looks at a run of digits, or groups of them; tells how many digits follow from `at` on, up to 32.
    fn side_by_side(&mut self, at: usize) -> usize {
        let run = self
            .bytes
            .get(at..)
            .unwrap_or_default()
            .iter()
            .take(32)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if at < self.past {
            return run;
        }
        let escape = at
            .checked_sub(2)
            .and_then(|from| self.bytes.get(from..at + 2));
        if self.deep && escape == Some(b"\\u00") {
            self.stretch(at - 2, Encoding::Escaped);
        } else if let Some(number) = plain_or_grouped(self.bytes, at) {
            self.take(number);
        }
        run
    }

    /// Decodes around `at` and searches there.
    #[inline(never)]
    fn stretch(&mut self, at: usize, encoding: Encoding) {
        let [escaped, even, odd] = &mut self.decoded;
        let decoded = match encoding {
            Encoding::Escaped => escaped,
            Encoding::Utf16 if at.is_multiple_of(2) => even,
            Encoding::Utf16 => odd,
        };
        if at < *decoded || at < self.past {
            return;
        }
        *decoded = at + COVERED;
        let stretch = Stretch::around(self.bytes, at, encoding);
        let mut inner = Vec::new();
        let mut push = |number: Number| inner.push(number);
        Search {
            bytes: &stretch.text,
            found: &mut push,
            past: 0,
            decoded: [0; 3],
            later: Vec::new(),
            deep: false,
        }
        .with(crate::level::Portable);
        for number in inner {
            let (start, end) = (stretch.start(number.start), stretch.start(number.end));
            let whole_end = stretch.start(number.whole_end);
            // What starts later is found from its own place, with all of it in sight.
            if start + NEAR < at || start >= at + COVERED {
                continue;
            }
            let mut places = [0; 19];
            let fits = number.places().zip(&mut places).all(|(index, to)| {
                match u8::try_from(stretch.tell(index).saturating_sub(start)) {
                    Ok(place) => {
                        *to = place;
                        true
                    }
                    Err(_) => false,
                }
            });
            let number = Number {
                start,
                end,
                whole_end,
                places,
                ..number
            };
            if fits && start <= at {
                self.take(number);
            } else if fits {
                self.later.push(number);
            }
        }
        self.later
            .sort_by_key(|number| std::cmp::Reverse(number.start));
    }
}

/// Reads the number whose digits stand around `at`: one run, or groups a separator apart.
fn plain_or_grouped(bytes: &[u8], at: usize) -> Option<Number> {
    let mut start = at;
    while start > 0 && at - start < 32 && bytes.get(start - 1).is_some_and(u8::is_ascii_digit) {
        start -= 1;
    }
    let run = bytes
        .get(start..)?
        .iter()
        .take(32)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let escapes = escape_digits(bytes, start);
    if run >= 12 {
        let trimmed = escapes
            .iter()
            .find_map(|digits| plain(bytes, start + digits, start + run));
        return trimmed.or_else(|| plain(bytes, start, start + run));
    }
    escapes
        .iter()
        .find_map(|digits| grouped(bytes, start + digits))
        .or_else(|| grouped(bytes, start))
}

/// How many leading digits of a run may belong to an escape before it: `%22`, `%2522`, `\x22`, `\u0022`.
fn escape_digits(bytes: &[u8], start: usize) -> &'static [usize] {
    match bytes.get(start.saturating_sub(2)..start) {
        Some([b'\\', b'u']) => &[4],
        Some([b'\\', b'x']) => &[2],
        Some([_, b'%'] | [b'%']) if bytes.get(start..start + 2) == Some(b"25") => &[4, 2],
        Some([_, b'%'] | [b'%']) => &[2],
        // `%C2%A04111`: letters end the escape, but `%D04111` leaves its last digit to the run.
        _ if start >= 2
            && bytes.get(start - 2) == Some(&b'%')
            && bytes.get(start - 1).is_some_and(u8::is_ascii_hexdigit) =>
        {
            &[1]
        }
        _ => &[],
    }
}

fn plain(bytes: &[u8], start: usize, end: usize) -> Option<Number> {
    let run = bytes.get(start..end)?;
    if !(12..=19).contains(&run.len()) {
        return None;
    }
    let mut gathered = Gathered::default();
    for (place, byte) in run.iter().enumerate() {
        gathered.add(*byte, place)?;
    }
    judge(bytes, start, end, &gathered)
}

/// Reads groups such as 4-4-4-4, 4-6-5, 4-6-4 with one kind of separator.
fn grouped(bytes: &[u8], start: usize) -> Option<Number> {
    let (mut gathered, mut at) = (Gathered::default(), start);
    let (mut groups, mut group_count) = ([0_u8; 5], 0);
    let mut separator: Option<&[u8]> = None;
    let mut shorter = None;
    loop {
        let room = if group_count == 0 { 4 } else { 6 };
        let length = bytes
            .get(at..)?
            .iter()
            .take(room)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        for (index, byte) in bytes.get(at..at + length)?.iter().enumerate() {
            let Some(()) = gathered.add(*byte, at + index - start) else {
                return shorter;
            };
        }
        *groups.get_mut(group_count)? = u8::try_from(length).ok()?;
        group_count += 1;
        at += length;
        let shape = groups.get(..group_count)?;
        if bytes.get(at).is_some_and(u8::is_ascii_digit) {
            return shorter;
        }
        if matches!(
            shape,
            [4, 4, 4, 4] | [4, 4, 4, 4, 1..=3] | [4, 6, 4 | 5] | [4, 4, 4, 1..=3] | [4, 4, 5]
        ) && !in_a_chain(bytes, start, at, separator.unwrap_or_default())
        {
            // `4111 1111 1111 1111 123`: what follows a whole number may belong to it, or be a code or date.
            shorter = judge(bytes, start, at, &gathered).or(shorter);
        }
        let next = separator_at(bytes.get(at..)?, separator);
        match next.filter(|next| {
            bytes.get(at + next.len()).is_some_and(u8::is_ascii_digit) && group_count < 5
        }) {
            Some(next) => {
                separator = Some(next);
                at += next.len();
            }
            None => return shorter,
        }
    }
}

/// Groups of four on and on are a dump or an account number of another kind, not a card number.
fn in_a_chain(bytes: &[u8], start: usize, end: usize, separator: &[u8]) -> bool {
    let group = |at: usize| {
        bytes
            .get(at..at + 4)
            .is_some_and(|group| group.iter().all(u8::is_ascii_digit))
    };
    let before = start.checked_sub(separator.len() + 4).is_some_and(|at| {
        group(at)
            && bytes
                .get(at + 4..)
                .is_some_and(|rest| rest.starts_with(separator))
    });
    let behind = bytes
        .get(end..)
        .is_some_and(|rest| rest.starts_with(separator))
        && group(end + separator.len());
    before && behind
}

/// Decides on one number by brand, length, check digit and what stands around it.
fn judge(bytes: &[u8], start: usize, end: usize, gathered: &Gathered) -> Option<Number> {
    let values = gathered.digits.get(..gathered.count)?;
    if !check_digit_holds(values) {
        return None;
    }
    let issued = issued(values)?;
    let test = is_test(values);
    if !context::speaks_for(bytes, start, end, issued.needs_context && !test) {
        return None;
    }
    // Ten equal digits in a row are a filler, not a number anyone was given.
    if !test
        && values
            .windows(10)
            .any(|window| window.iter().all(|digit| Some(digit) == window.first()))
    {
        return None;
    }
    let (kind, whole_end) = track::around(bytes, end).unwrap_or((MarkKind::Pan, end));
    Some(Number {
        start,
        end,
        kind,
        whole_end,
        brand: issued.brand,
        digits: gathered.digits,
        places: gathered.places,
        count: u8::try_from(gathered.count).ok()?,
        is_test: test,
    })
}

#[cfg(test)]
mod tests {
    use super::numbers;
    use crate::level::Level;

    /// Ends of what is found, as `last four` texts.
    #[track_caller]
    fn check(text: &[u8], expected: &[&str]) {
        for level in Level::every() {
            let mut found = Vec::new();
            numbers(level, text, &mut |number| {
                let values = number.values();
                let last: String = values[values.len() - 4..]
                    .iter()
                    .map(|digit| char::from(digit + b'0'))
                    .collect();
                found.push(last);
            });
            assert_eq!(
                found,
                expected,
                "{} {}",
                level.name(),
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn finds_every_form() {
        check(b"cc=4111111111111111", &["1111"]);
        check(b"4111 1111 1111 1111", &["1111"]);
        check(b"4111-1111-1111-1111 12/29", &["1111"]);
        check(b"4111.1111.1111.1111", &["1111"]);
        check(b"4111+1111+1111+1111", &["1111"]);
        check(b"3782 822463 10005", &["0005"]);
        check(b"q=4111%201111%201111%201111&x", &["1111"]);
        check(b"q=4111%2D1111%2D1111%2D1111&x", &["1111"]);
        check(b"%224111111111111111%22", &["1111"]);
        check(b"\\u00224111111111111111\\u0022", &["1111"]);
        check(b"{\\\"n\\\":\\\"4111111111111111\\\"}", &["1111"]);
        check("4111\u{a0}1111\u{a0}1111\u{a0}1111".as_bytes(), &["1111"]);
        check(
            b"n=%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31&",
            &["1111"],
        );
        let wide: Vec<u8> = "x=4111111111111111;"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        check(&wide, &["1111"]);
        let wide: Vec<u8> = "x=4111111111111111;"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        check(&wide, &["1111"]);
        let wide: Vec<u8> = "x=4111 1111 1111 1111;"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        check(&wide, &["1111"]);
        check(
            b"n=%34%31%31%31%20%31%31%31%31%20%31%31%31%31%20%31%31%31%31&",
            &["1111"],
        );
        check(b"\\x224111111111111111\\x22", &["1111"]);
        check(b"%25224111111111111111%2522", &["1111"]);
        check(b"=3D4111111111111111", &["1111"]);
        check(b"n%3D4111111111111111%26", &["1111"]);
        check(b"\"4111\\u00a01111\\u00a01111\\u00a01111\"", &["1111"]);
        check(b"4111&nbsp;1111&nbsp;1111&nbsp;1111", &["1111"]);
        check(b"4111%C2%A01111%C2%A01111%C2%A01111", &["1111"]);
        check(b"4111\\xC2\\xA01111\\xC2\\xA01111\\xC2\\xA01111", &["1111"]);
        check(b"s:16:\"4111111111111111\";", &["1111"]);
        check(b"\"\\u0034\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\"", &["1111"]);
        check(
            b"4111111111111111|12|2029|123|5555555555554444|11",
            &["1111", "4444"],
        );
        check(b"visa 4111 1111 1111 1111 exp 12/29", &["1111"]);
        check(b"4111 1111 1111 1111 123", &["1111"]);
        check(b"6205 5000 0000 0000 004", &["0004"]);
        check(b"3056 930902 5904", &["5904"]);
        check(b"2026 4111 1111 1111 1111", &["1111"]);
        check(b"6205500000000000004", &["0004"]);
        check(b"4222222222222", &["2222"]);
    }

    #[test]
    fn finds_a_number_across_a_block_border() {
        for pad in 40..130 {
            let mut text = vec![b'x'; pad];
            text.extend_from_slice(b"=4111111111111111=");
            check(&text, &["1111"]);
        }
    }

    #[test]
    fn refuses_what_only_looks_like_one() {
        check(b"GET /order/4111111111111112", &[]);
        check(b"id=41111111111111110000111", &[]);
        check(b"2026-11-23 22:27:55 1795472875123", &[]);
        check(b"000000001 2000000001", &[]);
        check(b"41111111-1111-4111-8111-111111111111", &[]);
        check(b"deadbeef-4111-1111-1111-111111111111", &[]);
        check(b"0000 4111 1111 1111 1111 0000", &[]);
        check(b"time=0.4111111111111111", &[]);
        check(b"sha256=ab4111111111111111cd", &[]);
        check(b"imei: 378282246310005", &[]);
        check(b"/order/view/order_id/4111111111111111/", &[]);
        check(b"0004111111111111111", &[]);
        check(b"4111 1111-1111 1111", &[]);
        check(b"4111  1111  1111  1111", &[]);
        check(b"", &[]);
    }
}
