//! Speed of search and masking over generated log lines, with planted test numbers counted.
//!
//! Prints GB/s (10^9 bytes), the median of five passes, and how many planted numbers were found.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use cardholder::{FingerprintKey, Masker, Scanner};

fn lines() -> (Vec<u8>, u64) {
    let (mut text, mut planted, mut state) = (Vec::new(), 0, 1_u64);
    while text.len() < 64 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let random = state >> 33;
        let line = format!(
            "203.0.113.{} - - [05/Aug/2026:10:{:02}:{:02} +0000] \"GET /catalog/product/view/id/{}?t={} HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\"\n",
            random % 256, random % 60, random % 59, random, 1_785_924_930_000 + random % 1_000_000, random % 100_000
        );
        text.extend_from_slice(line.as_bytes());
        if random % 700 == 0 {
            text.extend_from_slice(b"POST /pay cc=4111%201111%201111%201111&x=1\n");
            planted += 1;
        }
    }
    (text, planted)
}

fn median(mut run: impl FnMut() -> u64, bytes: usize) -> (f64, u64) {
    let mut speeds = Vec::new();
    let mut found = 0;
    for _ in 0..5 {
        let start = Instant::now();
        found = run();
        speeds.push(bytes as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    speeds.sort_by(f64::total_cmp);
    (speeds[2], found)
}

fn main() {
    let (text, planted) = lines();
    let (search, found) = median(
        || {
            let (mut scanner, mut count) = (Scanner::new(), 0);
            for chunk in text.chunks(256 * 1024) {
                scanner.push(chunk, false, &mut |_| count += 1);
            }
            scanner.push(&[], true, &mut |_| count += 1);
            count
        },
        text.len(),
    );
    let masker = Masker::new(FingerprintKey::new([1; 32]));
    let (mask, masked) = median(
        || {
            let mut copy = text.clone();
            let mut marks = Vec::new();
            let mut start = 0;
            for end in memchr::memchr_iter(b'\n', &text) {
                masker.mask(&mut copy[start..end], &mut marks);
                start = end + 1;
            }
            black_box(&copy);
            marks.len() as u64
        },
        text.len(),
    );
    let mut out = std::io::stdout().lock();
    writeln!(out, "search {search:.2} GB/s, {found} of {planted} planted found").expect("stdout");
    writeln!(out, "mask   {mask:.2} GB/s, {masked} of {planted} planted masked").expect("stdout");
}
