#!/usr/bin/env python3
"""Whoever can't see well, use a mouse or has a small screen: every page of the console, light, dark and 320 px wide.

usage: access.py MAGEWARDEN

Looks for what WCAG 2.2 AA asks for and a script can tell: names of fields, links, buttons and pictures; order of headings; landmarks;
language; ids; headers of tables; contrast (1.4.3); a focus that is seen (2.4.7); sizes to hit (2.5.8); no sideways scroll (1.4.10).
"""
import pathlib
import re
import subprocess
import sys

from browser import Browser
from console import Person
from shared import free_port, host_of, need, stage, wait_for
from handling import STORES, line

# A page's own sins, by kind. Sizes and colours are what the browser computed.
LOOK = r"""
const out = [], narrow = arguments[0];
const told = (what, one) => out.push(`${what}: ${one ? one.outerHTML.slice(0, 140).replace(/\s+/g, ' ') : ''}`);
const shown = (one) => one.checkVisibility({visibilityProperty: true}) && one.getClientRects().length > 0 && one.getBoundingClientRect().right > 0;
const clean = (text) => (text || '').replace(/\s+/g, ' ').trim();
const name = (one) => clean(one.getAttribute('aria-label')) || clean((one.getAttribute('aria-labelledby') || '').split(' ').map((id) => document.getElementById(id)?.textContent).join(' '))
  || clean(one.labels && [...one.labels].map((label) => label.textContent).join(' ')) || (['A', 'BUTTON', 'SUMMARY', 'a'].includes(one.tagName) ? clean(one.textContent) : '') || clean(one.title);
if (document.documentElement.lang !== 'en') told('no language');
if (!document.title.trim()) told('no title');
if (document.querySelectorAll('main').length !== 1) told('not one main');
if (document.querySelectorAll('h1').length !== 1) told('not one h1');
if (!document.querySelector('meta[name=viewport]') || /user-scalable=no|maximum-scale/.test(document.querySelector('meta[name=viewport]').content)) told('no zoom');
for (const one of document.querySelectorAll('nav')) if (!name(one)) told('landmark without a name', one);
for (const one of document.body.children) if (!['HEADER', 'MAIN', 'FOOTER', 'NAV', 'SCRIPT'].includes(one.tagName)) told('outside of landmarks', one);
let level = 0;
for (const one of document.querySelectorAll('h1,h2,h3,h4,h5,h6')) {
  const now = Number(one.tagName[1]);
  if (now > level + 1) told(`heading h${now} after h${level}`, one);
  if (!clean(one.textContent)) told('empty heading', one);
  level = now;
}
const ids = new Set();
for (const one of document.querySelectorAll('[id]')) { if (ids.has(one.id)) told('id twice', one); ids.add(one.id); }
for (const one of document.querySelectorAll('[aria-describedby],[aria-labelledby],[list],label[for]'))
  for (const attribute of ['aria-describedby', 'aria-labelledby', 'list', 'for'])
    for (const id of (one.getAttribute(attribute) || '').split(' ')) if (id && !document.getElementById(id)) told(`${attribute} leads nowhere`, one);
for (const one of document.querySelectorAll('input:not([type=hidden]),select,textarea,button,a[href],summary,[role=button]')) if (!name(one)) told('no name', one);
for (const one of document.querySelectorAll('img,svg')) if (one.getAttribute('aria-hidden') !== 'true' && !name(one) && !clean(one.getAttribute('alt')) && !one.closest('[aria-hidden=true]')) told('picture without words', one);
for (const one of document.querySelectorAll('table')) {
  if (!one.querySelector('th')) told('table without headers', one);
  for (const head of one.querySelectorAll('th')) if (!clean(head.textContent)) told('empty header', head);
}
for (const one of document.querySelectorAll('ul,ol')) for (const part of one.children) if (!['LI', 'SCRIPT', 'TEMPLATE'].includes(part.tagName)) told('list of other things', part);
for (const one of document.querySelectorAll('dl')) for (const part of one.children) if (!['DT', 'DD', 'DIV'].includes(part.tagName)) told('dl of other things', part);
for (const one of document.querySelectorAll('a[href] a, a[href] button, a[href] input, button a, button button, summary a, summary button, label label')) told('one control in another', one);
for (const one of document.querySelectorAll('[tabindex]')) if (Number(one.getAttribute('tabindex')) > 0) told('order of its own', one);
for (const one of document.querySelectorAll('*')) {
  const style = getComputedStyle(one);
  if (['auto', 'scroll'].includes(style.overflowX) && one.scrollWidth > one.clientWidth + 1 && one.tabIndex < 0 && one !== document.documentElement && one !== document.body
      && !one.querySelector('a[href],button,input,select,textarea,summary') && shown(one)) told('scrolls, not by keys', one);
}
// Contrast: the colour of text on what lies behind it. No page has pictures behind text.
const parse = (colour) => { const parts = colour.match(/[\d.]+/g).map(Number); return {rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1}; };
const over = (top, below) => top.rgb.map((part, at) => part * top.alpha + below[at] * (1 - top.alpha));
const light = (rgb) => { const [r, g, b] = rgb.map((part) => { const of = part / 255; return of <= 0.04045 ? of / 12.92 : ((of + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const canvas = parse(getComputedStyle(document.body).backgroundColor).rgb;
const behind = (one) => {
  const all = [];
  for (let at = one; at; at = at.parentElement) all.push(parse(getComputedStyle(at).backgroundColor));
  return all.reverse().reduce((below, top) => over(top, below), canvas);
};
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), weak = new Set();
while (walk.nextNode()) {
  const one = walk.currentNode.parentElement;
  if (!walk.currentNode.data.trim() || weak.has(one) || ['OPTION', 'SCRIPT', 'STYLE', 'TITLE', 'title'].includes(one.tagName) || !shown(one)) continue;
  const style = getComputedStyle(one), is_svg = one instanceof SVGElement;
  const back = is_svg ? behind(one.closest('svg').parentElement) : behind(one);
  const found = ratio(over(parse(is_svg ? style.fill : style.color), back), back);
  const size = parseFloat(style.fontSize), is_large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
  if (found < (is_large ? 3 : 4.5)) { weak.add(one); told(`contrast ${found.toFixed(2)}`, one); }
}
// Sizes to hit: 24 px, but for links in sentences and what the browser draws by itself.
for (const one of document.querySelectorAll('a[href],button,input:not([type=hidden]),select,textarea,summary')) {
  if (!shown(one)) continue;
  const box = one.getBoundingClientRect(), is_inline = one.tagName === 'A' && getComputedStyle(one).display === 'inline';
  if (is_inline && one.parentElement.closest('p,li,dd,td,dt,th')) continue;
  const label = one.labels && one.labels[0] ? one.labels[0].getBoundingClientRect() : box;
  if (Math.max(box.height, label.height) < 23.5 || Math.max(box.width, label.width) < 23.5) told(`small, ${box.width.toFixed(0)} by ${box.height.toFixed(0)}`, one);
}
// A focus that is seen.
const seen = new Set();
for (const one of document.querySelectorAll('a[href],button,input:not([type=hidden]),select,textarea,summary,[tabindex="0"]')) {
  const kind = `${one.tagName}.${one.className.baseVal ?? one.className}`;
  if (seen.has(kind) || !shown(one) && !one.classList.contains('skip')) continue;
  seen.add(kind);
  const look = () => { const style = getComputedStyle(one), place = one.querySelector('.place'); return [style.outlineStyle, style.outlineWidth, style.boxShadow, style.borderColor, place && getComputedStyle(place).stroke].join(); };
  const before = look();
  one.focus({focusVisible: true, preventScroll: true});
  if (document.activeElement === one && look() === before) told('focus is not seen', one);
  one.blur();
}
if (document.documentElement.scrollWidth > innerWidth + 1) {
  const wide = [...document.querySelectorAll('main *, header *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.parentElement.closest('.scroll') && shown(one));
  told(`scrolls sideways, ${document.documentElement.scrollWidth} of ${innerWidth} px`, wide.at(-1));
}
return out;
"""

# Every time with what the page says of it, and how the browser itself tells it in a zone.
TIMES = r"""
const shown = new Intl.DateTimeFormat('sv', {dateStyle: 'short', timeStyle: 'medium', timeZone: arguments[0]});
const offset = new Intl.DateTimeFormat('en', {timeZoneName: 'longOffset', timeZone: arguments[0]});
const zone = (at) => offset.formatToParts(at).find((part) => part.type === 'timeZoneName').value.replace('GMT', '');
return [...document.querySelectorAll('time[datetime]:not(.until)')].map((one) => {
  const at = new Date(one.getAttribute('datetime'));
  return [one.title, one.textContent, `${shown.format(at)} ${arguments[0] === 'UTC' ? 'UTC' : zone(at)}`];
});
"""


def log_in(browser, port, who):
    browser.open(f"http://127.0.0.1:{port}/icon.svg")
    browser.forget()
    if who:
        name, value = who.cookie.split("=", 1)
        browser.call("POST", "/cookie", {"cookie": {"name": name, "value": value, "path": "/", "httpOnly": True}})


def tells_local_times(port, who, paths):
    """Who chose Berlin reads each time as the browser tells it there, with its offset, wherever the browser is, also after the page renewed itself; who
    chose nothing reads UTC."""
    count = 0
    for zone in ("Europe/Berlin", "UTC"):
        need(who.post("/account/zone", zone=zone if zone != "UTC" else "")[0] == 303, "a zone is chosen", zone)
        browser = Browser(zone="America/New_York")
        try:
            log_in(browser, port, who)
            for path in paths:
                browser.open(f"http://127.0.0.1:{port}{path}")
                browser.run("return refresh();")
                times = browser.run(TIMES, zone)
                need(times, f"{path} tells times")
                for title, told, here in times:
                    need(told == here and title.endswith(" UTC"), f"{path} tells a time as it is in {zone}, and in UTC where one points at it", (title, told, here))
                count += len(times)
        finally:
            browser.close()
    return count


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("access") as (started, folder):
        data, log, port = folder / "data", folder / "access.log", free_port()
        (folder / "stores.toml").write_text(STORES)
        run = lambda *words: subprocess.run([str(magewarden), "accounts", *words, "--data", str(data)], capture_output=True, text=True, check=True).stdout.strip()
        links = {"ada": run("invite", "ada", "--role", "admin", "--role", "analyst"), "lea": run("invite", "lea", "--role", "incident_lead")}
        union = "/catalogsearch/result/?q=1%27+UNION+ALL+SELECT+password+FROM+admin_user--"
        log.write_text(line("shop.example.com", "fr", "/checkout?cvv=737&step=1", "198.51.100.7") + line("us.example.com", "", union, "203.0.113.9")
                       + line("us.example.com", "", "/media/" + "averylongname" * 20 + ".php", "2001:db8:85a3:8d3:1319:8a2e:370:7348"))
        agents = free_port()
        started.append(subprocess.Popen([str(magewarden), "up", "--log", str(log), "--stores", str(folder / "stores.toml"), "--data", str(data), "--port", str(port), "--agents", f"127.0.0.1:{agents}"],
                                        stderr=open(folder / "err", "w")))

        def there():
            try:
                return Person(port, "ada", links["ada"])
            except OSError:
                return None

        ada = wait_for("the console", 30, there)
        lea = Person(port, "lea", links["lea"])
        found = lambda: re.findall(r'href="(/incidents/[0-9a-f]+)"', ada.get("/incidents")[1])
        incidents = list(dict.fromkeys(wait_for("incidents", 30, found)))
        one = incidents[0].rsplit("/", 1)[1]
        page = lea.get(incidents[0])[1]
        key = re.search(r'name="key" value="([^"]+)"', page)[1]
        for body in ({"act": "acknowledge"}, {"act": "comment", "text": "x" * 300}, {"act": "add_task", "title": "ring " + "y" * 200, "owner": "me"}):
            status = lea.post(f"/incidents/{one}/decide", seen="0", key=f"{key}-{body['act']}", **body)[0]
            need(status in (200, 303), "a decision is taken", (status, body))
        ada.post("/incidents/views", name="mine", state="all")
        ada.post("/account/tokens", name="siem", role="analyst", days="3")
        entities = list(dict.fromkeys(re.findall(r'href="(/entities/[^"]+)"', "".join(ada.get(path)[1] for path in ("/entries", *incidents)))))
        host_of(magewarden, data, folder, agents, started)
        plan, hosts = f"{incidents[0]}/plans/web-shell?v.__file__=pub/media/{'averylongname' * 15}.php&v.__network__=203.0.113.9", lambda: "shop1" in lea.get("/runs")[1]
        wait_for("the host", 30, hosts)
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', lea.get(plan)[1]))
        status, headers, _ = lea.post(plan.split("?")[0], host="shop1", note="the shell is there " * 20, **{name: value for name, value in hidden.items() if name != "csrf"})
        need(status == 303, "a plan is asked for", status)
        run_page = headers["Location"]
        wait_for("the host's refusal", 30, lambda: "refuses it" in lea.get(run_page)[1])
        pages = ["/", "/incidents?state=all", *incidents[:3], "/entries", "/entries?from=nonsense", "/entries/0", *entities[:6], "/sources", "/payment-pages", "/modules", "/rules",
                 "/playbooks", "/playbooks/database-account-stolen", "/playbooks/stray-card-data",
                 "/rules/pan-in-access-log", "/account", "/administration/people", "/logout", "/nothing-there"]
        sins, count = {}, 0
        for width, dark in ((1280, False), (1280, True), (320, False), (320, True)):
            browser = Browser(width=max(width, 500), dark=dark, zone="Europe/Berlin")
            try:
                if width == 320:
                    metrics = {"width": 320, "height": 900, "deviceScaleFactor": 1, "mobile": True}
                    browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})
                media = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
                browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": media})
                for who, paths in ((None, ["/login"]), (lea, ["/", incidents[0], plan, "/runs", run_page, "/playbooks", "/playbooks/web-shell", "/playbooks/stray-card-data/edit"]), (ada, pages)):
                    log_in(browser, port, who)
                    for path in paths:
                        browser.open(f"http://127.0.0.1:{port}{path}")
                        need(browser.run("return matchMedia('(prefers-color-scheme: dark)').matches") == dark, "light and dark are what was asked for")
                        need(width > 320 or browser.run("return innerWidth") >= 320, "narrow is narrow")
                        count += 1
                        # What is folded away is for everybody, too.
                        browser.run("for (const one of document.querySelectorAll('details')) one.open = true;")
                        for sin in browser.run(LOOK, width == 320):
                            sins.setdefault(sin, []).append(f"{path} {'dark' if dark else 'light'} {width}")
            finally:
                browser.close()
        need(not sins, f"{len(sins)} things", "\n".join(f"{sin}\n    {len(where)}×, e.g. {where[0]}" for sin, where in sorted(sins.items())))
        times = tells_local_times(port, ada, ["/", "/incidents?state=all", incidents[0]])
        print(f"1 passed, 0 failed ({count} pages looked at: light and dark, 1280 and 320 px wide; {times} times in UTC and in the zone that was chosen)")


if __name__ == "__main__":
    main()
