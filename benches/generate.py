"""Logs of a quiet shop with a few attacks in them, the same for the same seed; nothing of any real shop."""
import random


def audit_lines(count, seed=1):
    """MariaDB server_audit: the shop's own statements, each with its TABLE records, and a thief's now and then."""
    draw = random.Random(seed)
    for number in range(count):
        second = number // 400
        stamp = f"20260805 {second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
        connection, order = number // 40, draw.randrange(1_000_000)
        head = f"{stamp},db1,shop,10.0.0.5,{connection},{number}"
        kind = draw.randrange(10)
        if number % 100_000 == 99_999:
            yield f"{stamp},db1,shop,203.0.113.66,{connection},{number},QUERY,shop,'SELECT * FROM sales_order_payment',0\n"
        elif kind < 4:
            yield f"{head},READ,shop,catalog_product_entity,\n"
        elif kind < 6:
            yield f"{head},READ,shop,sales_order_payment,\n"
        elif kind < 7:
            yield (f"{head},QUERY,shop,'SELECT `sales_order_payment`.* FROM `sales_order_payment` WHERE "
                   f"(`sales_order_payment`.`parent_id` = {order})',0\n")
        elif kind < 8:
            yield f"{head},QUERY,shop,'UPDATE `quote` SET `items_count` = 2 WHERE (entity_id={order})',0\n"
        else:
            yield (f"{head},QUERY,shop,'SELECT `e`.`entity_id`, `e`.`sku` FROM `catalog_product_entity` AS `e` "
                   f"WHERE (`e`.`entity_id` = {order})',0\n")


def web_lines(count, seed=2):
    """nginx combined: shoppers, and a probe now and then."""
    draw = random.Random(seed)
    for number in range(count):
        second = number // 400
        stamp = f"05/Aug/2026:{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02} +0000"
        address = f"198.51.{draw.randrange(100)}.{draw.randrange(254)}"
        path = f"/catalog/product/view/id/{draw.randrange(90_000)}"
        if number % 50_000 == 49_999:
            address, path = "203.0.113.9", "/catalogsearch/result/?q=1%27%20UNION%20SELECT%20password%20FROM%20admin_user--"
        elif number % 9 == 0:
            path = f"/rest/V1/guest-carts/{draw.getrandbits(128):032x}/totals"
        yield (f'{address} - - [{stamp}] "GET {path} HTTP/2.0" 200 {draw.randrange(90_000)} '
               f'"https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"\n')


def write(path, lines):
    """Writes lines; gives how many and how many bytes."""
    count = size = 0
    with open(path, "w", encoding="ascii", newline="") as file:
        for line in lines:
            file.write(line)
            count += 1
            size += len(line)
    return count, size

def tree(root, count):
    """A tree like Magento's: `count` files of code, most of them a few kilobytes, in folders of forty."""
    chance = random.Random(1129)
    body = ("<?php\nnamespace Vendor\\Module;\nclass Model { public function get() { return $this->data['value']; } }\n" * 4000).encode()
    for number in range(count):
        folder = root / "vendor" / f"package-{number // 4000}" / f"Model{number // 40 % 100}"
        if number % 40 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        size = min(int(chance.lognormvariate(7.8, 1.1)), 300_000)
        (folder / f"Class{number}.php").write_bytes(body[:size] + str(number).encode())

