//! Content-Security-Policy (W3C, Level 3): enough of its grammar to find what browsers would silently drop.

use farmgate_plugin_api::decode::nearest;

/// Directives that browsers know.
const DIRECTIVES: [&str; 26] = [
    "base-uri",
    "child-src",
    "connect-src",
    "default-src",
    "fenced-frame-src",
    "font-src",
    "form-action",
    "frame-ancestors",
    "frame-src",
    "img-src",
    "manifest-src",
    "media-src",
    "object-src",
    "report-to",
    "report-uri",
    "require-trusted-types-for",
    "sandbox",
    "script-src",
    "script-src-attr",
    "script-src-elem",
    "style-src",
    "style-src-attr",
    "style-src-elem",
    "trusted-types",
    "upgrade-insecure-requests",
    "worker-src",
];

/// Sources that count only between quotes; without them they are names of hosts.
const QUOTED: [&str; 8] = [
    "none",
    "report-sample",
    "self",
    "strict-dynamic",
    "unsafe-eval",
    "unsafe-hashes",
    "unsafe-inline",
    "wasm-unsafe-eval",
];

/// Whether a policy has this directive.
pub(super) fn has(policy: &str, directive: &str) -> bool {
    names(policy).any(|name| name.eq_ignore_ascii_case(directive))
}

fn names(policy: &str) -> impl Iterator<Item = &str> {
    policy
        .split(';')
        .filter_map(|one| one.split_ascii_whitespace().next())
}

/// Looks for what browsers would drop or misread.
///
/// # Errors
/// What is wrong, and on a second line what to write.
pub(super) fn check(policy: &str) -> Result<(), String> {
    if policy.contains(',') {
        return Err(
            "a comma begins a second policy, and each of them must hold\nseparate directives by `;`"
                .to_owned(),
        );
    }
    let mut seen: Vec<String> = Vec::new();
    for directive in policy.split(';') {
        let mut words = directive.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        let lower = name.to_ascii_lowercase();
        if !DIRECTIVES.contains(&lower.as_str()) {
            let help = match nearest(&lower, &DIRECTIVES) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("browsers know {}", DIRECTIVES.join(", ")),
            };
            return Err(format!("`{name}` is no directive of a policy\n{help}"));
        }
        if seen.contains(&lower) {
            return Err(format!(
                "`{name}` stands twice, and browsers drop the second\njoin them"
            ));
        }
        for word in words {
            check_source(word)?;
        }
        seen.push(lower);
    }
    if seen.is_empty() {
        return Err("the policy is empty\nwrite \"off\" for none".to_owned());
    }
    Ok(())
}

/// Looks at one word of a directive.
pub(super) fn check_source(word: &str) -> Result<(), String> {
    let lower = word.to_ascii_lowercase();
    let hash = ["nonce-", "sha256-", "sha384-", "sha512-"]
        .iter()
        .any(|start| lower.starts_with(start));
    if QUOTED.contains(&lower.as_str()) || hash {
        return Err(format!(
            "`{word}` without quotes is the name of a host\nwrite `'{word}'`"
        ));
    }
    if lower.starts_with("'nonce-") {
        return Err(
            "a nonce that is always the same protects nobody\nlet the origin send the policy, or take a hash"
                .to_owned(),
        );
    }
    let control = |c: char| c.is_ascii_control() || c == ',' || c == ';' || !c.is_ascii();
    if word.contains(control) {
        return Err(format!("`{word}` cannot stand in a policy"));
    }
    Ok(())
}
