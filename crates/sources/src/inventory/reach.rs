//! What a module can touch of payments, checkout, orders, customers and the administrators' login, by its own settings files
//! (PCI DSS v4.0.1 req. 6.3.2, 6.5.1).
//!
//! Apart from what is installed, because a version says nothing of it: the same name can observe a payment from one
//! release to the next. Files are read as Magento reads them (`magento.md` §6.3, §8.4), and nothing is run. They are hostile
//! input: every size and count is bounded, and what was not read is said as `unread …` among the rest.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde_json::Value as Json;

use super::xml::{self, Element};

/// Largest file read; Magento's own largest has about 100 KiB.
const FILE_BYTES_MAX: u64 = 2 << 20;
/// Most entries of a folder looked at.
const ENTRIES_MAX: usize = 4096;
/// Most areas of a module, and most modules of a package.
const FOLDERS_MAX: usize = 64;
/// Most layout files read of a module.
const LAYOUTS_MAX: usize = 256;
/// Most things kept of a module.
const REACH_MAX: usize = 5000;
/// Longest text of one thing; the rest is cut and ends in `…`.
const TEXT_BYTES_MAX: usize = 240;

/// Makers of the platform, as composer names them. Their modules are the platform's own: what they reach isn't told.
const PLATFORM: [&str; 2] = ["magento/", "mage-os/"];

/// Parts of the names of events that tell of payments, checkout, orders, customers and logins.
const EVENTS: [&str; 13] = [
    "payment",
    "checkout",
    "vault",
    "paypal",
    "sales_order",
    "order_cancel",
    "sales_quote",
    "sales_model_service_quote",
    "customer_",
    "admin_user",
    "backend_auth",
    "adminhtml_auth",
    "twofactor",
];

/// Events of every request, every page or every saved or loaded object, payments among them.
const EVENTS_OF_ALL: [&str; 8] = [
    "controller_action_predispatch",
    "controller_action_postdispatch",
    "controller_front_send_response_before",
    "model_load_after",
    "model_save_before",
    "model_save_after",
    "model_save_commit_after",
    "view_block_abstract_to_html_after",
];

/// Beginnings of the names of classes and interfaces through which payments, orders, customers and administrators go;
/// each module's `Api` lies below.
const CLASSES: [&str; 14] = [
    "magento\\payment\\",
    "magento\\paymentservicespaypal\\",
    "magento\\paypal\\",
    "paypal\\braintree\\",
    "magento\\vault\\",
    "magento\\quote\\",
    "magento\\quotegraphql\\",
    "magento\\checkout\\",
    "magento\\multishipping\\",
    "magento\\sales\\",
    "magento\\customer\\",
    "magento\\user\\",
    "magento\\backend\\model\\auth",
    "magento\\twofactorauth\\",
];

/// Tables of payments, stored cards and administrators (`magento.md` §3).
const TABLES: [&str; 6] = [
    "sales_order_payment",
    "sales_payment_transaction",
    "quote_payment",
    "vault_payment_token",
    "vault_payment_token_order_payment_link",
    "admin_user",
];

/// Modules whose scripts take a payment.
const SCRIPTS: [&str; 3] = ["Magento_Checkout", "Magento_Payment", "Magento_Vault"];

/// Whether a package of `composer.lock` is the platform's own.
pub(super) fn is_platform(package: &str) -> bool {
    PLATFORM
        .iter()
        .any(|maker| package.to_ascii_lowercase().starts_with(maker))
}

/// Joins what a file says to a folder; `None` when it would lead out of it.
pub(super) fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        .then(|| folder.join(path))
}

/// What the modules of a package reach, those that are off left out; `None` while the package isn't there, as during a
/// release.
pub(super) fn of_package(
    folder: &Path,
    package: &Json,
    is_off: &dyn Fn(&Path) -> bool,
) -> Option<BTreeSet<String>> {
    if !folder.is_dir() {
        return None;
    }
    let modules = modules(folder, package);
    let mut things: BTreeSet<String> = modules
        .iter()
        .take(FOLDERS_MAX)
        .filter(|module| !is_off(module))
        .flat_map(|module| of_module(module))
        .collect();
    if modules.len() > FOLDERS_MAX {
        things.insert(format!("unread: more than {FOLDERS_MAX} modules"));
    }
    Some(things)
}

/// Folders of a package's modules: where composer loads a `registration.php`, and where modules usually lie.
fn modules(folder: &Path, package: &Json) -> BTreeSet<PathBuf> {
    let registered = package
        .pointer("/autoload/files")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .filter_map(|file| file.strip_suffix("registration.php"));
    ["", "src"]
        .into_iter()
        .chain(registered)
        .filter_map(|place| inside(folder, place))
        // `a/` and `a` are one place.
        .map(|place| place.components().collect())
        .filter(|place: &PathBuf| place.join("etc/module.xml").is_file())
        .collect()
}

/// What a module's files give it power over, a sentence each, e.g. `observes payment_method_assign_data by Vendor\X`.
pub(super) fn of_module(module: &Path) -> BTreeSet<String> {
    let mut found = Found::default();
    let areas = found.names(module, "etc", &|entry| entry.path().is_dir());
    for area in std::iter::once("").chain(areas.iter().map(String::as_str)) {
        let (at, during) = match area {
            "" => ("etc".to_owned(), String::new()),
            area => (format!("etc/{area}"), format!(" ({area})")),
        };
        found.xml(module, &format!("{at}/events.xml"), &|found, path, _| {
            observer(found, path, &during);
        });
        found.xml(module, &format!("{at}/di.xml"), &|found, path, text| {
            injection(found, path, text, &during);
        });
    }
    found.xml(module, "etc/webapi.xml", &|found, path, _| {
        route(found, path);
    });
    found.xml(module, "etc/db_schema.xml", &|found, path, _| {
        column(found, path);
    });
    for area in found.names(module, "view", &|entry| entry.path().is_dir()) {
        let script = format!("view/{area}/requirejs-config.js");
        if let Some(bytes) = found.bytes(module, &script) {
            scripts(&mut found, &String::from_utf8_lossy(&bytes));
        }
        if area == "adminhtml" {
            continue;
        }
        let folder = format!("view/{area}/layout");
        for name in found.names(module, &folder, &|entry| is_layout(&entry.file_name())) {
            let handle = name.strip_suffix(".xml").unwrap_or(&name);
            found.xml(module, &format!("{folder}/{name}"), &|found, path, text| {
                layout(found, path, text, handle);
            });
        }
    }
    found.things
}

/// What was found so far.
#[derive(Default)]
struct Found {
    things: BTreeSet<String>,
}

/// What reads one kind of file: the elements that are open, outermost first, and the text at which they are.
type See<'a> = dyn Fn(&mut Found, &[Element<'_>], Option<&str>) + 'a;

impl Found {
    /// Keeps a thing on one line; past the limit says that there were more.
    fn add(&mut self, thing: &str) {
        if self.things.len() >= REACH_MAX {
            self.things
                .insert(format!("unread: more than {REACH_MAX} things"));
            return;
        }
        let words: Vec<_> = thing
            .split(|letter: char| letter.is_whitespace() || letter.is_control())
            .filter(|word| !word.is_empty())
            .collect();
        let mut line = words.join(" ");
        if line.len() > TEXT_BYTES_MAX {
            line.truncate(line.floor_char_boundary(TEXT_BYTES_MAX));
            line.push('…');
        }
        self.things.insert(line);
    }

    fn unread(&mut self, path: &str, why: &str) {
        self.add(&format!("unread {path}: {why}"));
    }

    /// Names of a folder's entries that are asked for, in order; none where there is no such folder.
    fn names(
        &mut self,
        module: &Path,
        path: &str,
        is_asked: &dyn Fn(&std::fs::DirEntry) -> bool,
    ) -> Vec<String> {
        let entries = match std::fs::read_dir(module.join(path)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Vec::new(),
            Err(error) => {
                self.unread(path, &error.kind().to_string());
                return Vec::new();
            }
        };
        let mut seen = 0;
        let mut names: Vec<String> = entries
            .flatten()
            .inspect(|_| seen += 1)
            .take(ENTRIES_MAX)
            .filter(is_asked)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let most = if path.ends_with("/layout") {
            LAYOUTS_MAX
        } else {
            FOLDERS_MAX
        };
        if seen == ENTRIES_MAX || names.len() > most {
            self.unread(path, "too many entries");
            names.truncate(most);
        }
        names
    }

    /// A file's bytes; `None` where there is none, or none that is read.
    fn bytes(&mut self, module: &Path, path: &str) -> Option<Vec<u8>> {
        let place = module.join(path);
        // Asked for before it is opened: opening a pipe would wait for its writer.
        let opened = std::fs::metadata(&place).and_then(|metadata| {
            if metadata.is_file() {
                std::fs::File::open(&place).map(Some)
            } else {
                Ok(None)
            }
        });
        let mut bytes = Vec::new();
        let read = match opened {
            Ok(Some(file)) => file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes),
            Ok(None) => {
                self.unread(path, "it is no file");
                return None;
            }
            Err(error) => Err(error),
        };
        match read {
            Err(error) if is_absent(&error) => None,
            Err(error) => {
                self.unread(path, &error.kind().to_string());
                None
            }
            Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => {
                self.unread(path, "it is too large");
                None
            }
            Ok(_) => Some(bytes),
        }
    }

    fn xml(&mut self, module: &Path, path: &str, see: &See<'_>) {
        let Some(bytes) = self.bytes(module, path) else {
            return;
        };
        let read = xml::walk(&bytes, &mut |open, text| see(self, open, text));
        if let Err(fault) = read {
            self.unread(path, &fault.to_string());
        }
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

/// Whether a layout file is one of the checkout's, or of every page's.
fn is_layout(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy()
        .strip_suffix(".xml")
        .is_some_and(|handle| {
            handle.starts_with("checkout_")
                || handle.starts_with("multishipping_checkout")
                || is_of_every_page(handle)
        })
}

fn is_of_every_page(handle: &str) -> bool {
    handle == "default" || handle == "default_head_blocks"
}

/// Whether a class, or what begins like one, is among those that are told.
fn is_class(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CLASSES.iter().any(|known| name.starts_with(known))
}

/// An observer of `events.xml`. Magento takes events' names in any case.
fn observer(found: &mut Found, path: &[Element<'_>], during: &str) {
    let [.., event, observer] = path else { return };
    if event.name != "event" || observer.name != "observer" {
        return;
    }
    let name = event.get("name").to_lowercase();
    let is_told =
        EVENTS.iter().any(|part| name.contains(part)) || EVENTS_OF_ALL.contains(&name.as_str());
    if !is_told {
        return;
    }
    if observer.get("disabled") == "true" {
        let one = observer.get("name");
        found.add(&format!("stops the observer {one} of {name}{during}"));
    } else {
        let class = observer.get("instance").trim_start_matches('\\');
        found.add(&format!("observes {name}{during} by {class}"));
    }
}

/// A plugin, a preference or an argument of `di.xml`; of an argument's objects the classes.
fn injection(found: &mut Found, path: &[Element<'_>], text: Option<&str>, during: &str) {
    let class =
        |one: &Element<'_>, attribute: &str| one.get(attribute).trim_start_matches('\\').to_owned();
    let typed = |one: &Element<'_>| {
        let name = class(one, "name");
        (matches!(one.name, "type" | "virtualType") && is_class(&name)).then_some(name)
    };
    match (path, text) {
        ([_, one], None) if one.name == "preference" && is_class(&class(one, "for")) => {
            let (of, by) = (class(one, "for"), class(one, "type"));
            found.add(&format!("replaces {of}{during} by {by}"));
        }
        ([_, of, one], None) if one.name == "plugin" => {
            let Some(of) = typed(of) else { return };
            // As Magento's `BooleanUtils` has it.
            if matches!(one.get("disabled"), "true" | "1") {
                let name = one.get("name");
                found.add(&format!("stops the plugin {name} of {of}{during}"));
            } else {
                let by = class(one, "type");
                found.add(&format!("intercepts {of}{during} by {by}"));
            }
        }
        ([_, of, arguments, one, inner @ ..], _) if arguments.name == "arguments" => {
            let Some(of) = typed(of) else { return };
            let name = one.get("name");
            let is_object = inner.last().unwrap_or(one).get("xsi:type") == "object";
            match text {
                Some(class) if is_object => {
                    let class = class.trim().trim_start_matches('\\');
                    found.add(&format!("sets {name} of {of}{during} to {class}"));
                }
                None if inner.is_empty() && !is_object => {
                    found.add(&format!("sets {name} of {of}{during}"));
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// A route of `webapi.xml` that asks for no login.
fn route(found: &mut Found, path: &[Element<'_>]) {
    let Some(resource) = path.last() else { return };
    if resource.name != "resource" || resource.get("ref") != "anonymous" {
        return;
    }
    if let Some(route) = path.iter().find(|one| one.name == "route") {
        let (method, url) = (route.get("method"), route.get("url"));
        found.add(&format!("opens {method} {url} to anyone"));
    }
}

/// A column of `db_schema.xml`.
fn column(found: &mut Found, path: &[Element<'_>]) {
    let [.., table, column] = path else { return };
    let of = table.get("name");
    if table.name == "table" && column.name == "column" && TABLES.contains(&of) {
        let name = column.get("name");
        found.add(&format!("alters {of}: {name}"));
    }
}

/// What a layout puts into the checkout: scripts, blocks, templates, components; of every page's layout scripts alone.
fn layout(found: &mut Found, path: &[Element<'_>], text: Option<&str>, handle: &str) {
    let Some(one) = path.last() else { return };
    let put = match (one.name, text) {
        ("script" | "link", None) => Some(("script", one.get("src").to_owned())),
        _ if is_of_every_page(handle) => None,
        ("block", None) => Some((
            "block",
            format!("{} {}", one.get("class"), one.get("template")),
        )),
        ("referenceBlock", None) => Some(("template", one.get("template").to_owned())),
        ("action", None) => Some(("call of", one.get("method").to_owned())),
        ("item", Some(text)) if matches!(one.get("name"), "component" | "template") => {
            Some((one.get("name"), text.to_owned()))
        }
        _ => None,
    };
    if let Some((what, value)) = put.filter(|(_, value)| !value.trim().is_empty()) {
        let page = if is_of_every_page(handle) {
            "every page"
        } else {
            handle
        };
        found.add(&format!("puts into {page} the {what} {value}"));
    }
}

/// Scripts of the checkout that `requirejs-config.js` names: to mix something in, or to put another in their place.
///
/// The file is code, and not parsed: a name in a comment counts, one put together from parts doesn't.
fn scripts(found: &mut Found, text: &str) {
    let text = plain(text);
    for module in SCRIPTS {
        for (at, _) in text.match_indices(module) {
            let name = text.get(at..).unwrap_or_default();
            let end = name
                .find(|letter: char| !letter.is_ascii_alphanumeric() && !"_/.-".contains(letter))
                .unwrap_or(name.len());
            let name = name.get(..end).unwrap_or_default();
            found.add(&format!("hooks the script {name}"));
        }
    }
}

/// Puts letters in the place of JavaScript's `\xNN`, `\uNNNN` and `\/`.
fn plain(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = match part.chars().next() {
            Some('x') => 2,
            Some('u') => 4,
            _ => 0,
        };
        let letter = part
            .get(1..=digits)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32);
        match letter {
            Some(letter) if digits > 0 => {
                plain.push(letter);
                plain.push_str(part.get(digits + 1..).unwrap_or_default());
            }
            _ => plain.push_str(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::{
        FILE_BYTES_MAX, LAYOUTS_MAX, REACH_MAX, is_platform, modules, of_module, of_package,
    };

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    /// What a module of one file reaches.
    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), path, text);
        let found = of_module(root.path());
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(found, expected, "{path}: {text}");
    }

    fn event(name: &str, observer: &str) -> String {
        format!("<config><event name='{name}'><observer {observer}/></event></config>")
    }

    #[test]
    fn observers_of_payments_orders_customers_and_logins_are_told() {
        let observer = "name='o' instance='\\Own\\Feed\\Observer\\Log'";
        for name in [
            "payment_method_assign_data",
            "payment_method_assign_data_braintree",
            "sales_order_payment_save_after",
            "sales_model_service_quote_submit_before",
            "sales_quote_payment_import_data_before",
            "checkout_submit_all_after",
            "order_cancel_after",
            "customer_login",
            "admin_user_authenticate_before",
            "backend_auth_user_login_success",
            "controller_action_predispatch_checkout_index_index",
            "controller_action_predispatch_adminhtml_auth_login",
            "controller_action_predispatch",
            "view_block_abstract_to_html_after",
            "model_save_before",
        ] {
            let told = format!("observes {name} by Own\\Feed\\Observer\\Log");
            check("etc/events.xml", &event(name, observer), &[&told]);
        }
        for name in [
            "catalog_product_save_after",
            "cms_page_render",
            "controller_action_predispatch_catalog_product_view",
        ] {
            check("etc/events.xml", &event(name, observer), &[]);
        }
    }

    #[test]
    fn events_are_told_in_any_case_with_their_area_and_what_is_stopped() {
        check(
            "etc/frontend/events.xml",
            &event("Payment_Method_ASSIGN_data", "name='o' instance='Own\\A'"),
            &["observes payment_method_assign_data (frontend) by Own\\A"],
        );
        check(
            "etc/events.xml",
            &event(
                "p&#97;yment_method_is_active",
                "name='guard' disabled='true'",
            ),
            &["stops the observer guard of payment_method_is_active"],
        );
        check(
            "etc/events.xml",
            "<config><!-- <event name='customer_login'><observer name='o' instance='A'/></event> --></config>",
            &[],
        );
    }

    #[test]
    fn plugins_preferences_and_arguments_of_payment_classes_are_told() {
        check(
            "etc/webapi_rest/di.xml",
            r#"<config xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
              <preference for="Magento\Sales\Api\OrderRepositoryInterface" type="\Own\Orders"/>
              <preference for="Magento\Catalog\Api\ProductRepositoryInterface" type="Own\Products"/>
              <type name="\Magento\Quote\Model\QuoteManagement">
                <plugin name="own_submit" type="Own\Plugin\Submit" sortOrder="1"/>
                <plugin name="captcha" disabled="true"/>
              </type>
              <type name="Magento\Catalog\Model\Product"><plugin name="own" type="Own\P"/></type>
              <virtualType name="OwnFacade" type="Magento\Payment\Model\Method\Adapter">
                <arguments><argument name="code" xsi:type="const">Own::CODE</argument></arguments>
              </virtualType>
              <type name="Magento\Checkout\Model\CompositeConfigProvider"><arguments>
                <argument name="configProviders" xsi:type="array">
                  <item name="own" xsi:type="object">Own\Provider</item></argument>
              </arguments></type>
              <type name="Magento\Payment\Model\Method\Logger"><arguments>
                <argument name="logger" xsi:type="object">Own\Logger</argument></arguments></type>
            </config>"#,
            &[
                r"intercepts Magento\Quote\Model\QuoteManagement (webapi_rest) by Own\Plugin\Submit",
                r"replaces Magento\Sales\Api\OrderRepositoryInterface (webapi_rest) by Own\Orders",
                r"sets configProviders of Magento\Checkout\Model\CompositeConfigProvider (webapi_rest)",
                r"sets configProviders of Magento\Checkout\Model\CompositeConfigProvider (webapi_rest) to Own\Provider",
                r"sets logger of Magento\Payment\Model\Method\Logger (webapi_rest) to Own\Logger",
                r"stops the plugin captcha of Magento\Quote\Model\QuoteManagement (webapi_rest)",
            ],
        );
        let told = |class: &str| {
            let root = tempfile::tempdir().expect("a folder");
            let text =
                format!("<config><type name='{class}'><plugin name='p' type='P'/></type></config>");
            write(root.path(), "etc/di.xml", &text);
            !of_module(root.path()).is_empty()
        };
        for class in [
            "Magento\\Payment\\Gateway\\Command\\GatewayCommand",
            "Magento\\Vault\\Api\\PaymentTokenRepositoryInterface",
            "magento\\customer\\Model\\AccountManagement",
            "Magento\\User\\Model\\User",
            "Magento\\Backend\\Model\\Auth\\Session",
        ] {
            assert!(told(class), "{class}");
        }
        for class in [
            "Magento\\SalesRule\\Model\\Rule",
            "Magento\\CustomerImportExport\\Model\\Import",
            "Own\\Magento\\Payment\\A",
        ] {
            assert!(!told(class), "{class}");
        }
    }

    #[test]
    fn routes_without_a_login_are_told() {
        check(
            "etc/webapi.xml",
            r#"<routes>
              <route url="/V1/own/notify" method="POST"><service class="Own\A" method="run"/>
                <resources><resource ref="anonymous"/></resources></route>
              <route url="/V1/own/mine" method="GET"><service class="Own\A" method="mine"/>
                <resources><resource ref="self"/></resources></route>
              <route url="/V1/own/both" method="GET"><service class="Own\A" method="both"/>
                <resources><resource ref="Own_A::a"/><resource ref="anonymous"/></resources></route>
            </routes>"#,
            &[
                "opens GET /V1/own/both to anyone",
                "opens POST /V1/own/notify to anyone",
            ],
        );
        check("etc/frontend/webapi.xml", "<routes/>", &[]);
    }

    #[test]
    fn columns_of_payment_tables_are_told() {
        check(
            "etc/db_schema.xml",
            r#"<schema><table name="sales_order_payment"><column name="own_raw"/><index name="i"/></table>
              <table name="own"><column name="id"/></table></schema>"#,
            &["alters sales_order_payment: own_raw"],
        );
    }

    #[test]
    fn what_layouts_put_into_the_checkout_is_told() {
        let page = r#"<page><head><script src="https://cdn.example.com/a.js" src_type="url"/></head>
          <body><referenceBlock name="checkout.root" template="Own_A::root.phtml"/>
            <referenceContainer name="content"><block class="Own\A\Block\B" name="b" template="Own_A::b.phtml"/>
            <block name="bare"/></referenceContainer>
            <referenceBlock name="c"><action method="setTemplate"/><arguments><argument name="jsLayout" xsi:type="array">
              <item name="component" xsi:type="string">Own_A/js/view/card</item>
              <item name="sortOrder" xsi:type="string">1</item></argument></arguments></referenceBlock></body></page>"#;
        check(
            "view/frontend/layout/checkout_index_index.xml",
            page,
            &[
                r"puts into checkout_index_index the block Own\A\Block\B Own_A::b.phtml",
                "puts into checkout_index_index the call of setTemplate",
                "puts into checkout_index_index the component Own_A/js/view/card",
                "puts into checkout_index_index the script https://cdn.example.com/a.js",
                "puts into checkout_index_index the template Own_A::root.phtml",
            ],
        );
        check(
            "view/base/layout/default.xml",
            page,
            &["puts into every page the script https://cdn.example.com/a.js"],
        );
        check("view/frontend/layout/cms_index_index.xml", page, &[]);
        check("view/adminhtml/layout/checkout_index_index.xml", page, &[]);
    }

    #[test]
    fn scripts_of_the_checkout_that_are_hooked_are_told() {
        check(
            "view/frontend/requirejs-config.js",
            r"var config = { config: { mixins: {
                'Magento_Checkout/js/action/place-order': { 'Own_A/js/mixin': true },
                'Magento_\x43heckout\/js/view\u002fpayment': { 'Own_A/js/mixin': true } } },
                map: { '*': { 'Magento_Payment/js/model/credit-card-validation/validator': 'Own_A/js/v',
                'Magento_Ui/js/form': 'Own_A/f' } } };",
            &[
                "hooks the script Magento_Checkout/js/action/place-order",
                "hooks the script Magento_Checkout/js/view/payment",
                "hooks the script Magento_Payment/js/model/credit-card-validation/validator",
            ],
        );
    }

    #[test]
    fn what_is_not_read_is_said() {
        let before =
            "<config><event name='customer_login'><observer name='o' instance='A'/></event>";
        check(
            "etc/events.xml",
            &format!("{before}<broken"),
            &[
                "observes customer_login by A",
                "unread etc/events.xml: no XML at byte 78",
            ],
        );
        check(
            "etc/di.xml",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><config/>",
            &["unread etc/di.xml: it has a document type"],
        );
        let large = "a".repeat(usize::try_from(FILE_BYTES_MAX).expect("fits") + 1);
        check(
            "etc/webapi.xml",
            &large,
            &["unread etc/webapi.xml: it is too large"],
        );
        check("etc/di.xml/a", "", &["unread etc/di.xml: it is no file"]);
        check("etc", "", &[]);

        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), "etc/module.xml", "");
        std::os::unix::fs::symlink("/dev/zero", root.path().join("etc/di.xml")).expect("linked");
        let found: Vec<_> = of_module(root.path()).into_iter().collect();
        assert_eq!(found, ["unread etc/di.xml: it is no file"], "it never ends");
    }

    #[test]
    fn counts_are_bounded_and_say_so() {
        let root = tempfile::tempdir().expect("a folder");
        let routes: String = (0..REACH_MAX + 10)
            .map(|number| {
                format!(
                    "<route url='/V1/{number}' method='GET'><resource ref='anonymous'/></route>"
                )
            })
            .collect();
        write(
            root.path(),
            "etc/webapi.xml",
            &format!("<routes>{routes}</routes>"),
        );
        let found = of_module(root.path());
        assert_eq!(found.len(), REACH_MAX + 1);
        assert!(found.contains("unread: more than 5000 things"));

        let root = tempfile::tempdir().expect("a folder");
        for number in 0..=LAYOUTS_MAX {
            let path = format!("view/frontend/layout/checkout_{number}.xml");
            write(root.path(), &path, "<page/>");
        }
        let found: Vec<_> = of_module(root.path()).into_iter().collect();
        assert_eq!(found, ["unread view/frontend/layout: too many entries"]);

        let long = "a".repeat(10_000);
        let root = tempfile::tempdir().expect("a folder");
        write(
            root.path(),
            "etc/events.xml",
            &event("customer_login", &format!("instance='{long}\n'")),
        );
        let found = of_module(root.path());
        assert!(
            found
                .iter()
                .all(|one| one.len() < 250 && one.ends_with('…'))
        );
    }

    #[test]
    fn a_packages_modules_are_found_where_composer_loads_them() {
        let root = tempfile::tempdir().expect("a folder");
        for place in ["src", "modules/core", "modules/fees", "elsewhere"] {
            let path = format!("{place}/etc/module.xml");
            write(root.path(), &path, "<config><module name='A_B'/></config>");
            let path = format!("{place}/etc/events.xml");
            write(
                root.path(),
                &path,
                &event("customer_login", &format!("instance='{place}'")),
            );
        }
        let package = json!({"autoload": {"files": ["modules/core/registration.php", "./modules/fees/registration.php",
            "../registration.php", "/registration.php", "boot.php", 1]}});
        let found = modules(root.path(), &package);
        let found: Vec<_> = found
            .iter()
            .map(|one| one.strip_prefix(root.path()).expect("inside"))
            .collect();
        assert_eq!(
            found,
            ["modules/core", "modules/fees", "src"].map(Path::new)
        );

        let is_off = |folder: &Path| folder.ends_with("src");
        let reach = of_package(root.path(), &package, &is_off).expect("it is there");
        assert_eq!(reach.len(), 2, "{reach:?}");
        assert_eq!(
            of_package(&root.path().join("none"), &package, &is_off),
            None
        );
    }

    #[test]
    fn the_platforms_own_is_known_by_its_maker() {
        assert!(is_platform("magento/module-payment") && is_platform("Mage-OS/module-sales"));
        assert!(!is_platform("magento-pay/module") && !is_platform("vendor/magento"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn never_panics(text in "[<>/a-z'\"=&;#\\\\xué \n]{0,200}|.{0,100}") {
            let root = tempfile::tempdir().expect("a folder");
            for path in ["etc/events.xml", "etc/di.xml", "etc/webapi.xml", "view/base/layout/checkout_a.xml"] {
                write(root.path(), path, &text);
            }
            write(root.path(), "view/base/requirejs-config.js", &format!("Magento_Checkout{text}\\u"));
            of_module(root.path());
        }
    }
}
