//! Where a target is: one address, or several of the same.

use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Url;
use sawyer_config::{At, Problems};

const EXPECTED: &str = "an address such as \"https://logs.example:9200\"";

/// Addresses that lead to the same target. One of them is used until it fails.
#[derive(Debug)]
pub struct Endpoints {
    urls: Vec<Url>,
    current: AtomicUsize,
}

/// Reads an address under a key, or reports that it is none.
pub fn read_url(text: &str, at: &At<'_>, problems: &mut Problems) -> Option<Url> {
    // What stands before an `@` may be a password.
    let found = if text.contains('@') { String::new() } else { format!(", found {text:?}") };
    let told = |why: Option<String>| why.unwrap_or_else(|| format!("expected {EXPECTED}{found}"));
    read(text).map_err(|why| problems.push(at, told(why))).ok()
}

/// Reads addresses under a key to which paths are added, and reports those that are none.
pub fn read_endpoints(texts: &[String], at: &At<'_>, problems: &mut Problems) -> Option<Vec<Url>> {
    if texts.is_empty() {
        problems.expected(at, EXPECTED);
        return None;
    }
    // Every address is read before the first problem counts.
    let urls: Vec<Option<Url>> = texts.iter().map(|text| read_url(text, at, problems).map(folder)).collect();
    urls.into_iter().collect()
}

/// The address with a slash behind its path, so that something can follow.
fn folder(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

fn read(text: &str) -> Result<Url, Option<String>> {
    let url = Url::parse(text).map_err(|_| None)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(None);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Some(
            "an address with a password in it would be shown in messages; set `auth` instead".into(),
        ));
    }
    Ok(url)
}

impl Endpoints {
    /// These addresses, of which there is one at least.
    #[must_use]
    pub fn new(urls: Vec<Url>) -> Self {
        assert!(!urls.is_empty(), "a target has an address");
        Self { urls, current: AtomicUsize::new(0) }
    }

    /// The address to use, with a path behind it. Tell [`Endpoints::failed`] its number if it does not answer.
    #[must_use]
    pub fn url(&self, path: &str) -> (usize, Url) {
        let number = self.current.load(Ordering::Acquire);
        let mut url = self.urls[number % self.urls.len()].clone();
        if !path.is_empty() {
            let whole = format!("{}{path}", url.path());
            let (path, query) =
                whole.split_once('?').map_or((whole.as_str(), None), |(path, q)| (path, Some(q)));
            url.set_path(path);
            if query.is_some() {
                url.set_query(query);
            }
        }
        (number, url)
    }

    /// The address with this number did not answer: the next one is used.
    pub fn failed(&self, number: usize) {
        let next = number.wrapping_add(1);
        // Somebody else may have gone on already; then that holds.
        let _ = self.current.compare_exchange(number, next, Ordering::AcqRel, Ordering::Acquire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_to_the_next_address_once() {
        let endpoints =
            Endpoints::new(["http://a", "http://b:1/es"].map(|text| folder(read(text).unwrap())).into());
        let (first, url) = endpoints.url("_bulk?x=1");
        assert_eq!(url.as_str(), "http://a/_bulk?x=1");
        endpoints.failed(first);
        endpoints.failed(first);
        let (second, url) = endpoints.url("_bulk");
        assert_eq!((second, url.as_str()), (1, "http://b:1/es/_bulk"));
        endpoints.failed(second);
        assert_eq!(endpoints.url("").1.as_str(), "http://a/");
    }

    #[test]
    fn an_address_is_http_and_holds_no_password() {
        for text in ["logs:9200", "ftp://logs", "", "http://"] {
            assert_eq!(read(text), Err(None), "{text}");
        }
        assert!(read("https://me:secret@logs").unwrap_err().unwrap().contains("set `auth` instead"));
    }

    #[test]
    fn an_address_that_cannot_be_read_does_not_show_its_password() {
        let document = sawyer_config::Document::parse("test.yaml", "url: x").unwrap();
        let told = |text: &str| {
            let mut problems = Problems::new();
            let url = read_url(text, &document.at(), &mut problems);
            problems.into_result(url).unwrap_err().to_string()
        };
        assert!(told("logs:9200").contains("found \"logs:9200\""));
        let told = told("https://me:s3cr3t@logs:port");
        assert!(told.contains("expected an address") && !told.contains("s3cr3t"), "{told}");
    }
}
