//! Whether the web server's logs tell which store view a request was for.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::database::{Gap, Run};

/// Bytes at a log's end that are looked at.
const END_BYTES: u64 = 64 << 10;
/// What a log with the cookie has in each line.
const MARK: &str = "\"cookie_store\"";

/// The gap, where several views share logs that don't tell them apart; `None` also where no log has a line yet.
#[must_use]
pub fn stores_gap(logs: &[(PathBuf, &'static str)], views: usize) -> Option<Gap> {
    if views < 2 {
        return None;
    }
    let ends: Vec<String> = logs
        .iter()
        .filter(|(_, what)| *what == "web server log")
        .filter_map(|(path, _)| end(path))
        .filter(|end| !end.is_empty())
        .collect();
    if ends.is_empty() || ends.iter().any(|end| end.contains(MARK)) {
        return None;
    }
    Some(Gap {
        id: "access-log-stores",
        what: "The web server's logs don't tell which store view a request was for".to_owned(),
        why: format!(
            "{views} views share them, and Magento takes the view from the cookie `store` and the header `Store`, too: a request's place is its \
             website at best. Which store leaks is then not known."
        ),
        run: Run::Person,
        close: "in nginx's `http` block the map and the log_format of docs/stores.md; in the shop's `server` block, beside the one that is there:\n\
                access_log /var/log/nginx/shop.json shop;\nThen: nginx -t && nginx -s reload"
            .to_owned(),
        keep: String::new(),
        price: crate::prices::ACCESS_LOG.to_owned(),
        undo: "remove these lines; nginx -t && nginx -s reload".to_owned(),
    })
}

fn end(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(END_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::stores_gap;

    #[test]
    fn several_views_want_a_log_that_tells_them_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            (path, "web server log")
        };
        let plain = log(
            "access.log",
            "192.0.2.1 - - [05/Aug/2026:10:15:30 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"x\"\n",
        );
        let long = log(
            "shop.json",
            "{\"time\":\"2026-08-05T10:15:30Z\",\"cookie_store\":\"\"}\n",
        );
        let empty = log("empty.log", "");
        assert!(stores_gap(std::slice::from_ref(&plain), 1).is_none());
        assert_eq!(
            stores_gap(std::slice::from_ref(&plain), 2).map(|gap| gap.id),
            Some("access-log-stores")
        );
        assert!(stores_gap(&[plain, long], 2).is_none());
        assert!(stores_gap(&[empty], 2).is_none());
    }
}
