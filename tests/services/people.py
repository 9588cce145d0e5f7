#!/usr/bin/env python3
"""People at a real console: coming in, being out, by forms, by the command line, by TLS, in a real browser.

usage: people.py MAGEWARDEN

Starts `magewarden up` on 127.0.0.1 with a log of one line, makes a certificate with openssl, and ends what it started.
"""
import http.client
import json
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time

from console import PASSWORD, Accounts, Person, page, post, started_proxy
from shared import free_port, need, stage, verified, wait_for

HOST = "console.example.test"


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("people") as (started, folder):
        log, data, port = folder / "access.log", folder / "data", free_port()
        log.write_text('203.0.113.9 - - [05/Aug/2026:12:00:00 +0000] "GET /catalogsearch/result/?q=1%27%20UNION%20SELECT%20password%20FROM%20admin_user-- HTTP/1.1" 200 512 "-" "x"\n')
        asked = ["--log", str(log), "--data", str(data)]

        def up(*more, port=port):
            err = open(folder / "err", "a")
            process = subprocess.Popen([str(magewarden), "up", *asked, "--port", str(port), *more], stderr=err)
            started.append(process)
            return process

        first = up()
        link = wait_for("the first administrator's link", 30, lambda: re.search(r"http://127\.0\.0\.1:\d+/welcome\?invitation=[0-9a-f]{64}", (folder / "err").read_text()))[0]
        wait_for("the console", 30, lambda: post(port, "/login", name="x", present="x")[0] == 422)
        root = Person(port, "rita.root", link)
        need(Person.get(root, "/")[0] == 200, "the first administrator is in")
        need("People" in root.get("/")[1] and 'href="/account"' in root.get("/")[1], "the navigation is theirs")
        wait_for("the incident", 30, lambda: "/incidents/" in root.get("/")[1])
        need(page(port, "/api/v1/incidents").startswith("{"), "a token reads")
        need(page(port, "/metrics").count("magewarden_ledger_entries"), "counters are open on loopback")

        # The command line beside the running console.
        accounts = Accounts(port)
        bob = Person(port, "bob", roles=("analyst",))
        need({one["name"]: one["state"] for one in json.loads(accounts.run("list", "--format", "json"))["accounts"]} == {"bob": "active", "rita.root": "active"}, "both are listed")
        need(bob.get("/administration/people")[0] == 403, "bob manages nobody")
        status, _, shown = root.post("/administration/people/grant", name="bob", keep="incident_lead ", role="evidence_custodian")
        need(status == 422 and "may not be one person" in shown, "separation of duties is said", shown)
        need(root.post("/account/tokens", name="siem", role="admin", days="30")[0] == 200, "a token is made")
        accounts.run("revoke", "siem")

        # Sessions outlive a restart; guesses lock; the command line lets back in.
        first.send_signal(signal.SIGTERM)
        first.wait(20)
        up()
        wait_for("the console again", 30, lambda: page(port))
        need(bob.get("/")[0] == 200, "the session goes on")
        need((folder / "err").read_text().count("/welcome?invitation=") == 1, "no second first administrator")
        answers = {post(port, "/login", name=name, present="a wrong river 1")[2].replace(f'value="{name}"', "") for name in ["bob"] * 7 + ["nobody"]}
        need(len(answers) == 1, "one answer for all that is wrong")
        need("locked" in accounts.run("list"), "bob is locked", accounts.run("list"))
        need(post(port, "/login", name="bob", present=PASSWORD)[0] == 422, "the right password too")
        link = accounts.run("reset-factor", "bob")
        need(bob.get("/")[0] == 303, "reset: out everywhere")
        need(post(port, "/welcome", invitation=link.split("=")[1], shown="Bob", password=PASSWORD)[0] == 422, "not the last password again")
        accounts.run("disable", "bob")
        need(post(port, "/welcome", invitation=link.split("=")[1], shown="Bob", password="another river 8")[0] == 404, "disabled: no link")

        # Log out, and in by both steps.
        need(root.post("/logout")[1]["Location"] == "/login" and root.get("/")[0] == 303, "logged out")
        need(root.log_in() == "/sources" and root.get("/sources")[0] == 200, "logged in, to where they wanted to be")

        # A real browser, with the person's session; and without one.
        def browser(url):
            return subprocess.run(
                ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", f"--user-data-dir={folder}/browser", "--dump-dom", url],
                capture_output=True, text=True, timeout=60).stdout

        shown = browser(started_proxy(port, root.cookie))
        need("/incidents/" in shown and "Rita.Root" in shown, "the browser shows it", shown)
        shown = browser(f"http://127.0.0.1:{port}/sources")
        need('autocomplete="current-password"' in shown and 'value="/sources"' in shown, "without a session one logs in", shown)

        # Beyond loopback.
        for more, words in (["--listen", "0.0.0.0"], "needs TLS"), (["--tls-key", "x"], "--tls-certificate"):
            refused = subprocess.run([str(magewarden), "up", *asked, "--port", "0", *more], capture_output=True, text=True, timeout=30)
            need(refused.returncode != 0 and words in refused.stderr, f"{more} alone is refused", refused.stderr)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
                        "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")], check=True, capture_output=True)
        started[-1].send_signal(signal.SIGTERM)
        started[-1].wait(20)
        far = free_port()
        up("--tls-certificate", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"), "--name", HOST, port=far)

        def over_tls(host, method="GET", path="/login", body=None, version=None):
            own = ssl.create_default_context(cafile=str(folder / "cert.pem"))
            own.check_hostname = False
            if version:
                own.minimum_version = own.maximum_version = version
            connection = http.client.HTTPSConnection("127.0.0.1", far, timeout=10, context=own)
            connection.request(method, path, body, {"Host": host, "Content-Type": "application/x-www-form-urlencoded"})
            answer = connection.getresponse()
            answer.read()
            return answer

        def there():
            try:
                return over_tls(HOST).status == 200
            except OSError:
                return False

        wait_for("the console by TLS", 30, there)
        need(over_tls(HOST).headers["Strict-Transport-Security"], "browsers come back by TLS")
        need(over_tls("other.example.test").status == 421, "another name is refused")
        need(over_tls(HOST, version=ssl.TLSVersion.TLSv1_3).status == 200 and over_tls(HOST, version=ssl.TLSVersion.TLSv1_2).status == 200, "TLS 1.2 and 1.3")
        answer = over_tls(HOST, "POST", "/login", f"name=rita.root&present={PASSWORD.replace(' ', '+')}")
        cookie = answer.headers["Set-Cookie"]
        need(cookie.startswith("__Host-magewarden=") and "; Secure" in cookie, "a cookie for TLS alone", cookie)
        # Who connects and says nothing holds nobody up.
        mute = [socket.create_connection(("127.0.0.1", far)) for _ in range(100)]
        begin = time.monotonic()
        need(over_tls(HOST).status == 200 and time.monotonic() - begin < 8, "a hundred mute connections")
        for one in mute:
            one.close()
        started[-1].send_signal(signal.SIGTERM)
        started[-1].wait(20)
        verified(magewarden, data)
        print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
