<?php

// Who may in at the stand-in shop: integrations and administrators by token, administrators and customers by session, as Magento goes by its tables.

declare(strict_types=1);

final class Access
{
    public function __construct(private Closure $all, private Closure $ask, private array $env)
    {
    }

    /** Whether the request's token is one that opens the API. */
    public function hasToken(): bool
    {
        if (!preg_match('/^Bearer (\S+)$/', $_SERVER['HTTP_AUTHORIZATION'] ?? '', $found)) {
            return false;
        }
        if (substr_count($found[1], '.') === 2) {
            return $this->isSigned(...explode('.', $found[1]));
        }
        // Integrations' are in a table and never expire; they hold as long as the integration is active.
        return ($this->all)('select 1 from mg_oauth_token t left join mg_integration i using (consumer_id)
            where t.token = ? and t.type = "access" and t.revoked = 0 and (t.consumer_id is null or i.status = 1)', [$found[1]]) !== [];
    }

    /** An administrator's since 2.4.4: in no table, signed with the encryption key, ended by `jwt_auth_revoked` alone. */
    private function isSigned(string $header, string $claims, string $signature): bool
    {
        $keys = preg_split('/\s+/', trim($this->env['crypt']['key']));
        // Before the patches of August 2024 every key of the list signs, after them the newest alone.
        $keys = ($this->env['crypt']['old_keys_sign'] ?? false) ? $keys : [end($keys)];
        $made = array_map(fn ($key) => hash_hmac('sha256', "$header.$claims", $key), $keys);
        $of = json_decode(base64_decode(strtr($claims, '-_', '+/')), true);
        if (!in_array($signature, $made, true) || ($of['exp'] ?? 0) < time()) {
            return false;
        }
        return ($this->all)('select 1 from mg_jwt_auth_revoked where user_type_id = ? and user_id = ? and revoke_before >= ?', [$of['utypid'], $of['uid'], $of['iat']]) === [];
    }

    /** Whether an administrator is logged in, or has just sent name and password; a session holds as long as its row says so. */
    public function hasAdministrator(): bool
    {
        session_name('admin');
        session_start();
        if (is_string($_POST['username'] ?? null)) {
            $user = ($this->all)('select user_id, password from mg_admin_user where username = ? and is_active = 1', [$_POST['username']])[0] ?? null;
            if ($user && $this->fits($_POST['password'], $user['password'])) {
                ($this->ask)('insert into mg_admin_user_session (user_id, status, ip) values (?, 1, ?)', [$user['user_id'], $_SERVER['REMOTE_ADDR']]);
                $_SESSION['admin_session_info_id'] = ($this->all)('select last_insert_id() id')[0]['id'];
            }
        }
        return ($this->all)('select 1 from mg_admin_user_session where id = ? and status = 1', [$_SESSION['admin_session_info_id'] ?? 0]) !== [];
    }

    /** The same of a customer; a session that began before `session_cutoff` is refused. */
    public function hasCustomer(): bool
    {
        session_start();
        if (is_string($_POST['login'] ?? null)) {
            $customer = ($this->all)('select entity_id, password_hash from mg_customer_entity where email = ?', [$_POST['login']])[0] ?? null;
            if ($customer && $this->fits($_POST['password'], $customer['password_hash'])) {
                $_SESSION['customer'] = ['id' => $customer['entity_id'], 'since' => time()];
            }
        }
        $known = $_SESSION['customer'] ?? ['id' => 0, 'since' => 0];
        return ($this->all)('select 1 from mg_customer_entity where entity_id = ? and coalesce(unix_timestamp(session_cutoff), 0) <= ?', array_values($known)) !== [];
    }

    /** Magento's first form of hashes: SHA-256 over salt and password, the salt, its version. */
    private function fits(string $password, ?string $kept): bool
    {
        [$hash, $salt] = explode(':', "$kept::");
        return hash_equals($hash, hash('sha256', $salt . $password));
    }
}
