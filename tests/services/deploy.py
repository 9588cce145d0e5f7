#!/usr/bin/env python3
"""A deploy at its real size: 365 changes of the schema and 20 000 files are one record and no alarm.

usage: deploy.py MAGEWARDEN

Starts MariaDB with its audit plugin on a free port of 127.0.0.1, watches files, rows, digests of statements and the audit log with
`up`, and then deploys as Magento does: code by composer, generated code and static files, `setup:upgrade` with new tables and
columns, triggers of indexers, module versions. A file that no deploy brings, put among them, must be told all the same.
Everything started here is ended by its process id.
"""
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

from shared import client, database, free_port, grant, magento, need, observations, page, password_file, stage, verified, wait_for

SCHEMA = pathlib.Path(__file__).resolve().parent.parent / "shop" / "schema.sql"
FILES = 20_000
CHANGES = 365
SHELL = "<?php @eval($_POST['x']);"


def files(root, release):
    """A tree like Magento's in one release: packages, generated code, static files."""
    for number in range(FILES):
        if number % 2 == 0:
            path, text = f"vendor/magento/module-{number % 97}/Model/Class{number}.php", f"<?php\nnamespace Magento;\nclass Class{number}\n{{\n    const RELEASE = {release};\n}}\n"
        elif number % 4 == 1:
            path, text = f"generated/code/Magento/Class{number}/Interceptor.php", f"<?php\n// {release}\nclass Interceptor{number} extends Class{number} {{}}\n"
        else:
            path, text = f"pub/static/frontend/Magento/luma/en_US/{number % 31}/file{number}.js", f"define([], function () {{ return {release}; }});\n"
        path = root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        # As composer and Magento do: written beside, then moved over.
        new = path.with_name(path.name + ".tmp")
        new.write_text(text)
        new.rename(path)
    packages = ["magento/product-community-edition", *(f"magento/module-{number}" for number in range(97))]
    (root / "composer.lock").write_text(json.dumps({"packages": [{"name": name, "version": f"2.4.{release}"} for name in packages]}))


def upgrade():
    """Statements as `setup:upgrade` sends them."""
    statements = []
    for number in range(CHANGES):
        kind = number % 5
        if kind == 0:
            statements.append(f"CREATE TABLE IF NOT EXISTS `mg_new_{number}` (`entity_id` int UNSIGNED NOT NULL AUTO_INCREMENT COMMENT 'Id', `value` text NULL COMMENT 'Value', CONSTRAINT PRIMARY KEY (`entity_id`)) ENGINE=innodb DEFAULT CHARSET=utf8mb4 COMMENT='New {number}'")
        elif kind == 1:
            statements.append(f"ALTER TABLE `mg_sales_order_payment` ADD COLUMN `extra_{number}` varchar(64) NULL COMMENT 'Extra'")
        elif kind == 2:
            what = f"ADD INDEX `MG_QUOTE_{number}` (`created_at`, `is_active`)" if number % 2 == 0 else f"DROP INDEX `MG_QUOTE_{number - 5}`"
            statements.append(f"ALTER TABLE `mg_quote` {what}, COMMENT='Sales Flat Quote'")
        elif kind == 3:
            statements.append("DROP TRIGGER IF EXISTS `trg_mg_catalog_product_entity_after_insert`; CREATE TRIGGER `trg_mg_catalog_product_entity_after_insert` AFTER INSERT ON `mg_catalog_product_entity` FOR EACH ROW BEGIN INSERT IGNORE INTO `mg_product_cl` (`entity_id`) VALUES (NEW.`entity_id`); END")
        else:
            statements.append(f"ALTER TABLE `mg_vault_payment_token` MODIFY COLUMN `details` text NULL COMMENT 'Details {number}'")
    return statements


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("deploy") as (started, folder):
        server, log = database(folder, free_port(), options=["--performance-schema=ON"])
        started.append(server)

        def sql(text):
            ran = subprocess.run(client(folder) + ["-N"], input=text, text=True, capture_output=True)
            need(ran.returncode == 0, "a statement", ran.stderr[-300:])
            return ran.stdout

        sql("create database shop; use shop;" + SCHEMA.read_text() + """
            create table mg_product_cl (version_id int primary key auto_increment, entity_id int);
            create table mg_setup_module (module varchar(50) primary key, schema_version varchar(50), data_version varchar(50));
            insert into mg_setup_module select concat('Vendor_Module', seq), '2.4.1', '2.4.1' from seq_1_to_300;
            create user 'magento'@'localhost' identified by 'shop'; grant all on shop.* to 'magento'@'localhost';""")
        root = magento(folder, "shop", user="magento")
        files(root, 1)
        (root / "pub" / "media").mkdir(parents=True)
        word = password_file(folder, "its-own-password")
        asked = ["--magento", str(root), "--database-user", "magewarden", "--database-password-file", str(word),
                 "--source", "shop_rows", "--source", "statement_digests,every_seconds=5", "--source", "files"]
        printed = subprocess.run([str(magewarden), "up", *asked, "--print-grants"], check=True, capture_output=True, text=True).stdout
        grant(sql, printed, "its-own-password")
        console, data = free_port(), folder / "data"
        err = open(folder / "err", "w+")
        up = subprocess.Popen([str(magewarden), "up", *asked, "--log", str(log), "--data", str(data), "--port", str(console)], stderr=err)
        started.append(up)
        show = lambda path="/incidents": page(console, path)
        incidents = lambda: [show(link) for link in dict.fromkeys(re.findall(r'href="(/incidents/[0-9a-f]+)"', show()))]
        told = lambda: observations(magewarden, data, f"tree:{root}")
        tree = lambda change: [one for one in told() if one.get("change") == change]
        wait_for("the console", 30, lambda: "<main" in show())
        wait_for("a baseline of every file", 120, lambda: any(one.get("change_count", 0) >= FILES for one in tree("baseline")))
        time.sleep(5)
        need(not incidents(), "nothing burns before the deploy", "\n".join(incidents()))
        began = time.monotonic()
        files(root, 2)
        sql("use shop;\ndelimiter $$\n" + "$$\n".join(one.replace("EXISTS `trg_mg_catalog_product_entity_after_insert`; ", "EXISTS `trg_mg_catalog_product_entity_after_insert`$$\n") for one in upgrade())
            + "$$\nupdate mg_setup_module set schema_version = '2.4.2', data_version = '2.4.2'$$\n")
        took = time.monotonic() - began
        (root / "pub" / "media" / "logo.php").write_text(SHELL)
        release = wait_for("the release", 120, lambda: tree("release"))
        wait_for("the file that no deploy brings", 60, lambda: any("logo.php" in text for text in incidents()))
        time.sleep(15)
        release = tree("release")
        need(len(release) == 1, "one record for the deploy", release)
        need(release[0]["change_count"] >= FILES, "all its files in it", release[0])
        burning = incidents()
        need(len(burning) == 1 and "logo.php" in burning[0], "one incident, of that file alone", "\n".join(burning))
        audit = log.read_text(errors="replace")
        ddl = len(re.findall(r",QUERY,shop,'(?:CREATE|ALTER|DROP TRIGGER)", audit))
        need(ddl >= CHANGES, f"the schema changed: {ddl}")
        up.send_signal(signal.SIGTERM)
        up.wait(30)
        verified(magewarden, data)
        print(f"1 passed, 0 failed ({release[0]['change_count']} changes of files and {ddl} of the schema in {took:.0f} s: one record)")


if __name__ == "__main__":
    main()
