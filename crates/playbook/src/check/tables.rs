//! The properties of CACAO 2.0 objects, by section.

use super::shape::{Kind, Shape};

type Table = &'static [(&'static str, Kind)];

const STEPS: &[&str] = &[
    "start",
    "end",
    "action",
    "playbook-action",
    "parallel",
    "if-condition",
    "while-condition",
    "switch-condition",
];
const AGENTS: &[&str] = &[
    "group",
    "http-api",
    "individual",
    "linux",
    "location",
    "net-address",
    "organization",
    "sector",
    "security-category",
    "ssh",
];

/// §3.1
pub(super) static PLAYBOOK: Shape = Shape {
    section: "3.1",
    properties: &[&[
        ("type", Kind::Word(&["playbook"])),
        ("spec_version", Kind::Word(&["cacao-2.0"])),
        ("id", Kind::Id(&["playbook"])),
        ("name", Kind::Text),
        ("description", Kind::Text),
        ("playbook_types", Kind::Texts(0)),
        ("playbook_activities", Kind::Texts(1)),
        ("playbook_processing_summary", Kind::Object(&SUMMARY)),
        ("created_by", Kind::Id(&["identity"])),
        ("created", Kind::Milliseconds),
        ("modified", Kind::Milliseconds),
        ("revoked", Kind::Flag),
        ("valid_from", Kind::Time),
        ("valid_until", Kind::Time),
        ("derived_from", Kind::Ids(1)),
        ("related_to", Kind::Ids(1)),
        ("priority", Kind::Whole(0, 100)),
        ("severity", Kind::Whole(0, 100)),
        ("impact", Kind::Whole(0, 100)),
        ("industry_sectors", Kind::Texts(1)),
        ("labels", Kind::Texts(1)),
        ("external_references", Kind::Objects(1, &REFERENCE)),
        ("markings", Kind::Ids(1)),
        ("playbook_variables", Kind::Variables(&VARIABLE)),
        ("workflow_start", Kind::Id(&["start"])),
        ("workflow_exception", Kind::Id(STEPS)),
        ("workflow", Kind::Dictionary(STEPS, 3, step)),
        ("playbook_extensions", Kind::Extensions),
        (
            "authentication_info_definitions",
            Kind::Dictionary(&["http-basic", "oauth2", "user-auth"], 1, |_| &OPEN),
        ),
        ("agent_definitions", Kind::Dictionary(AGENTS, 1, agent)),
        ("target_definitions", Kind::Dictionary(AGENTS, 1, agent)),
        (
            "extension_definitions",
            Kind::Dictionary(&["extension-definition"], 0, |_| &EXTENSION),
        ),
        (
            "data_marking_definitions",
            Kind::Dictionary(
                &["marking-tlp", "marking-iep", "marking-statement"],
                0,
                |_| &MARKING,
            ),
        ),
        ("signatures", Kind::Objects(1, &SIGNATURE)),
    ]],
    required: &[
        "type",
        "spec_version",
        "id",
        "name",
        "created_by",
        "created",
        "modified",
        "workflow_start",
        "workflow",
    ],
    one_of: &[],
};

/// §10.14
static SUMMARY: Shape = Shape {
    section: "10.14",
    properties: &[&[
        ("manual_playbook", Kind::Flag),
        ("external_playbooks", Kind::Flag),
        ("parallel_processing", Kind::Flag),
        ("if_logic", Kind::Flag),
        ("while_logic", Kind::Flag),
        ("switch_logic", Kind::Flag),
        ("temporal_logic", Kind::Flag),
        ("data_markings", Kind::Flag),
        ("digital_signatures", Kind::Flag),
        ("countersigned_signatures", Kind::Flag),
        ("extensions", Kind::Flag),
    ]],
    required: &[],
    one_of: &[],
};

/// §10.9
static REFERENCE: Shape = Shape {
    section: "10.9",
    properties: &[&[
        ("name", Kind::Text),
        ("description", Kind::Text),
        ("source", Kind::Text),
        ("url", Kind::Text),
        ("external_id", Kind::Text),
        ("reference_id", Kind::Text),
    ]],
    required: &["name"],
    one_of: &[
        "description",
        "source",
        "url",
        "external_id",
        "reference_id",
    ],
};

/// §10.18
static VARIABLE: Shape = Shape {
    section: "10.18",
    properties: &[&[
        ("type", Kind::Text),
        ("description", Kind::Text),
        ("value", Kind::TextOrNull),
        ("constant", Kind::Flag),
        ("external", Kind::Flag),
    ]],
    required: &["type"],
    one_of: &[],
};

/// §8
static EXTENSION: Shape = Shape {
    section: "8",
    properties: &[&[
        ("type", Kind::Word(&["extension-definition"])),
        ("name", Kind::Text),
        ("description", Kind::Text),
        ("created_by", Kind::Id(&["identity"])),
        ("schema", Kind::Text),
        ("version", Kind::Text),
        ("external_references", Kind::Objects(0, &REFERENCE)),
    ]],
    required: &["type", "name", "created_by", "schema", "version"],
    one_of: &[],
};

/// §9: what all markings have; what they say beyond is kept as it is.
static MARKING: Shape = Shape {
    section: "9",
    properties: &[&[
        ("type", Kind::Text),
        (
            "id",
            Kind::Id(&["marking-tlp", "marking-iep", "marking-statement"]),
        ),
        ("name", Kind::Text),
        ("description", Kind::Text),
        ("created_by", Kind::Id(&["identity"])),
        ("created", Kind::Milliseconds),
        ("revoked", Kind::Flag),
        ("valid_from", Kind::Time),
        ("valid_until", Kind::Time),
        ("labels", Kind::Texts(1)),
        ("external_references", Kind::Objects(1, &REFERENCE)),
        ("marking_extensions", Kind::Extensions),
        ("statement", Kind::Free),
        ("tlp", Kind::Free),
        ("tlpv2_level", Kind::Free),
        ("iep", Kind::Free),
    ]],
    required: &["type", "id", "created_by", "created"],
    one_of: &[],
};

/// §10.15: kept as they are; whoever verifies one looks into it.
static SIGNATURE: Shape = OPEN_SHAPE;

/// §6: secrets belong nowhere near a playbook; kept, never used.
static OPEN: Shape = OPEN_SHAPE;

const OPEN_SHAPE: Shape = Shape {
    section: "6, 10.15",
    properties: &[&[
        ("type", Kind::Text),
        ("id", Kind::Free),
        ("name", Kind::Text),
        ("description", Kind::Text),
        ("created_by", Kind::Free),
        ("created", Kind::Free),
        ("modified", Kind::Free),
        ("revoked", Kind::Free),
        ("signee", Kind::Free),
        ("valid_from", Kind::Free),
        ("valid_until", Kind::Free),
        ("related_to", Kind::Free),
        ("related_version", Kind::Free),
        ("hash_algorithm", Kind::Free),
        ("algorithm", Kind::Free),
        ("public_key", Kind::Free),
        ("public_key_chain", Kind::Free),
        ("cert_url", Kind::Free),
        ("thumbprint", Kind::Free),
        ("value", Kind::Free),
        ("signature", Kind::Free),
        ("user_id", Kind::Free),
        ("username", Kind::Free),
        ("password", Kind::Free),
        ("private_key", Kind::Free),
        ("kms", Kind::Free),
        ("kms_key_identifier", Kind::Free),
        ("oauth_header", Kind::Free),
        ("authentication_info_extensions", Kind::Extensions),
    ]],
    required: &["type"],
    one_of: &[],
};

/// §4.1
const STEP: Table = &[
    ("type", Kind::Word(STEPS)),
    ("name", Kind::Text),
    ("description", Kind::Text),
    ("external_references", Kind::Objects(1, &REFERENCE)),
    // The text allows 0, the schema doesn't.
    ("delay", Kind::Whole(1, u64::MAX)),
    // CACAO has no most; nobody waits longer here.
    ("timeout", Kind::Whole(0, model::TIMEOUT_MAX)),
    ("step_variables", Kind::Variables(&VARIABLE)),
    ("owner", Kind::Id(&["identity"])),
    ("on_completion", Kind::Id(STEPS)),
    ("on_success", Kind::Id(STEPS)),
    ("on_failure", Kind::Id(STEPS)),
    ("step_extensions", Kind::Extensions),
];

const fn step_shape(
    section: &'static str,
    properties: &'static [Table],
    required: &'static [&'static str],
) -> Shape {
    Shape {
        section,
        properties,
        required,
        one_of: &[],
    }
}

/// §4.3–4.10
fn step(kind: &str) -> &'static Shape {
    static START: Shape = step_shape("4.3", &[STEP], &["type"]);
    static END: Shape = step_shape("4.4", &[STEP], &["type"]);
    static ACTION: Shape = step_shape(
        "4.5",
        &[
            STEP,
            &[
                ("commands", Kind::Objects(1, &COMMAND)),
                ("agent", Kind::Id(AGENTS)),
                ("targets", Kind::Ids(1)),
                ("in_args", Kind::Texts(1)),
                ("out_args", Kind::Texts(1)),
            ],
        ],
        &["type", "commands", "agent"],
    );
    static PLAYBOOK_ACTION: Shape = step_shape(
        "4.6",
        &[
            STEP,
            &[
                ("playbook_id", Kind::Id(&["playbook"])),
                ("playbook_version", Kind::Time),
                ("in_args", Kind::Texts(1)),
                ("out_args", Kind::Texts(1)),
            ],
        ],
        &["type", "playbook_id"],
    );
    static PARALLEL: Shape = step_shape(
        "4.7",
        &[STEP, &[("next_steps", Kind::Ids(2))]],
        &["type", "next_steps"],
    );
    static IF: Shape = step_shape(
        "4.8",
        &[
            STEP,
            &[
                ("condition", Kind::Text),
                ("on_true", Kind::Id(STEPS)),
                ("on_false", Kind::Id(STEPS)),
            ],
        ],
        &["type", "condition", "on_true"],
    );
    static WHILE: Shape = step_shape(
        "4.9",
        &[
            STEP,
            &[("condition", Kind::Text), ("on_true", Kind::Id(STEPS))],
        ],
        &["type", "condition", "on_true"],
    );
    static SWITCH: Shape = step_shape(
        "4.10",
        &[STEP, &[("switch", Kind::Text), ("cases", Kind::Cases)]],
        &["type", "switch", "cases"],
    );
    match kind {
        "start" => &START,
        "end" => &END,
        "action" => &ACTION,
        "playbook-action" => &PLAYBOOK_ACTION,
        "parallel" => &PARALLEL,
        "if-condition" => &IF,
        "while-condition" => &WHILE,
        _ => &SWITCH,
    }
}

/// §5: all commands together; which one needs what is checked with the step.
static COMMAND: Shape = Shape {
    section: "5",
    properties: &[&[
        ("type", Kind::Text),
        ("description", Kind::Text),
        ("version", Kind::Text),
        ("playbook_activity", Kind::Text),
        ("external_references", Kind::Objects(0, &REFERENCE)),
        ("command", Kind::Text),
        ("command_b64", Kind::Text),
        ("headers", Kind::Headers),
        ("content", Kind::Text),
        ("content_b64", Kind::Text),
        ("ability_id", Kind::Text),
    ]],
    required: &["type"],
    one_of: &[
        "command",
        "command_b64",
        "ability_id",
        "content",
        "content_b64",
    ],
};

const AGENT: Table = &[
    ("type", Kind::Word(AGENTS)),
    ("name", Kind::Text),
    ("description", Kind::Text),
    ("location", Kind::AnyObject),
    ("agent_target_extensions", Kind::Extensions),
];

/// §7
fn agent(kind: &str) -> &'static Shape {
    static PERSON: Shape = step_shape(
        "7",
        &[
            AGENT,
            &[
                ("contact", Kind::AnyObject),
                ("logical", Kind::Texts(0)),
                ("sector", Kind::Text),
            ],
        ],
        &["type", "name"],
    );
    static CATEGORY: Shape = step_shape(
        "7.11",
        &[AGENT, &[("category", Kind::Texts(1))]],
        &["type", "name", "category"],
    );
    static MACHINE: Shape = step_shape(
        "7",
        &[
            AGENT,
            &[
                ("address", Kind::AnyObject),
                ("port", Kind::Text),
                (
                    "authentication_info",
                    Kind::Id(&["http-basic", "oauth2", "user-auth"]),
                ),
                ("category", Kind::Texts(1)),
            ],
        ],
        &["type", "name", "address"],
    );
    match kind {
        "http-api" | "linux" | "net-address" | "ssh" => &MACHINE,
        "security-category" => &CATEGORY,
        _ => &PERSON,
    }
}
