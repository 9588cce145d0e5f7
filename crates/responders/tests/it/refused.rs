//! What actions at the database refuse.

/// An action, what it is given, and words that say why it is refused.
type Refused = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

/// What must not be done, and the words that say so.
pub(crate) const REFUSED: &[Refused] = &[
    (
        "lock_database_account",
        &[("account", "shop@localhost")],
        "together, then end_connections",
    ),
    (
        "lock_database_account",
        &[("account", "shop@10.0.0.7")],
        "the shop itself logs in",
    ),
    (
        "lock_database_account",
        &[("account", "containment@%")],
        "another account first",
    ),
    (
        "lock_database_account",
        &[("account", "mariadb.sys@localhost")],
        "the server's own",
    ),
    (
        "lock_database_account",
        &[("account", "nobody@%")],
        "no account nobody@%",
    ),
    (
        "limit_database_account",
        &[("account", "shop@10.0.0.7"), ("connections", "5")],
        "would use them up",
    ),
    (
        "limit_database_account",
        &[("account", "containment@%"), ("connections", "5")],
        "another account first",
    ),
    (
        "limit_database_account",
        &[("account", "nobody@%"), ("connections", "5")],
        "no account nobody@%",
    ),
    (
        "limit_database_account",
        &[("account", "erp@%"), ("queries_per_hour", "0")],
        "from 1 to",
    ),
    (
        "limit_database_account",
        &[("account", "erp@%")],
        "`queries_per_hour` is missing",
    ),
    (
        "narrow_grants",
        &[
            ("account", "shop@localhost"),
            ("privilege", "SELECT"),
            ("on", "shop.*"),
        ],
        "may sell nothing",
    ),
    (
        "narrow_grants",
        &[
            ("account", "shop@10.0.0.7"),
            ("privilege", "DELETE"),
            ("on", "shop.mg_quote"),
        ],
        "may sell nothing",
    ),
    (
        "narrow_grants",
        &[
            ("account", "shop@localhost"),
            ("privilege", "TRIGGER"),
            ("on", "shop.*"),
        ],
        "may sell nothing",
    ),
    (
        "narrow_grants",
        &[
            ("account", "shop@localhost"),
            ("privilege", "UPDATE"),
            ("on", "*.*"),
        ],
        "may sell nothing",
    ),
    (
        "narrow_grants",
        &[
            ("account", "shop@localhost"),
            ("privilege", "INSERT"),
            ("on", "sh%.*"),
        ],
        "may sell nothing",
    ),
    (
        "narrow_grants",
        &[
            ("account", "containment@%"),
            ("privilege", "FILE"),
            ("on", "*.*"),
        ],
        "another account first",
    ),
    (
        "narrow_grants",
        &[
            ("account", "mariadb.sys@localhost"),
            ("privilege", "SELECT"),
            ("on", "mysql.global_priv"),
        ],
        "the server's own",
    ),
    (
        "narrow_grants",
        &[
            ("account", "nobody@%"),
            ("privilege", "FILE"),
            ("on", "*.*"),
        ],
        "no account nobody@%",
    ),
    (
        "narrow_grants",
        &[
            ("account", "erp@%"),
            ("privilege", "FILE"),
            ("on", "shop.*"),
        ],
        "isn't granted at such a place",
    ),
    (
        "narrow_grants",
        &[
            ("account", "erp@%"),
            ("privilege", "EVENT"),
            ("on", "shop.mg_quote"),
        ],
        "isn't granted at such a place",
    ),
    (
        "narrow_grants",
        &[
            ("account", "erp@%"),
            ("privilege", "SELECT"),
            ("on", "shop.mg_cms_block"),
        ],
        "take it on shop.*",
    ),
    (
        "narrow_grants",
        &[
            ("account", "feed@localhost"),
            ("privilege", "SELECT"),
            ("on", "shop.*"),
        ],
        "feed@localhost has on sh%.* holds for it instead",
    ),
    (
        "narrow_grants",
        &[
            ("account", "report@%"),
            ("privilege", "SELECT"),
            ("on", "shop.*"),
        ],
        "drop_trigger first, or see to copy$2, copy1",
    ),
    (
        "narrow_grants",
        &[("account", "erp@%"), ("privilege", "FILE"), ("on", "*.*")],
        "GRANT FILE ON *.* TO `containment`@`localhost` WITH GRANT OPTION",
    ),
    (
        "end_connections",
        &[("account", "containment@%")],
        "another account first",
    ),
    (
        "drop_trigger",
        &[("trigger", "nobody")],
        "no trigger nobody",
    ),
    (
        "drop_trigger",
        &[("trigger", "wide")],
        "in the character set gbk",
    ),
    (
        "deactivate_administrator",
        &[("administrator", "nobody")],
        "0 rows of admin_user with username nobody",
    ),
    (
        "revoke_integration",
        &[("integration", "nobody")],
        "0 rows of integration with name nobody",
    ),
    (
        "disable_payment_method",
        &[("website", "second"), ("method", "hosted")],
        "env.php under system/websites/second/payment/hosted/active",
    ),
    (
        "disable_payment_method",
        &[("website", "base"), ("method", "checkmo")],
        "env.php under system/stores/fr/payment/checkmo/active",
    ),
    (
        "disable_payment_method",
        &[("website", "admin"), ("method", "checkmo")],
        "no website admin",
    ),
    (
        "switch_payment_method",
        &[
            ("website", "base"),
            ("method", "hosted"),
            ("instead", "nothing"),
        ],
        "no row of core_config_data is of payment/nothing",
    ),
    (
        "switch_payment_method",
        &[
            ("website", "base"),
            ("method", "hosted"),
            ("instead", "hosted"),
        ],
        "is the method that is switched off",
    ),
    (
        "revert_row",
        &[("row", "admin_user:7")],
        "rows of admin_user aren't put back",
    ),
    ("revert_row", &[("row", "cms_block:77")], "isn't there"),
    (
        "revert_row",
        &[("row", "cms_page:1")],
        "for some of: title, content",
    ),
    ("revert_row", &[("row", "cms_page:2")], "can't read"),
    (
        "pause_job",
        &[("job", "exportProcessor")],
        "no run of exportProcessor",
    ),
    (
        "pause_consumer",
        &[("consumer", "exportprocessor")],
        "no consumer that cron starts",
    ),
    ("end_customer_sessions", &[], "name a website or a customer"),
    (
        "end_customer_sessions",
        &[("customer", "nobody@example.com")],
        "no such customers",
    ),
];
