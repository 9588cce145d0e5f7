//! Messages signed here as each gateway's documentation says, and every way to bend them.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use hmac::Hmac;
use model::Timestamp;
use sha1::Digest as _;

use super::{GATEWAYS, Message, Secret, Verdict, minor, unhex};

const NOW: i64 = 1_754_388_930;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac<M: hmac::Mac + hmac::KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <M as hmac::KeyInit>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn read(gateway: &str, headers: &[(&str, &str)], body: &[u8], secrets: &[&str]) -> Verdict {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_str(value).expect("a value"),
        );
    }
    let secrets: Vec<_> = secrets
        .iter()
        .map(|text| Secret(text.as_bytes().to_vec()))
        .collect();
    let message = Message {
        headers: &map,
        body,
        now: Timestamp(NOW * Timestamp::SECOND),
    };
    GATEWAYS
        .into_iter()
        .find(|one| one.name() == gateway)
        .expect("a gateway")
        .read(&message, &secrets)
}

#[test]
fn stripe_is_believed_by_any_of_two_secrets_and_in_time_only() {
    let body = br#"{"id":"evt_1","type":"radar.early_fraud_warning.created","created":1754388900,"livemode":true,
        "data":{"object":{"id":"issfr_1","charge":"ch_1","payment_intent":"pi_1","amount":1999,"currency":"eur","metadata":{"Order #":"000000041"}}}}"#;
    let sign = |secret: &str, time: i64| {
        let text = [time.to_string().as_bytes(), b".", body].concat();
        format!(
            "t={time},v1={},v0=00",
            hex(&mac::<Hmac<sha2::Sha256>>(secret.as_bytes(), &text))
        )
    };
    let check = |header: &str, secrets: &[&str], refused: bool| {
        let verdict = read("stripe", &[("stripe-signature", header)], body, secrets);
        assert_eq!(
            verdict.refused.is_some(),
            refused,
            "{header} {:?}",
            verdict.refused
        );
        verdict
    };
    let verdict = check(&sign("whsec_new", NOW), &["whsec_old", "whsec_new"], false);
    let told = &verdict.told[0];
    assert_eq!(
        (told.id.as_str(), told.event.as_str()),
        ("evt_1", "radar.early_fraud_warning.created")
    );
    assert_eq!(told.orders, ["000000041", "pi_1", "ch_1", "issfr_1"]);
    assert_eq!(
        (told.amount, told.currency.as_str(), told.is_test),
        (Some(1999), "EUR", false)
    );
    check(
        &sign("whsec_old", NOW - 299),
        &["whsec_old", "whsec_new"],
        false,
    );
    check(&sign("whsec_old", NOW - 301), &["whsec_old"], true);
    check(&sign("whsec_old", NOW + 301), &["whsec_old"], true);
    check(&sign("another", NOW), &["whsec_old"], true);
    check("", &["whsec_old"], true);
    check("t=1,v1=zz", &["whsec_old"], true);
    // A good signature beside bad ones counts.
    let both = sign("whsec_old", NOW).replace("v1=", "v1=00,v1=");
    check(&both, &["whsec_old"], false);
}

#[test]
fn adyen_is_believed_item_by_item() {
    let key = "44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056";
    let item = |reference: &str, success: &str, code: Option<&str>| {
        let signed = format!("{reference}::Shop:000000042:1130:EUR:CHARGEBACK:{success}");
        let own = base64::engine::general_purpose::STANDARD.encode(mac::<Hmac<sha2::Sha256>>(
            &unhex(key.as_bytes()).expect("hexadecimal"),
            signed.as_bytes(),
        ));
        format!(
            r#"{{"NotificationRequestItem":{{"pspReference":"{reference}","merchantAccountCode":"Shop","merchantReference":"000000042",
            "amount":{{"value":1130,"currency":"EUR"}},"eventCode":"CHARGEBACK","success":"{success}","eventDate":"2026-08-05T10:15:30+02:00",
            "additionalData":{{"hmacSignature":"{}"}}}}}}"#,
            code.unwrap_or(&own)
        )
    };
    let batch = |items: &[String]| {
        format!(
            r#"{{"live":"true","notificationItems":[{}]}}"#,
            items.join(",")
        )
    };
    let check = |body: &str, refused: bool, count: usize| {
        let verdict = read("adyen", &[], body.as_bytes(), &["00ff", key]);
        assert_eq!(verdict.refused.is_some(), refused, "{body}");
        assert_eq!(verdict.told.len(), count, "{body}");
        verdict
    };
    let verdict = check(
        &batch(&[item("A1", "true", None), item("A2", "false", None)]),
        false,
        2,
    );
    assert_eq!(verdict.answer, "[accepted]");
    assert_eq!(verdict.told[1].event, "CHARGEBACK failed");
    assert_eq!(verdict.told[0].orders[0], "000000042");
    assert_ne!(verdict.told[0].id, verdict.told[1].id);
    // One that isn't Adyen's makes the batch nobody's.
    check(
        &batch(&[item("A1", "true", None), item("A2", "true", Some("AAAA"))]),
        true,
        2,
    );
    check(
        &batch(&[item("A1", "true", None)]).replace("1130", "1"),
        true,
        1,
    );
    check(&batch(&[]), true, 0);
    check("no JSON", true, 0);
}

#[test]
fn authorize_net_is_believed_by_its_key_as_bytes() {
    let key = "ab".repeat(64);
    let body = br#"{"notificationId":"n1","eventType":"net.authorize.payment.fraud.held","eventDate":"2026-08-05T10:15:30.5Z",
        "payload":{"id":"60020981676","invoiceNumber":"000000043","authAmount":106.25}}"#;
    let code = hex(&mac::<Hmac<sha2::Sha512>>(
        &unhex(key.as_bytes()).expect("hexadecimal"),
        body,
    ))
    .to_uppercase();
    let check = |header: &str, refused: bool| {
        let verdict = read(
            "authorize_net",
            &[("x-anet-signature", header)],
            body,
            &[&key],
        );
        assert_eq!(verdict.refused.is_some(), refused, "{header}");
        verdict
    };
    let verdict = check(&format!("sha512={code}"), false);
    assert_eq!(verdict.told[0].amount, Some(10_625));
    assert_eq!(verdict.told[0].orders[0], "000000043");
    check(&format!("sha512={}", code.replace('A', "B")), true);
    check(&code, true);
    check("", true);
}

#[test]
fn braintree_is_believed_by_public_and_private_key() {
    let xml = "<notification><kind>dispute_opened</kind><timestamp type=\"datetime\">2026-08-05T10:15:30Z</timestamp><subject><dispute>\
        <id>d1</id><amount>100.00</amount><currency-iso-code>EUR</currency-iso-code><order-id>000000044</order-id></dispute></subject></notification>";
    let payload = base64::engine::general_purpose::STANDARD.encode(xml) + "\n";
    let key = sha1::Sha1::digest(b"private");
    let code = hex(&mac::<Hmac<sha1::Sha1>>(&key, payload.as_bytes()));
    let form = |signature: &str, payload: &str| {
        let escape = |text: &str| {
            text.replace('%', "%25")
                .replace('+', "%2B")
                .replace('=', "%3D")
                .replace('|', "%7C")
                .replace('&', "%26")
                .replace('\n', "%0A")
        };
        format!(
            "bt_signature={}&bt_payload={}",
            escape(signature),
            escape(payload)
        )
    };
    let check = |body: &str, refused: bool| {
        let verdict = read("braintree", &[], body.as_bytes(), &["public:private"]);
        assert_eq!(verdict.refused.is_some(), refused, "{body}");
        verdict
    };
    let good = format!("other|00&public|{code}");
    let verdict = check(&form(&good, &payload), false);
    let told = &verdict.told[0];
    assert_eq!(
        (told.event.as_str(), told.amount),
        ("dispute_opened", Some(10_000))
    );
    assert_eq!(told.orders, ["000000044", "d1"]);
    // Its library tries the payload with its line end, too.
    check(&form(&good, payload.trim_end()), false);
    check(&form(&format!("another|{code}"), &payload), true);
    check(&form(&good, &payload.replacen('P', "Q", 1)), true);
    check(&form(&good, "<xml>"), true);
    check("", true);
}

#[test]
fn paypal_without_its_certificate_believes_nobody() {
    let headers = [
        ("paypal-transmission-id", "t1"),
        ("paypal-transmission-time", "2026-08-05T10:15:30Z"),
        ("paypal-auth-algo", "SHA256withRSA"),
        ("paypal-transmission-sig", "AAAA"),
    ];
    let body = br#"{"id":"WH-1","event_type":"CUSTOMER.DISPUTE.CREATED","create_time":"2026-08-05T10:15:30Z",
        "resource":{"id":"PP-1","invoice_id":"000000045","amount":{"value":"12","currency_code":"JPY"}}}"#;
    let verdict = read("paypal", &headers, body, &["webhook_id=1"]);
    assert!(verdict.refused.is_some());
    assert_eq!(verdict.told[0].amount, Some(12));
    assert_eq!(verdict.told[0].orders[0], "000000045");
}

#[test]
fn amounts_are_read_in_the_smallest_unit() {
    #[track_caller]
    fn check(amount: &str, currency: &str, expected: Option<i64>) {
        assert_eq!(minor(amount, currency), expected, "{amount} {currency}");
    }
    check("1.5", "EUR", Some(150));
    check("1.567", "EUR", Some(156));
    check("1.5", "KWD", Some(1500));
    check("12", "JPY", Some(12));
    check("-3.20", "USD", Some(-320));
    check("", "USD", None);
    check("x", "USD", None);
}
