#!/usr/bin/env python3
"""People who log in by SAML 2.0: a real identity provider (pysaml2) that says what is right, and by hand what is wrong.

usage: saml.py MAGEWARDEN

Starts `magewarden up` on 127.0.0.1. Answers of the attacks are signed by the real xmlsec1 with the provider's own key wherever what is wrong
is something else than the signature.
"""
import base64
import datetime
import html
import http.client
import http.server
import json
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree
import zlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from browser import Browser as Chromium
from console import Accounts, Person, code, post
from shared import free_port, need, stage, verified, wait_for

IDP = "https://idp.example.com/metadata"
MFA = "https://refeds.org/profile/mfa"
SAML, SAMLP, DS = "urn:oasis:names:tc:SAML:2.0:assertion", "urn:oasis:names:tc:SAML:2.0:protocol", "http://www.w3.org/2000/09/xmldsig#"
# Names by which pysaml2, and most, send an address and a name to be shown.
MAIL, SHOWN = "urn:oid:0.9.2342.19200300.100.1.3", "urn:oid:2.16.840.1.113730.3.1.241"
SHA256 = ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmlenc#sha256")
SHA1 = (f"{DS}rsa-sha1", f"{DS}sha1")


class Key:
    """A key of a provider, and its certificate."""

    def __init__(self, folder, name):
        self.key, self.certificate = folder / f"{name}.key", folder / f"{name}.pem"
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(private.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=2)).sign(private, hashes.SHA256()))
        self.key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()))
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        self.body = "".join(line for line in self.certificate.read_text().splitlines() if "-----" not in line)


class Browser:
    """One that keeps cookies, sends none with another site's form but those that say so, and follows nothing by itself."""

    def __init__(self, port):
        self.port, self.cookies, self.cross = port, {}, set()

    def ask(self, method, path, body=None, headers=None, only=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        sent = {name: value for name, value in self.cookies.items() if value and (only is None or name in only)}
        connection.request(method, path, body, {"Cookie": "; ".join(f"{name}={value}" for name, value in sent.items()), **(headers or {})})
        answer = connection.getresponse()
        for one in answer.headers.get_all("Set-Cookie") or []:
            name, value = one.split(";")[0].split("=", 1)
            self.cookies[name] = value
            if "SameSite=None" in one:
                need("Secure" in one and "HttpOnly" in one, "a cookie that other sites' forms bring is for TLS and unseen by scripts", one)
                self.cross.add(name)
        return answer.status, answer.headers, answer.read().decode()

    def get(self, path):
        return self.ask("GET", path)

    def session(self):
        return self.cookies.get("magewarden", "")

    def away(self, next_="/"):
        """Begins; gives the request's ID, where the answer goes, and the relay state."""
        status, headers, shown = self.get(f"/login/with/corp?next={urllib.parse.quote(next_, safe='')}")
        need(status == 303, "sent to the provider", (status, shown[:500]))
        place = urllib.parse.urlsplit(headers["Location"])
        query = dict(urllib.parse.parse_qsl(place.query))
        return {**read_request(query), "url": headers["Location"]}

    def back(self, text, relay, packed=None):
        """The provider's page sends its form."""
        form = urllib.parse.urlencode({"SAMLResponse": packed or base64.b64encode(text.encode()).decode(), "RelayState": relay})
        return self.ask("POST", "/login/back/corp", form, {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://idp.example.com",
                                                             "Sec-Fetch-Site": "cross-site"}, self.cross)


def moment(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def template(of, algorithms):
    method, digest = algorithms
    return (f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="{method}"/>'
            f'<ds:Reference URI="#{of}"><ds:Transforms><ds:Transform Algorithm="{DS}enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>'
            f'<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/></ds:Signature>')


class Answers:
    """By hand: an answer with anything changed, then signed."""

    def __init__(self, folder, key):
        self.folder, self.key = folder, key

    def signed(self, text, of, key=None):
        place = self.folder / "unsigned.xml"
        place.write_text(text)
        done = subprocess.run(["xmlsec1", "--sign", "--privkey-pem", str((key or self.key).key), "--id-attr:ID", f"{SAML}:Assertion", "--id-attr:ID", f"{SAMLP}:Response",
                               "--node-id", of, str(place)], capture_output=True, text=True)
        need(done.returncode == 0, "signed", done.stderr)
        return re.sub(r"^<\?xml[^>]*\?>\s*", "", done.stdout).strip()

    def is_signed(self, text):
        """Whether anything in it is, as xmlsec1 looks where nobody told it where."""
        place = self.folder / "signed.xml"
        place.write_text(text)
        return subprocess.run(["xmlsec1", "--verify", "--pubkey-cert-pem", str(self.key.certificate), "--id-attr:ID", f"{SAML}:Assertion", "--id-attr:ID", f"{SAMLP}:Response",
                               str(place)], capture_output=True).returncode == 0

    def make(self, asked, sign=("assertion",), key=None, algorithms=SHA256, key_info="", subject="u-anna", account="anna@example.com", klass=MFA, place=None, recipient=None,
             audience=None, request=None, from_=-60, until=300, issuer=IDP, status="Success", issued=0, ids=None, shown="Anna A"):
        r, a = ids or ("_" + secrets.token_hex(16), "_" + secrets.token_hex(16))
        mark = {whole: template({"response": r, "assertion": a}[whole], algorithms) if whole in sign else "" for whole in ("response", "assertion")}
        request = asked["id"] if request is None else request
        text = (f'<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="{r}" Version="2.0" IssueInstant="{moment(issued)}" Destination="{place or asked["place"]}" InResponseTo="{request}">'
                f'<saml:Issuer>{issuer}</saml:Issuer>{mark["response"]}<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:{status}"/></samlp:Status>'
                f'<saml:Assertion ID="{a}" Version="2.0" IssueInstant="{moment(issued)}"><saml:Issuer>{issuer}</saml:Issuer>{mark["assertion"]}'
                f'<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{subject}</saml:NameID>'
                f'<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="{request}" Recipient="{recipient or asked["place"]}" NotOnOrAfter="{moment(until)}"/>'
                f'</saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{moment(from_)}" NotOnOrAfter="{moment(until)}"><saml:AudienceRestriction><saml:Audience>{audience or asked["own"]}</saml:Audience></saml:AudienceRestriction></saml:Conditions>'
                f'<saml:AuthnStatement AuthnInstant="{moment(0)}"><saml:AuthnContext><saml:AuthnContextClassRef>{klass}</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>'
                f'<saml:AttributeStatement><saml:Attribute Name="{MAIL}"><saml:AttributeValue>{account}</saml:AttributeValue></saml:Attribute>'
                f'<saml:Attribute Name="{SHOWN}"><saml:AttributeValue>{shown}</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>')
        for whole in ("assertion", "response"):
            if whole in sign:
                text = self.signed(text, {"response": r, "assertion": a}[whole], key.get(whole) if isinstance(key, dict) else key)
                # Nothing signs what a signature says of its key.
                text = text.replace("</ds:SignatureValue></ds:Signature>", f"</ds:SignatureValue>{key_info}</ds:Signature>")
        return text


def one(pattern, text):
    found = re.search(pattern, text, re.S)
    need(found, f"{pattern} is there", text[:3000])
    return found[0]


ASSERTION, SIGNATURE = r"<saml:Assertion .*</saml:Assertion>", r"<ds:Signature .*?</ds:Signature>"


def evil(assertion):
    """An assertion that says another one's name, unsigned, under an ID of its own."""
    text = re.sub(SIGNATURE, "", assertion, flags=re.S)
    return re.sub(r'ID="_[0-9a-f]+"', 'ID="_evil"', text, count=1).replace("u-anna", "u-root").replace("anna@example.com", "rita.root")


def inside(signature, what):
    return signature.replace("</ds:Signature>", f"<ds:Object>{what}</ds:Object></ds:Signature>")


def wrapped(text, number):
    """The eight ways of wrapping (Somorovsky and others, 2012), of an answer whose Response (1, 2) or Assertion is signed."""
    assertion = one(ASSERTION, text)
    mark = one(SIGNATURE, text)
    bare, bad = assertion.replace(mark, ""), evil(assertion)
    marked = lambda signature: bad.replace("</saml:Issuer>", f"</saml:Issuer>{signature}", 1)
    if number in (1, 2):
        whole = text.replace(mark, "")
        outer = re.sub(r'ID="_[0-9a-f]+"', 'ID="_other"', whole, count=1).replace(bare, bad)
        put = inside(mark, whole) if number == 1 else whole + mark
        return outer.replace("</saml:Issuer>", f"</saml:Issuer>{put}", 1)
    return text.replace(assertion, {
        3: lambda: bad + assertion,
        4: lambda: bad.replace("</saml:Assertion>", f"{assertion}</saml:Assertion>"),
        5: lambda: marked(mark) + bare,
        6: lambda: marked(inside(mark, bare)),
        7: lambda: f"<samlp:Extensions>{bad}</samlp:Extensions>{assertion}",
        8: lambda: assertion.replace(mark, inside(mark, bad)),
    }[number]())


def identity_provider(folder, key, metadata, url):
    """pysaml2's, which knows the console by what that says of itself."""
    from saml2.config import IdPConfig
    from saml2.server import Server
    place = folder / "console.xml"
    place.write_text(metadata)
    settings = IdPConfig().load({
        "entityid": IDP, "key_file": str(key.key), "cert_file": str(key.certificate), "xmlsec_binary": "/usr/bin/xmlsec1", "metadata": {"local": [str(place)]},
        "service": {"idp": {"endpoints": {"single_sign_on_service": [(url, "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect")]},
                            "policy": {"default": {"lifetime": {"minutes": 5}, "attribute_restrictions": None, "name_form": "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"}}}}})
    return Server(config=settings)


def vouched(provider, asked, klass=MFA, **how):
    """What pysaml2 answers to the very request that was made."""
    from saml2 import BINDING_HTTP_REDIRECT
    from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
    request = provider.parse_authn_request(asked["packed"], BINDING_HTTP_REDIRECT).message
    need(request.id == asked["id"] and request.issuer.text == asked["own"], "the request, as pysaml2 reads it", request)
    answer = provider.create_authn_response(
        {"mail": ["anna@example.com"], "displayName": ["Anna <b>A</b>"]}, request.id, asked["place"], request.issuer.text,
        name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text="u-anna"), authn={"class_ref": klass, "authn_auth": IDP}, sign_alg=SHA256[0], digest_alg=SHA256[1], **how)
    return str(answer)


class Page:
    """The provider's page, on another site: it answers to what it is asked, by a form that sends itself."""

    def __init__(self):
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
                body = b""
                if "SAMLRequest" in query:
                    asked = read_request(query)
                    packed = base64.b64encode(vouched(page.provider, asked, sign_assertion=True, sign_response=True).encode()).decode()
                    body = (f'<form method="post" action="{asked["place"]}"><input name="SAMLResponse" value="{packed}"><input name="RelayState" value="{query["RelayState"]}"></form>'
                            "<script>document.forms[0].submit()</script>").encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server, self.provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler), None
        # A name of this machine, and still another site than 127.0.0.1.
        self.url = f"http://localhost:{self.server.server_address[1]}/sso?tenant=a"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def read_request(query):
    root = xml.etree.ElementTree.fromstring(zlib.decompress(base64.b64decode(query["SAMLRequest"]), -15).decode())
    return {"packed": query["SAMLRequest"], "id": root.get("ID"), "place": root.get("AssertionConsumerServiceURL"), "own": root.find(f"{{{SAML}}}Issuer").text, "relay": query["RelayState"]}


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("saml") as (started, folder):
        log, data, port = folder / "access.log", folder / "data", free_port()
        log.write_text('203.0.113.9 - - [05/Aug/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 512 "-" "x"\n')
        key, next_key, stranger = Key(folder, "idp"), Key(folder, "next"), Key(folder, "stranger")
        settings, page = folder / "up.toml", Page()

        def write(more=""):
            settings.write_text(f'''
[[saml]]
id = "corp"
name = "Corp <SAML>"
entity_id = "{IDP}"
sso_url = "{page.url}"
certificate_files = ["{key.certificate}", "{next_key.certificate}"]
account = "{MAIL}"
shown = "{SHOWN}"
factors = ["{MFA}"]
{more}
''')

        def up():
            return subprocess.Popen([str(magewarden), "up", "--log", str(log), "--data", str(data), "--port", str(port), "--config", str(settings)], stderr=open(folder / "err", "a"))

        # Without the program, or with one that isn't it, there is no start.
        for program, words in (("/nowhere/xmlsec1", "apt install xmlsec1"), ("/bin/true", "is no xmlsec1")):
            write(f'xmlsec1 = "{program}"')
            process = up()
            need(process.wait(30) != 0, "no start without the program")
            need(words in (folder / "err").read_text(), f"said: {words}", (folder / "err").read_text())
        write()
        started.append(up())
        link = wait_for("the first administrator's link", 60, lambda: re.search(r"http://127\.0\.0\.1:\d+/welcome\?invitation=[0-9a-f]{64}", (folder / "err").read_text()))[0]
        wait_for("the console", 30, lambda: post(port, "/login", name="x", present="x")[0] == 422)
        root = Person(port, "rita.root", link)
        accounts = Accounts(port)
        accounts.run("invite", "anna@example.com", "--role", "analyst")
        shown = Browser(port).get("/login?next=%2Fsources")[2]
        need('href="/login/with/corp?next=%2Fsources"' in shown and "Corp &#60;SAML&#62;" in shown, "the page of log-in offers it, as text", shown)

        status, headers, metadata = Browser(port).get("/login/metadata/corp")
        need(status == 200 and headers["Content-Type"] == "application/samlmetadata+xml", "what the console says of itself", (status, metadata))
        need(Browser(port).get("/login/metadata/nowhere")[0] == 404 and Browser(port).get("/login/with/nowhere")[0] == 404, "no such provider")
        page.provider, answers, passed = identity_provider(folder, key, metadata, page.url), Answers(folder, key), []

        # Right, with one factor: she sets up a second one first.
        first = Browser(port)
        first.cookies["magewarden"] = fixed = "f" * 64
        asked = first.away("//evil.example/x")
        need(asked["url"].startswith(f"{page.url}&SAMLRequest=") and asked["place"] == f"http://127.0.0.1:{port}/login/back/corp", "what is asked", asked)
        status, _, shown = first.back(vouched(page.provider, asked, "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", sign_assertion=True, sign_response=False), asked["relay"])
        invitation = re.search(r'content="0;url=/welcome\?invitation=([0-9a-f]{64})"', shown)
        need(status == 200 and invitation and not first.session(), "she sets up a second factor first", (status, shown))
        totp = re.search(r'class="secret">([A-Z2-7]+)<', first.get(f"/welcome?invitation={invitation[1]}")[2])
        step = int(time.time()) // 30
        status, headers, _ = post(port, "/welcome/code", invitation=invitation[1], code=code(totp[1]))
        need(status == 303, "set up", status)
        first.cookies["magewarden"] = headers["Set-Cookie"].split(";")[0].split("=")[1]
        need(first.get("/incidents")[0] == 200, "she is in, as invited")

        def good(what, browser=None, next_="/sources", **how):
            """The real provider's answer lets her in, in between all that is refused."""
            browser = browser or Browser(port)
            browser.cookies["magewarden"] = fixed
            asked = browser.away(next_)
            text = vouched(page.provider, asked, **(how or {"sign_assertion": True, "sign_response": False}))
            status, _, shown = browser.back(text, asked["relay"])
            need(status == 200 and f'url={next_}"' in shown and browser.session() not in ("", fixed), f"in: {what}", (status, shown, text))
            need(browser.get("/sources")[0] == 200, "she sees it")
            passed.append(what)
            return browser, asked, text

        good("assertion signed")
        good("response signed", sign_assertion=False, sign_response=True)
        good("both signed", sign_assertion=True, sign_response=True)

        def refused(what, words, text=None, browser=None, asked=None, packed=None, relay=None, **how):
            browser = browser or Browser(port)
            asked = asked or browser.away()
            text = text(asked) if callable(text) else text or answers.make(asked, **how)
            status, _, shown = browser.back(text, asked["relay"] if relay is None else relay, packed)
            need(status == 422 and words in html.unescape(shown), f"refused: {what}: {words}", (status, re.sub(r"\s+", " ", shown)[:4000], text[:6000]))
            need(not browser.session() and browser.get("/")[0] == 303, f"nobody is in: {what}")
            passed.append(what)

        def by_hand(what, **how):
            browser = Browser(port)
            asked = browser.away("/sources")
            status, _, shown = browser.back(answers.make(asked, **how), asked["relay"])
            need(status == 200 and 'url=/sources"' in shown and browser.session(), f"in: {what}", (status, shown))
            passed.append(what)

        by_hand("by hand: signed by the first key")
        by_hand("by hand: signed by the next key", key=next_key)
        # The whole way in a real browser, which keeps cookies from other sites' forms as it does.
        window = Chromium()
        try:
            window.open(f"http://127.0.0.1:{port}/login/with/corp?next=%2Fsources")
            wait_for("a real browser's way in", 30, lambda: urllib.parse.urlsplit(window.url()).path == "/sources")
            need("access.log" in window.text(), "it sees the page", window.text())
        finally:
            window.close()
        passed.append("in a real browser")
        by_hand("by hand: both signed", sign=("assertion", "response"))
        with socket.create_server(("127.0.0.1", 0)) as elsewhere:
            elsewhere.setblocking(False)
            by_hand("a stranger's key and the address of one beside a right signature are nothing to look at",
                    key_info=f'<ds:KeyInfo><ds:RetrievalMethod URI="http://127.0.0.1:{elsewhere.getsockname()[1]}/" Type="{DS}X509Data"/><ds:X509Data><ds:X509Certificate>{stranger.body}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>')
            try:
                need(not elsewhere.accept(), "nobody asks for a key elsewhere")
            except BlockingIOError:
                pass

        # Wrapping. Of six of the eight xmlsec1 by itself says that a signature in it is right: they are refused for their shape.
        for number in range(1, 9):
            text = wrapped(answers.make(asked := (browser := Browser(port)).away(), sign=("response",) if number < 3 else ("assertion",)), number)
            need(answers.is_signed(text) or number in (1, 6), f"XSW {number} is signed by the provider")
            refused(f"XSW {number}", "provider's answer isn't right", text, browser=browser, asked=asked)
        refused("two assertions, each signed", "more than one Assertion", lambda asked: (lambda text: text.replace("</samlp:Response>", f"{one(ASSERTION, answers.make(asked))}</samlp:Response>"))(answers.make(asked)))
        refused("two responses", "no XML", lambda asked: answers.make(asked) * 2)
        refused("signed words changed", "signature isn't the provider's", lambda asked: answers.make(asked).replace("u-anna", "u-root"))
        refused("the frame's words changed, which is signed", "signature isn't the provider's", lambda asked: answers.make(asked, sign=("response",)).replace("Anna A", "Anna B"))
        refused("one of two signatures is a stranger's", "signature isn't the provider's", sign=("assertion", "response"), key={"response": stranger})
        refused("the other of two signatures is a stranger's", "signature isn't the provider's", sign=("assertion", "response"), key={"assertion": stranger})
        good("between")

        # Signatures.
        refused("unsigned", "isn't signed", sign=())
        refused("signed by another key", "signature isn't the provider's", key=stranger)
        body = stranger.body
        refused("another key, in the answer", "signature isn't the provider's", key=stranger, key_info=f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{body}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>")
        numbers = serialization.load_pem_private_key(stranger.key.read_bytes(), None).public_key().public_numbers()
        packed = lambda number: base64.b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()
        refused("another key, as its numbers", "signature isn't the provider's", key=stranger,
                key_info=f"<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{packed(numbers.n)}</ds:Modulus><ds:Exponent>{packed(numbers.e)}</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>")
        refused("SHA-1", "SHA-256 or better", algorithms=SHA1)
        refused("a digest of SHA-1", "SHA-256 or better", algorithms=(SHA256[0], SHA1[1]))
        refused("the frame alone is true: signed twice", "signed twice", lambda asked: (lambda text: text.replace(one(SIGNATURE, text), one(SIGNATURE, text) * 2))(answers.make(asked)))

        # XML.
        refused("a comment in the name", "a comment", lambda asked: answers.make(asked, subject="u-root.evil.example").replace("u-root.evil", "u-root<!-- -->.evil"))
        refused("a comment that was signed", "a comment", lambda asked: answers.make(asked, subject="u-root<!-- -->.evil.example"))
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(f'<!ENTITY {chr(98 + at)} "{f"&{chr(97 + at)};" * 10}">' for at in range(9)) + "]>"
        refused("a bomb of entities", "a DTD", lambda asked: bomb + answers.make(asked).replace("Anna A", "&j;"))
        refused("a file by an entity", "a DTD", lambda asked: '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + answers.make(asked).replace("Anna A", "&f;"))
        refused("an instruction", "processing instruction", lambda asked: answers.make(asked).replace("Anna A", "<?x y?>Anna A"))
        refused("another encoding", "UTF-8", lambda asked: '<?xml version="1.0" encoding="UTF-7"?>' + answers.make(asked))
        refused("huge", "longer than 256 KiB", lambda asked: answers.make(asked).replace("Anna A", "A" * 300_000))
        refused("deep", "too deeply", lambda asked: answers.make(asked).replace("Anna A", "<a>" * 10_000 + "</a>" * 10_000))
        browser = Browser(port)
        asked = browser.away()
        try:
            status = browser.back("A" * 3_000_000, asked["relay"])[0]
        except (BrokenPipeError, ConnectionResetError):
            # It is refused by its length alone, and not read.
            status = 413
        need(status == 413 and not browser.session(), "a form larger than any answer", status)
        refused("no base64", "isn't base64", lambda asked: "x", packed="%%%")
        refused("nothing", "no XML", lambda asked: "", packed="IA==")
        refused("encrypted", "turn encryption of assertions off", lambda asked: (lambda text: text.replace(one(ASSERTION, text), "<saml:EncryptedAssertion/>"))(answers.make(asked)))
        refused("an ID twice", "is there twice", lambda asked: answers.make(asked, sign=("response",), ids=("_same", "_same2")).replace("_same2", "_same"))
        good("between")

        # For another, or at another time.
        refused("another audience", "another audience", audience="https://other.example")
        refused("another recipient", "another recipient", recipient="https://other.example/acs")
        refused("another destination", "another address", place="https://other.example/acs")
        refused("another issuer", "another provider", issuer="https://evil.example")
        refused("expired", "its time is over", until=-200)
        refused("not yet", "its time hasn't come", from_=240)
        refused("made long ago", "its time is over", issued=-3600)
        refused("failed there", "didn't log you in", status="Responder")
        refused("another log-in's request", "another log-in", request="_" + "0" * 64)
        refused("no request: begun at the provider", "another log-in", request="")
        refused("another relay state", "another log-in", relay="x" * 64)
        refused("a name that is no account's", "can't be an account", subject="u-x", account="4111111111111111")
        refused("nobody here", "you have no account here", subject="u-mallory", account="mallory@example.com")
        refused("an account with a password", "your account has a password here", subject="u-x", account="rita.root")
        refused("script in a name", "can't be an account", subject="u-x", account="&lt;script&gt;alert(1)&lt;/script&gt;")
        by_hand("a name that looks like the end of what was digested isn't taken for it", shown="== PreDigest data - end buffer")
        refused("a name that is the end of what was digested", "signature isn't the provider's", shown="x\n== PreDigest data - end buffer\ny")

        # Once, and by the browser that began.
        browser, asked, text = good("taken once")
        status, _, shown = browser.back(text, asked["relay"])
        need(status == 422 and "wasn't begun in this browser" in html.unescape(shown), "replayed", shown)
        refused("replayed into a log-in of one's own", "another log-in", lambda _: text)
        victim, thief = Browser(port), Browser(port)
        asked, own = victim.away(), thief.away()
        stolen = vouched(page.provider, asked, sign_assertion=True, sign_response=True)
        refused("stolen, in a browser that began nothing", "wasn't begun in this browser", stolen, browser=Browser(port), asked=asked)
        refused("stolen, in a browser that began its own", "another log-in", stolen, browser=thief, asked=own)
        refused("stolen, with its relay state", "another log-in", stolen, relay=asked["relay"])
        status, _, shown = victim.back(stolen, asked["relay"])
        need(status == 200 and victim.session(), "whose it is comes in by it, all the same", shown)
        lured, attacker = Browser(port), Browser(port)
        asked = attacker.away()
        refused("an attacker's answer in a browser that is lured", "wasn't begun in this browser", answers.make(asked), browser=lured, asked=asked)
        browser = Browser(port)
        asked = browser.away()
        browser.cross.clear()
        refused("the cookie isn't brought", "wasn't begun in this browser", answers.make(asked), browser=browser, asked=asked)
        for path in ("/login", "/login/code", "/logout", "/account/password"):
            status = browser.ask("POST", path, "x=y", {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://idp.example.com", "Sec-Fetch-Site": "cross-site"})[0]
            need(status == 403, f"other doors stay shut to other sites' forms: {path}", status)

        # Linked: another name there changes nothing, and one factor opens nothing.
        two = Browser(port)
        asked = two.away("/sources")
        status, _, shown = two.back(answers.make(asked, account="renamed@example.com", klass="urn:oasis:names:tc:SAML:2.0:ac:classes:Password"), asked["relay"])
        need(status == 200 and 'url=/login/code?next=%2Fsources"' in shown and two.get("/sources")[0] == 303, "the second factor is asked for", shown)
        while int(time.time()) // 30 <= step:
            time.sleep(0.2)
        status, headers, _ = post(port, "/login/code", cookie=f"magewarden={two.session()}", code=code(totp[1]), next="/sources")
        need(status == 303 and headers["Location"] == "/sources", "in, by a code", status)
        refused("somebody else by her name", "your account has a password here, or is somebody else's there", subject="u-other")
        accounts.run("reset-factor", "anna@example.com")
        by_hand("after a reset she may be linked anew", subject="u-other")
        refused("who was linked before isn't any more", "is somebody else's there")
        accounts.run("disable", "anna@example.com")
        refused("disabled", "your account is disabled", subject="u-other")
        need(root.get("/")[0] == 200, "name and password still work")

        err = (folder / "err").read_text()
        for words in ("linked anna@example.com", "provider_refused", "more than one Assertion", "signature isn't the provider's"):
            need(words in err, f"told: {words}", err[-6000:])
        need("mallory" not in err and "u-root" not in err, "nothing an attacker wrote is told")
        need(not list(pathlib.Path("/tmp").glob("magewarden-saml-*/answer.xml")), "no answer is left behind")
        started[-1].send_signal(signal.SIGTERM)
        started[-1].wait(20)
        verified(magewarden, data)
        sealed = subprocess.run([str(magewarden), "entries", str(data / "ledger"), "--limit", "100000", "--format", "ndjson"], capture_output=True, text=True).stdout
        for words in ("saml totp", "more than one Assertion", "wasn't begun in this browser"):
            need(words in sealed, f"sealed: {words}", sealed[-3000:])
        print(f"{len(passed)} passed, 0 failed")


if __name__ == "__main__":
    main()
