//! What the guard asks of each view, as the host's administrator says it; read to its kind as it is read at all.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// Longest that is between two looks, and that one answer is waited for.
const SECONDS_MAX: u64 = 60;
const PATH_BYTES_MAX: usize = 2048;
const NAME_BYTES_MAX: usize = 253;

/// `[guard]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardSettings {
    /// Value of `User-Agent` in its requests: what statistics leave them out by.
    #[serde(default = "mark", deserialize_with = "read_mark")]
    pub mark: String,
    /// Longest that is waited for one answer.
    #[serde(
        default = "limit",
        rename = "limit_seconds",
        deserialize_with = "read_seconds"
    )]
    pub limit: Duration,
    /// Time between two looks.
    #[serde(
        default = "every",
        rename = "every_seconds",
        deserialize_with = "read_seconds"
    )]
    pub every: Duration,
    /// Whether `X-Forwarded-Proto: https` is sent (Magento's `web/secure/offloader_header`): without it a shop whose base URL is
    /// https sends the plain request away.
    #[serde(default = "yes")]
    pub secure: bool,
    /// The views that are walked, by code. One that isn't named isn't known to the guard.
    #[serde(default)]
    pub view: BTreeMap<String, ViewSettings>,
}

/// `[guard.view.CODE]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewSettings {
    /// Name of a host that shows it.
    #[serde(deserialize_with = "read_host")]
    pub host: String,
    /// Path of its home page.
    #[serde(default = "home", deserialize_with = "read_path")]
    pub home: String,
    /// Path of a category.
    #[serde(deserialize_with = "read_path")]
    pub category: String,
    /// Path of a product.
    #[serde(deserialize_with = "read_path")]
    pub product: String,
    /// SKU of a simple product without options that has to be shipped and is in stock.
    pub sku: String,
    /// Country that shipping is estimated for, e.g. `DE` (ISO 3166-1).
    #[serde(deserialize_with = "read_country")]
    pub country: String,
    /// Postcode there.
    #[serde(default)]
    pub postcode: String,
}

fn mark() -> String {
    "magewarden-guard".to_owned()
}

const fn limit() -> Duration {
    Duration::from_secs(10)
}

const fn every() -> Duration {
    Duration::from_secs(SECONDS_MAX)
}

const fn yes() -> bool {
    true
}

fn home() -> String {
    "/".to_owned()
}

/// A text that keeps what is wanted.
fn read<'de, D: Deserializer<'de>>(
    from: D,
    wanted: &'static str,
    keeps: impl Fn(&str) -> bool,
) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if keeps(&text) {
        return Ok(text);
    }
    Err(de::Error::invalid_value(
        de::Unexpected::Str(&text),
        &wanted,
    ))
}

fn read_mark<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let is_shown = |byte: u8| (b' '..=b'~').contains(&byte);
    read(from, "a line of ASCII, up to 253 characters", |text| {
        !text.trim().is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(is_shown)
    })
}

fn read_host<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let is_of_name = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
    };
    read(from, "a host's name in lower case, without port", |text| {
        !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(is_of_name)
    })
}

fn read_path<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    read(
        from,
        "a path that begins with /, as a browser sends it",
        |text| {
            text.starts_with('/')
                && text.len() <= PATH_BYTES_MAX
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        },
    )
}

fn read_country<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    read(from, "two capital letters, e.g. DE", |text| {
        text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
    })
}

fn read_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let seconds = u64::deserialize(from)?;
    if (1..=SECONDS_MAX).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    let wanted = &"seconds from 1 to 60";
    Err(de::Error::invalid_value(
        de::Unexpected::Unsigned(seconds),
        wanted,
    ))
}

#[cfg(test)]
mod tests {
    use super::GuardSettings;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn view() -> Value {
        json!({"host": "fr.shop.test", "category": "/a.html", "product": "/b.html", "sku": "b", "country": "FR"})
    }

    #[track_caller]
    fn check(field: &str, value: Value, expected: Result<(), &str>) {
        let mut settings = json!({"view": {"fr": view()}});
        let of_view = settings["view"]["fr"].get(field).is_some() || field == "home";
        if of_view {
            settings["view"]["fr"][field] = value;
        } else {
            settings[field] = value;
        }
        let read = serde_json::from_value::<GuardSettings>(settings);
        match (read, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (read, _) => panic!("{field}: {read:?}"),
        }
    }

    #[test]
    fn what_is_left_out_has_a_value() {
        let settings = json!({"view": {"fr": view()}});
        let read: GuardSettings = serde_json::from_value(settings).expect("settings");
        assert_eq!(read.mark, "magewarden-guard");
        assert_eq!(
            (read.limit, read.every),
            (Duration::from_secs(10), Duration::from_secs(60))
        );
        assert!(read.secure);
        assert_eq!(read.view["fr"].home, "/");
    }

    #[test]
    fn what_would_not_be_one_line_of_a_request_is_refused() {
        check("every_seconds", json!(60), Ok(()));
        check("every_seconds", json!(61), Err("seconds from 1 to 60"));
        check("limit_seconds", json!(0), Err("seconds from 1 to 60"));
        check("mark", json!("a guard (+https://shop.test)"), Ok(()));
        check("mark", json!("a\r\nb"), Err("a line of ASCII"));
        check("mark", json!(""), Err("a line of ASCII"));
        check("home", json!("/?___store=fr"), Ok(()));
        check("home", json!("fr"), Err("begins with /"));
        check("category", json!("/a b"), Err("begins with /"));
        check("host", json!("Fr.shop.test"), Err("lower case"));
        check("host", json!("fr.shop.test:80"), Err("without port"));
        check("country", json!("de"), Err("two capital letters"));
        check("pays", json!(true), Err("unknown field"));
    }
}
