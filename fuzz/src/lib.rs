//! What is fuzzed: each body takes any bytes and panics when a promise is broken.
//!
//! `cargo fuzz run NAME` feeds them by coverage (nightly); `cargo test` feeds them the repository's own
//! corpus, bent at random, on any compiler.

use cardholder::{FingerprintKey, Hit, Masker, Scanner};
use custody::{Header, Verifier};
use detect::shape::Shape;
use detect::{Detector, RuleSource, Settings};
use model::MarkKind;
use parse::{Context, Frame, SourceState};

/// Every body by its name.
pub const BODIES: [(&str, fn(&[u8])); 23] = [
    ("formats", formats),
    ("sniff", sniff),
    ("mask", mask),
    ("search", search),
    ("deep", deep),
    ("shape", shape),
    ("rules", rules),
    ("header", header),
    ("note", note),
    ("env_php", env_php),
    ("page", page),
    ("script", script),
    ("reports", reports),
    ("module_xml", module_xml),
    ("scim", scim),
    ("playbook", playbook),
    ("run", run),
    ("host_report", host_report),
    ("records", records),
    ("instruction", instruction),
    ("saml", saml),
    ("root_request", root_request),
    ("answer", answer),
];

/// Framing gives every byte to a record, however the bytes arrive; no record makes a format panic.
pub fn formats(bytes: &[u8]) {
    let Some((pick, bytes)) = bytes.split_first() else {
        return;
    };
    let format = parse::FORMATS[usize::from(*pick) % parse::FORMATS.len()];
    let (mut state, context) = (SourceState::default(), Context::default());
    let mut at = 0;
    while at < bytes.len() {
        let open = &bytes[at..];
        let end = match format.frame(open, true) {
            Frame::Record { end } => end,
            Frame::More => open.len(),
        };
        assert!((1..=open.len()).contains(&end), "{} frames {end} of {}", format.name(), open.len());
        if let Ok(event) = format.parse(&open[..end], &context, &mut state) {
            assert!(event.fields().len() < 256);
        }
        at += end;
    }
    drop(format.parse(bytes, &context, &mut state));
}

/// Recognising never panics, and what is recognised has a name it is found by.
pub fn sniff(bytes: &[u8]) {
    if let Some(format) = parse::sniff(bytes) {
        assert_eq!(parse::named(format.name()).map(parse::Format::name), Some(format.name()));
    }
}

/// A masked record keeps its length, and nothing is found in it again.
pub fn mask(bytes: &[u8]) {
    let masker = Masker::new(FingerprintKey::new([7; 32]));
    let (mut masked, mut marks) = (bytes.to_vec(), Vec::new());
    masker.mask(&mut masked, &mut marks);
    assert_eq!(masked.len(), bytes.len());
    for mark in &marks {
        let end = mark.offset_bytes as usize + mark.length_bytes as usize;
        assert!(end <= bytes.len());
    }
    let mut scanner = Scanner::new();
    scanner.push(&masked, true, &mut |hit| {
        assert!(hit.kind != MarkKind::Pan, "a number is left at {}", hit.offset_bytes);
    });
}

fn hits(mut scanner: Scanner, parts: &[&[u8]]) -> Vec<(u64, u32, MarkKind)> {
    let mut found = Vec::new();
    let mut take = |hit: Hit| found.push((hit.offset_bytes, hit.length_bytes, hit.kind));
    for part in parts {
        scanner.push(part, false, &mut take);
    }
    scanner.push(&[], true, &mut take);
    found.retain(|(_, _, kind)| *kind == MarkKind::Pan);
    found
}

/// The fast search finds what the portable one does, wherever the stream is split.
pub fn search(bytes: &[u8]) {
    let Some((split, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = hits(Scanner::portable(), &[bytes]);
    assert_eq!(hits(Scanner::new(), &[bytes]), whole);
    let at = usize::from(*split).min(bytes.len());
    assert_eq!(hits(Scanner::new(), &[&bytes[..at], &bytes[at..]]), whole);
}

/// The deep search ends, and never tells more than four digits.
pub fn deep(bytes: &[u8]) {
    cardholder::search_deep(bytes, &mut |_, hit| assert!(hit.last_four.is_none_or(|four| four.len() == 4)));
}

/// A statement of any kind has a shape, cut or not.
pub fn shape(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for cut in [false, true] {
        drop(Shape::of(&text, cut, "m2_"));
    }
    drop(Shape::normalised(&text, ""));
    drop(Shape::literals(&text));
}

/// Any text is a file of rules or is refused.
pub fn rules(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let source = RuleSource {
        name: "fuzzed.yml",
        text: &text,
    };
    drop(Detector::new(&[source], Settings::default()));
}

/// A leaf that is read is written as the same bytes.
pub fn header(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        assert_eq!(header.encode(), bytes);
    }
}

/// A note nobody signed does not verify.
pub fn note(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    drop(Verifier::decode(&text));
    let verifier = custody::Signer::new("fuzz", [9; 32]).verifier();
    assert!(verifier.verify(&text).is_err());
}

/// No secret of an `env.php` is in what is read of it.
pub fn env_php(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).replace("s3cr3t", "other");
    let planted = format!(
        "<?php return ['crypt' => ['key' => 's3cr3t'], 'db' => ['connection' => ['default' => ['password' => 's3cr3t', 'host' => 'h']]], 'x' => '{text}', 'cache' => ['frontend' => ['default' => ['backend_options' => ['password' => 's3cr3t']]]]];"
    );
    drop(sources::env_php::parse(bytes));
    let read = format!("{:?}", sources::env_php::parse(planted.as_bytes()));
    assert!(!read.contains("s3cr3t"), "{read}");
}

/// A page has bounded parts, the same each time, and only the scripts it names are asked for.
pub fn page(bytes: &[u8]) {
    let html = String::from_utf8_lossy(bytes);
    let (parts, scripts) = sources::hostile::page(&html);
    assert!(parts.len() <= 4000);
    assert!(parts.iter().all(|(_, name)| name.len() <= 2048));
    assert!(scripts.iter().all(|script| script.starts_with("http")), "{scripts:?}");
    assert_eq!(sources::hostile::page(&html), (parts, scripts));
}

/// A script that differs in blanks around it alone is the same code, and names a bounded number of hosts.
pub fn script(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (code, hosts) = sources::hostile::script(&text);
    assert!(hosts.len() <= 64);
    assert!(hosts.iter().all(|host| text.to_ascii_lowercase().contains(host)));
    assert_eq!(sources::hostile::script(&format!("  {text}")).0, code);
}

/// A report names a page without what identifies a visit, and is no longer than a record may be.
pub fn reports(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let quoted = format!("{text:?}").replace("\\u{", "").replace("\\'", "'");
    let made = [
        format!(r#"{{"csp-report":{{"document-uri":"https://u:p@shop.example/{text}","effective-directive":"img-src","blocked-uri":{quoted}}}}}"#),
        format!(r#"[{{"type":"csp-violation","body":{{"documentURL":{quoted},"effectiveDirective":"img-src","blockedURL":{quoted},"sample":{quoted}}}}}]"#),
    ];
    for body in [bytes, made[0].as_bytes(), made[1].as_bytes()] {
        let found = sources::hostile::reports(body);
        assert!(found.len() <= 50);
        for [page, directive, blocked, sample] in found {
            assert!(page.starts_with("http") && !page.contains(['?', '#']), "{page}");
            // Behind the host an `@` is a letter like others.
            assert!(page.split('/').nth(2).is_some_and(|host| !host.contains('@')), "{page}");
            assert!(page.chars().count() <= 300 && directive.chars().count() <= 40 && sample.chars().count() <= 100);
            assert!(blocked.len() <= 400, "{blocked}");
        }
    }
}

/// Of a module's XML what is open is bounded, and each name stands in the file.
pub fn module_xml(bytes: &[u8]) {
    let mut seen = 0;
    sources::hostile::xml(bytes, &mut |open, text| {
        seen += 1;
        assert!((1..=64).contains(&open.len()));
        assert!(open.iter().all(|name| !name.is_empty() && !name.contains(['<', '>', ' '])));
        assert!(text.is_none_or(|text| text.len() <= bytes.len()));
    });
    assert!(seen <= bytes.len());
}

/// A filter that is read is written as one that is read the same; a change never changes a name, nor grows what is kept.
pub fn scim(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(filter) = directory::Filter::read(&text) {
        let again = directory::Filter::read(&filter.to_string());
        // Written with all its brackets it may be longer, or deeper, than one may be.
        assert!(again.is_err() || again == Ok(filter.clone()), "{filter}");
        filter.fits(&|_| vec![text.as_ref().into(), true.into()]);
    }
    drop(directory::FilterPath::read(&text));
    let user = directory::User { user_name: "anna".to_owned(), active: true, ..Default::default() };
    let quoted = format!("{text:?}").replace("\\u{", "").replace("\\'", "'");
    let made = format!(r#"{{"Operations":[{{"op":"add","path":{quoted},"value":{text}}},{{"op":"Replace","path":"active","value":"False"}}]}}"#);
    for body in [bytes, made.as_bytes()] {
        if let Ok(changed) = directory::patched(body, &user) {
            assert_eq!(changed.user_name, "anna");
            let most = [&changed.roles, &changed.groups].map(|all| all.as_ref().map_or(0, std::collections::BTreeSet::len));
            assert!(most.iter().all(|count| *count <= directory::WORDS_MAX));
        }
    }
    if let Ok(user) = directory::read(bytes) {
        assert!(!user.user_name.is_empty() && user.user_name.len() <= 256);
    }
}

/// Whatever is read as a playbook is written without loss; what is planned had no fault, and its order keeps the laws.
pub fn playbook(bytes: &[u8]) {
    let Ok(document) = playbook::Document::read(bytes) else {
        return;
    };
    let again = playbook::Document::read(document.write().as_bytes()).map(|again| again == document);
    // Written with its indents it may be over the limit that it was below.
    assert!(again.unwrap_or(true), "a playbook changed by being written");
    let problems = playbook::check(&document);
    assert!(problems.len() <= 100);
    let stores = model::StoreMap::default();
    let planned = playbook::plan(&document, &document.examples(), playbook::EXPECTED, &stores);
    if planned.is_ok() {
        assert!(problems.iter().all(|one| one.weight == playbook::Weight::Notes));
        assert!(playbook::orders(&document, playbook::EXPECTED).is_empty());
    }
    drop(playbook::diagram(&document));
    drop(playbook::outline(&document));
    let drawing = playbook::Drawing::of(&document);
    assert!(drawing.shapes.len() <= document.steps.len(), "a step is drawn twice");
    for id in document.steps.keys().take(8) {
        let mut value = document.value().clone();
        let change = playbook::StepChange::default();
        let done = [
            playbook::insert_after(&mut value, id, "action--new").is_ok(),
            playbook::move_up(&mut value, id).is_ok(),
            playbook::move_down(&mut value, id).is_ok(),
            playbook::remove_step(&mut value, id).is_ok(),
            playbook::change_step(&mut value, "action--new", &change).is_ok(),
        ];
        assert!(done.iter().any(|done| *done) || value == *document.value(), "what isn't done changes nothing");
    }
}

/// Whatever is read as a run's journal is read to the end of a line, and the same read twice is the same.
pub fn run(bytes: &[u8]) {
    let Ok((run, whole)) = playbook::Run::read(bytes) else {
        return;
    };
    let whole = usize::try_from(whole).expect("no more than there was");
    assert!(whole == 0 || bytes[..whole].ends_with(b"\n"));
    let again = playbook::Run::read(&bytes[..whole]).expect("it was read before");
    assert_eq!(run, again.0, "what was cut off changed the run");
    drop(run.map(|run| run.turn()));
}

/// What the server reads of a host is written and read again as the same.
pub fn host_report(bytes: &[u8]) {
    let Ok(report) = serde_json::from_slice::<model::HostReport>(bytes) else {
        return;
    };
    let text = serde_json::to_vec(&report).expect("plain values are JSON");
    assert_eq!(serde_json::from_slice::<model::HostReport>(&text).ok(), Some(report));
}

/// Records of a host are refused, or read and written again as the same; no mark lies outside of its record.
pub fn records(bytes: &[u8]) {
    use link::records::{Batch, Carried, read_body};
    let batches = match read_body(bytes) {
        Ok((_, batches)) => batches,
        // Behind the check, too.
        Err(_) => Batch::decode(bytes).into_iter().collect(),
    };
    for batch in batches {
        let written = batch.encode();
        assert_eq!(Batch::decode(&written), Ok(batch.clone()));
        assert_eq!(Batch::unframe(&batch.frame()), Ok((batch.clone(), written.len() + 12)));
        let Carried::Records { records, .. } = &batch.what else { continue };
        for record in records {
            assert!(!record.bytes.is_empty());
            for mark in &record.marks {
                let end = mark.offset_bytes as usize + mark.length_bytes as usize;
                assert!(end <= record.bytes.len());
            }
        }
        let end = batch.end().expect("records end somewhere");
        assert!(batch.behind(end).is_some_and(|rest| rest.is_empty()));
    }
}

/// Nothing that comes to a host as signed is taken under a key that didn't sign it; what was signed is what is read.
pub fn instruction(bytes: &[u8]) {
    let verifier = |seed| link::Verifier::new(&link::Plans::new(&[seed; 32]).verifying()).expect("a key");
    let (ours, other) = (verifier(7), verifier(8));
    if let Ok(reply) = serde_json::from_slice::<model::HostReply>(bytes) {
        for signed in &reply.instructions {
            assert!(ours.open(signed).is_err(), "nobody here signs");
        }
    }
    if let Ok(instruction) = serde_json::from_slice::<model::Instruction>(bytes) {
        let signed = link::Plans::new(&[7; 32]).sign(&instruction);
        assert_eq!(other.open(&signed), Err(link::SignatureError::Forged));
        let read = ours.open(&signed);
        assert!(read == Ok(instruction.clone()) || instruction.v != model::ORDER_VERSION, "{read:?}");
    }
}

/// An answer of SAML is refused, or signed once or twice; what is let through holds nothing that two readers could read differently.
pub fn saml(bytes: &[u8]) {
    let Ok(answer) = ::saml::Answer::shaped(bytes) else {
        return;
    };
    let signatures = answer.signed().len();
    assert!((1..=2).contains(&signatures), "{signatures} signatures");
    for signed in answer.signed() {
        // What is shown to others is the same answer, without a key.
        let shown = ::saml::Answer::shaped(answer.without_key(signed).as_bytes()).expect("it keeps its shape");
        assert_eq!(shown.signed().len(), signatures);
    }
    let text = std::str::from_utf8(bytes).expect("what isn't UTF-8 is refused");
    assert!(!text.contains("<!"), "a comment, CDATA or a DTD is let through");
    assert!(text.match_indices("<?").all(|(at, _)| at == 0), "an instruction is let through");
}

/// What root is asked is of its list or refused in few words; what is read is written and read again as the same.
pub fn root_request(bytes: &[u8]) {
    match responders::as_root::Operation::read(bytes) {
        Ok(operation) => assert_eq!(responders::as_root::Operation::read(&operation.line()), Ok(operation)),
        Err(error) => assert!(error.to_string().chars().count() < 1_200),
    }
    drop(responders::as_root::Reply::read(bytes));
}

/// What a shop's nginx or a cache answers is read as far as it came: nothing is in it that didn't come, and the more comes the more is read.
pub fn answer(bytes: &[u8]) {
    let Some(whole) = responders::Answer::read(bytes) else {
        return;
    };
    assert!(whole.status < 1000 && whole.body.len() <= bytes.len());
    for (name, value) in &whole.headers {
        assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()) && !value.contains("\r\n"));
    }
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
    for cut in [head, head + (bytes.len() - head) / 2, bytes.len().saturating_sub(1).max(head)] {
        let part = responders::Answer::read(&bytes[..cut]).expect("its head is whole");
        assert_eq!((part.status, &part.headers), (whole.status, &whole.headers));
        assert!(whole.body.starts_with(&part.body));
    }
}
