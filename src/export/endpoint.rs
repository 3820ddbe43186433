//! The URL that batches are sent to.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use hyper::http::uri::{Authority, PathAndQuery};

/// An `http` or `https` URL, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    https: bool,
    authority: Authority,
    target: PathAndQuery,
}

const DEFAULT_PATH: &str = "/v1/traces";

/// Why a text is no [`Endpoint`]: what is allowed instead.
pub type Refused = &'static str;

impl Endpoint {
    /// Reads a URL. One without a path gets the path of a collector (OTLP specification,
    /// "OTLP/HTTP Request").
    pub fn parse(url: &str) -> Result<Self, Refused> {
        const ALLOWED: Refused = "an http:// or https:// URL";
        let uri: Uri = url.parse().map_err(|_| ALLOWED)?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(ALLOWED),
        };
        let authority = uri.authority().ok_or(ALLOWED)?.clone();
        if authority.as_str().contains('@') {
            return Err("a URL without user name and password; headers carry those");
        }
        if authority.host().trim_matches(['[', ']']).is_empty() {
            return Err(ALLOWED);
        }
        let port = &authority.as_str()[authority.host().len()..];
        if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err("a URL with a port from 1 to 65535");
        }
        let target = match (uri.path(), uri.query()) {
            ("" | "/", None) => DEFAULT_PATH.parse(),
            ("" | "/", Some(query)) => format!("{DEFAULT_PATH}?{query}").parse(),
            _ => Ok(uri.path_and_query().ok_or(ALLOWED)?.clone()),
        };
        Ok(Self {
            https,
            authority,
            target: target.map_err(|_| ALLOWED)?,
        })
    }

    /// True for `https`.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    /// The port, also where the URL leaves it out.
    pub fn port(&self) -> u16 {
        let default = if self.https { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }

    /// True when the host is this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Host and port, as the `Host` header has them.
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Path and query, as the request line has them.
    pub(crate) fn target(&self) -> &PathAndQuery {
        &self.target
    }
}

/// The URL without its query, which may hold a secret.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        let query = self.target.query().map_or("", |_| "?…");
        let path = self.target.path();
        write!(f, "{scheme}://{}{path}{query}", self.authority)
    }
}

/// A text that ought to be a URL, without what may be secret in it: what stands before `@`, and the
/// query.
pub fn redacted(url: &str) -> String {
    let (url, query) = match url.find(['?', '#']) {
        Some(end) => (&url[..end], "?…"),
        None => (url, ""),
    };
    let after_scheme = url.find("//").map_or(0, |slashes| slashes + 2);
    let (scheme, rest) = url.split_at(after_scheme);
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}…@{host}{query}"),
        None => format!("{scheme}{rest}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Endpoint, Refused> {
        Endpoint::parse(url)
    }

    #[test]
    fn a_url_without_a_path_gets_one_and_any_other_path_stays() {
        for (url, shown, port) in [
            ("http://localhost", "http://localhost/v1/traces", 80),
            ("https://a.example/", "https://a.example/v1/traces", 443),
            ("HTTP://a:4318", "http://a:4318/v1/traces", 4318),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces", 4318),
            ("http://a/otlp", "http://a/otlp", 80),
            ("http://a/otlp/", "http://a/otlp/", 80),
            ("http://a?key=secret", "http://a/v1/traces?…", 80),
            ("http://a/b?key=secret", "http://a/b?…", 80),
        ] {
            let endpoint = parse(url).unwrap();
            assert_eq!(
                (endpoint.to_string(), endpoint.port()),
                (shown.into(), port)
            );
        }
        assert_eq!(parse("http://a?k=v").unwrap().target(), "/v1/traces?k=v");
    }

    #[test]
    fn what_is_no_url_of_a_collector_is_refused() {
        for url in [
            "",
            "localhost",
            "localhost:4318",
            "//a",
            "/v1/traces",
            "ftp://a",
            "unix:///socket",
            "http://",
            "http:///path",
            "http://[]",
            "http://a b",
            "http://a:",
            "http://a:0",
            "http://a:65536",
            "http://a:port",
            "http://user@a",
            "http://user:secret@a",
            "http://ä",
        ] {
            assert!(parse(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn this_machine_is_known_by_name_and_address() {
        for url in [
            "http://localhost",
            "http://LOCALHOST:1",
            "http://127.8.0.1",
            "http://[::1]",
        ] {
            assert!(parse(url).unwrap().is_loopback(), "{url}");
        }
        for url in [
            "http://localhost.example",
            "http://10.0.0.1",
            "http://[::2]",
            "http://0.0.0.0",
        ] {
            assert!(!parse(url).unwrap().is_loopback(), "{url}");
        }
    }

    #[test]
    fn secrets_of_a_url_are_not_repeated() {
        for (url, shown) in [
            ("htp://user:secret@a/b?key=secret", "htp://…@a/b?…"),
            ("user:secret@a", "…@a"),
            ("http://us/er@secret@a", "http://…@a"),
            ("http://a#secret", "http://a?…"),
            ("http://a/b", "http://a/b"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }
}
