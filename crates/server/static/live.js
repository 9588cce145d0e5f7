// Keeps a page live: on news it fetches itself and swaps <main>, keeping focus, scroll and what is open.
"use strict";
let busy = false, again = false;
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Magewarden-Refresh": "1" } });
    if (answer.redirected) { location.reload(); return; }
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // What somebody types is never taken away: they are told, and decide when.
    const typing = document.activeElement && ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName);
    if (typing || typed()) { tell(); return; }
    const focus = document.activeElement && document.activeElement.getAttribute("href");
    const closed = [...document.querySelectorAll("details:not([open])[id]")].map((one) => one.id);
    document.querySelector("main").replaceWith(page.querySelector("main"));
    document.querySelector("header").replaceWith(page.querySelector("header"));
    document.title = page.title;
    for (const id of closed) { const one = document.getElementById(id); if (one) one.open = false; }
    if (focus) { const one = [...document.querySelectorAll("a")].find((link) => link.getAttribute("href") === focus); if (one) one.focus({ preventScroll: true }); }
    count();
  } catch { /* The console doesn't answer now; the stream of news tells when it does. */
  } finally { busy = false; if (again) { again = false; setTimeout(refresh, 250); } }
}
function typed() {
  return [...document.querySelectorAll("main input:not([type=hidden]), main textarea, main select")].some((field) =>
    field.type === "checkbox" ? field.checked !== field.defaultChecked
      : field.tagName === "SELECT" ? [...field.options].some((option) => option.selected !== option.defaultSelected) && field.selectedIndex !== 0
        : field.value !== field.defaultValue);
}
function tell() {
  if (document.querySelector(".news")) return;
  const news = document.createElement("p"), show = document.createElement("button");
  news.className = "news";
  news.setAttribute("role", "status");
  news.textContent = "There is news on this page.";
  show.textContent = "Show it";
  show.addEventListener("click", () => location.reload());
  news.append(show);
  document.querySelector("main").before(news);
}
function count() {
  for (const time of document.querySelectorAll("time.until")) {
    const left = Math.floor((new Date(time.getAttribute("datetime")) - Date.now()) / 1000);
    const minutes = Math.floor(Math.abs(left) / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
    const span = days > 2 ? `${days} days` : hours > 0 ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
    time.textContent = left < 0 ? `(${span} late)` : `(in ${span})`;
    time.classList.toggle("near", left < 86400);
  }
}
// A changed incident is shown within a second, and what changes all the time now and then: many pages don't ask at the same moment.
let last = 0, due = 0;
function soon(wait, least, most) {
  const at = Math.max(Date.now() + Math.random() * wait, last + least + Math.random() * (most - least));
  if (due && due <= at) return;
  due = at;
  setTimeout(() => { if (due === at) { due = 0; last = Date.now(); refresh(); } }, at - Date.now());
}
const news = new EventSource("/live");
news.addEventListener("incidents", () => soon(1000, 5000, 10000));
news.addEventListener("counters", () => soon(5000, 15000, 30000));
// Refused, rather than cut off: the session is over, and what it showed goes away.
news.onerror = () => { if (news.readyState === EventSource.CLOSED) location.reload(); };
count();
setInterval(count, 30000);
document.addEventListener("keydown", (event) => {
  if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) && event.target.type !== "checkbox" || event.ctrlKey || event.metaKey || event.altKey) return;
  const cards = [...document.querySelectorAll("a.card")], at = cards.indexOf(document.activeElement);
  if (event.key === "j" && cards.length) cards[Math.min(at + 1, cards.length - 1)].focus();
  if (event.key === "k" && cards.length) cards[Math.max(at - 1, 0)].focus();
  if (event.key === "x" && at >= 0) { const pick = cards[at].parentElement.querySelector(".pick"); if (pick) pick.checked = !pick.checked; }
  if (event.key === "u") { const up = document.querySelector("a[rel=up]"); if (up) up.click(); }
});
