//! Authorize.Net: `X-ANET-Signature: sha512=<HEX>`, HMAC-SHA512 over the body, the signature key as bytes.

use hmac::Hmac;
use serde_json::Value as Json;

use super::{Gateway, Message, Secret, Told, Verdict, holds, minor, seconds, text, unhex};

pub(super) struct AuthorizeNet;

impl Gateway for AuthorizeNet {
    fn name(&self) -> &'static str {
        "authorize_net"
    }

    fn read(&self, message: &Message<'_>, secrets: &[Secret]) -> Verdict {
        let code = message
            .header("x-anet-signature")
            .split_once('=')
            .filter(|(how, _)| how.eq_ignore_ascii_case("sha512"))
            .and_then(|(_, code)| unhex(code.as_bytes()));
        let refused = match code {
            None => Some("no signature"),
            Some(code) => {
                let signed = secrets.iter().any(|secret| {
                    unhex(&secret.0).is_some_and(|key| {
                        holds::<Hmac<sha2::Sha512>>(&key, &[message.body], &code)
                    })
                });
                (!signed).then_some("the signature doesn't hold")
            }
        };
        Verdict {
            refused,
            told: told(message.body).into_iter().collect(),
            answer: "",
        }
    }
}

fn told(body: &[u8]) -> Option<Told> {
    let json: Json = serde_json::from_slice(body).ok()?;
    let payload = json.get("payload").unwrap_or(&Json::Null);
    let amount = ["authAmount", "amount"]
        .iter()
        .map(|name| text(payload, &[name]))
        .find(|amount| !amount.is_empty());
    Some(Told {
        id: text(&json, &["notificationId"]),
        event: text(&json, &["eventType"]),
        seconds: seconds(&text(&json, &["eventDate"])),
        orders: vec![
            text(payload, &["invoiceNumber"]),
            text(payload, &["merchantReferenceId"]),
            text(payload, &["id"]),
        ],
        amount: amount.and_then(|amount| minor(&amount, "")),
        currency: String::new(),
        is_test: false,
    })
}
