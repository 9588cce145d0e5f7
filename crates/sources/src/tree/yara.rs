//! Content rules in YARA's language: those of ours (`content/yara/*.yar`) and a merchant's own, compiled to one set.
//!
//! They say what literal signatures can't: regular expressions, counts, places. Apart because of what it brings, an engine of its
//! own; `yara_none.rs` stands in its place where the feature `yara` isn't built in. Conditions are interpreted, not made into
//! machine code, so that a service may forbid memory that is both written and run.
//!
//! Invariant: rules read nothing but the content they are given: `include` is refused and no module is built in.

use std::time::Duration;

use yara_x::{Compiler, MetaValue, Rule, ScanResults, SourceCode, blocks};

use super::rules::{Example, Found, Refused};

/// The namespace of rules that are built in.
const OWN: &str = "own";
/// What else than the content a rule can ask for, empty where it isn't known: names as public sets of rules have them.
const GLOBALS: [&str; 3] = ["filename", "filepath", "extension"];
/// How long rules may take for a content in one piece; for one in blocks, and for each GiB of it.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
const PATIENCE_BLOCKS: Duration = Duration::from_secs(120);
/// Places of a pattern that are counted and kept.
const MATCHES_MAX: usize = 256;
/// How deep a file of rules may nest: the compiler calls itself for each level.
const DEPTH_MAX: usize = 200;
/// A merchant's rules that are named of one content.
const NAMED_MAX: usize = 32;

/// Rules, ready to be run.
pub(super) struct Rules {
    compiled: yara_x::Rules,
    has_merchants: bool,
}

impl Rules {
    /// Compiles names and texts of ours and of a merchant's files. What is wrong with a rule costs that rule alone.
    pub(super) fn compile(
        own: &[(String, Vec<u8>)],
        merchants: &[(String, Vec<u8>)],
    ) -> (Self, Vec<Refused>) {
        let mut compiler = Compiler::new();
        compiler
            .enable_includes(false)
            .relaxed_re_syntax(true)
            .error_on_slow_pattern(true)
            .error_on_slow_loop(true)
            .max_warnings(0);
        for name in GLOBALS {
            compiler
                .define_global(name, "")
                .expect("it is a name, and defined once");
        }
        let mut refused = Vec::new();
        let own = own.iter().map(|file| (OWN.to_owned(), file));
        let merchants = merchants
            .iter()
            .map(|file| (format!("merchant/{}", file.0), file));
        for (namespace, (name, text)) in own.chain(merchants) {
            if let Some(line) = too_deep(text) {
                refused.push(Refused {
                    file: name.clone(),
                    line,
                    why: format!("it nests more than {DEPTH_MAX} deep, so the file isn't used"),
                });
                continue;
            }
            let before = compiler.errors().len();
            compiler.new_namespace(&namespace);
            let source = SourceCode::from(text.as_slice()).with_origin(name.as_str());
            if compiler.add_source(source).is_ok() {
                continue;
            }
            for error in compiler.errors().iter().skip(before) {
                let label = error.labels().next();
                let (start, words) = label.map_or((0, String::new()), |label| {
                    (label.span().start(), format!(", {}", label.text()))
                });
                refused.push(Refused {
                    file: name.clone(),
                    line: line_of(text, start),
                    why: format!("{}{words}", error.title()),
                });
            }
        }
        let compiled = compiler.build();
        let rules = Self {
            has_merchants: compiled.iter().any(|rule| rule.namespace() != OWN),
            compiled,
        };
        (rules, refused)
    }

    /// Names and descriptions; those that only serve others (`private`) are left out.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let named = self.compiled.iter().filter(|rule| !rule.is_private());
        named
            .map(|rule| {
                let description = meta(&rule, "description").next().unwrap_or_default();
                let description = String::from_utf8_lossy(description).into_owned();
                (shown(&rule), description)
            })
            .collect()
    }

    /// Whether there are any of a merchant's.
    pub(super) fn has_merchants(&self) -> bool {
        self.has_merchants
    }

    /// Literals of which a content has one that any of our rules is about: those of `needs` in their `meta`, `|` between them.
    pub(super) fn needs(&self) -> Vec<String> {
        let rules: Vec<_> = self.compiled.iter().collect();
        let needs = rules.iter().flat_map(|rule| meta(rule, "needs"));
        let needs = needs.flat_map(|texts| texts.split(|byte| *byte == b'|'));
        needs
            .filter(|literal| !literal.is_empty())
            .map(|literal| String::from_utf8_lossy(literal).into_owned())
            .collect()
    }

    /// Contents that rules say, in `match` and `pass` of their `meta`, they must and must not match.
    pub(super) fn examples(&self) -> Vec<Example> {
        let mut examples = Vec::new();
        for rule in self.compiled.iter() {
            for (key, matches) in [("match", true), ("pass", false)] {
                examples.extend(meta(&rule, key).map(|content| Example {
                    rule: shown(&rule),
                    content: content.to_vec(),
                    matches,
                }));
            }
        }
        examples
    }

    /// One that runs them over contents, one after the other.
    pub(super) fn scanner(&self) -> Scanner<'_> {
        let mut whole = yara_x::Scanner::new(&self.compiled);
        whole
            .set_timeout(PATIENCE)
            .max_matches_per_pattern(MATCHES_MAX)
            .fast_scan(true);
        Scanner {
            rules: self,
            whole,
            blocks: None,
            patience: PATIENCE_BLOCKS,
            globals: Default::default(),
            found: Found::default(),
        }
    }
}

/// What a rule's `meta` says under a key; a text with escapes comes as bytes.
fn meta<'r>(rule: &Rule<'_, 'r>, wanted: &str) -> impl Iterator<Item = &'r [u8]> {
    rule.metadata().filter_map(move |(key, value)| match value {
        MetaValue::String(text) if key == wanted => Some(text.as_bytes()),
        MetaValue::Bytes(bytes) if key == wanted => Some(bytes.as_ref()),
        _ => None,
    })
}

/// The line of a place, from 1.
fn line_of(text: &[u8], at: usize) -> usize {
    memchr::memchr_iter(b'\n', text.get(..at).unwrap_or_default()).count() + 1
}

/// The line where brackets and prefixes (`not`, `-` …) nest deeper than [`DEPTH_MAX`].
fn too_deep(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth, mut prefixes) = (0, 0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let ends = |end: &[u8]| {
            memchr::memmem::find(rest, end).map_or(rest.len(), |found| found + end.len())
        };
        at += match rest {
            [b'/', b'/', ..] => ends(b"\n"),
            [b'/', b'*', ..] => ends(b"*/"),
            [quote @ (b'"' | b'/'), inside @ ..] => {
                let mut is_escaped = false;
                let length = inside.iter().position(|byte| {
                    let ends = !is_escaped && byte == quote || *byte == b'\n';
                    is_escaped = *byte == b'\\' && !is_escaped;
                    ends
                });
                prefixes = 0;
                length.map_or(rest.len(), |length| length + 2)
            }
            [b'(' | b'[' | b'{', ..] => {
                depth += 1;
                1
            }
            [b')' | b']' | b'}', ..] => {
                (depth, prefixes) = (depth.saturating_sub(1), 0);
                1
            }
            _ => {
                let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                let word = rest
                    .iter()
                    .position(|byte| !is_word(byte))
                    .unwrap_or(rest.len());
                match rest.get(..word.max(1)) {
                    Some(b"not" | b"defined" | b"-" | b"~") => prefixes += 1,
                    Some(blank) if blank.trim_ascii().is_empty() => {}
                    _ => prefixes = 0,
                }
                word.max(1)
            }
        };
        if depth + prefixes > DEPTH_MAX {
            return Some(line_of(text, at));
        }
    }
    None
}

/// A rule's name as it is told.
fn shown(rule: &Rule<'_, '_>) -> String {
    let whose = if rule.namespace() == OWN {
        "yara"
    } else {
        "merchant"
    };
    format!("{whose}:{}", rule.identifier())
}

/// Runs rules over contents; made once for many, since making it costs more than most contents.
pub(super) struct Scanner<'r> {
    rules: &'r Rules,
    whole: yara_x::Scanner<'r>,
    /// Of a content in blocks that has begun.
    blocks: Option<blocks::Scanner<'r>>,
    patience: Duration,
    globals: [String; 3],
    found: Found,
}

impl Scanner<'_> {
    /// Begins a content of about `size` bytes, of which the path is known or empty.
    pub(super) fn begin(&mut self, path: &str, size: u64) {
        let gibibytes = u32::try_from(size >> 30).unwrap_or(u32::MAX);
        self.patience = PATIENCE_BLOCKS.saturating_mul(gibibytes.saturating_add(1));
        self.blocks = None;
        self.found = Found::default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let extension = name
            .rfind('.')
            .and_then(|at| name.get(at..))
            .unwrap_or_default();
        self.globals = [name.to_owned(), path.to_owned(), extension.to_owned()];
    }

    /// Takes a part of it, which lies at an offset and may begin with what the part before ended with.
    ///
    /// A pattern is found where it lies in one part; a content that is one part (`is_whole`) has a size, and bytes at places, too.
    pub(super) fn part(&mut self, offset: usize, bytes: &[u8], is_whole: bool) {
        if self.found.is_unfinished {
            return;
        }
        let globals = GLOBALS.iter().zip(&self.globals);
        let result = if is_whole {
            for (name, value) in globals {
                self.whole
                    .set_global(name, value.as_str())
                    .expect("it was defined as a text");
            }
            self.whole
                .scan(bytes)
                .map(|results| self.found.take(&results))
        } else {
            let (rules, patience) = (&self.rules.compiled, self.patience);
            let blocks = self.blocks.get_or_insert_with(|| {
                let mut blocks = blocks::Scanner::new(rules);
                blocks
                    .set_timeout(patience)
                    .max_matches_per_pattern(MATCHES_MAX)
                    .fast_scan(true);
                for (name, value) in globals {
                    blocks
                        .set_global(name, value.as_str())
                        .expect("it was defined as a text");
                }
                blocks
            });
            blocks.scan(offset, bytes).map(drop)
        };
        self.found.is_unfinished = result.is_err();
    }

    /// What rules say of the whole.
    pub(super) fn end(&mut self) -> Found {
        if let Some(mut blocks) = self.blocks.take().filter(|_| !self.found.is_unfinished) {
            let result = blocks.finish().map(|results| self.found.take(&results));
            self.found.is_unfinished = result.is_err();
        }
        std::mem::take(&mut self.found)
    }
}

impl Found {
    fn take(&mut self, results: &ScanResults<'_, '_>) {
        let mut named: Vec<_> = results.matching_rules().map(|rule| shown(&rule)).collect();
        // Ours come first: a merchant's many must not hide them.
        named.sort_by_key(|name| (name.starts_with("merchant:"), name.clone()));
        named.dedup();
        let own = named.partition_point(|name| !name.starts_with("merchant:"));
        named.truncate(own + NAMED_MAX);
        self.names = named;
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::Refused;
    use super::{DEPTH_MAX, Found, Rules};
    use proptest::prelude::*;

    struct Compiled {
        rules: Rules,
        refused: Vec<Refused>,
    }

    fn compile(own: &str, merchants: &[(&str, &str)]) -> Compiled {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), text.as_bytes().to_vec());
        let merchants: Vec<_> = merchants.iter().map(owned).collect();
        let (rules, refused) = Rules::compile(&[owned(&("own.yar", own))], &merchants);
        Compiled { rules, refused }
    }

    /// What rules say of a content that comes in parts of so many bytes, each with the last bytes of the one before.
    fn scan(rules: &Compiled, path: &str, bytes: &[u8], size: usize, overlap: usize) -> Found {
        let mut scanner = rules.rules.scanner();
        scanner.begin(path, 0);
        for start in (0..bytes.len()).step_by(size) {
            let from = start.saturating_sub(overlap);
            let part = bytes
                .get(from..bytes.len().min(start + size))
                .expect("within");
            scanner.part(from, part, size >= bytes.len());
        }
        scanner.end()
    }

    #[track_caller]
    fn check(rules: &Compiled, path: &str, bytes: &[u8], expected: &[&str]) {
        let found = scan(rules, path, bytes, bytes.len().max(1), 0);
        assert_eq!(found.names, expected);
        assert!(!found.is_unfinished);
    }

    #[test]
    fn a_wrong_rule_is_named_and_costs_itself_alone() {
        let rules = compile(
            "rule ours { strings: $a = \"shell\" condition: $a }",
            &[
                (
                    "a.yar",
                    "rule good { strings: $a = \"sh\" condition: $a }\n\nrule wrong {\n  condition: $b\n}\nrule after { condition: good }",
                ),
                (
                    "b.yar",
                    "import \"pe\"\nrule takes_apart { condition: pe.is_pe }",
                ),
                (
                    "c.yar",
                    "include \"/etc/passwd\"\nrule good { condition: filesize == 5 }",
                ),
                ("d.yar", "rule slow { strings: $a = /.*a.*/ condition: $a }"),
                ("e.yar", "\u{fffd} rule"),
                (
                    "f.yar",
                    "private rule hidden { condition: true } rule shown { condition: hidden and extension == \".php\" }",
                ),
            ],
        );
        let named: Vec<_> = rules
            .refused
            .iter()
            .map(|one| format!("{}:{}", one.file, one.line))
            .collect();
        assert_eq!(
            named,
            [
                "a.yar:4", "b.yar:1", "b.yar:2", "c.yar:1", "d.yar:1", "e.yar:1", "e.yar:1"
            ]
        );
        assert!(
            rules
                .refused
                .iter()
                .all(|one| !one.why.is_empty() && !one.why.contains("root:"))
        );
        check(
            &rules,
            "x/a.php",
            b"shell",
            &[
                "yara:ours",
                "merchant:after",
                "merchant:good",
                "merchant:shown",
            ],
        );
        check(&rules, "php", b"ssh", &["merchant:after", "merchant:good"]);
    }

    #[test]
    fn a_merchants_many_rules_hide_none_of_ours() {
        let many: String = (0..100)
            .map(|n| format!("rule a{n} {{ condition: true }}\n"))
            .collect();
        let rules = compile("rule z { condition: filesize > 0 }", &[("a.yar", &many)]);
        let found = scan(&rules, "", b"x", 1, 0);
        assert_eq!(found.names.first().map(String::as_str), Some("yara:z"));
        assert_eq!(found.names.len(), 33);
    }

    #[test]
    fn what_takes_too_long_is_said() {
        let rules = compile(
            "",
            &[(
                "a.yar",
                "rule long { condition: for all i in (1..900000) : (for all j in (1..900000) : (i * j > 0)) }",
            )],
        );
        assert_eq!(rules.refused, []);
        let found = scan(&rules, "", b"x", 1, 0);
        assert_eq!((found.names.len(), found.is_unfinished), (0, true));
    }

    #[test]
    fn hostile_rules_are_refused_or_compiled() {
        for text in [
            format!(
                "rule a {{ condition: {} true {} }}",
                "(".repeat(50_000),
                ")".repeat(50_000)
            ),
            format!("rule a {{ condition: {} true }}", "not ".repeat(50_000)),
            format!(
                "rule a {{ condition: true {} }}",
                "and true ".repeat(50_000)
            ),
            format!(
                "rule a {{ strings: $a = /{}x{}/ condition: $a }}",
                "(".repeat(20_000),
                ")".repeat(20_000)
            ),
            "rule a { strings: $a = /((((a{1,1000}){1,1000}){1,1000}){1,1000})/ condition: $a }"
                .to_owned(),
            format!(
                "rule a {{ strings: $a = {{ {} }} condition: $a }}",
                "( AA | BB ) ".repeat(5000)
            ),
            format!("rule {} {{ condition: true }}", "a".repeat(100_000)),
            "rule a { condition: for all i in (1..9000000000000000000) : (i > 0) }".to_owned(),
        ] {
            let rules = compile("", &[("a.yar", &text)]);
            assert_eq!(rules.refused.len() + rules.rules.names().len(), 1);
        }
        // As deep as may be, and what only looks deep.
        let nested = format!(
            "{}true{}",
            "(not ".repeat(DEPTH_MAX / 2 - 2),
            ")".repeat(DEPTH_MAX / 2 - 2)
        );
        let braces = "\\(".repeat(1000);
        let text = format!(
            "rule a {{ strings: $a = \"{0}\" $b = /x{0}/ condition: /* {0} */ {nested} and any of them // {0}\n}}",
            braces
        );
        let rules = compile("", &[("a.yar", &text.replace("\"\\(", "\"\\\\("))]);
        assert!(
            rules.refused.iter().all(|one| !one.why.contains("nests")),
            "{:?}",
            rules.refused
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_as_a_rule_is_refused_or_compiled(text in "(rule a \\{ (strings: )?|[ -~\\n]){0,12}[ -~]{0,80}\\}?") {
            let rules = compile("rule ours { condition: true }", &[("a.yar", &text)]);
            prop_assert!(scan(&rules, "", b"x", 1, 0).names.contains(&"yara:ours".to_owned()));
        }

        #[test]
        fn a_content_says_the_same_in_one_piece_and_in_parts(
            pieces in proptest::collection::vec(prop_oneof![
                Just(b"eval  (".to_vec()), Just(b"$_POST".to_vec()), Just(b"chr(1).".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..40),
            ], 0..40),
            size in 16_usize..400,
        ) {
            let rules = compile(
                "rule one { strings: $a = /eval\\s*\\(/ $b = \"$_POST\" condition: $a and $b }
                 rule many { strings: $c = \"chr(\" condition: #c > 3 }
                 rule none { strings: $d = \"\\x00\\x00\" condition: not $d }",
                &[],
            );
            let bytes = pieces.concat();
            // No pattern is longer than what parts have in common.
            let whole = scan(&rules, "", &bytes, bytes.len().max(1), 0);
            if !bytes.is_empty() {
                prop_assert_eq!(scan(&rules, "", &bytes, size, 16), whole);
            }
        }
    }
}
