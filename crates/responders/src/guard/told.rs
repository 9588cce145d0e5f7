//! What an answer says of a stage: pure, from its status, a few headers and the form of its JSON.
//!
//! A page's content never makes a stage pass or fail: whoever writes to the shop could write it. It only says which failure an answer
//! that isn't 200 is, and each way in which that can be forged ends in less being said, not in more. Invariant: nothing of an
//! answer's own words is told on.

use model::{WalkEnd, WalkStage};
use serde_json::Value;

use crate::http::{Answer, NoAnswer};
use crate::nginx::is_holding_page;

/// Longest id of a guest's cart; Magento's have 32 characters (`quote_id_mask.masked_id`).
const CART_BYTES_MAX: usize = 64;

/// The answer when it is 200, else how the walk ends.
pub(super) fn passed(
    stage: WalkStage,
    answer: Result<Answer, NoAnswer>,
) -> Result<Answer, WalkEnd> {
    let answer = answer.map_err(|error| {
        let why = error.to_string();
        match error {
            NoAnswer::Refused { .. } => WalkEnd::Failed { stage, why },
            NoAnswer::Late { .. } | NoAnswer::Cut { .. } => WalkEnd::Overload { stage, why },
        }
    })?;
    if answer.status == 200 {
        return Ok(answer);
    }
    if let Some(who) = challenge(&answer) {
        let why = format!("{}: {who}", answer.status);
        return Err(WalkEnd::Passive { stage, why });
    }
    Err(match answer.status {
        503 if is_holding_page(&answer.body) => WalkEnd::Failed {
            stage,
            why: "503 with our holding page: a rule of ours closes it".to_owned(),
        },
        // 502 as well: php-fpm's full queue is one.
        status @ (429 | 502..=504) => WalkEnd::Overload {
            stage,
            why: status.to_string(),
        },
        status @ 300..=399 => failed(stage, format!("{status}: it is sent elsewhere")),
        status => failed(stage, status.to_string()),
    })
}

pub(super) fn failed(stage: WalkStage, why: impl Into<String>) -> WalkEnd {
    let why = why.into();
    WalkEnd::Failed { stage, why }
}

/// Who wants to see a person, by what each of them documents of its own challenge.
fn challenge(answer: &Answer) -> Option<&'static str> {
    let has = |name, value: &str| {
        answer
            .header(name)
            .any(|one| one.eq_ignore_ascii_case(value))
    };
    let body = String::from_utf8_lossy(&answer.body);
    match answer.status {
        // Magento: `Magento_ReCaptchaWebapiRest`, "ReCaptcha validation failed, please try again".
        400 | 401 => message(&answer.body)
            .is_some_and(|text| text.to_ascii_lowercase().contains("captcha"))
            .then_some("Magento asks for a CAPTCHA"),
        202 | 403 | 405 | 429 | 503 => {
            if has("cf-mitigated", "challenge") || body.contains("/cdn-cgi/challenge-platform/") {
                Some("a challenge of Cloudflare's")
            } else if has("x-amzn-waf-action", "challenge") || has("x-amzn-waf-action", "captcha") {
                Some("a challenge of AWS WAF's")
            } else if answer.header("x-datadome").next().is_some() {
                Some("a challenge of DataDome's")
            } else if body.contains("_Incapsula_Resource") {
                Some("a challenge of Imperva's")
            } else {
                None
            }
        }
        _ => None,
    }
}

/// `message` of Magento's answer to a request that failed.
fn message(body: &[u8]) -> Option<String> {
    let Value::Object(mut fields) = serde_json::from_slice(body).ok()? else {
        return None;
    };
    match fields.remove("message")? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A new cart's id, the secret it is reached by; letters and digits alone, as it becomes part of a path.
pub(super) fn cart(body: &[u8]) -> Option<String> {
    let id: String = serde_json::from_slice(body).ok()?;
    let is_id = (1..=CART_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then_some(id)
}

/// Number of an item in a cart (`CartItemInterface`).
pub(super) fn item(body: &[u8]) -> Option<u64> {
    let item: Value = serde_json::from_slice(body).ok()?;
    let id = item.get("item_id")?;
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

/// Whether something can be shipped: a list of `ShippingMethodInterface`, one of them available.
pub(super) fn ships(body: &[u8]) -> bool {
    let can = |method: &Value| {
        method.get("carrier_code").is_some_and(Value::is_string)
            && method.get("available") != Some(&Value::Bool(false))
    };
    list(body).iter().any(can)
}

/// Whether there is a way to pay: a list of `PaymentMethodInterface`.
pub(super) fn can_be_paid(body: &[u8]) -> bool {
    let is_method = |method: &Value| method.get("code").is_some_and(Value::is_string);
    list(body).iter().any(is_method)
}

fn list(body: &[u8]) -> Vec<Value> {
    serde_json::from_slice(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{can_be_paid, cart, item, passed, ships};
    use crate::http::{Answer, NoAnswer};
    use model::{WalkEnd, WalkStage};
    use proptest::prelude::*;

    const HELD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Closed for a while</title><h1>This shop is closed for a while</h1><p>Please come back later.</p></html>";

    fn told(status: u16, header: &str, body: &str) -> (&'static str, String) {
        let header = header.split_once(": ");
        let answer = Answer {
            status,
            headers: header
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            body: body.as_bytes().to_vec(),
        };
        told_of(Ok(answer))
    }

    fn told_of(answer: Result<Answer, NoAnswer>) -> (&'static str, String) {
        match passed(WalkStage::Cart, answer) {
            Ok(_) | Err(WalkEnd::Passed) => ("passed", String::new()),
            Err(WalkEnd::Failed { why, .. }) => ("failed", why),
            Err(WalkEnd::Overload { why, .. }) => ("overload", why),
            Err(WalkEnd::Passive { why, .. }) => ("passive", why),
        }
    }

    #[track_caller]
    fn check(status: u16, header: &str, body: &str, expected: &str) {
        let told = told(status, header, body);
        assert_eq!(told.0, expected, "{}", told.1);
    }

    #[test]
    fn an_answer_says_how_a_stage_ended() {
        check(200, "", "captcha", "passed");
        check(404, "", "", "failed");
        check(500, "", "", "failed");
        check(302, "location: https://shop.test/", "", "failed");
        check(403, "", "Refused.\n", "failed");
        check(400, "", r#"{"message":"No such product"}"#, "failed");
        for status in [429, 502, 503, 504] {
            check(status, "", "", "overload");
        }
        check(503, "", HELD, "failed");
        check(500, "", HELD, "failed");
        check(
            400,
            "",
            r#"{"message":"ReCaptcha validation failed, please try again"}"#,
            "passive",
        );
        check(400, "", r#"{"messages":"captcha"}"#, "failed");
        check(403, "cf-mitigated: challenge", "", "passive");
        check(
            503,
            "",
            "<script src=\"/cdn-cgi/challenge-platform/x\">",
            "passive",
        );
        check(202, "x-amzn-waf-action: challenge", "", "passive");
        check(405, "x-amzn-waf-action: captcha", "", "passive");
        check(403, "x-datadome: protected", "", "passive");
        check(404, "x-datadome: protected", "", "failed");
        check(
            403,
            "",
            "<script src=\"/_Incapsula_Resource?x\">",
            "passive",
        );
    }

    #[test]
    fn no_answer_is_load_unless_nobody_listens() {
        let how = || "x".to_owned();
        assert_eq!(told_of(Err(NoAnswer::Refused { how: how() })).0, "failed");
        assert_eq!(told_of(Err(NoAnswer::Cut { how: how() })).0, "overload");
        assert_eq!(
            told_of(Err(NoAnswer::Late { milliseconds: 5 })).0,
            "overload"
        );
    }

    #[test]
    fn answers_have_magentos_form() {
        assert_eq!(cart(br#""Kq2mT0abc9""#).as_deref(), Some("Kq2mT0abc9"));
        for no in [r#""""#, r#""a/../b""#, "7", "{}", r#"{"message":"x"}"#, ""] {
            assert_eq!(cart(no.as_bytes()), None, "{no}");
        }
        assert_eq!(item(br#"{"item_id":7,"sku":"a"}"#), Some(7));
        assert_eq!(item(br#"{"item_id":"7"}"#), Some(7));
        assert_eq!(item(br#"{"item_id":-7}"#), None);
        assert!(ships(br#"[{"carrier_code":"flatrate","available":true}]"#));
        assert!(ships(
            br#"[{"carrier_code":"a","available":false},{"carrier_code":"b"}]"#
        ));
        assert!(!ships(br#"[{"carrier_code":"a","available":false}]"#));
        assert!(!ships(b"[]") && !ships(b"{}") && !ships(br#"["flatrate"]"#));
        assert!(can_be_paid(br#"[{"code":"checkmo","title":"Check"}]"#));
        assert!(!can_be_paid(b"[]") && !can_be_paid(br#"["checkmo"]"#) && !can_be_paid(b"<html>"));
    }

    proptest! {
        #[test]
        fn no_content_makes_a_page_pass_or_fail(body in any::<String>(), status in 200_u16..600) {
            let (end, why) = told(status, "", &body);
            prop_assert_eq!(end == "passed", status == 200);
            // Nothing of its own words: a status, and at most what we say of it.
            prop_assert!(end == "passed" || why.starts_with(&status.to_string()));
            prop_assert!(why.len() < 60);
        }

        #[test]
        fn an_id_never_leaves_its_place_in_a_path(text in any::<String>()) {
            let body = serde_json::to_vec(&text).expect("JSON");
            if let Some(id) = cart(&body) {
                prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            }
        }
    }
}
