//! Whether a request comes straight from a program on the other end of its connection.
//!
//! Owns: the headers that tell. Does not own: who may send (each listener).
//! Invariant: a request through a proxy, or to a name that is not this machine's own, is not direct: a sidecar connects
//! from the loopback, and so does a browser whose page has a name that leads to it.

use std::net::IpAddr;

use ::http::header::HOST;
use ::http::uri::Authority;
use ::http::{HeaderMap, Uri};

/// Headers that proxies add, or what they begin with.
const OF_PROXIES: [&str; 6] = ["forwarded", "x-forwarded-", "x-real-ip", "via", "x-envoy-", "l5d-"];

/// Whether it is.
#[must_use]
pub fn is_direct(headers: &HeaderMap, uri: &Uri) -> bool {
    let of_proxy = |name: &str| {
        OF_PROXIES.iter().any(|of| if of.ends_with('-') { name.starts_with(of) } else { name == *of })
    };
    if headers.keys().any(|name| of_proxy(name.as_str())) {
        return false;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.or_else(|| uri.authority().map(Authority::as_str)) else { return false };
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_to_this_machine_by_its_own_name_are_direct() {
        let is = |headers: &[(&'static str, &'static str)], uri: &'static str| {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            is_direct(&headers.collect(), &Uri::from_static(uri))
        };
        for host in ["localhost", "LOCALHOST:4318", "127.0.0.1:4318", "[::1]:4318", "127.9.9.9"] {
            assert!(is(&[("host", host)], "/"), "{host}");
        }
        assert!(is(&[], "http://127.0.0.1:4317/"), "HTTP/2 names the authority");
        for host in ["sawyer.example", "127.0.0.1.example:4318", "10.0.0.1", "", "::::"] {
            assert!(!is(&[("host", host)], "/"), "{host}");
        }
        assert!(!is(&[], "/"));
        for name in ["forwarded", "x-forwarded-for", "via", "x-real-ip", "x-envoy-peer", "l5d-dst"] {
            assert!(!is(&[("host", "localhost"), (name, "x")], "/"), "{name}");
        }
    }
}
