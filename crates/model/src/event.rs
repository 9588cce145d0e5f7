//! A record read and normalised.

use std::borrow::Cow;

use crate::{Category, FieldSet, TimeQuality, Timestamp};

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text, masked.
    Text(Cow<'a, str>),
    /// A whole number; durations are microseconds.
    Int(i64),
    /// Several texts; a rule matches if any does.
    List(Vec<Cow<'a, str>>),
}

impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::List(list) => f.write_str(&list.join(", ")),
        }
    }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The fields an event can have. Append only; names are what Sigma rules write.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Field { $($(#[$doc])* $variant,)* }

        impl Field {
            /// Every field, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name rules use, e.g. `cs-uri-query`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

fields! {
    /// Client address: right-most not in `trusted_proxies`.
    ClientIp = "c-ip",
    /// Address the connection came from.
    PeerIp = "peer-ip",
    /// `X-Forwarded-For` as sent.
    ForwardedFor = "x-forwarded-for",
    /// Request method.
    Method = "cs-method",
    /// Path and query as sent.
    Uri = "cs-uri",
    /// Path, percent-decoded once.
    UriStem = "cs-uri-stem",
    /// Query, percent-decoded once, without `?`.
    UriQuery = "cs-uri-query",
    /// Status.
    Status = "sc-status",
    /// Bytes of the response body.
    ResponseBytes = "sc-bytes",
    /// User agent.
    UserAgent = "cs-user-agent",
    /// Referer.
    Referer = "cs-referer",
    /// Host header or server name.
    Host = "cs-host",
    /// Web server user (`remote_user`).
    HttpUser = "cs-username",
    /// Request time in microseconds.
    RequestTime = "time-taken",
    /// Database account.
    DbUser = "db.user",
    /// Host the database account connected from.
    DbHost = "db.client_host",
    /// Connection id.
    ConnectionId = "db.connection_id",
    /// Query id within the server.
    QueryId = "db.query_id",
    /// Operation: `connect`, `disconnect`, `query`, `read`, `write`, `create`, `alter`, `drop`, `rename`, `failed_connect`.
    Operation = "db.operation",
    /// Default schema.
    Schema = "db.schema",
    /// Statement text, masked.
    Statement = "db.statement",
    /// Tables touched, without schema and table prefix.
    Tables = "db.tables",
    /// Tables written (TABLE records, or the statement's target).
    TablesWritten = "db.tables_written",
    /// Columns the statement names; `*` for all.
    Columns = "db.columns",
    /// Statement class: `select`, `insert`, `update`, `delete`, `ddl`, `grant`, `set`, …
    StatementClass = "db.statement_class",
    /// Predicate class of the statement shape.
    PredicateClass = "db.predicate_class",
    /// Expected row class of the statement shape.
    RowClass = "db.row_class",
    /// Fingerprint of the statement shape, hexadecimal.
    ShapeFingerprint = "db.shape",
    /// Properties of the shape: `union`, `tautology`, `into_outfile`, `no_cache_hint`, `comment`, `sleep`, …
    ShapeTraits = "db.shape_traits",
    /// Whether the shape is one Magento issues: `known`, `explained`, `unknown`.
    ShapeKnown = "db.shape_known",
    /// Whether the text was cut at the log's limit: `1`.
    StatementCut = "db.statement_cut",
    /// Return code of the server; 0 is success.
    ErrorCode = "db.error_code",
    /// Rows sent to the client.
    RowsSent = "db.rows_sent",
    /// Rows examined.
    RowsExamined = "db.rows_examined",
    /// Rows changed.
    RowsAffected = "db.rows_affected",
    /// Bytes sent to the client.
    BytesSent = "db.bytes_sent",
    /// Query time in microseconds.
    QueryTime = "db.query_time",
    /// Channel or logger name, e.g. Monolog's `main`, syslog's tag.
    Logger = "log.logger",
    /// Severity name as written, e.g. `CRITICAL`.
    Severity = "log.level",
    /// Message text, masked.
    Message = "message",
    /// Context, masked, as written.
    Context = "log.context",
    /// Name of the host that wrote the line.
    LogHost = "log.host",
    /// Process id.
    ProcessId = "process.pid",
    /// Card numbers masked in the record.
    PanCount = "cardholder.pan_count",
    /// Published test numbers among them.
    TestPanCount = "cardholder.test_pan_count",
    /// Pieces of sensitive authentication data masked in the record.
    SadCount = "cardholder.sad_count",
    /// Format the record was read as, e.g. `nginx_combined`.
    Format = "format",
    /// Kind of a health event, e.g. `gap`, `audit_off`, `truncated`, `clock_back`.
    HealthKind = "health.kind",
    /// The source a health event is about.
    HealthSource = "health.source",
    /// Store view's code, or `admin`, where the source knows it.
    StoreView = "shop.store",
    /// Website's code where the source knows it.
    Website = "shop.website",
    /// Path of a file, below the shop's root where it lies there.
    FilePath = "file.path",
    /// What became of a file or row: `created`, `modified`, `removed`, `attributes`, `opened`, `seen`; of a command `called`, `refused`; of a tree `release`, `baseline`, `baseline_changed`, `compared`, `rules_refused`; of a
    /// payment page `baseline`, `baseline_changed`, `checked`, `kept`.
    Change = "change",
    /// What Magento's own layout says of a path: `code`, `vendor`, `generated`, `static`, `media`, `writable`, `settings`, `entry_point`, `outside`.
    FileClass = "file.class",
    /// What the content is: `php`, `html`, `javascript`, `image`, `archive`, `sql`, `text`, `binary`; several for a polyglot.
    FileContent = "file.content",
    /// Size in bytes.
    FileBytes = "file.size_bytes",
    /// SHA-256 of the content, hexadecimal; empty where card numbers were found in it.
    FileHash = "file.sha256",
    /// Permissions, octal.
    FileMode = "file.mode",
    /// Name of the file's owner.
    FileOwner = "file.owner",
    /// Signatures the content has; `yara:NAME` and `merchant:NAME` are content rules of ours and of the merchant's.
    Signatures = "signatures",
    /// How many changes, or calls of a statement, one record stands for.
    ChangeCount = "change_count",
    /// What the changed thing was compared with: `baseline`, `package`, `last_look`.
    Against = "against",
    /// Program that acted; of a file that came or changed, the one that last closed it after writing.
    ProcessName = "process.executable",
    /// Program that started it, where the system, or an earlier record of the log, told.
    ParentProcess = "process.parent_executable",
    /// Arguments of a program, without long runs of digits; `[name]` where only its name was left.
    CommandLine = "process.command_line",
    /// Account of the operating system that acted; its number where the log tells no name.
    OsUser = "user.name",
    /// Account that had logged in before; missing for what no login began, e.g. a service.
    LoginUser = "user.login",
    /// Command of Redis or Valkey as the server counts it, e.g. `config|set`; `auth` and `acl` for what it refused.
    RedisCommand = "redis.command",
    /// Key in Redis or Valkey; of a session a keyed hash.
    RedisKey = "redis.key",
    /// Number of the database the key lies in.
    RedisDatabase = "redis.database",
    /// Card numbers found in a stored value, published test numbers not counted; of a walk the values that hold some.
    StoredCards = "stored.pan_count",
    /// Table of a row, without the prefix.
    Table = "row.table",
    /// Key of a row.
    RowKey = "row.key",
    /// Columns of a row that changed.
    RowColumns = "row.columns",
    /// Values of a row that changed, masked: `column=value`.
    RowValues = "row.values",
    /// Path of a configuration row, e.g. `design/head/includes`.
    ConfigPath = "config.path",
    /// Address of a page, script or frame.
    Url = "url",
    /// A gateway's name, e.g. `stripe`.
    Gateway = "gateway.name",
    /// The gateway's own name of what happened, e.g. `charge.dispute.created`.
    GatewayEvent = "gateway.event",
    /// The gateway's id of it.
    GatewayId = "gateway.id",
    /// Ids an order is found by: increment id, transaction ids, quote id.
    OrderIds = "order.ids",
    /// Amount in the currency's smallest unit.
    Amount = "amount.minor",
    /// Its currency, ISO 4217.
    Currency = "amount.currency",
    /// Whether the sender's signature holds: `yes`, `no`, `none`.
    Signed = "signed",
    /// Card numbers found in a file, published test numbers not counted.
    FileCards = "file.pan_count",
    /// Value of the cookie `store` as the log has it; `-` where the request had none.
    StoreCookie = "store.cookie",
    /// Value of the header `Store` as the log has it; `-` where the request had none.
    StoreHeader = "store.header",
    /// `MAGE_RUN_CODE` as the log has it.
    RunCode = "store.run_code",
    /// `MAGE_RUN_TYPE` as the log has it.
    RunType = "store.run_type",
    /// A package of composer, or a module's folder.
    Package = "package.name",
    /// Its version, as written.
    PackageVersion = "package.version",
    /// Composer's type of it, or `app/code`.
    PackageKind = "package.type",
    /// Advisories that fit it.
    Advisories = "package.advisories",
    /// The module it brings, e.g. `Vendor_Module`.
    Module = "package.module",
    /// Whether `app/etc/config.php` has that module on: `yes`, `no`.
    ModuleEnabled = "package.enabled",
    /// What a part of a payment page is: `script`, `inline`, `handler`, `header`, `frame`, `form`, `field`, `host`, `base`;
    /// of a browser's report the directive that was violated.
    PagePart = "page.part",
    /// Its name: an address, a header, or the first 16 digits of its code's hash.
    PageName = "page.name",
    /// How the page was looked at: `browser`, `fetch`, or by a `report` of a consumer's browser.
    PageWay = "page.way",
    /// `yes` or `no` by the list of authorised scripts; left out where there is no list.
    PageAuthorised = "page.authorised",
    /// Hosts a script names or a page asks.
    PageHosts = "page.hosts",
    /// What changed: text that went and text that came, with a little around.
    PageDifference = "page.difference",
    /// The part's own text.
    PageText = "page.text",
    /// Networks that browsers reported it from.
    PageNetworks = "page.networks",
    /// What a network sensor tells of: `flow`, `alert`, `dns`, `tls` …
    NetworkEvent = "network.event",
    /// Address a connection came from.
    SourceIp = "source.ip",
    /// Address it went to.
    DestinationIp = "destination.ip",
    /// Port it went to.
    DestinationPort = "destination.port",
    /// Name it went to, by TLS or HTTP.
    DestinationName = "destination.name",
    /// Bytes that went there.
    BytesOut = "network.bytes_out",
    /// Name that was asked for.
    DnsName = "dns.name",
    /// Kind of the record that was asked for.
    DnsType = "dns.type",
    /// What its modules can touch of payments, checkout, orders, customers and logins, e.g. `observes payment_method_assign_data by Vendor\X`.
    Reach = "package.reach",
    /// What of that they couldn't touch at the last look.
    ReachNew = "package.reach_new",
    /// What a file below `vendor/` is to what composer distributed: `package` (the same; of a removed file, that there is none),
    /// `changed_from_package`, `not_in_package`, `unknown` (no trusted archive of its package).
    FileKnown = "file.known",
    /// Where patches are declared that may change the file: `composer.json` for its package, `m2-hotfixes` for the file itself.
    PackagePatches = "package.patches",
    /// Number of the database server that a statement was written at first.
    ServerId = "db.server_id",
    /// A transaction's global id, as MariaDB or MySQL writes it.
    Gtid = "db.gtid",
    /// File of the binary log and the place in it, e.g. `mysql-bin.000007:1234`.
    LogPosition = "db.log_position",
    /// User name of the administrator who acted at the back end, as an audit table has it.
    AdminName = "admin.name",
    /// Number of that administrator (`user_id`).
    AdminId = "admin.id",
    /// What was done, as the audit table says it, e.g. `login`, `save`.
    AdminAction = "admin.action",
    /// Magento's full action name of it, e.g. `adminhtml_system_config_save`.
    AdminFullAction = "admin.full_action",
    /// The group of actions it belongs to, as the audit table says it, e.g. `cms_pages`.
    AdminActionGroup = "admin.action_group",
    /// Whether it succeeded: `success`, `failure`; missing where the audit table doesn't say.
    AdminOutcome = "admin.outcome",
    /// What it was done to, as rows are named: `cms_page:7`, `core_config_data:design/head/includes`; else class and number.
    AdminTarget = "admin.target",
}

/// A record read and normalised. Borrows from the masked record where it can.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// What kind of thing it tells of.
    pub category: Category,
    /// When it happened; `None` when the record doesn't say.
    pub time: Option<Timestamp>,
    /// How the time came to be known.
    pub time_quality: TimeQuality,
    fields: Vec<(Field, Value<'a>)>,
    /// Which fields there are: most questions are for one that isn't, and are answered without a search.
    present: FieldSet,
}

impl<'a> Event<'a> {
    /// Makes an event without fields.
    #[must_use]
    pub fn new(category: Category) -> Self {
        Self {
            category,
            time: None,
            time_quality: TimeQuality::Received,
            fields: Vec::with_capacity(16),
            present: FieldSet::default(),
        }
    }

    /// Its fields in no order, each at most once.
    #[must_use]
    pub fn fields(&self) -> &[(Field, Value<'a>)] {
        &self.fields
    }

    /// Which fields it has.
    #[must_use]
    pub const fn present(&self) -> FieldSet {
        self.present
    }

    /// Finds a field's value.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&Value<'a>> {
        if !self.present.has(field) {
            return None;
        }
        self.fields
            .iter()
            .find(|(name, _)| *name == field)
            .map(|(_, value)| value)
    }

    /// Finds a text field.
    #[must_use]
    pub fn text(&self, field: Field) -> Option<&str> {
        match self.get(field) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Finds a number field.
    #[must_use]
    pub fn int(&self, field: Field) -> Option<i64> {
        match self.get(field) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// Finds a list field; empty when absent.
    #[must_use]
    pub fn list(&self, field: Field) -> &[Cow<'a, str>] {
        match self.get(field) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// Adds a text unless the field is there already.
    #[inline]
    pub fn put_text(&mut self, field: Field, text: impl Into<Cow<'a, str>>) {
        match text.into() {
            Cow::Borrowed(text) => self.put_with(field, || Value::Text(Cow::Borrowed(text))),
            text @ Cow::Owned(_) => self.put(field, Value::Text(text)),
        }
    }

    /// Adds a number unless the field is there already.
    #[inline]
    pub fn put_int(&mut self, field: Field, number: i64) {
        self.put_with(field, || Value::Int(number));
    }

    /// Adds a value unless the field is there already; it is made where it goes, once there is room.
    ///
    /// A value made before would be written to the stack in words and copied in double words, and the copy waits for
    /// the writing: that took a quarter of the time of reading a short record.
    #[inline]
    pub fn put_with(&mut self, field: Field, value: impl FnOnce() -> Value<'a>) {
        if self.present.add(field) {
            self.fields
                .extend(std::iter::once_with(|| (field, value())));
        }
    }

    /// Adds a value unless the field is there already: the first witness counts.
    pub fn put(&mut self, field: Field, value: Value<'a>) {
        if self.present.add(field) {
            self.fields.push((field, value));
        }
    }

    /// Adds the fields of another that aren't there yet.
    pub fn absorb(&mut self, other: Self) {
        for (field, value) in other.fields {
            self.put(field, value);
        }
    }

    /// Sets a value, replacing what was there.
    pub fn set(&mut self, field: Field, value: Value<'a>) {
        match self.fields.iter_mut().find(|(name, _)| *name == field) {
            Some((_, old)) => *old = value,
            None => self.put(field, value),
        }
    }

    /// Cuts the borrow from the record.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        let own = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        Event {
            category: self.category,
            time: self.time,
            time_quality: self.time_quality,
            fields: self
                .fields
                .into_iter()
                .map(|(field, value)| {
                    let value = match value {
                        Value::Text(text) => Value::Text(own(text)),
                        Value::Int(number) => Value::Int(number),
                        Value::List(list) => Value::List(list.into_iter().map(own).collect()),
                    };
                    (field, value)
                })
                .collect(),
            present: self.present,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Field, Value};
    use crate::Category;

    #[test]
    fn the_first_witness_counts_however_it_is_put() {
        let text = |text: &'static str| Value::Text(text.into());
        let mut event = Event::new(Category::Database);
        // More than there is room for at first.
        for (field, number) in Field::ALL.iter().zip(0_i64..) {
            match number % 4 {
                0 => event.put_int(*field, number),
                1 => event.put_text(*field, "borrowed"),
                2 => event.put_text(*field, "owned".to_owned()),
                _ => event.put_with(*field, || Value::List(vec!["one".into()])),
            }
            event.put_int(*field, -1);
            event.put_text(*field, "second");
            event.put_text(*field, "second".to_owned());
            event.put(*field, text("second"));
            event.put_with(*field, || text("second"));
        }
        assert_eq!(event.fields().len(), Field::ALL.len());
        for (field, number) in Field::ALL.iter().zip(0_i64..) {
            let expected = match number % 4 {
                0 => Value::Int(number),
                1 => text("borrowed"),
                2 => text("owned"),
                _ => Value::List(vec!["one".into()]),
            };
            assert!(event.present().has(*field));
            assert_eq!(event.get(*field), Some(&expected));
        }
    }
}
