"""A stand-in shop: nginx, php-fpm, MariaDB and Redis on free ports of 127.0.0.1; two websites, three store views and a closed one.

It honours host, path, `Store` header, `___store`, cookie and run code as Magento does, and says in `X-Store` which view it
served. A script starts it with `Shop(folder, started)`; what it starts is put into `started`, to be ended by its process id.
"""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "services"))

from shared import client, database, free_port, need, wait_for

# What docs/stores.md asks for, of this shop.
STORES = """
code_in_path = false
back_end = "office_x1"
default_website = "base"
[views.de]
website = "base"
store = "main"
default = true
[views.fr]
website = "base"
store = "main"
[views.old]
website = "base"
store = "main"
active = false
[views.us]
website = "second"
store = "us_store"
default = true
[hosts]
"de.shop.test" = { run = "website", code = "base" }
"fr.shop.test" = { run = "store", code = "fr" }
"main.shop.test" = { run = "group", code = "main" }
"us.shop.test" = { run = "website", code = "second" }
"""
SECRET = "not-a-real-secret-5d1f"
KEY = "not-a-real-key-90ab"


class Shop:
    def __init__(self, folder, started, options=()):
        self.folder = pathlib.Path(folder)
        self.port, self.redis, self.database = free_port(), free_port(), free_port()
        # Where nginx passes browsers' reports on to.
        self.reports = free_port()
        server, self.audit = database(self.folder, self.database, options=options)
        started.append(server)
        self.sql("create database shop; use shop;" + (HERE / "schema.sql").read_text()
                 + f"create user shop@localhost identified by '{SECRET}'; grant all on shop.* to shop@localhost;")
        started.append(subprocess.Popen(["redis-server", "--port", str(self.redis), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)], stdout=subprocess.DEVNULL))
        self.root = self.folder / "shop"
        shutil.copytree(HERE / "www", self.root)
        (self.root / "app" / "etc").mkdir(parents=True)
        (self.root / "app" / "etc" / "env.php").write_text(
            "<?php return ['backend' => ['frontName' => 'office_x1'], 'crypt' => ['key' => '" + KEY + "'], 'session' => ['save' => 'redis', 'redis' => "
            f"['host' => '127.0.0.1', 'port' => '{self.redis}']], 'db' => ['table_prefix' => 'mg_', 'connection' => ['default' => "
            f"['host' => '{self.folder}/sock', 'dbname' => 'shop', 'username' => 'shop', 'password' => '{SECRET}']]]];\n")
        (self.root / "stores.toml").write_text(STORES)
        shutil.copytree(HERE / "gateway", self.folder / "gateway")
        for path in [self.folder, *self.folder.glob("gateway/**"), *self.root.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        is_root = os.geteuid() == 0
        places = {"folder": self.folder, "port": self.port, "redis": self.redis, "reports": self.reports}
        for name, user in (("nginx.conf", "user www-data;"), ("fpm.conf", "user = www-data\ngroup = www-data")):
            text = (HERE / name).read_text()
            for place, value in (places | {"user": user if is_root else ""}).items():
                text = text.replace("{" + place + "}", str(value))
            (self.folder / name).write_text(text)
        fpm = sorted(pathlib.Path("/usr/sbin").glob("php-fpm*"))
        need(fpm, "php-fpm is installed")
        started.append(subprocess.Popen([str(fpm[-1]), "-n", *extensions(), "-y", str(self.folder / "fpm.conf")], stderr=subprocess.DEVNULL))
        self.nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", str(self.folder / "nginx.conf"), "-e", str(self.folder / "nginx-error.log")])
        started.append(self.nginx)
        wait_for("the shop", 30, lambda: self.ready())

    def ready(self):
        try:
            return self.ask("de.shop.test", "/")[0] == 200
        except OSError:
            return False

    def sql(self, text):
        done = subprocess.run(client(self.folder) + ["-N"], input=text, text=True, capture_output=True)
        need(done.returncode == 0, "a statement at the shop's database", done.stderr)
        return done.stdout

    def access_log(self, is_long):
        """Whether nginx writes the long access log beside the usual one."""
        settings = self.folder / "nginx.conf"
        text = re.sub(r"^ *#?( *access_log .*access.json shop;)", r"\1" if is_long else r"   #\1", settings.read_text(), flags=re.M)
        settings.write_text(text)
        self.nginx.send_signal(signal.SIGHUP)
        time.sleep(0.5)

    def flush(self):
        """What `bin/magento cache:clean` does: settings and pages are made anew."""
        subprocess.run(["redis-cli", "-p", str(self.redis), "flushall"], check=True, capture_output=True)

    def flush_entries(self):
        """The same, and whoever has a session keeps it."""
        script = "for _, key in ipairs(redis.call('keys', 'zc:*')) do redis.call('del', key) end"
        subprocess.run(["redis-cli", "-p", str(self.redis), "eval", script, "0"], check=True, capture_output=True)

    def ask(self, host, path, method="GET", headers=(), body=None):
        """Asks the shop; gives status, the view it served (`X-Store`), and the body."""
        status, named, text = self.asked(host, path, method, headers, body)
        return status, named["X-Store"], text

    def asked(self, host, path, method="GET", headers=(), body=None, source=None):
        """The same, also from another address of this machine; gives all header lines."""
        # Bound to an address, a port counts for every server: thousands of requests would leave none.
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20, source_address=source and (source, 0))
        link.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        link.putheader("Host", f"{host}:{self.port}")
        for name, value in headers:
            link.putheader(name, value)
        if body is not None:
            link.putheader("Content-Length", str(len(body)))
        link.endheaders(body.encode() if body is not None else None)
        answer = link.getresponse()
        text = answer.read().decode(errors="replace")
        link.close()
        return answer.status, answer.headers, text

    def buy(self, host, view, payment=None, source=None):
        """A checkout as a consumer's browser asks for it; gives the order's number."""
        payment = payment or {"method": "checkmo"}
        call = lambda path, body: json.loads(self.asked(host, f"/rest/{view}/V1/guest-carts{path}", "POST", [("Content-Type", "application/json")], json.dumps(body), source)[2])
        cart = call("", {})
        call(f"/{cart}/items", {"cartItem": {"sku": "sku-7"}})
        call(f"/{cart}/estimate-shipping-methods", {})
        return call(f"/{cart}/payment-information", {"email": "shopper@example.com", "paymentMethod": payment})


def extensions():
    """The modules the shop needs; the machine's own settings are left out."""
    folder = subprocess.run(["php-config", "--extension-dir"], capture_output=True, text=True).stdout.strip() if shutil.which("php-config") else ""
    folders = [pathlib.Path(folder)] if folder else sorted(pathlib.Path("/usr/lib/php").glob("20*"))
    named = [module for module in ("mysqlnd", "pdo", "pdo_mysql", "igbinary", "redis") if (folders[-1] / f"{module}.so").exists()]
    return [part for module in named for part in ("-d", f"extension={folders[-1] / module}.so")]
