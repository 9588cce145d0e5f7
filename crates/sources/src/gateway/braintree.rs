//! Braintree: a form of `bt_signature` (`publickey|hex[&…]`) and `bt_payload` (base64 of XML), HMAC-SHA1 under the
//! SHA-1 of the private key (braintree_php `Digest`). A line of the file of secrets is `publickey:privatekey`.

use base64::Engine as _;
use hmac::Hmac;
use sha1::{Digest as _, Sha1};

use super::{Gateway, Message, Secret, Told, Verdict, holds, minor, seconds, unhex};

pub(super) struct Braintree;

impl Gateway for Braintree {
    fn name(&self) -> &'static str {
        "braintree"
    }

    fn read(&self, message: &Message<'_>, secrets: &[Secret]) -> Verdict {
        let (signature, payload) = (
            field(message.body, "bt_signature"),
            field(message.body, "bt_payload"),
        );
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
        let refused = if signature.is_empty() || payload.is_empty() {
            Some("no signature")
        } else if !payload.iter().all(is_plain) {
            Some("the payload is no base64")
        } else if secrets
            .iter()
            .any(|secret| is_signed(&signature, &payload, secret))
        {
            None
        } else {
            Some("the signature doesn't hold")
        };
        let compact: Vec<u8> = payload
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let xml = base64::engine::general_purpose::STANDARD
            .decode(compact)
            .unwrap_or_default();
        Verdict {
            refused,
            told: vec![told(&String::from_utf8_lossy(&xml), message)],
            answer: "",
        }
    }
}

fn is_signed(signature: &[u8], payload: &[u8], secret: &Secret) -> bool {
    let Some(colon) = secret.0.iter().position(|byte| *byte == b':') else {
        return false;
    };
    let (public, private) = secret.0.split_at(colon);
    let key = Sha1::digest(private.get(1..).unwrap_or_default());
    signature.split(|byte| *byte == b'&').any(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'|');
        let (Some(of), Some(code)) = (parts.next(), parts.next().and_then(unhex)) else {
            return false;
        };
        // Its own library tries a line end behind the payload, too.
        of == public
            && [&b""[..], b"\n"]
                .iter()
                .any(|tail| holds::<Hmac<Sha1>>(&key, &[payload, tail], &code))
    })
}

/// A field of a form, decoded.
fn field(body: &[u8], name: &str) -> Vec<u8> {
    let value = body.split(|byte| *byte == b'&').find_map(|pair| {
        pair.strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
    });
    let mut out = Vec::new();
    let mut bytes = value.unwrap_or_default().iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let code: Vec<u8> = bytes.by_ref().take(2).copied().collect();
                out.extend(unhex(&code).unwrap_or_default());
            }
            other => out.push(*other),
        }
    }
    // A form's `+` is a space; base64 knows only the plus.
    if name == "bt_payload" {
        for byte in &mut out {
            if *byte == b' ' {
                *byte = b'+';
            }
        }
    }
    out
}

fn told(xml: &str, message: &Message<'_>) -> Told {
    let currency = tag(xml, "currency-iso-code");
    let subject = xml.split_once("<subject>").map_or("", |(_, rest)| rest);
    let kind = tag(xml, "kind");
    let time = tag(xml, "timestamp");
    Told {
        // It has no id of its own: kind, time and whom it is about are what is the same again.
        id: format!("{kind}:{time}:{}", tag(subject, "id")),
        event: kind.to_owned(),
        seconds: seconds(time).or(Some(message.now.0 / model::Timestamp::SECOND)),
        orders: vec![
            tag(subject, "order-id").to_owned(),
            tag(subject, "id").to_owned(),
        ],
        amount: minor(tag(subject, "amount"), currency),
        currency: currency.to_owned(),
        is_test: false,
    }
}

/// The text of the first element of a name.
fn tag<'a>(xml: &'a str, name: &str) -> &'a str {
    xml.match_indices('<')
        .find_map(|(at, _)| {
            let rest = xml.get(at + 1..)?.strip_prefix(name)?;
            let rest = match rest.as_bytes().first()? {
                b'>' => rest.get(1..)?,
                // Attributes such as `type="datetime"`.
                b' ' => rest.split_once('>')?.1,
                _ => return None,
            };
            rest.split('<').next()
        })
        .unwrap_or_default()
}
