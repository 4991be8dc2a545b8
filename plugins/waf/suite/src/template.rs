//! The part of Go's templates that test files use: `{{ "text" }}` and `{{ "text" | repeat 64 }}`.

/// The longest text that a template may make, in bytes.
const LIMIT: usize = 16 << 20;

/// The text with its templates written out. Braces that are none of these forms stay, as the original
/// tool leaves a text that is no template: attacks on template engines look like that.
pub fn expand(text: &str) -> String {
    try_expand(text).unwrap_or_else(|| text.to_owned())
}

fn try_expand(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = cut(after)?;
        out.push_str(before);
        out.push_str(&value(inside.trim())?);
        if out.len() > LIMIT {
            return None;
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// The inside of a template and what follows it; braces in its quotes do not end it.
fn cut(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (Some(b'"'), b'\\') => escaped = true,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'`') => quote = Some(byte),
            (None, b'}') if text.get(at..)?.starts_with("}}") => {
                return Some((text.get(..at)?, text.get(at + 2..)?));
            }
            (None, _) => {}
        }
    }
    None
}

fn value(text: &str) -> Option<String> {
    if let Some((what, count)) = text.rsplit_once('|') {
        let count: usize = count.trim().strip_prefix("repeat ")?.trim().parse().ok()?;
        let what = string(what.trim())?;
        return (what.len().checked_mul(count)? <= LIMIT).then(|| what.repeat(count));
    }
    string(text)
}

fn string(text: &str) -> Option<String> {
    if let Some(raw) = text.strip_prefix('`') {
        let raw = raw.strip_suffix('`')?;
        return (!raw.contains('`')).then(|| raw.to_owned());
    }
    // What Go and JSON have in common: backslashes before quotes, and \n, \t, \u0041.
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn templates_are_written_out() {
        assert_eq!(expand(r#"a={{ "1" | repeat 5 }}&b"#), "a=11111&b");
        assert_eq!(expand(r#"{{ "{{" }}7*7{{ `}}` }}"#), "{{7*7}}");
        assert_eq!(expand(r#"{{"\"\n"}}"#), "\"\n");
    }

    #[test]
    fn what_is_no_template_stays() {
        for text in [
            "{{7*7}}",
            "a{{",
            "{{ x | repeat 3 }}",
            r#"{{ "a" }} {{b}}"#,
            "}}",
        ] {
            assert_eq!(expand(text), text);
        }
    }
}
