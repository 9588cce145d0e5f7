//! Stripe: `Stripe-Signature: t=<unix>,v1=<hex>[,v1=…]`, HMAC-SHA256 over `t.body` (stripe-php `WebhookSignature`).

use serde_json::Value as Json;

use super::{Gateway, HmacSha256, Message, Secret, Told, Verdict, holds, text, unhex};

pub(super) struct Stripe;

impl Gateway for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn read(&self, message: &Message<'_>, secrets: &[Secret]) -> Verdict {
        let mut time = "";
        let mut codes = Vec::new();
        for part in message.header("stripe-signature").split(',').take(16) {
            match part.trim().split_once('=') {
                Some(("t", value)) => time = value,
                Some(("v1", value)) => codes.extend(unhex(value.as_bytes())),
                _ => {}
            }
        }
        let refused = if codes.is_empty() || time.is_empty() {
            Some("no signature")
        } else if !secrets.iter().any(|secret| {
            codes.iter().any(|code| {
                let parts = [time.as_bytes(), b".", message.body];
                holds::<HmacSha256>(&secret.0, &parts, code)
            })
        }) {
            Some("the signature doesn't hold")
        } else if !time.parse().is_ok_and(|time| message.is_near(time)) {
            Some("signed at another time: sent again by somebody, or a clock is wrong")
        } else {
            None
        };
        Verdict {
            refused,
            told: told(message.body).into_iter().collect(),
            answer: "",
        }
    }
}

/// What an event tells of, pushed or listed.
pub(super) fn told(body: &[u8]) -> Option<Told> {
    let json: Json = serde_json::from_slice(body).ok()?;
    let object = json.pointer("/data/object").unwrap_or(&Json::Null);
    Some(Told {
        id: text(&json, &["id"]),
        event: text(&json, &["type"]),
        seconds: json.get("created").and_then(Json::as_i64),
        orders: vec![
            text(object, &["metadata", "Order #"]),
            text(object, &["payment_intent"]),
            text(object, &["charge"]),
            text(object, &["id"]),
        ],
        amount: object.get("amount").and_then(Json::as_i64),
        currency: text(object, &["currency"]).to_ascii_uppercase(),
        is_test: json.get("livemode") == Some(&Json::Bool(false)),
    })
}
