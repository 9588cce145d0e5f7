//! Speed of search and masking over generated log lines of several formats, with test numbers planted
//! in nine forms and look-alikes strewn between them.
//!
//! Prints GB/s (10^9 bytes), the median of five passes after one to warm up, together with how many
//! planted numbers were found and how many reports were of something else: neither means much alone.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use cardholder::{FingerprintKey, Hit, Masker, Scanner, level_name};
use model::MarkKind;

/// Bytes of text.
const SIZE: usize = 64 << 20;

/// A small generator of random numbers; the same text every time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A test number in one of nine forms.
fn planted(form: u64) -> &'static str {
    match form % 9 {
        0 => "card 4111111111111111",
        1 => "cc_number: 5555 5555 5555 4444",
        2 => "pan=3782-822463-10005",
        3 => "payment%5Bcc_number%5D=6011+1111+1111+1117&payment%5Bcc_exp_month%5D=04",
        4 => "{\"cc_number\":\"3566002020360505\",\"cc_exp_year\":\"2029\"}",
        5 => "UPDATE quote_payment SET cc_number_enc='4012888888881881' WHERE payment_id=9",
        6 => ";4242424242424242=29121011234567?",
        7 => "<CardNumber>30569309025904</CardNumber>",
        _ => "n=%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31&x=1",
    }
}

/// Something that only looks like a card number.
fn decoy(random: &mut Random) -> String {
    match random.next(6) {
        0 => format!("ref 411111111111{:04}", 2000 + random.next(1000)),
        1 => format!(
            "ts=17{:014}",
            random.next(100_000_000) * 1_000_000 + random.next(1_000_000)
        ),
        2 => format!("sha256={:016x}{:016x}", random.0, random.0.rotate_left(17)),
        3 => format!(
            "tracking={}{:010}{:07}",
            4 + random.next(3),
            random.next(4_000_000_000),
            random.next(9_999_999)
        ),
        4 => format!(
            "time=0.4{:09}{:07}",
            random.next(999_999_999),
            random.next(9_999_999)
        ),
        _ => format!(
            "uuid={:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            random.next(1 << 31),
            random.next(1 << 16),
            random.next(1 << 12),
            random.next(1 << 12),
            random.0 >> 16
        ),
    }
}

fn line(random: &mut Random, extra: &str) -> String {
    let (minute, second, id) = (random.next(60), random.next(60), random.next(1_000_000));
    let address = format!("203.0.{}.{}", random.next(256), random.next(256));
    match random.next(5) {
        0 => format!(
            "{address} - - [05/Aug/2026:10:{minute:02}:{second:02} +0000] \"GET /catalog/product/view/id/{id}?{extra} HTTP/1.1\" 200 {id} \"https://shop.example/checkout/\" \"Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\"\n"
        ),
        1 => format!(
            "{{\"time\":\"2026-08-05T10:{minute:02}:{second:02}+00:00\",\"remote_addr\":\"{address}\",\"method\":\"POST\",\"uri\":\"/rest/V1/guest-carts/{:016x}{:016x}/payment-information\",\"status\":200,\"args\":\"{extra}\"}}\n",
            random.0,
            random.0.rotate_left(29)
        ),
        2 => format!(
            "20260805 10:{minute:02}:{second:02},db1,magento,10.0.0.5,{id},{id},QUERY,magento,'SELECT `main_table`.* FROM `sales_order` AS `main_table` WHERE (entity_id = {id}) LIMIT 1 /* {extra} */',0\n"
        ),
        3 => format!(
            "[2026-08-05T10:{minute:02}:{second:02}.{id:06}+00:00] report.INFO: {extra} Cron Job indexer_reindex_all_invalid has an error {{\"order_id\":{id}}} []\n"
        ),
        _ => format!(
            "type=SYSCALL msg=audit(1785924930.{:03}:{id}): arch=c000003e syscall=59 success=yes exit=0 ppid={id} pid={id} auid=1000 uid=33 comm=\"php-fpm8.3\" exe=\"/usr/sbin/php-fpm8.3\" key=\"{extra}\"\n",
            random.next(1000)
        ),
    }
}

/// The text, where in it the lines with a planted number begin and end, in order.
fn text() -> (Vec<u8>, Vec<(u64, u64)>) {
    let (mut text, mut places, mut random) =
        (Vec::with_capacity(SIZE + 1024), Vec::new(), Random(1));
    while text.len() < SIZE {
        let start = text.len() as u64;
        // About eight planted numbers and four hundred look-alikes in a mebibyte.
        let plant = random.next(800) == 0;
        let extra = if plant {
            planted(places.len() as u64).to_owned()
        } else if random.next(14) == 0 {
            decoy(&mut random)
        } else {
            String::new()
        };
        text.extend_from_slice(line(&mut random, &extra).as_bytes());
        if plant {
            places.push((start, text.len() as u64));
        }
    }
    (text, places)
}

/// Median speed of five passes; `run` tells how long one took.
fn median(bytes: usize, mut run: impl FnMut() -> f64) -> f64 {
    run();
    let mut speeds: Vec<f64> = (0..5).map(|_| bytes as f64 / run() / 1e9).collect();
    speeds.sort_by(f64::total_cmp);
    speeds[2]
}

fn search(name: &str, text: &[u8], places: &[(u64, u64)], scanner: impl Fn() -> Scanner) -> String {
    let mut hits: Vec<Hit> = Vec::new();
    let speed = median(text.len(), || {
        hits.clear();
        let mut scanner = scanner();
        let start = Instant::now();
        for chunk in text.chunks(256 * 1024) {
            scanner.push(chunk, false, &mut |hit| hits.push(hit));
        }
        scanner.push(&[], true, &mut |hit| hits.push(hit));
        start.elapsed().as_secs_f64()
    });
    let found = places
        .iter()
        .filter(|place| {
            hits.iter()
                .any(|hit| (place.0..place.1).contains(&hit.offset_bytes))
        })
        .count();
    format!(
        "search {name:<9}{speed:.2} GB/s, {found} of {} planted found, {} other reports",
        places.len(),
        hits.len() - found
    )
}

fn mask(text: &[u8], places: &[(u64, u64)]) -> String {
    let masker = Masker::new(FingerprintKey::new([1; 32]));
    let ends: Vec<usize> = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at)
        .collect();
    let (mut copy, mut marks) = (text.to_vec(), Vec::new());
    let speed = median(text.len(), || {
        copy.copy_from_slice(text);
        marks.clear();
        let start = Instant::now();
        let mut from = 0;
        for end in &ends {
            masker.mask(&mut copy[from..*end], &mut marks);
            from = end + 1;
        }
        black_box(&copy);
        start.elapsed().as_secs_f64()
    });
    let numbers = marks
        .iter()
        .filter(|mark| {
            matches!(
                mark.kind,
                MarkKind::Pan | MarkKind::Track1 | MarkKind::Track2
            )
        })
        .count();
    format!(
        "mask   {:<9}{speed:.2} GB/s, {numbers} of {} planted masked, {} other marks",
        level_name(),
        places.len(),
        marks.len() - numbers
    )
}

/// What the machine gives: one pass that adds up every byte.
fn limit(text: &[u8]) -> String {
    let speed = median(text.len(), || {
        let start = Instant::now();
        let sum = text.as_chunks::<8>().0.iter().fold(0_u64, |sum, part| {
            sum.wrapping_add(u64::from_le_bytes(*part))
        });
        black_box(sum);
        start.elapsed().as_secs_f64()
    });
    format!("limit read      {speed:.2} GB/s")
}

/// What one would write first: brands and lengths as a regular expression, in the clear only, no check digit.
fn peer(text: &[u8]) -> String {
    let pattern = r"(?-u)\b(?:4\d{12}(?:\d{3})?|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d\d)\d{12}|35\d{14})\b";
    let pattern = regex::bytes::Regex::new(pattern).expect("a pattern");
    let speed = median(text.len(), || {
        let start = Instant::now();
        black_box(pattern.find_iter(text).count());
        start.elapsed().as_secs_f64()
    });
    format!("peer regex      {speed:.2} GB/s")
}

fn main() {
    let (text, places) = text();
    let mut out = std::io::stdout().lock();
    for line in [
        limit(&text),
        peer(&text),
        search(level_name(), &text, &places, Scanner::new),
        search("portable", &text, &places, Scanner::portable),
        mask(&text, &places),
    ] {
        writeln!(out, "{line}").expect("stdout");
    }
}
