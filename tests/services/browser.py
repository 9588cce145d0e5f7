"""A real Chromium that does what a person does: opens pages, types, clicks, looks. Speaks WebDriver (W3C) to chromedriver."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from shared import free_port, need, wait_for

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    def __init__(self, width=1280, height=900, dark=False, zone="UTC"):
        self.folder = tempfile.mkdtemp()
        self.port = free_port()
        self.driver = subprocess.Popen(["chromedriver", f"--port={self.port}"], env={**os.environ, "TZ": zone}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("chromedriver", 30, self.is_ready)
        args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--hide-scrollbars", f"--user-data-dir={self.folder}", f"--window-size={width},{height}"]
        if dark:
            args.append("--force-dark-mode")
            args.append("--blink-settings=preferredColorScheme=0")
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": args}, "goog:loggingPrefs": {"browser": "ALL"}, "unhandledPromptBehavior": "ignore"}
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}}, bare=True)
        self.session = made["sessionId"]

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=2) as answer:
                return json.load(answer)["value"]["ready"]
        except OSError:
            return False

    def call(self, method, path, body=None, bare=False):
        url = f"http://127.0.0.1:{self.port}" + (path if bare else f"/session/{self.session}{path}")
        data = json.dumps(body if body is not None else {}).encode() if method == "POST" else None
        request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            told = json.load(error)["value"]
            raise SystemExit(f"FAILED: the browser says {told['error']}: {told['message'][:300]} ({method} {path} {body})") from None

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def url(self):
        return self.call("GET", "/url")

    def run(self, script, *args):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def all(self, css):
        return [one[ELEMENT] for one in self.call("POST", "/elements", {"using": "css selector", "value": css})]

    def one(self, css):
        found = self.all(css)
        need(found, f"there is no {css} on {self.url()}", self.text()[:2000])
        return found[0]

    def text(self, css="body"):
        return self.run("const one = document.querySelector(arguments[0]); return one ? one.innerText : '';", css)

    def html(self):
        return self.run("return document.documentElement.outerHTML;")

    def type(self, css, text):
        """Types into a field; once more when the page renewed itself under the hands."""
        for is_last in (False, False, True):
            try:
                one = self.one(css)
                self.call("POST", f"/element/{one}/clear")
                return self.call("POST", f"/element/{one}/value", {"text": text})
            except SystemExit as error:
                if is_last or "stale" not in str(error):
                    raise

    def click(self, css):
        self.press(self.one(css))

    def press(self, one):
        self.run("arguments[0].scrollIntoView({block: 'center'});", {ELEMENT: one})
        self.call("POST", f"/element/{one}/click")

    def button(self, words, within="body"):
        """Presses the button that says this, and waits for the page it leads to."""
        find = ("return [...document.querySelectorAll(arguments[1] + ' button')]"
                ".find((one) => one.innerText.trim() === arguments[0] && one.offsetParent !== null) || null;")
        found = self.run(find, words, within)
        need(found, f"there is no button “{words}” on {self.url()}", self.text()[:3000])
        self.run("window.before = true;")
        self.press(found[ELEMENT])
        wait_for(f"the page behind “{words}”", 20, lambda: self.run("return window.before === undefined && document.readyState === 'complete';"))

    def forget(self):
        """Logged in nowhere any more."""
        self.call("DELETE", "/cookie")

    def picture(self, path):
        """The whole page, as it is."""
        height = self.run("return document.documentElement.scrollHeight;")
        width = self.run("return window.innerWidth;")
        self.call("POST", "/window/rect", {"width": width, "height": min(height + 140, 6000)})
        pathlib.Path(path).write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def complaints(self):
        """What the browser's console says: refused by the policy, scripts that failed."""
        return [one["message"] for one in self.call("POST", "/se/log", {"type": "browser"}) if one["level"] == "SEVERE"]

    def close(self):
        try:
            self.call("DELETE", "", None)
        finally:
            self.driver.terminate()
            self.driver.wait(20)
            shutil.rmtree(self.folder, ignore_errors=True)
