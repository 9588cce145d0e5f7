#!/usr/bin/env python3
"""Passkeys in a real Chromium with a virtual authenticator: added, used as the second factor and as the whole log-in, copied, removed.

usage: passkeys.py MAGEWARDEN
"""
import pathlib
import re
import signal
import subprocess
import sys
import time

from browser import Browser
from console import PASSWORD, Accounts, Person, code, post
from shared import free_port, need, stage, verified, wait_for


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("passkeys") as (started, folder):
        log, data, port = folder / "access.log", folder / "data", free_port()
        log.write_text('203.0.113.9 - - [05/Aug/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 512 "-" "x"\n')
        started.append(subprocess.Popen([str(magewarden), "up", "--log", str(log), "--data", str(data), "--port", str(port)], stderr=open(folder / "err", "a")))
        link = wait_for("the first administrator's link", 60, lambda: re.search(r"http://127\.0\.0\.1:\d+/welcome\?invitation=[0-9a-f]{64}", (folder / "err").read_text()))[0]
        wait_for("the console", 30, lambda: post(port, "/login", name="x", present="x")[0] == 422)
        root = Person(port, "rita.root", link)
        at, browser = f"http://localhost:{port}", Browser()

        def fresh_code(person=root):
            while int(time.time()) // 30 <= person.used:
                time.sleep(0.2)
            person.used = int(time.time()) // 30
            return code(person.secret)

        def authenticator(**more):
            return browser.call("POST", "/webauthn/authenticator", {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True, **more})

        def first_step():
            browser.open(f"{at}/login")
            browser.type("#login-name", "rita.root")
            browser.type("#login-present", PASSWORD)
            browser.button("Next: the code")

        def press(words):
            """A button whose form the script sends; the page may stay."""
            found = [one for one in browser.all("form[data-passkey] button") if browser.run("return arguments[0].innerText.trim();", {"element-6066-11e4-a52e-4f735466cecf": one}) == words]
            need(found, f"there is a button “{words}”", browser.text())
            browser.press(found[0])

        def fault():
            return browser.run("return [...document.querySelectorAll('[role=alert]')].map((one) => one.textContent).join('');")

        try:
            one = authenticator()
            first_step()
            press("Use a passkey instead")
            wait_for("what is said without one", 10, lambda: "there is no passkey here" in fault())
            browser.type("#code-code", fresh_code())
            browser.button("Log in")

            # Added only with a code; whoever sits there can't.
            browser.open(f"{at}/account")
            browser.type("#passkey-name", "a phone")
            browser.type("#passkey-code", "000000")
            press("Add a passkey")
            wait_for("the wrong code is said", 10, lambda: "code isn't right" in fault())
            browser.type("#passkey-code", fresh_code())
            press("Add a passkey")
            wait_for("it is added", 20, lambda: "The passkey is added" in browser.text())
            need("a phone" in browser.text() and "never used" in browser.text(), "it is listed", browser.text())
            kept = browser.call("GET", f"/webauthn/authenticator/{one}/credentials")
            need(len(kept) == 1 and kept[0]["rpId"] == "localhost" and kept[0]["isResidentCredential"], "the authenticator has it, for this host", kept)

            # The whole log-in, and the second step: each a session of its own.
            browser.forget()
            browser.open(f"{at}/login?next=%2Fsources")
            press("Log in with a passkey")
            wait_for("logged in by it", 20, lambda: browser.url() == f"{at}/sources" and "Rita.Root" in browser.text())
            browser.forget()
            first_step()
            press("Use a passkey instead")
            wait_for("logged in by both", 20, lambda: browser.url() == f"{at}/" and "Rita.Root" in browser.text())
            browser.open(f"{at}/account")
            need("never used" not in browser.text("main"), "its use is noted", browser.text())

            # A person who isn't verified, and another's passkey, aren't taken.
            browser.forget()
            browser.call("POST", f"/webauthn/authenticator/{one}/uv", {"isUserVerified": False})
            browser.open(f"{at}/login")
            press("Log in with a passkey")
            wait_for("not verified: refused", 70, lambda: "No passkey was used" in fault())
            need(browser.url().startswith(f"{at}/login"), "nobody is in", browser.url())
            browser.call("POST", f"/webauthn/authenticator/{one}/uv", {"isUserVerified": True})

            # A copy: its counter goes back.
            kept = browser.call("GET", f"/webauthn/authenticator/{one}/credentials")[0]
            need(kept["signCount"] >= 2, "it counts", kept)
            browser.call("DELETE", f"/webauthn/authenticator/{one}/credentials/{kept['credentialId']}")
            browser.call("POST", f"/webauthn/authenticator/{one}/credential", {**kept, "signCount": 0})
            browser.open(f"{at}/login")
            press("Log in with a passkey")
            wait_for("a copy is refused", 20, lambda: "counter went back" in fault())
            wait_for("and told", 10, lambda: "passkey_copied rita.root" in (folder / "err").read_text())
            first_step()
            press("Use a passkey instead")
            wait_for("nor as the second step", 20, lambda: "counter went back" in fault())

            # Removed, with a code; then it opens nothing.
            browser.type("#code-code", fresh_code())
            browser.button("Log in")
            browser.open(f"{at}/account")
            browser.click("main li details summary")
            browser.type("#remove-1", fresh_code())
            browser.button("Remove it")
            need("The passkey is removed" in browser.text() and "You have none" in browser.text(), "removed", browser.text())
            browser.forget()
            browser.open(f"{at}/login")
            press("Log in with a passkey")
            wait_for("it opens nothing any more", 20, lambda: "wasn't taken" in fault())

            # A person who is disabled is out by it, too.
            bob = Person(port, "bob", roles=("analyst",))
            browser.call("DELETE", f"/webauthn/authenticator/{one}")
            two = authenticator()
            browser.open(f"{at}/login")
            browser.type("#login-name", "bob")
            browser.type("#login-present", PASSWORD)
            browser.button("Next: the code")
            browser.type("#code-code", fresh_code(bob))
            browser.button("Log in")
            browser.open(f"{at}/account")
            browser.type("#passkey-name", "key")
            browser.type("#passkey-code", fresh_code(bob))
            press("Add a passkey")
            wait_for("bob's is added", 20, lambda: "The passkey is added" in browser.text())
            Accounts(port).run("disable", "bob")
            browser.open(f"{at}/login")
            press("Log in with a passkey")
            wait_for("disabled: it opens nothing", 20, lambda: "wasn't taken" in fault())
            need(len(browser.call("GET", f"/webauthn/authenticator/{two}/credentials")) == 1, "though the authenticator has it")
            complaints = [one for one in browser.complaints() if "422" not in one]
            need(not complaints, "the browser has nothing to say: the policy holds", complaints)
        finally:
            browser.close()
        err = (folder / "err").read_text()
        for words in ("passkey_added rita.root", "passkey_removed rita.root", "passkey_added bob"):
            need(words in err, f"told: {words}", err[-2000:])
        started[-1].send_signal(signal.SIGTERM)
        started[-1].wait(20)
        verified(magewarden, data)
        print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
