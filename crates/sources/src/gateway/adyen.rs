//! Adyen's standard webhooks: each item of a batch carries its own HMAC-SHA256 over eight fields (php-webhook-module
//! `HmacSignature`). It doesn't cover `additionalData`, so nothing is read from there but the code.

use base64::Engine as _;
use serde_json::Value as Json;

use super::{Gateway, HmacSha256, Message, Secret, Told, Verdict, holds, seconds, text, unhex};

pub(super) struct Adyen;

/// Items read of one batch.
const ITEMS_MAX: usize = 1000;

impl Gateway for Adyen {
    fn name(&self) -> &'static str {
        "adyen"
    }

    fn read(&self, message: &Message<'_>, secrets: &[Secret]) -> Verdict {
        let json: Json = serde_json::from_slice(message.body).unwrap_or_default();
        let items = json.get("notificationItems").and_then(Json::as_array);
        let items: Vec<&Json> = items
            .into_iter()
            .flatten()
            .take(ITEMS_MAX)
            .map(|item| item.get("NotificationRequestItem").unwrap_or(item))
            .collect();
        let is_test = text(&json, &["live"]) != "true";
        // A batch is one message: one item that isn't Adyen's makes all of it nobody's.
        let refused = if items.is_empty() {
            Some("no items")
        } else if items.iter().all(|item| is_signed(item, secrets)) {
            None
        } else {
            Some("the signature of an item is missing or doesn't hold")
        };
        Verdict {
            refused,
            told: items.iter().map(|item| told(item, is_test)).collect(),
            answer: "[accepted]",
        }
    }
}

fn is_signed(item: &Json, secrets: &[Secret]) -> bool {
    let code = base64::engine::general_purpose::STANDARD
        .decode(text(item, &["additionalData", "hmacSignature"]))
        .unwrap_or_default();
    let signed = [
        text(item, &["pspReference"]),
        text(item, &["originalReference"]),
        text(item, &["merchantAccountCode"]),
        text(item, &["merchantReference"]),
        text(item, &["amount", "value"]),
        text(item, &["amount", "currency"]),
        text(item, &["eventCode"]),
        text(item, &["success"]),
    ]
    .join(":");
    // The key is written in hexadecimal and used as bytes.
    secrets.iter().any(|secret| {
        unhex(&secret.0).is_some_and(|key| holds::<HmacSha256>(&key, &[signed.as_bytes()], &code))
    })
}

fn told(item: &Json, is_test: bool) -> Told {
    let reference = text(item, &["pspReference"]);
    let event = text(item, &["eventCode"]);
    let success = text(item, &["success"]);
    Told {
        // Adyen's own rule of what is the same (its Magento plugin, `Notification`).
        id: format!(
            "{reference}:{event}:{success}:{}",
            text(item, &["originalReference"])
        ),
        event: if success == "false" {
            format!("{event} failed")
        } else {
            event
        },
        seconds: seconds(&text(item, &["eventDate"])),
        orders: vec![
            text(item, &["merchantReference"]),
            reference,
            text(item, &["originalReference"]),
        ],
        amount: item.pointer("/amount/value").and_then(Json::as_i64),
        currency: text(item, &["amount", "currency"]),
        is_test,
    }
}
