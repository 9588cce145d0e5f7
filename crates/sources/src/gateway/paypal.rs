//! PayPal's REST webhooks: RSA with SHA-256 over `id|time|webhook id|crc32 of the body` under PayPal's certificate.
//!
//! The file holds the certificate in PEM, and before it a line `webhook_id=…`. The certificate isn't fetched from the address a
//! message names: that would let anyone who can send here choose where this host connects to. That the input of the
//! signature is joined so is unverified against a real message.

use base64::Engine as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value as Json;

use super::{Gateway, Message, Secret, Told, Verdict, minor, seconds, text};

pub(super) struct PayPal;

impl Gateway for PayPal {
    fn name(&self) -> &'static str {
        "paypal"
    }

    fn read(&self, message: &Message<'_>, secrets: &[Secret]) -> Verdict {
        let (id, time) = (
            message.header("paypal-transmission-id"),
            message.header("paypal-transmission-time"),
        );
        let code = base64::engine::general_purpose::STANDARD
            .decode(message.header("paypal-transmission-sig"))
            .unwrap_or_default();
        let refused = if id.is_empty() || code.is_empty() {
            Some("no signature")
        } else if message.header("paypal-auth-algo") != "SHA256withRSA" {
            Some("signed in a way that isn't known")
        } else if !secrets
            .iter()
            .any(|secret| is_signed(secret, id, time, message.body, &code))
        {
            Some("the signature doesn't hold")
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

fn is_signed(secret: &Secret, id: &str, time: &str, body: &[u8], code: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&secret.0);
    let webhook = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("webhook_id="))
        .unwrap_or_default();
    let signed = format!("{id}|{time}|{webhook}|{}", crc32fast::hash(body));
    let Ok(certificate) = CertificateDer::from_pem_slice(&secret.0) else {
        return false;
    };
    webpki::EndEntityCert::try_from(&certificate).is_ok_and(|certificate| {
        certificate
            .verify_signature(
                webpki::ring::RSA_PKCS1_2048_8192_SHA256,
                signed.as_bytes(),
                code,
            )
            .is_ok()
    })
}

fn told(body: &[u8]) -> Option<Told> {
    let json: Json = serde_json::from_slice(body).ok()?;
    let resource = json.get("resource").unwrap_or(&Json::Null);
    let currency = text(resource, &["amount", "currency_code"]);
    Some(Told {
        id: text(&json, &["id"]),
        event: text(&json, &["event_type"]),
        seconds: seconds(&text(&json, &["create_time"])),
        orders: vec![
            text(resource, &["invoice_id"]),
            text(resource, &["custom_id"]),
            text(resource, &["id"]),
        ],
        amount: minor(&text(resource, &["amount", "value"]), &currency),
        currency,
        is_test: false,
    })
}
