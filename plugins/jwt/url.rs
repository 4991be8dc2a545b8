//! Which URLs keys may be fetched from. Whoever can change what comes from there can sign tokens.

use std::net::IpAddr;

use http::Uri;

/// What makes a URL one to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// `https`, or `http` to this machine.
    Verified,
    /// The operator allowed `http` elsewhere, or sends the question to an upstream of his.
    Any,
}

/// The URL of keys, or of a document that says where they are.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(super) fn key_url(text: &str, trust: Trust) -> Result<Uri, (String, &'static str)> {
    let whole = "write https://HOST/PATH";
    let Ok(url) = text.parse::<Uri>() else {
        return Err(("this is no URL".to_owned(), whole));
    };
    let (Some(scheme), Some(host)) = (url.scheme_str(), url.host()) else {
        return Err(("this is no absolute URL".to_owned(), whole));
    };
    if url
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        // Not repeated: it is a secret.
        return Err((
            "this URL holds credentials".to_owned(),
            "leave them out: keys are public",
        ));
    }
    match scheme {
        "https" => Ok(url),
        "http" if trust == Trust::Any || is_this_machine(host) => Ok(url),
        "http" => Err((
            format!(
                "keys from {host} by http can be changed on their way: then anybody can sign tokens"
            ),
            "write https://, or `insecure_http = true` if the network to it is yours alone",
        )),
        _ => Err((format!("{scheme} URLs are not asked"), whole)),
    }
}

fn is_this_machine(host: &str) -> bool {
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match literal.unwrap_or(host).parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}
