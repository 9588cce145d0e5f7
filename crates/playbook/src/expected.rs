//! What the playbooks that ship count on of each action; whoever lists the actions themselves is held against it.

use model::{ActionFacts, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

const fn parameter(name: &'static str, kind: ParameterKind, about: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        is_required: true,
        about,
    }
}

const fn optional(name: &'static str, kind: ParameterKind, about: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        is_required: false,
        about,
    }
}

const BASE: ActionFacts = ActionFacts {
    name: "",
    about: "",
    parameters: &[],
    forensic_impact: ForensicImpact::None,
    undo: Undo::Whole,
    layer: Layer::Evidence,
    reach: Reach::Nobody,
    acts_on_cause: false,
    closes: false,
    stays_open: "",
};

/// What closes a way for everybody: nothing that tells of the attack changes.
const fn closes(
    name: &'static str,
    about: &'static str,
    layer: Layer,
    reach: Reach,
    parameters: &'static [Parameter],
) -> ActionFacts {
    ActionFacts {
        name,
        about,
        parameters,
        layer,
        reach,
        ..BASE
    }
}

/// What takes from an attacker what they act with.
const fn ends(
    name: &'static str,
    about: &'static str,
    layer: Layer,
    reach: Reach,
    parameters: &'static [Parameter],
) -> ActionFacts {
    ActionFacts {
        forensic_impact: ForensicImpact::Alters,
        acts_on_cause: true,
        ..closes(name, about, layer, reach, parameters)
    }
}

/// Every action, evidence first.
pub static EXPECTED: &[ActionFacts] = &[
    ActionFacts {
        name: "keep_evidence",
        about: "Keeps what a step would change: a file, a row, an account, a view's pages; all that is at hand when nothing is named",
        parameters: &[
            optional("file", ParameterKind::File, "the file to keep"),
            optional("row", ParameterKind::Row, "the row to keep"),
            optional(
                "account",
                ParameterKind::DatabaseAccount,
                "the account whose grants and sessions to keep",
            ),
            optional("view", ParameterKind::View, "the view whose pages to keep"),
        ],
        ..BASE
    },
    ActionFacts {
        name: "hold_retention",
        about: "Holds a copy of every log as it is now, so that rotation and cleaning by age take nothing of it away",
        ..BASE
    },
    ActionFacts {
        undo: Undo::AllBut("numbers of versions at the service"),
        stays_open: "the attacker can come from another address, or past what stands before the shop",
        ..closes(
            "block_network_edge",
            "Refuses an address or network at what stands before the shop (Fastly, Cloudflare)",
            Layer::Edge,
            Reach::Actor,
            &[parameter(
                "network",
                ParameterKind::Network,
                "whom to refuse",
            )],
        )
    },
    ActionFacts {
        stays_open: "the attacker can come from another address; behind a proxy or a CDN packets come from it, and nobody else's are met",
        ..closes(
            "drop_packets",
            "Drops packets from an address or network before any server of the host sees them",
            Layer::Web,
            Reach::Actor,
            &[parameter(
                "network",
                ParameterKind::Network,
                "whose packets to drop",
            )],
        )
    },
    ActionFacts {
        stays_open: "the attacker can come from another address",
        ..closes(
            "block_network",
            "Refuses an address or network at the web server",
            Layer::Web,
            Reach::Actor,
            &[parameter(
                "network",
                ParameterKind::Network,
                "whom to refuse",
            )],
        )
    },
    closes(
        "block_route",
        "Refuses a path at the web server",
        Layer::Web,
        Reach::Host,
        &[parameter(
            "route",
            ParameterKind::Route,
            "the path to refuse",
        )],
    ),
    ActionFacts {
        closes: true,
        stays_open: "other views of the installation share its code, database and administrators",
        ..closes(
            "close_view",
            "Closes a store view at the web server, on all hosts",
            Layer::Web,
            Reach::View,
            &[parameter("view", ParameterKind::View, "the view to close")],
        )
    },
    ActionFacts {
        closes: true,
        stays_open: "other websites of the installation share its code, database and administrators",
        ..closes(
            "close_website",
            "Closes a website at the web server, on all hosts",
            Layer::Web,
            Reach::Website,
            &[parameter(
                "website",
                ParameterKind::Website,
                "the website to close",
            )],
        )
    },
    ActionFacts {
        stays_open: "code inside Magento's own files still runs",
        ..closes(
            "deny_php",
            "Refuses PHP outside Magento's entry points",
            Layer::Web,
            Reach::Host,
            &[],
        )
    },
    ActionFacts {
        closes: true,
        stays_open: "what stands in front goes on serving from memory; cron goes on",
        ..closes(
            "maintenance",
            "Switches on Magento's maintenance mode",
            Layer::Application,
            Reach::Installation,
            &[],
        )
    },
    ActionFacts {
        forensic_impact: ForensicImpact::Alters,
        ..closes(
            "switch_payment_method",
            "Switches a payment method off on one website and another on",
            Layer::Application,
            Reach::Website,
            &[
                parameter("website", ParameterKind::Website, "where"),
                parameter(
                    "method",
                    ParameterKind::PaymentMethod,
                    "which method to switch off",
                ),
                parameter(
                    "instead",
                    ParameterKind::PaymentMethod,
                    "which method to offer instead",
                ),
            ],
        )
    },
    ActionFacts {
        closes: true,
        forensic_impact: ForensicImpact::Alters,
        ..closes(
            "disable_payment_method",
            "Switches a payment method off on one website",
            Layer::Application,
            Reach::Website,
            &[
                parameter("website", ParameterKind::Website, "where"),
                parameter("method", ParameterKind::PaymentMethod, "which method"),
            ],
        )
    },
    closes(
        "pause_job",
        "Keeps cron from starting a job",
        Layer::Application,
        Reach::Installation,
        &[parameter("job", ParameterKind::Job, "what to hold")],
    ),
    ActionFacts {
        forensic_impact: ForensicImpact::Alters,
        undo: Undo::AllBut("the times of change of env.php's inode"),
        ..closes(
            "pause_consumer",
            "Keeps cron from starting a consumer of the message queue",
            Layer::Application,
            Reach::Installation,
            &[parameter("consumer", ParameterKind::Job, "whom to hold")],
        )
    },
    ActionFacts {
        undo: Undo::AllBut("sessions and tokens that ended"),
        ..ends(
            "deactivate_administrator",
            "Deactivates an administrator, ends their sessions and tokens",
            Layer::Application,
            Reach::Actor,
            &[parameter(
                "administrator",
                ParameterKind::Administrator,
                "whom",
            )],
        )
    },
    ends(
        "revoke_integration",
        "Revokes the tokens of an integration",
        Layer::Application,
        Reach::Actor,
        &[parameter(
            "integration",
            ParameterKind::Integration,
            "which one",
        )],
    ),
    ActionFacts {
        forensic_impact: ForensicImpact::Destroys,
        undo: Undo::MadeAnew("sessions"),
        ..closes(
            "end_customer_sessions",
            "Ends customers' sessions of a website, or one customer's",
            Layer::Application,
            Reach::Website,
            &[
                optional("website", ParameterKind::Website, "whose customers"),
                optional("customer", ParameterKind::Customer, "one customer"),
            ],
        )
    },
    ActionFacts {
        forensic_impact: ForensicImpact::Destroys,
        undo: Undo::MadeAnew("sessions"),
        ..closes(
            "end_all_customer_sessions",
            "Ends the sessions of every customer of the installation",
            Layer::Application,
            Reach::Installation,
            &[],
        )
    },
    ends(
        "lock_database_account",
        "Locks a database account",
        Layer::Database,
        Reach::Actor,
        &[parameter(
            "account",
            ParameterKind::DatabaseAccount,
            "which one",
        )],
    ),
    ActionFacts {
        forensic_impact: ForensicImpact::Alters,
        stays_open: "whoever has the account goes on within the limits, and one statement can read a whole table",
        ..closes(
            "limit_database_account",
            "Limits the statements and connections of a database account",
            Layer::Database,
            Reach::Actor,
            &[
                parameter("account", ParameterKind::DatabaseAccount, "which one"),
                optional(
                    "queries_per_hour",
                    ParameterKind::Count,
                    "statements an hour",
                ),
                optional("connections", ParameterKind::Count, "connections at a time"),
            ],
        )
    },
    ActionFacts {
        undo: Undo::AllBut("who granted a right on one table, and when"),
        ..ends(
            "narrow_grants",
            "Takes one right at one place away from a database account",
            Layer::Database,
            Reach::Actor,
            &[
                parameter("account", ParameterKind::DatabaseAccount, "whose"),
                parameter("privilege", ParameterKind::Privilege, "which right"),
                parameter("on", ParameterKind::GrantPlace, "where it is granted"),
            ],
        )
    },
    ActionFacts {
        forensic_impact: ForensicImpact::Destroys,
        undo: Undo::MadeAnew("connections"),
        ..closes(
            "end_connections",
            "Ends the running connections of a database account",
            Layer::Database,
            Reach::Actor,
            &[parameter(
                "account",
                ParameterKind::DatabaseAccount,
                "whose",
            )],
        )
    },
    ends(
        "drop_trigger",
        "Drops a trigger; its definition is kept",
        Layer::Database,
        Reach::Installation,
        &[parameter("trigger", ParameterKind::Trigger, "which one")],
    ),
    ends(
        "revert_row",
        "Puts a watched row back to what it was",
        Layer::Database,
        Reach::Installation,
        &[parameter("row", ParameterKind::Row, "which one")],
    ),
    ActionFacts {
        undo: Undo::AllBut("the times of change of its inode and of its folders"),
        ..ends(
            "quarantine_file",
            "Moves a file to where nothing runs or serves it",
            Layer::Files,
            Reach::Host,
            &[parameter("file", ParameterKind::File, "which one")],
        )
    },
    ActionFacts {
        undo: Undo::AllBut("the times of change of its inode and of its folders"),
        ..ends(
            "restore_file",
            "Puts a file back to its known-good content",
            Layer::Files,
            Reach::Host,
            &[parameter("file", ParameterKind::File, "which one")],
        )
    },
    ActionFacts {
        undo: Undo::Danger,
        stays_open: "releases before 2.4.8, 2.4.7-p2, 2.4.6-p7, 2.4.5-p9 and 2.4.4-p10 take tokens signed with any key of the list, and the old key \
            stays in it: update first; what was encrypted with the old key is read by whoever has it and the data, so secrets are \
            changed where they are known; sessions that run go on; passwords that were read",
        ..ends(
            "rotate_crypt_key",
            "Makes a new encryption key; what the old one encrypted stays as it is",
            Layer::Application,
            Reach::Installation,
            &[],
        )
    },
    ActionFacts {
        forensic_impact: ForensicImpact::Destroys,
        undo: Undo::MadeAnew("cached pages"),
        ..closes(
            "purge_cache",
            "Empties Magento's caches and what stands in front, or pages with one tag",
            Layer::Cache,
            Reach::Installation,
            &[optional(
                "tag",
                ParameterKind::CacheTag,
                "pages with this tag alone",
            )],
        )
    },
];
