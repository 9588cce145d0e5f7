//! Magento's own map of its folders: what a path is, and what may stand there (`magento.md` §8.1–8.3).

/// What a path below Magento's root is.
#[must_use]
pub(super) fn class(path: &str) -> &'static str {
    if is_entry_point(path) {
        return "entry_point";
    }
    if path == "app/etc/env.php" || path == "app/etc/config.php" || is_server_settings(path) {
        return "settings";
    }
    place(path)
}

/// What the folder is that a path lies in, whatever its name.
#[must_use]
pub(super) fn place(path: &str) -> &'static str {
    let starts = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    if starts(&["pub/media/", "media/"]) {
        "media"
    } else if starts(&["pub/static/"]) {
        "static"
    } else if starts(&[
        "generated/",
        "var/view_preprocessed/",
        "var/generation/",
        "var/di/",
    ]) {
        "generated"
    } else if starts(&["var/", "pub/opt/"]) {
        "writable"
    } else if starts(&["vendor/", "lib/", "setup/", "bin/", "phpserver/", "dev/"]) {
        "vendor"
    } else {
        "code"
    }
}

/// Whether changes of a class come with a release that is put in place.
pub(super) fn is_deployed(class: &str) -> bool {
    matches!(class, "code" | "vendor" | "generated" | "static") || is_named_first(class)
}

/// Whether a file of a class decides what the shop runs: of a release, these are named first.
pub(super) fn is_named_first(class: &str) -> bool {
    matches!(class, "entry_point" | "settings")
}

/// Whether files of a class come and go while the shop runs, too many to remember each.
pub(super) fn is_transient(path: &str) -> bool {
    [
        "var/cache/",
        "var/page_cache/",
        "var/session/",
        "var/tmp/",
        "var/log/",
        "var/report/",
        "var/locks/",
        "pub/media/tmp/",
        "pub/media/captcha/",
        "pub/media/catalog/product/cache/",
    ]
    .iter()
    .any(|folder| path.starts_with(folder))
}

/// Whether PHP has no business in a place, whoever put it.
pub(super) fn may_not_run(place: &str) -> bool {
    matches!(place, "media" | "static" | "writable")
}

/// Names the web server or PHP takes as code or as settings of its own.
pub(super) fn is_executable_name(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    matches!(
        ending,
        "php"
            | "phtml"
            | "phar"
            | "pht"
            | "php3"
            | "php4"
            | "php5"
            | "php7"
            | "php8"
            | "phps"
            | "inc"
    )
}

/// Names of what PHP, Magento or a browser takes as instructions.
pub(super) fn is_code_name(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    is_executable_name(path) || matches!(ending, "js" | "mjs" | "html" | "xml")
}

/// Settings of the web server or PHP that lie among the shop's files.
pub(super) fn is_server_settings(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, ".htaccess" | ".user.ini" | "php.ini" | "nginx.conf")
}

/// Files that run on each request, or stand at the door.
fn is_entry_point(path: &str) -> bool {
    matches!(
        path,
        "index.php"
            | "pub/index.php"
            | "pub/get.php"
            | "pub/static.php"
            | "pub/cron.php"
            | "pub/health_check.php"
            | "pub/errors/report.php"
            | "pub/errors/404.php"
            | "pub/errors/503.php"
            | "pub/errors/processor.php"
            | "pub/errors/processorFactory.php"
            | "app/bootstrap.php"
            | "app/autoload.php"
            | "app/etc/di.xml"
            | "app/etc/NonComposerComponentRegistration.php"
            | "app/etc/registration_globlist.php"
            | "app/etc/vendor_path.php"
            | "vendor/autoload.php"
            | "vendor/composer/autoload_files.php"
            | "vendor/composer/autoload_real.php"
            | "vendor/composer/autoload_static.php"
            | "vendor/composer/ClassLoader.php"
            | "bin/magento"
    )
}

#[cfg(test)]
mod tests {
    use super::{class, is_code_name, is_executable_name, is_transient};

    #[test]
    fn knows_magentos_folders() {
        #[track_caller]
        fn check(path: &str, expected: &str) {
            assert_eq!(class(path), expected, "{path}");
        }
        check("pub/index.php", "entry_point");
        check("pub/x.php", "code");
        check("pub/media/x/.htaccess", "settings");
        check("pub/media/catalog/a.jpg", "media");
        check("pub/static/frontend/a.js", "static");
        check("var/cache/mage--1", "writable");
        check("var/view_preprocessed/a.phtml", "generated");
        check("vendor/magento/module-sales/Model/Order.php", "vendor");
        check("app/code/Vendor/Module/registration.php", "code");
        check("app/etc/env.php", "settings");
    }

    #[test]
    fn knows_what_runs_and_what_comes_and_goes() {
        assert!(is_executable_name("pub/media/A.PHP") && is_executable_name("a.phar"));
        assert!(!is_executable_name("pub/media/a.php.jpg") && !is_executable_name("php"));
        assert!(is_code_name("a/etc/di.XML") && is_code_name("a.phtml") && !is_code_name("a.md"));
        assert!(is_transient("var/session/sess_1") && !is_transient("var/backups/a.sql"));
    }
}
