//! Looking without a browser: the page and the scripts it names, as a web server sends them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use url::Url;

use super::look::{Found, Kind, address};
use super::visit::{Step, Visit};
use crate::source::Hand;

/// Longest time one answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Largest page or script read.
const BYTES_MAX: u64 = 8 << 20;
/// Scripts asked for of one page.
const SCRIPTS_MAX: usize = 200;
/// Redirects followed.
const REDIRECTS_MAX: usize = 5;

/// Asks where a host is, and lets a page's scripts lead nowhere but into the public network: a page's address is what
/// whoever wrote the page wants it to be.
#[derive(Debug)]
struct Places {
    addresses: BTreeMap<String, IpAddr>,
    /// The shop's own host, which may be anywhere.
    own: String,
    inner: DefaultResolver,
}

impl Resolver for Places {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if let Some(address) = self.addresses.get(&host) {
            let port = uri
                .port_u16()
                .unwrap_or(if uri.scheme_str() == Some("https") {
                    443
                } else {
                    80
                });
            let mut out = self.empty();
            out.push(SocketAddr::new(*address, port));
            return Ok(out);
        }
        let all = self.inner.resolve(uri, config, timeout)?;
        if host != self.own && all.iter().any(|address| !is_public(address.ip())) {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(all)
    }
}

/// Whether an address is one anybody may be at.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || first == 0
                || first >= 240
                || (first == 100 && (64..128).contains(&second)))
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    url: Url,
}

struct Client<'a> {
    agent: ureq::Agent,
    visit: &'a Visit,
    cookies: BTreeMap<String, String>,
}

/// Looks once.
pub(super) fn look(visit: &Visit, hand: &Hand) -> Result<Found, String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(&visit.user_agent)
        .build();
    let own = visit.url.host_str().unwrap_or_default().to_owned();
    let places = Places {
        addresses: visit.addresses.clone(),
        own,
        inner: DefaultResolver::default(),
    };
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), places);
    let key = visit.form_key.clone();
    let mut client = Client {
        agent,
        visit,
        cookies: BTreeMap::from([("form_key".to_owned(), key)]),
    };
    for step in &visit.before {
        let answer = client.ask(&step.url, Some(step))?;
        if answer.status >= 400 {
            return Err(format!(
                "{} answered {} before the page",
                step.url, answer.status
            ));
        }
    }
    let page = client.ask(&visit.url, None)?;
    visit.arrived(page.status, &page.url)?;
    let mut found = Found::default();
    for (name, value) in &page.headers {
        found.header(name, value);
    }
    let mut scripts = found.read(&page.body, &page.url);
    found.markup = page.body;
    scripts.sort();
    scripts.dedup();
    found.is_cut |= scripts.len() > SCRIPTS_MAX;
    for script in scripts.iter().take(SCRIPTS_MAX) {
        if hand.stopped() {
            return Err("told to stop".to_owned());
        }
        // A script that can't be had is there all the same; a browser elsewhere may get it.
        match client.ask(script, None) {
            Ok(answer) if answer.status < 400 => found.script(script.as_str(), &answer.body),
            _ => found.name(Kind::Script, &address(script.as_str())),
        }
    }
    Ok(found)
}

impl Client<'_> {
    /// Asks; redirects are followed within the shop's own host.
    fn ask(&mut self, url: &Url, step: Option<&Step>) -> Result<Answer, String> {
        let mut url = url.clone();
        let mut form = step.and_then(|step| step.form.as_deref());
        for _ in 0..=REDIRECTS_MAX {
            let is_own = url.host_str() == self.visit.url.host_str();
            let cookies: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let cookies = if is_own {
                cookies.join("; ")
            } else {
                String::new()
            };
            let referer = self.visit.url.as_str();
            let sent = match form.take() {
                Some(form) => {
                    let body = format!("{form}&form_key={}", self.visit.form_key);
                    let request = self
                        .agent
                        .post(url.as_str())
                        .header("Cookie", &cookies)
                        .header("Referer", referer);
                    request
                        .content_type("application/x-www-form-urlencoded")
                        .send(body)
                }
                None => self
                    .agent
                    .get(url.as_str())
                    .header("Cookie", &cookies)
                    .header("Referer", referer)
                    .call(),
            };
            let mut answer = sent.map_err(|error| format!("{url} can't be asked: {error}"))?;
            let headers: Vec<(String, String)> = answer
                .headers()
                .iter()
                .map(|(name, value)| {
                    (
                        name.as_str().to_owned(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect();
            if is_own {
                for (_, value) in headers.iter().filter(|(name, _)| name == "set-cookie") {
                    let pair = value.split(';').next().unwrap_or_default();
                    if let Some((name, value)) = pair.split_once('=') {
                        self.cookies
                            .insert(name.trim().to_owned(), value.trim().to_owned());
                    }
                }
            }
            let status = answer.status().as_u16();
            let location = headers
                .iter()
                .find(|(name, _)| name == "location")
                .and_then(|(_, to)| url.join(to).ok());
            if let (300..=399, Some(to)) = (status, location) {
                if is_own && to.host_str() != self.visit.url.host_str() {
                    return Err(format!("{url} leads to another host: {to}"));
                }
                url = to;
                continue;
            }
            let body = answer
                .body_mut()
                .with_config()
                .limit(BYTES_MAX)
                .lossy_utf8(true);
            let body = body
                .read_to_string()
                .map_err(|error| format!("{url} can't be read: {error}"))?;
            return Ok(Answer {
                status,
                headers,
                body,
                url,
            });
        }
        Err(format!(
            "{url} leads from one address to the next without end"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::is_public;

    #[test]
    fn a_page_leads_nowhere_inside() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!is_public(inside.parse().expect("an address")), "{inside}");
        }
        for outside in ["192.0.2.7", "2001:db8::7"] {
            assert!(is_public(outside.parse().expect("an address")), "{outside}");
        }
    }
}
