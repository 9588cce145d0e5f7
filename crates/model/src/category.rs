//! The kinds of things that events tell of.

/// What kind of thing an event tells of; Sigma's `logsource.category`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Category {
    /// One statement, connection or table access at a database (`database`).
    Database,
    /// One request at a web server (`webserver`).
    Webserver,
    /// An error a web server wrote (`webserver_error`).
    WebserverError,
    /// A line an application wrote (`application`).
    Application,
    /// A line of the operating system or another service (`syslog`).
    Syslog,
    /// Something magewarden observed of itself or a source: gaps, silence, cut (`health`).
    Health,
    /// A file that came, changed or went (`file_event`).
    File,
    /// A row of the shop's database that came, changed or went (`shop_row`).
    ShopRow,
    /// What a payment gateway told (`gateway`).
    Gateway,
    /// What is installed at the shop (`inventory`).
    Inventory,
    /// A program that was started (`process_creation`).
    Process,
    /// A key or a command of Redis or Valkey (`redis`).
    Redis,
    /// A part of a payment page as a consumer's browser receives it (`payment_page`).
    PaymentPage,
    /// A connection, or an alert about one (`network_connection`).
    Network,
    /// A name that was asked for (`dns_query`).
    Dns,
}

impl Category {
    /// Every category, in order.
    pub const ALL: &'static [Self] = &[
        Self::Database,
        Self::Webserver,
        Self::WebserverError,
        Self::Application,
        Self::Syslog,
        Self::Health,
        Self::File,
        Self::ShopRow,
        Self::Gateway,
        Self::Inventory,
        Self::Process,
        Self::Redis,
        Self::PaymentPage,
        Self::Network,
        Self::Dns,
    ];

    /// Finds a category by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }

    /// The name rules use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Webserver => "webserver",
            Self::WebserverError => "webserver_error",
            Self::Application => "application",
            Self::Syslog => "syslog",
            Self::Health => "health",
            Self::File => "file_event",
            Self::ShopRow => "shop_row",
            Self::Gateway => "gateway",
            Self::Inventory => "inventory",
            Self::Process => "process_creation",
            Self::Redis => "redis",
            Self::PaymentPage => "payment_page",
            Self::Network => "network_connection",
            Self::Dns => "dns_query",
        }
    }
}
