<?php

// A stand-in for Magento: chooses a store as Magento does, reads settings by scope, renders a few pages, takes orders.

declare(strict_types=1);

require __DIR__ . '/access.php';

final class Shop
{
    private PDO $db;
    private Redis $redis;
    /** @var array<string, array<string, mixed>> every view by code, the back end's too */
    private array $views = [];
    /** @var array<string, array<int, array<string, string>>> settings by scope, scope id and path */
    private array $settings;
    private Access $access;

    public function __construct(private array $env)
    {
        $to = $env['db']['connection']['default'];
        $this->db = new PDO("mysql:unix_socket={$to['host']};dbname={$to['dbname']}", $to['username'], $to['password']);
        $this->redis = new Redis();
        $this->redis->connect('127.0.0.1', (int) $env['session']['redis']['port']);
        foreach ($this->all('select s.*, w.code website, w.is_default main, g.code store, g.default_store_id from mg_store s
            join mg_store_website w using (website_id) join mg_store_group g using (group_id)') as $view) {
            $this->views[$view['code']] = $view;
        }
        $this->settings = $this->cached('CONFIG', ['CONFIG'], function () {
            $settings = [];
            foreach ($this->all('select scope, scope_id, path, value from mg_core_config_data') as $row) {
                $settings[$row['scope']][(int) $row['scope_id']][$row['path']] = (string) $row['value'];
            }
            return $settings;
        });
        $this->access = new Access($this->all(...), $this->ask(...), $env);
    }

    public function answer(): void
    {
        $path = $this->path();
        [$first, $rest] = explode('/', $path . '/', 2);
        $inPath = null;
        if ($first !== 'admin' && ($this->views[$first]['is_active'] ?? 0) && $this->setting('web/url/use_store')) {
            $inPath = $first;
            [$first, $rest] = explode('/', $rest . '/', 2);
        }
        $rest = trim($rest, '/');
        match (true) {
            $first === 'rest' => $this->rest($rest, $inPath),
            $first === 'soap' => $this->said($this->named(explode('/', $rest)[0], $inPath), ['soap' => true]),
            $first === 'graphql' => $this->graphql($inPath),
            $first === $this->env['backend']['frontName'] => $this->said($this->views['admin'], $this->access->hasAdministrator() ? $this->orders() : ['form' => 'login']),
            $first === 'customer' => $this->said($this->chosen($inPath), $this->access->hasCustomer() ? ['account' => 'orders'] : ['form' => 'login']),
            $first === 'hosted' => header("Location: {$this->gateway($this->chosen($inPath))}?order=" . (int) ($_GET['order'] ?? 0), true, 302),
            default => $this->page($this->chosen($inPath), trim("$first/$rest", '/')),
        };
    }

    /** The path as sent, without base URL. */
    private function path(): string
    {
        $path = '/' . ltrim(explode('?', $_SERVER['REQUEST_URI'], 2)[0], '/');
        if (str_starts_with($path, '/index.php')) {
            $path = substr($path, strlen('/index.php'));
        }
        return ltrim($path, '/');
    }

    /** The views that how the host is run lets be shown, and which of them by default. */
    private function run(): array
    {
        $code = $_SERVER['MAGE_RUN_CODE'] ?? '';
        $type = $code === '' ? 'website' : ($_SERVER['MAGE_RUN_TYPE'] ?? 'store');
        $active = array_filter($this->views, fn ($view) => $view['is_active'] && $view['code'] !== 'admin');
        $of = fn (string $key) => array_filter($active, fn ($view) => $code === '' ? $view['main'] : $view[$key] === $code);
        $byId = fn ($id) => current(array_filter($this->views, fn ($view) => $view['store_id'] == $id));
        return match ($type) {
            'store' => [$active, $this->views[$code]],
            'group' => [$of('store'), $byId(current($of('store'))['default_store_id'])],
            default => [$code === '' ? $active : $of('website'), $byId(current($of('website'))['default_store_id'])],
        };
    }

    /** The view by path, parameter, cookie or default. */
    private function chosen(?string $inPath): array
    {
        [$allowed, $default] = $this->run();
        $code = $inPath ?? $_GET['___store'] ?? $_POST['___store'] ?? $_COOKIE['store'] ?? '';
        if (is_array($code)) {
            $code = $code['_data']['code'] ?? '';
        }
        return $allowed[$code] ?? $default;
    }

    /** The view that an API's path names, active or not. */
    private function named(string $code, ?string $inPath): array
    {
        return $this->views[$code === 'all' ? 'admin' : $code] ?? $this->chosen($inPath);
    }

    private function rest(string $path, ?string $inPath): void
    {
        $parts = explode('/', $path);
        $view = $this->named($parts[0], $inPath);
        $call = $parts[0] === 'all' || isset($this->views[$parts[0]]) ? array_slice($parts, 1) : $parts;
        $body = json_decode(file_get_contents('php://input') ?: 'null', true) ?? [];
        $post = $_SERVER['REQUEST_METHOD'] === 'POST';
        if ($post && $call === ['V1', 'guest-carts']) {
            $this->ask('insert into mg_quote (store_id) values (?)', [$view['store_id']]);
            $quote = $this->db->lastInsertId();
            $masked = bin2hex(random_bytes(16));
            $this->ask('insert into mg_quote_id_mask (quote_id, masked_id) values (?, ?)', [$quote, $masked]);
            $this->said($view, $masked);
        } elseif (($call[1] ?? '') === 'guest-carts' && ($call[3] ?? '') === 'items') {
            $this->items($view, $call[2], $call[4] ?? null, $body);
        } elseif ($post && ($call[1] ?? '') === 'guest-carts' && ($call[3] ?? '') === 'estimate-shipping-methods') {
            $this->said($view, [['carrier_code' => 'flatrate', 'method_code' => 'flatrate', 'amount' => 5, 'available' => true]]);
        } elseif (($call[1] ?? '') === 'guest-carts' && ($call[3] ?? '') === 'payment-methods') {
            $this->said($view, array_map(fn ($method) => ['code' => $method, 'title' => ucfirst($method)], $this->methods($view)));
        } elseif ($post && ($call[1] ?? '') === 'guest-carts' && ($call[3] ?? '') === 'payment-information') {
            $this->order($view, $call[2], $body);
        } elseif ($call === ['V1', 'orders'] && isset($_SERVER['HTTP_AUTHORIZATION'])) {
            http_response_code($this->access->hasToken() ? 200 : 401);
            $this->said($view, $this->access->hasToken() ? $this->orders() : ['message' => "The consumer isn't authorized to access %resources."]);
        } else {
            foreach ($this->modules() as $module) {
                if (isset($module['routes'][implode('/', $call)])) {
                    $this->said($view, $module['routes'][implode('/', $call)]($_GET));
                    return;
                }
            }
            $this->said($view, ['store' => $view['code']]);
        }
    }

    /**
     * What modules add that `app/etc/config.php` has switched on: `app/code/VENDOR/NAME/module.php` gives a function of the shop's database
     * that gives `routes` (paths of REST) and `placed` (told of each order).
     */
    private function modules(): array
    {
        $config = __DIR__ . '/app/etc/config.php';
        $on = array_keys(array_filter(is_file($config) ? (require $config)['modules'] ?? [] : []));
        $files = array_map(fn ($name) => __DIR__ . '/app/code/' . str_replace('_', '/', $name) . '/module.php', $on);
        return array_map(fn ($file) => (require $file)($this->all(...)), array_filter($files, 'is_file'));
    }

    /** What whoever may see orders sees of them. */
    private function orders(): array
    {
        return $this->all('select increment_id, customer_email, grand_total from mg_sales_order order by entity_id desc limit 20');
    }

    /** Where a buyer is sent to pay. */
    private function gateway(array $view): string
    {
        return $this->setting('payment/hosted/gateway_url', $view) ?: "http://js.gateway.test:{$_SERVER['SERVER_PORT']}/pay";
    }

    /** What is in a guest's cart: something is put into it, or taken out. */
    private function items(array $view, string $masked, ?string $item, array $body): void
    {
        if ($_SERVER['REQUEST_METHOD'] === 'DELETE') {
            $gone = $this->ask('delete i from mg_quote_item i join mg_quote_id_mask m using (quote_id) where m.masked_id = ? and i.item_id = ?', [$masked, $item]);
            http_response_code($gone->rowCount() ? 200 : 404);
            $this->said($view, $gone->rowCount() ? true : ['message' => "The %1 Cart doesn't contain the %2 item."]);
            return;
        }
        $sku = $body['cartItem']['sku'] ?? 'sku-1';
        $put = $this->ask('insert into mg_quote_item (quote_id, sku, qty, price) select m.quote_id, p.sku, 1, p.price
            from mg_quote_id_mask m, mg_catalog_product_entity p where m.masked_id = ? and p.sku = ?', [$masked, $sku]);
        http_response_code($put->rowCount() ? 200 : 404);
        $this->said($view, $put->rowCount() ? ['item_id' => (int) $this->db->lastInsertId(), 'sku' => $sku, 'qty' => 1, 'quote_id' => $masked]
            : ['message' => "The product that was requested doesn't exist. Verify the product and try again."]);
    }

    private function order(array $view, string $masked, array $body): void
    {
        $cart = $this->all('select m.quote_id, coalesce(sum(i.price * i.qty), 0) total from mg_quote_id_mask m
            left join mg_quote_item i using (quote_id) where m.masked_id = ? group by m.quote_id', [$masked])[0] ?? null;
        $method = $body['paymentMethod']['method'] ?? '';
        if (!$cart || !in_array($method, $this->methods($view), true)) {
            http_response_code(400);
            $this->said($view, ['message' => 'No such cart or payment method.']);
            return;
        }
        $this->ask('insert into mg_sales_order (state, status, store_id, grand_total, increment_id, customer_email, remote_ip, quote_id)
            values ("new", "pending", ?, ?, ?, ?, ?, ?)', [$view['store_id'], $cart['total'], sprintf('%d%08d', $view['store_id'], $cart['quote_id']),
            $body['email'] ?? null, $_SERVER['REMOTE_ADDR'], $cart['quote_id']]);
        $order = $this->db->lastInsertId();
        $this->ask('insert into mg_sales_order_payment (parent_id, method, amount_ordered) values (?, ?, ?)', [$order, $method, $cart['total']]);
        $this->ask('update mg_quote set is_active = 0 where entity_id = ?', [$cart['quote_id']]);
        if ($this->setting('payment/hosted/debug', $view)) {
            file_put_contents(__DIR__ . '/var/log/payment.log', json_encode($body) . "\n", FILE_APPEND);
        }
        foreach ($this->modules() as $module) {
            ($module['placed'] ?? fn () => null)($body);
        }
        $this->said($view, $order);
    }

    private function methods(array $view): array
    {
        return array_values(array_filter(['checkmo', 'hosted'], fn ($method) => $this->setting("payment/$method/active", $view)));
    }

    private function graphql(?string $inPath): void
    {
        $header = trim($_SERVER['HTTP_STORE'] ?? '');
        $main = current(array_filter($this->views, fn ($view) => $view['main'] && $view['store_id'] == $view['default_store_id']));
        $code = $header ?: ($_COOKIE['store'] ?? '');
        $view = $code === '' ? $main : ($this->views[$code] ?? null);
        if ($view === null) {
            http_response_code(400);
            $this->said(null, ['errors' => [['message' => 'Requested store is not found']]]);
            return;
        }
        $this->said($view, ['data' => ['storeConfig' => ['store_code' => $view['code']]]]);
    }

    private function page(array $view, string $path): void
    {
        session_start();
        $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
        header("X-Store: {$view['code']}");
        if ($path === 'checkout' || str_starts_with($path, 'checkout/')) {
            $only = $this->setting('csp/mode/storefront_checkout_index_index/report_only', $view) ? '-Report-Only' : '';
            header("Content-Security-Policy$only: default-src 'self'; script-src 'self' 'unsafe-inline' js.gateway.test:*; report-uri /csp-reports");
            header('X-Frame-Options: SAMEORIGIN');
            header('Cache-Control: no-store');
            $this->checkout($view);
            return;
        }
        $places = array_column($this->all('select store_id from mg_url_rewrite where request_path = ?', [$path]), 'store_id');
        if ($places !== [] && !in_array($view['store_id'], $places)) {
            http_response_code(404);
            echo $this->frame($view, '<h1>Whoops, our bad...</h1>');
            return;
        }
        $key = 'FPC_' . hash('sha256', "{$view['code']} $path");
        $tag = $path === '' ? 'cms_p_1' : 'cat_p_' . crc32($path);
        header("X-Magento-Tags: $tag,FPC");
        echo $this->cached($key, [strtoupper($tag), 'FPC'], fn () => $this->frame($view, match (true) {
            $path === '' => $this->content('cms_page', 'page', 'home', $view),
            default => '<h1>' . htmlspecialchars($path) . '</h1>' . $this->products(),
        }));
    }

    private function checkout(array $view): void
    {
        $options = implode('', array_map(fn ($method) => "<option>$method</option>", $this->methods($view)));
        $layout = implode('', array_map(
            fn ($row) => preg_match('/<script src="[^"]+"/', $row['xml'], $found) ? "$found[0]></script>" : '',
            $this->all('select xml from mg_layout_update join mg_layout_link using (layout_update_id)
                where handle = "checkout_index_index" and store_id in (0, ?)', [$view['store_id']]),
        ));
        $gateway = in_array('hosted', $this->methods($view), true)
            ? "<script src=\"http://js.gateway.test:{$_SERVER['SERVER_PORT']}/v1.js\"></script>" : '';
        echo $this->frame($view, "<h1>Checkout</h1>{$this->content('cms_block', 'block', 'checkout_note', $view)}
            <form id=payment><select name=method>$options</select><input name=cc_number autocomplete=cc-number></form>
            <script>window.checkoutConfig = {\"formKey\":\"" . bin2hex(random_bytes(8)) . "\",\"store\":\"{$view['code']}\"};</script>
            $gateway<script src=\"/static/checkout.js\"></script>$layout");
    }

    private function frame(array $view, string $body): string
    {
        return "<!doctype html><html lang=\"{$view['code']}\"><head><title>Shop</title>{$this->setting('design/head/includes', $view)}</head><body>$body</body></html>";
    }

    private function content(string $table, string $key, string $identifier, array $view): string
    {
        $rows = $this->all("select content from mg_$table join mg_{$table}_store using ({$key}_id) where identifier = ? and is_active = 1
            and store_id in (0, ?) order by store_id desc", [$identifier, $view['store_id']]);
        return $rows[0]['content'] ?? '';
    }

    private function products(): string
    {
        $rows = $this->all('select sku, price from mg_catalog_product_entity order by entity_id limit 20');
        return '<ul>' . implode('', array_map(fn ($row) => "<li>{$row['sku']} {$row['price']}</li>", $rows)) . '</ul>';
    }

    /** A setting as it holds for a view: its own, its website's, the installation's. */
    private function setting(string $path, ?array $view = null): string
    {
        return $this->settings['stores'][(int) ($view['store_id'] ?? 0)][$path]
            ?? $this->settings['websites'][(int) ($view['website_id'] ?? 0)][$path]
            ?? $this->settings['default'][0][$path] ?? '';
    }

    /** Keeps in Redis what is costly to make, by keys and tags as Magento's caches do. */
    private function cached(string $key, array $tags, callable $make): mixed
    {
        $kept = $this->redis->hGet("zc:k:abc_$key", 'd');
        if ($kept !== false) {
            return json_decode($kept, true);
        }
        $made = $make();
        $this->redis->hMSet("zc:k:abc_$key", ['d' => json_encode($made), 't' => implode(',', $tags), 'm' => time(), 'i' => 0]);
        $this->redis->expire("zc:k:abc_$key", 3600);
        foreach ($tags as $tag) {
            $this->redis->sAdd("zc:ti:abc_$tag", "abc_$key");
        }
        return $made;
    }

    private function all(string $sql, array $values = []): array
    {
        return $this->ask($sql, $values)->fetchAll(PDO::FETCH_ASSOC);
    }

    private function ask(string $sql, array $values = []): PDOStatement
    {
        $statement = $this->db->prepare($sql);
        $statement->execute($values);
        return $statement;
    }

    private function said(?array $view, mixed $answer): void
    {
        header('Content-Type: application/json');
        header('X-Store: ' . ($view['code'] ?? '-'));
        echo json_encode($answer), "\n";
    }
}
