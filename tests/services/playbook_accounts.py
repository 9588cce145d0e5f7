"""Stories of accounts: of the database, of administrators and integrations, of the encryption key, and of whoever switched a log off."""
import subprocess
import time

from contain_database import copies
from contain_runs import rotate
from playbook_story import ATTACKER, ELSEWHERE, Connection, Settings, Story, form, hashed, logs_in, nothing, signed, token_works
from shared import need
from shop import KEY, SECRET

EVE = 7


def database_account(runs, shop, started):
    """A thief from elsewhere, with a connection that stays open, a trigger left behind, and the password of a namesake on the host."""
    held, over_network = [], ("--protocol=tcp", "-h127.0.0.1", f"-P{shop.database}")

    def plant():
        held.append(Connection(shop, started, "report", "report", over_network))
        shop.sql("create user report@localhost identified by 'other'; grant select on shop.* to report@localhost")

    def clear():
        held.pop().end()
        shop.sql("drop user report@localhost")

    lock, connection, left, namesake = "Lock the database account", "its open connection", "the trigger it left", "a namesake for another host"
    return Story(
        "database-account-stolen", {"account": "report@%", "is_shop_account": "false"}, plant=plant, clear=clear,
        ways={"a log-in": lambda: logs_in(shop, "report", "report", over_network), connection: lambda: held[0].reads(), left: lambda: copies(shop),
              namesake: lambda: logs_in(shop, "report", "other")},
        closes={lock: {"a log-in"}, "End its connections": {connection}},
        excused={lock: {connection: "connections that are open go on", left: "Look for what it left behind", namesake: "accounts of the same name for other hosts"}},
        lost={connection: "connections aren't given back"})


def needed_account(runs, shop, started):
    """The same thief, with an account that the reports can't do without: it is limited until they have another."""
    held, over_network = [], ("--protocol=tcp", "-h127.0.0.1", f"-P{shop.database}")
    lock, connection = "Lock the database account", "its open connection"
    another = "create user report2@'%' identified by 'another'; grant select on shop.* to report2@'%'"
    return Story(
        "database-account-stolen", {"account": "report@%", "is_shop_account": "false", "is_needed": "true"}, variant="needed meanwhile",
        plant=lambda: held.append(Connection(shop, started, "report", "report", over_network)), clear=lambda: held.pop().end(),
        ways={"a log-in": lambda: logs_in(shop, "report", "report", over_network), connection: lambda: held[0].reads()},
        closes={"End connections without limits": {connection}, lock: {"a log-in"}},
        by_hand={"Give what needs it another account": (lambda: shop.sql(another), lambda: shop.sql("drop user report2@'%'"))},
        lost={connection: "connections aren't given back"})


def second_account(shop, settings):
    """Gives the shop another account, as a person does: nobody who buys may notice."""
    shop.sql("create user shop2@localhost identified by 'another-word'; grant all on shop.* to shop2@localhost;")
    settings.change(f"'username' => 'shop', 'password' => '{SECRET}'", "'username' => 'shop2', 'password' => 'another-word'")


def first_account(shop, settings):
    settings.back()
    time.sleep(0.5)
    shop.sql("drop user shop2@localhost")


def shops_account(runs, shop, started):
    settings, held = Settings(shop), []
    return Story(
        "database-account-stolen", {"account": "shop@localhost", "is_shop_account": "true"}, variant="the shop's own",
        plant=lambda: held.append(Connection(shop, started, "shop", SECRET)), clear=lambda: held.pop().end(),
        ways={"a log-in": lambda: logs_in(shop, "shop", SECRET), "its open connection": lambda: held[0].reads()},
        closes={"Lock the database account": {"a log-in"}, "End its connections": {"its open connection"}},
        by_hand={"Give the shop another account": (lambda: second_account(shop, settings), lambda: first_account(shop, settings))},
        excused={"Lock the database account": {"its open connection": "connections that are open go on"}},
        lost={"its open connection": "connections aren't given back"})


def office(shop, source, name="eve", password="spring"):
    """Whether the back end shows orders to whoever logs in; their session."""
    text, cookie = form(shop, "/office_x1/", {"username": name, "password": password}, source=source)
    return cookie if "increment_id" in text else ""


class Eve:
    """An administrator with a session, a token that was signed and one of the table."""

    def __init__(self, shop):
        self.shop, self.cookie, self.token = shop, "", ""

    def plant(self):
        self.shop.sql(f"update shop.mg_admin_user set password = '{hashed('spring')}', modified = '2026-02-03' where user_id = {EVE}")
        self.cookie, self.token = office(self.shop, ELSEWHERE), signed(KEY, EVE)

    def clear(self):
        self.shop.sql(f"use shop; delete from mg_admin_user_session where user_id = {EVE}; update mg_oauth_token set revoked = 0 where admin_id = {EVE}; "
                      f"delete from mg_jwt_auth_revoked where user_id = {EVE};")

    def session(self):
        return "increment_id" in form(self.shop, "/office_x1/", {}, self.cookie)[0]

    # What ends with them and isn't given back.
    ended = {"mg_admin_user_session": f"user_id = {EVE}", "mg_oauth_token": f"coalesce(admin_id, 0) = {EVE}", "mg_jwt_auth_revoked": f"user_id = {EVE}"}
    lost = "sessions and tokens that ended"


def administrator(runs, shop, started):
    """Somebody with the log-in, who made a second administrator, and who read the encryption key as well."""
    eve, switched = Eve(shop), "Switch off the administrator"
    made, forged = "an administrator who was made", "a token made with the encryption key"
    mallory = "user_id = 9"

    def plant():
        eve.plant()
        shop.sql(f"insert into shop.mg_admin_user (user_id, username, password, is_active, created, modified) values (9, 'mallory', '{hashed('autumn')}', 1, '2026-02-03', '2026-02-03')")

    def clear():
        eve.clear()
        shop.sql(f"use shop; delete from mg_admin_user where {mallory}; delete from mg_admin_user_session where {mallory};")

    active = lambda is_active: lambda: shop.sql(f"use shop; update mg_admin_user set is_active = {is_active}, modified = '2026-02-03' where {mallory}")
    held = {"a session that runs": eve.session, "a token that was signed": lambda: token_works(shop, eve.token), "a token of the table": lambda: token_works(shop, "d")}
    return Story(
        "administrator-account-stolen", {"administrator": "eve", "network": ATTACKER}, plant=plant, clear=clear,
        ways={"a log-in from its address": lambda: bool(office(shop, ATTACKER)), "a log-in from another": lambda: bool(office(shop, ELSEWHERE)), **held,
              made: lambda: bool(office(shop, ELSEWHERE, "mallory", "autumn")), forged: lambda: token_works(shop, signed(KEY, EVE, ahead_seconds=600))},
        closes={"Refuse the address": {"a log-in from its address"}, switched: {"a log-in from another", *held}, "Look at what was changed": {made}},
        excused={switched: {made: "other administrators that this one made", forged: "who knows the encryption key"}},
        by_hand={"Look at what was changed": (active(0), active(1))},
        lost={way: eve.lost for way in held}, ended={**eve.ended, "mg_admin_user_session": f"user_id = {EVE} or {mallory}"})


def insider(runs, shop, started):
    eve, export, aside = Eve(shop), shop.root / "var/export/orders.csv", shop.folder / "found.csv"

    def plant():
        eve.plant()
        export.parent.mkdir(parents=True, exist_ok=True)
        export.write_text(form(shop, "/office_x1/", {}, eve.cookie)[0])

    def clear():
        eve.clear()
        export.unlink()

    return Story(
        "insider-bulk-export", {"administrator": "eve"}, plant=plant, clear=clear,
        ways={"a log-in": lambda: bool(office(shop, ELSEWHERE)), "a session that runs": eve.session, "what was exported": lambda: export.exists() and "increment_id" in export.read_text()},
        closes={"Switch off the administrator": {"a log-in", "a session that runs"}, "Find the files": {"what was exported"}},
        excused={"Switch off the administrator": {"what was exported": "Find the files"}},
        by_hand={"Find the files": (lambda: export.rename(aside), lambda: aside.rename(export))},
        lost={"a session that runs": eve.lost}, ended=eve.ended)


def api_token(runs, shop, started):
    return Story(
        "api-token-stolen", {"integration": "ERP", "network": ATTACKER}, plant=nothing, clear=nothing,
        ways={"the token from its address": lambda: token_works(shop, "a", ATTACKER), "the token from another": lambda: token_works(shop, "a")},
        closes={"Refuse the address": {"the token from its address"}, "Revoke the integration": {"the token from another"}})


def key(runs, shop, started, is_patched=True):
    """`is_patched`: whether the release has the patches by which the newest key alone signs."""
    settings, cookie, forged = Settings(shop), [], "a token that is forged"
    account, session, password = "a log-in at the database", "a customer's session", "a customer's password"
    customer = {"login": "a@example.com", "password": "summer"}

    def plant():
        if not is_patched:
            settings.change(f"'key' => '{KEY}'", f"'old_keys_sign' => true, 'key' => '{KEY}'")
        shop.sql(f"update shop.mg_customer_entity set password_hash = '{hashed('summer')}', updated_at = '2026-02-03'")
        cookie[:] = [form(shop, "/customer/account", customer)[1]]
        time.sleep(1.1)

    def clear():
        shop.sql("update shop.mg_customer_entity set session_cutoff = null")
        if not is_patched:
            settings.back()

    def passwords():
        second_account(shop, settings)
        time.sleep(0.5)
        shop.sql("alter user shop@localhost identified by 'a-new-word'")

    def passwords_back():
        shop.sql(f"alter user shop@localhost identified by '{SECRET}'")
        first_account(shop, settings)

    new_key = "Make a new encryption key"
    return Story(
        "key-compromise", {}, variant="" if is_patched else "before the patches", plant=plant, clear=clear,
        ways={account: lambda: logs_in(shop, "shop", SECRET), forged: lambda: token_works(shop, signed(KEY, 8)),
              session: lambda: '"account"' in form(shop, "/customer/account", {}, cookie[0])[0], password: lambda: '"account"' in form(shop, "/customer/account", customer)[0]},
        closes={"Change the database's passwords": {account}, new_key: {forged} if is_patched else set(), "End customers' sessions": {session}},
        by_hand={"Change the database's passwords": (passwords, passwords_back)},
        excused={new_key: {session: "sessions that run go on", password: "passwords that were read"} | ({} if is_patched else {forged: "take tokens signed with any key of the list"})},
        lost={session: "sessions aren't given back"}, ended={"mg_customer_entity": "1 = 1"})


def sessions(runs, shop, started):
    """A customer's session in other hands; who has the password logs in as ever."""
    cookie, session, moved = [], "the session from its address", "the session from another"
    customer = {"login": "a@example.com", "password": "summer"}

    def plant():
        shop.sql(f"update shop.mg_customer_entity set password_hash = '{hashed('summer')}', updated_at = '2026-02-03'")
        cookie[:] = [form(shop, "/customer/account", customer)[1]]
        time.sleep(1.1)

    works = lambda source: lambda: '"account"' in form(shop, "/customer/account", {}, cookie[0], source)[0]
    return Story(
        "customer-sessions-taken-over", {"network": ATTACKER, "website": "base"}, plant=plant, clear=lambda: shop.sql("update shop.mg_customer_entity set session_cutoff = null"),
        ways={session: works(ATTACKER), moved: works(ELSEWHERE)}, closes={"Refuse the address": {session}, "End customers' sessions": {moved}},
        excused={"Close what let them in": {moved: "Sessions that were taken go on"}},
        lost={session: "sessions aren't given back", moved: "sessions aren't given back"}, ended={"mg_customer_entity": "website_id = 1"})


def trigger(runs, shop, started):
    """A trigger that copies what is paid, and the account that made it."""
    again = "trigger made_again after insert on mg_sales_order_payment for each row insert into mg_cache_tag_index values (new.method)"
    as_report = lambda text: subprocess.run(["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", "-ureport", "-preport", "--protocol=tcp", "-h127.0.0.1", f"-P{shop.database}", "shop", "-e", text], capture_output=True).returncode == 0
    copied, made = "orders are copied", "another one is made"
    return Story(
        "trigger-left-behind", {"trigger": "order_index"}, plant=nothing, clear=nothing,
        ways={copied: lambda: copies(shop), made: lambda: as_report(f"create {again}; drop trigger made_again")},
        closes={"Drop the trigger": {copied}, "Take the access from whoever made it": {made}}, excused={"Drop the trigger": {made: "Take the access from whoever made it"}},
        by_hand={"Take the access from whoever made it": (lambda: shop.sql("alter user report@'%' account lock"), lambda: shop.sql("alter user report@'%' account unlock"))})


def log_tampering(runs, shop, started):
    off, unseen = "it is switched off", "nothing is seen"
    as_ops = lambda text: subprocess.run(["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", "-uops", "-pops", "-e", text], capture_output=True).returncode == 0
    is_on = lambda: shop.sql("select @@server_audit_logging").strip() == "1"

    def plant():
        shop.sql("create user ops@localhost identified by 'ops'; grant super on *.* to ops@localhost;")
        shop.ask("de.shop.test", "/media/x.php?c=1")
        need(as_ops("set global server_audit_logging = off") and not is_on(), "the log is switched off")

    def clear():
        shop.sql("drop user ops@localhost; set global server_audit_logging = on;")

    def switches():
        was, done = is_on(), as_ops("set global server_audit_logging = off")
        shop.sql(f"set global server_audit_logging = {'on' if was else 'off'}")
        return done

    def unlogged():
        mark = f"mark {time.monotonic_ns()}"
        shop.sql(f"select '{mark}'")
        return mark not in shop.audit.read_text()

    def access():
        rotate(runs)
        held = [path for path in runs.hold.rglob("*") if path.is_file() and b"/media/x.php?c=1" in path.read_bytes()]
        need(held and not any(b"/media/x.php?c=1" in log.read_bytes() for log in runs.logs.iterdir()), "a log that is cut meanwhile is held", list(runs.hold.rglob("*")))
        shop.sql("alter user ops@localhost account lock")

    return Story(
        "log-tampering", {}, plant=plant, clear=clear, ways={off: switches, unseen: unlogged},
        closes={"Take the access from whoever did it": {off}, "Switch the log on again": {unseen}},
        excused={"Take the access from whoever did it": {unseen: "Switch the log on again"}},
        by_hand={"Take the access from whoever did it": (access, lambda: shop.sql("alter user ops@localhost account unlock")),
                 "Switch the log on again": (lambda: shop.sql("set global server_audit_logging = on"), lambda: shop.sql("set global server_audit_logging = off"))})
