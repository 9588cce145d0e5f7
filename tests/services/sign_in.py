#!/usr/bin/env python3
"""People whom others know: a directory that provisions them by SCIM, a provider by which they log in (OpenID Connect).

usage: sign_in.py MAGEWARDEN

Starts `magewarden up` on 127.0.0.1 and a stand-in provider that says what is right, and everything that is wrong.
"""
import base64
import hashlib
import hmac
import html
import http.client
import http.server
import json
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from console import Accounts, Person, code, post
from shared import free_port, need, stage, verified, wait_for

CLIENT, SECRET = "magewarden-console", "a secret of the client"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value):
    return b64(json.dumps(value).encode())


class Key:
    def __init__(self, kid):
        self.kid, self.private = kid, rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public = self.private.public_key().public_numbers()

    def jwk(self):
        number = lambda one: b64(one.to_bytes((one.bit_length() + 7) // 8, "big"))
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": number(self.public.n), "e": number(self.public.e)}

    def pem(self):
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def token(self, claims):
        signed = f"{part({'alg': 'RS256', 'kid': self.kid, 'typ': 'JWT'})}.{part(claims)}"
        return f"{signed}.{b64(self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


class Provider:
    """One that may be told to say anything."""

    def __init__(self, port=None):
        self.port = port or free_port()
        self.issuer = f"http://127.0.0.1:{self.port}/realms/corp"
        self.keys, self.codes, self.token_endpoint = [Key("one")], {}, f"{self.issuer}/token"
        self.start()

    def start(self):
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def answer(self, status, value):
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if self.path.endswith("/.well-known/openid-configuration"):
                    return self.answer(200, {
                        "issuer": provider.issuer, "authorization_endpoint": f"{provider.issuer}/auth", "token_endpoint": provider.token_endpoint,
                        "jwks_uri": f"{provider.issuer}/keys", "response_types_supported": ["code"], "subject_types_supported": ["public"],
                        "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"]})
                if self.path.endswith("/keys"):
                    return self.answer(200, {"keys": [key.jwk() for key in provider.keys]})
                self.answer(404, {})

            def do_POST(self):
                sent = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                basic = base64.b64encode(f"{CLIENT}:{urllib.parse.quote_plus(SECRET)}".encode()).decode()
                known = provider.codes.pop(sent.get("code"), None)
                verifier = sent.get("code_verifier", "")
                if (known is None or self.headers.get("Authorization") != f"Basic {basic}" or sent.get("redirect_uri") != known["redirect_uri"]
                        or b64(hashlib.sha256(verifier.encode()).digest()) != known["code_challenge"]):
                    return self.answer(400, {"error": "invalid_grant"})
                self.answer(200, {"access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": known["token"]})

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Browser:
    """One that keeps cookies and follows nothing by itself."""

    def __init__(self, port):
        self.port, self.cookies = port, {}

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, headers={"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)})
        answer = connection.getresponse()
        for one in answer.headers.get_all("Set-Cookie") or []:
            name, value = one.split(";")[0].split("=", 1)
            self.cookies[name] = value
        return answer.status, answer.headers, answer.read().decode()

    def session(self):
        return self.cookies.get("magewarden", "")

    def away(self, next_="/", provider="corp"):
        """Begins; gives what the provider was asked."""
        status, headers, shown = self.get(f"/login/with/{provider}?next={urllib.parse.quote(next_, safe='')}")
        need(status == 303, "sent to the provider", (status, shown[:500]))
        place = urllib.parse.urlsplit(headers["Location"])
        return headers["Location"], dict(urllib.parse.parse_qsl(place.query))

    def back(self, state, given, provider="corp", **more):
        query = urllib.parse.urlencode({"state": state, "code": given, **more})
        return self.get(f"/login/back/{provider}?{query}")


def claims(provider, asked, name="anna@example.com", **changed):
    now = int(time.time())
    all_ = {"iss": provider.issuer, "sub": f"subject of {name}", "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": asked["nonce"],
            "preferred_username": name, "name": "Anna A", **changed}
    return {key: value for key, value in all_.items() if value is not None}


def given(provider, asked, token):
    """A code for a token."""
    one = secrets.token_urlsafe(16)
    provider.codes[one] = {"token": token, "redirect_uri": asked["redirect_uri"], "code_challenge": asked["code_challenge"]}
    return one


def scim(port, token, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, f"/scim/v2{path}", None if body is None else json.dumps(body),
                       {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"})
    answer = connection.getresponse()
    told = answer.read().decode()
    return answer.status, json.loads(told) if told else None


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("sign-in") as (started, folder):
        log, data, port, provider = folder / "access.log", folder / "data", free_port(), Provider()
        log.write_text('203.0.113.9 - - [05/Aug/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 512 "-" "x"\n')
        secret = folder / "client.secret"
        secret.write_text(SECRET + "\n")
        secret.chmod(0o600)
        settings = folder / "up.toml"
        settings.write_text(f'''
[directory]
keep = ["emergency"]
[[provider]]
id = "corp"
name = "Corp <SSO>"
issuer = "{provider.issuer}"
client_id = "{CLIENT}"
client_secret_file = "{secret}"
amr = ["mfa"]
acr = ["urn:gold"]
roles_claim = "roles"
roles = {{ fraud = ["analyst"] }}
[[provider]]
id = "guests"
name = "Guests"
issuer = "{provider.issuer}"
client_id = "{CLIENT}"
client_secret_file = "{secret}"
make_accounts = true
''')

        def up():
            process = subprocess.Popen([str(magewarden), "up", "--log", str(log), "--data", str(data), "--port", str(port), "--config", str(settings)],
                                       stderr=open(folder / "err", "a"))
            started.append(process)
            return process

        up()
        link = wait_for("the first administrator's link", 60, lambda: re.search(r"http://127\.0\.0\.1:\d+/welcome\?invitation=[0-9a-f]{64}", (folder / "err").read_text()))[0]
        wait_for("the console", 30, lambda: post(port, "/login", name="x", present="x")[0] == 422)
        root = Person(port, "rita.root", link)
        accounts = Accounts(port)

        # The directory makes Anna.
        token = accounts.run("directory-token", "entra", "--expires", "366d")
        need(scim(port, "mgw_" + "0" * 64, "GET", "/Users")[0] == 401, "another token opens nothing")
        status, anna = scim(port, token, "POST", "/Users", {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "anna@example.com", "active": True})
        need(status == 201 and anna["active"], "Anna is made", anna)
        listed = {one["name"]: one for one in json.loads(accounts.run("list", "--format", "json"))["accounts"]}
        need(listed["anna@example.com"]["grants"] == [], "without roles", listed)
        shown = Browser(port).get("/login?next=%2Fsources")[2]
        need('href="/login/with/corp?next=%2Fsources"' in shown and "Corp &#60;SSO&#62;" in shown, "the page of log-in offers it, as text", shown)

        # What is wrong, one by one: nobody is in, and name and password still work.
        def refused(words, token_of=None, name="anna@example.com", state=None, more=None, browser=None, code_of=None, provider_=None, **changed):
            one = browser or Browser(port)
            _, asked = one.away()
            key = provider.keys[0]
            made = token_of(asked) if token_of else key.token(claims(provider, asked, name, **changed))
            answer = one.back(state or asked["state"], code_of or given(provider, asked, made), provider=provider_ or "corp", **(more or {}))
            need(answer[0] == 422 and words in html.unescape(answer[2]), f"refused: {words}", (answer[0], answer[2][:3000]))
            need(not one.session(), "no session of it")
            need(one.get("/")[0] == 303, "nobody is in")
            return one

        refused("what came back was for another log-in", state="x" * 22)
        refused("what came back was for another log-in", more={"iss": "https://other.example"})
        refused("made for another log-in", nonce="another one")
        refused("right:", nonce=None)
        refused("made for another console", aud="somebody else")
        refused("made for another console", aud=[CLIENT, "somebody else"])
        refused("made for another party", azp="somebody else")
        refused("another provider made it", iss="https://evil.example")
        refused("its time is over", exp=int(time.time()) - 5)
        refused("its time is over", iat=int(time.time()) - 3600)
        refused("its time is over", iat=int(time.time()) + 3600)
        refused("signed as it has to be", lambda asked: f"{part({'alg': 'none'})}.{part(claims(provider, asked))}.")

        def by_public_key(asked):
            signed = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(claims(provider, asked))}"
            return f"{signed}.{b64(hmac.new(provider.keys[0].pem(), signed.encode(), hashlib.sha256).digest())}"

        refused("signed as it has to be", by_public_key)

        def by_secret(asked):
            signed = f"{part({'alg': 'HS256'})}.{part(claims(provider, asked))}"
            return f"{signed}.{b64(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())}"

        refused("signed as it has to be", by_secret)
        stranger = Key("one")
        refused("a key that isn't the provider's", lambda asked: stranger.token(claims(provider, asked)))
        refused("refused the code", code_of="made up")
        refused("the claim that names an account", preferred_username=None)
        refused("you have no account here", name="mallory@example.com")
        refused("your account has a password here", name="rita.root")
        refused("can't be an account", name="4111111111111111")
        # An answer for one provider at another's door; a log-in that another browser began.
        one = Browser(port)
        _, asked = one.away()
        answer = one.back(asked["state"], given(provider, asked, provider.keys[0].token(claims(provider, asked))), provider="guests")
        need(answer[0] == 422 and "another log-in" in answer[2], "another provider's door", answer[2][:500])
        victim, thief = Browser(port), Browser(port)
        _, asked = thief.away()
        answer = victim.back(asked["state"], given(provider, asked, provider.keys[0].token(claims(provider, asked))))
        need(answer[0] == 422 and "took too long" in answer[2] and not victim.session(), "begun in another browser", answer[2][:500])
        need(Browser(port).get("/login/with/nowhere")[0] == 404, "no such provider")

        # Right, but with one factor: she sets a second one up, and is asked for it from then on.
        one = Browser(port)
        one.cookies["magewarden"] = fixed = "f" * 64
        place, asked = one.away("//evil.example/x")
        need(asked["code_challenge_method"] == "S256" and "openid" in asked["scope"].split() and asked["redirect_uri"] == f"http://127.0.0.1:{port}/login/back/corp", "what is asked", place)
        status, headers, shown = one.back(asked["state"], given(provider, asked, provider.keys[0].token(claims(provider, asked, roles=["fraud", "admin"]))))
        invitation = re.search(r'content="0;url=/welcome\?invitation=([0-9a-f]{64})"', shown)
        need(status == 200 and invitation and not one.session(), "she sets up a second factor first", shown)
        page_ = one.get(f"/welcome?invitation={invitation[1]}")[2]
        totp = re.search(r'class="secret">([A-Z2-7]+)<', page_)
        need(totp, "the factor's page", page_[:3000])
        step = int(time.time()) // 30
        status, headers, _ = post(port, "/welcome/code", invitation=invitation[1], code=code(totp[1]))
        need(status == 303, "set up", status)
        one.cookies["magewarden"] = headers["Set-Cookie"].split(";")[0].split("=")[1]
        need(one.get("/incidents")[0] == 200, "she is in, with the role the provider's word is mapped to")
        listed = {one["name"]: one for one in json.loads(accounts.run("list", "--format", "json"))["accounts"]}
        need([grant["role"] for grant in listed["anna@example.com"]["grants"]] == ["analyst"], "and with no other", listed)

        two = Browser(port)
        _, asked = two.away("/sources")
        used = given(provider, asked, provider.keys[0].token(claims(provider, asked, name="renamed@example.com", sub="subject of anna@example.com")))
        status, _, shown = two.back(asked["state"], used)
        need(status == 200 and 'url=/login/code?next=%2Fsources"' in shown, "linked: her new name there changes nothing; the second factor is asked for", shown)
        pending = two.session()
        need(pending and two.get("/sources")[0] == 303, "one factor opens nothing")
        need(two.back(asked["state"], used)[0] == 422, "the same answer once more")
        # A code counts once, and each wrong one is a failure.
        while int(time.time()) // 30 <= step:
            time.sleep(0.2)
        status, headers, _ = post(port, "/login/code", cookie=f"magewarden={pending}", code=code(totp[1]), next="/sources")
        need(status == 303 and headers["Location"] == "/sources" and pending not in headers["Set-Cookie"], "in, by a new session", status)

        # With factors the provider vouches for nothing more is asked; a session that was there before isn't taken.
        for more in {"amr": ["pwd", "mfa"]}, {"acr": "urn:gold"}:
            three = Browser(port)
            three.cookies["magewarden"] = fixed
            _, asked = three.away("/sources")
            status, _, shown = three.back(asked["state"], given(provider, asked, provider.keys[0].token(claims(provider, asked, **more))))
            need(status == 200 and 'url=/sources"' in shown and three.session() not in ("", fixed), "in, by a new session", shown)
            need(three.get("/sources")[0] == 200, "she sees it")
        _, asked = (four := Browser(port)).away("https://evil.example/")
        shown = four.back(asked["state"], given(provider, asked, provider.keys[0].token(claims(provider, asked, amr=["mfa"]))))[2]
        need('url=/"' in shown, "nobody is led elsewhere", shown)

        # Keys change; the provider is down.
        time.sleep(11)
        provider.keys = [Key("two")]
        _, asked = (five := Browser(port)).away()
        need(five.back(asked["state"], given(provider, asked, provider.keys[0].token(claims(provider, asked, amr=["mfa"]))))[0] == 200 and five.session(), "a new key is fetched")
        _, asked = (six := Browser(port)).away()
        provider.stop()
        answer = six.back(asked["state"], "any")
        need(answer[0] == 422 and "name and password still work" in answer[2] and not six.session(), "down: said so", answer[2][:500])
        need(root.get("/")[0] == 200 and root.post("/logout")[0] == 303 and root.log_in() == "/sources", "name and password still work")
        provider.start()

        # Somebody without an account gets one only where a setting says so, without roles.
        _, asked = (seven := Browser(port)).away(provider="guests")
        shown = seven.back(asked["state"], given(provider, asked, provider.keys[0].token(claims(provider, asked, name="gast", roles=["fraud"]))), provider="guests")[2]
        need("/welcome?invitation=" in shown, "a guest sets up a second factor", shown)
        listed = {one["name"]: one for one in json.loads(accounts.run("list", "--format", "json"))["accounts"]}
        need(listed["gast"]["grants"] == [], "a guest has no roles", listed)

        # She leaves: out in the same moment, by every way.
        status, after = scim(port, token, "PATCH", f"/Users/{anna['id']}", {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "Replace", "path": "active", "value": "False"}]})
        need(status == 200 and after["active"] is False, "she leaves", after)
        need(three.get("/sources")[0] == 303 and one.get("/incidents")[0] == 303, "both sessions ended")
        refused("your account is disabled", amr=["mfa"])
        status, told = scim(port, token, "DELETE", f"/Users/{next(one['id'] for one in scim(port, token, 'GET', '/Users')[1]['Resources'] if one['userName'] == 'rita.root')}")
        need(status == 403 and "last administrator" in told["detail"], "the last administrator stays", told)

        err = (folder / "err").read_text()
        for words in ("provisioned anna@example.com by directory entra", "linked anna@example.com", "granted anna@example.com by provider corp", "disabled anna@example.com by directory entra", "provider_refused"):
            need(words in err, f"told: {words}", err[-3000:])
        need(SECRET not in err and "mallory" not in err, "nothing secret is told")
        started[-1].send_signal(signal.SIGTERM)
        started[-1].wait(20)
        verified(magewarden, data)
        print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
