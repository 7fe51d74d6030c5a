//! Who may ask over TCP: only those who show the token, when there is one, and never a web page of
//! another site.
//!
//! What must stay true: a page that a browser shows cannot command the node. It cannot by its own
//! requests, whose `Origin` is not ours, nor by giving its own name our address (DNS rebinding), since
//! names other than `localhost` are not answered to where neither a token nor certificates of clients
//! protect the node. Of the latter a browser would have to see our certificate under the other name.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qadom_node::Reason;
use subtle::ConstantTimeEq;

use crate::problem::Problem;
use crate::routes::dashboard;
use crate::tcp::Token;

/// The route that says that the process lives, and nothing else; open to everybody, as are the files
/// of the dashboard, which are the same on every node and ask for the token themselves.
const OPEN: &str = "/healthz";

/// What whoever asks has to prove, and how.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// Nothing: only this machine is answered.
    None,
    /// By showing this token.
    Token(Token),
    /// By a certificate, which was shown before the first request.
    Certificate,
}

/// What whoever may not ask is told instead; none for all others.
pub(crate) fn refusal<B>(request: &Request<B>, proof: &Proof) -> Option<Response> {
    let problem = check(request.headers(), request.uri().path(), proof).err()?;
    let mut response = problem.into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    Some(response)
}

fn check(headers: &HeaderMap, path: &str, proof: &Proof) -> Result<(), Problem> {
    let host = authority(headers);
    if let Some(origin) = headers.get(header::ORIGIN)
        && !is_same(origin, host.as_ref())
    {
        return Err(forbidden("a page of another site asks")
            .with_advice("ask without a browser, or from the node's own pages"));
    }
    match proof {
        Proof::Token(token) if !is_open(path) && !shows(headers, token) => {
            let problem = Problem::new(Reason::Usage, "the request does not show the token");
            Err(problem
                .with_status(StatusCode::UNAUTHORIZED)
                .with_advice("send the header Authorization: Bearer TOKEN"))
        }
        Proof::Token(_) | Proof::Certificate => Ok(()),
        Proof::None if host.as_ref().is_some_and(is_address) => Ok(()),
        Proof::None => Err(forbidden("the host of the request is not this machine")
            .with_advice("ask by localhost or by address, or start the node with a token")),
    }
}

/// Whether a route is answered to without the token.
fn is_open(path: &str) -> bool {
    path == OPEN || path == dashboard::PAGE || path.starts_with(dashboard::FILES)
}

fn forbidden(detail: &str) -> Problem {
    Problem::new(Reason::Usage, detail).with_status(StatusCode::FORBIDDEN)
}

fn authority(headers: &HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

/// Whether a page is served by whoever is asked.
fn is_same(origin: &HeaderValue, host: Option<&Authority>) -> bool {
    let origin = origin.to_str().ok();
    let page = origin.and_then(|origin| origin.split_once("://"));
    let page = page.and_then(|(_, page)| page.parse::<Authority>().ok());
    page.is_some() && page.as_ref() == host
}

/// Whether a host is no name that somebody else could have given to this machine.
fn is_address(host: &Authority) -> bool {
    let name = host.host();
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost") || bare.unwrap_or(name).parse::<IpAddr>().is_ok()
}

fn shows(headers: &HeaderMap, token: &Token) -> bool {
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|shown| shown.to_str().ok()?.split_once(' '));
    shown.is_some_and(|(scheme, shown)| {
        let is_equal = shown.trim().as_bytes().ct_eq(token.0.as_bytes());
        scheme.eq_ignore_ascii_case("bearer") && bool::from(is_equal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of a request with these headers: 200 when it is let through.
    fn status(headers: &[(header::HeaderName, &'static str)], proof: &Proof) -> u16 {
        let headers = headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        check(&headers.collect(), "/v1/status", proof)
            .map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn without_a_token_only_this_machine_by_address_or_localhost_is_answered() {
        for (host, expected) in [
            ("localhost", 200),
            ("LOCALHOST:80", 200),
            ("127.0.0.1:7000", 200),
            ("[::1]:7000", 200),
            ("rebound.example:7000", 403),
            ("127.0.0.1.example", 403),
            ("localhost.example", 403),
            ("", 403),
        ] {
            let headers = [(header::HOST, host)];
            assert_eq!(status(&headers, &Proof::None), expected, "{host}");
            assert_eq!(status(&headers, &Proof::Certificate), 200, "{host}");
        }
        assert_eq!(status(&[], &Proof::None), 403);
    }

    #[test]
    fn a_page_of_another_site_is_refused_and_the_own_one_is_not() {
        for (origin, expected) in [
            ("http://127.0.0.1:7000", 200),
            ("http://127.0.0.1:7001", 403),
            ("https://site.example", 403),
            ("null", 403),
        ] {
            let headers = [(header::HOST, "127.0.0.1:7000"), (header::ORIGIN, origin)];
            assert_eq!(status(&headers, &Proof::None), expected, "{origin}");
            assert_eq!(status(&headers, &Proof::Certificate), expected, "{origin}");
        }
    }

    #[test]
    fn with_a_token_any_host_is_answered_to_those_who_show_it() {
        let token = Proof::Token(Token::new("0123456789abcdef").unwrap());
        let host = (header::HOST, "qadom.example");
        for (shown, expected) in [
            ("Bearer 0123456789abcdef", 200),
            ("bearer 0123456789abcdef", 200),
            ("Bearer 0123456789abcdeF", 401),
            ("Bearer 0123456789abcde", 401),
            ("Basic 0123456789abcdef", 401),
            ("0123456789abcdef", 401),
        ] {
            let headers = [host.clone(), (header::AUTHORIZATION, shown)];
            assert_eq!(status(&headers, &token), expected, "{shown}");
        }
        assert_eq!(status(&[host], &token), 401);
        for (path, is_open) in [
            (OPEN, true),
            ("/", true),
            ("/dashboard/main.js", true),
            ("/dashboard", false),
            ("/v1/uploads", false),
        ] {
            let checked = check(&HeaderMap::new(), path, &token);
            assert_eq!(checked.is_ok(), is_open, "{path}");
        }
    }

    #[test]
    fn tokens_are_long_and_without_spaces() {
        for (text, is_fit) in [
            ("x".repeat(15), false),
            ("x".repeat(16), true),
            ("x".repeat(1024), true),
            ("x".repeat(1025), false),
            ("a token with spaces".to_owned(), false),
            ("ein Schlüssel von Länge".replace(' ', "_"), false),
        ] {
            assert_eq!(Token::new(&text).is_ok(), is_fit, "{text}");
        }
    }
}
