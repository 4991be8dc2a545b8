//! What a request's head gives to the rules, and phase 1.

use super::Transaction;
use super::report::Verdict;
use super::values::{Span, Values};
use crate::body::kind::{Choice, Kind};
use crate::body::{File, Sink, cookies, urlencoded};
use crate::seclang::{Phase, Variable};

/// Header fields: name as received, and value.
pub(crate) type Fields<'f, 'b> = &'f mut dyn Iterator<Item = (&'b [u8], &'b [u8])>;

impl Transaction {
    pub(super) fn set_connection(&mut self, id: &str, connection: &super::Connection<'_>) {
        let values = &mut self.values;
        values.set(Variable::UniqueId, id.as_bytes());
        for (variable, address) in [
            (Variable::RemoteAddr, connection.client),
            (Variable::ServerAddr, connection.server),
        ] {
            values.set(variable, address.to_string().as_bytes());
        }
        let (address, _) = values.of(Variable::RemoteAddr);
        if let Some(entry) = values.entries().get(address as usize).copied() {
            values.set_span(Variable::RemoteHost, entry.value);
        }
        values.set_number(Variable::RemotePort, i64::from(connection.client_port));
        values.set_number(Variable::ServerPort, i64::from(connection.server_port));
        values.set(Variable::ServerName, connection.server_name);
    }

    /// Phase 1. The target is that of the request line, as received; so are the names of the fields.
    pub fn request_head(
        &mut self,
        method: &[u8],
        target: &[u8],
        protocol: &[u8],
        fields: Fields<'_, '_>,
    ) -> Verdict {
        self.set_line(method, target, protocol);
        self.set_query(target);
        self.set_fields(fields);
        self.run(Phase::RequestHead)
    }

    fn set_line(&mut self, method: &[u8], target: &[u8], protocol: &[u8]) {
        let values = &mut self.values;
        let line = values.keep_with(|arena| {
            for part in [method, b" ", target, b" ", protocol] {
                arena.extend_from_slice(part);
            }
        });
        values.set_span(Variable::RequestLine, line);
        // Everything else of the line lies inside it.
        let inside = |from: usize, len: usize| Span {
            start: line
                .start
                .saturating_add(u32::try_from(from).unwrap_or(u32::MAX)),
            len: u32::try_from(len).unwrap_or(0),
        };
        values.set_span(Variable::RequestMethod, inside(0, method.len()));
        let raw = method.len() + 1;
        values.set_span(Variable::RequestUriRaw, inside(raw, target.len()));
        let protocol_at = raw + target.len() + 1;
        values.set_span(
            Variable::RequestProtocol,
            inside(protocol_at, protocol.len()),
        );
        let origin = authority_len(target);
        let uri = target.get(origin..).unwrap_or_default();
        values.set_span(Variable::RequestUri, inside(raw + origin, uri.len()));
        let path = path_of(uri);
        // ModSecurity v3 shows the path decoded once; the rules rely on it.
        let decoded = match memchr::memchr(b'%', path) {
            None => inside(raw + origin, path.len()),
            Some(_) => values.keep_with(|arena| decode_path(path, arena)),
        };
        values.set_span(Variable::RequestFilename, decoded);
        values.set_span(Variable::PathInfo, decoded);
        let base = values
            .bytes(decoded)
            .iter()
            .rposition(|byte| matches!(byte, b'/' | b'\\'))
            .map_or(0, |at| at + 1);
        let base = u32::try_from(base).unwrap_or(0);
        let basename = Span {
            start: decoded.start.saturating_add(base),
            len: decoded.len.saturating_sub(base),
        };
        values.set_span(Variable::RequestBasename, basename);
        let query = uri.get(path.len() + 1..).unwrap_or_default();
        values.set_span(
            Variable::QueryString,
            inside(raw + origin + path.len() + 1, query.len()),
        );
    }

    fn set_query(&mut self, target: &[u8]) {
        let uri = target.get(authority_len(target)..).unwrap_or_default();
        let query = uri.get(path_of(uri).len() + 1..).unwrap_or_default();
        let separator = self.plan.rule_set().settings().argument_separator;
        let mut arguments =
            Arguments::new(&mut self.values, Variable::ArgsGet, self.limits.arguments);
        let read = urlencoded(query, separator, &mut arguments);
        let bytes = arguments.bytes;
        self.body.argument_bytes = bytes;
        self.body.arguments = arguments.count;
        self.body.too_many = read.stopped;
        self.body.bad_escapes = read.invalid_escapes > 0;
        self.values.set_number(
            Variable::UrlencodedError,
            i64::from(read.invalid_escapes > 0),
        );
        self.values.set_number(
            Variable::ArgsCombinedSize,
            i64::try_from(bytes).unwrap_or(i64::MAX),
        );
    }

    fn set_fields(&mut self, fields: Fields<'_, '_>) {
        let values = &mut self.values;
        values.begin(Variable::RequestHeaders);
        let mut cookie_fields = Vec::new();
        let mut types = Vec::new();
        for (name, value) in fields {
            let (name_span, value_span) = (values.keep(name), values.keep(value));
            values.push(Variable::RequestHeaders, name_span, value_span);
            if name.eq_ignore_ascii_case(b"cookie") {
                cookie_fields.push(value);
            } else if name.eq_ignore_ascii_case(b"content-type") {
                types.push(value);
            } else if name.eq_ignore_ascii_case(b"content-encoding") {
                self.body.encoded = true;
            }
        }
        values.begin(Variable::RequestCookies);
        for field in cookie_fields {
            cookies(field, &mut |name, value| {
                let (name, value) = (values.keep(name), values.keep(value));
                values.push(Variable::RequestCookies, name, value);
            });
        }
        if let Some(scheme) =
            header(values, b"authorization").and_then(|value| value.split(|b| *b == b' ').next())
        {
            let scheme = scheme.to_vec();
            values.set(Variable::AuthType, &scheme);
        }
        let choice = Choice::of(types.iter().copied());
        self.body.several_types = choice.several;
        self.body.content_type = types
            .first()
            .map(|value| value.to_vec())
            .unwrap_or_default();
        self.set_processor(choice.kind);
    }

    /// Chooses what reads the body; `ctl:requestBodyProcessor` does so too.
    pub(super) fn set_processor(&mut self, kind: Option<Kind>) {
        self.body.kind = kind;
        self.values.set(
            Variable::ReqbodyProcessor,
            kind.map_or("", Kind::word).as_bytes(),
        );
    }
}

/// The first value of a request header field.
pub(super) fn header<'v>(values: &'v Values, name: &[u8]) -> Option<&'v [u8]> {
    let (_, entries) = values.of(Variable::RequestHeaders);
    entries
        .iter()
        .find(|entry| values.bytes(entry.name).eq_ignore_ascii_case(name))
        .map(|entry| values.bytes(entry.value))
}

/// The length of `scheme://host` before the path of a target in absolute form.
fn authority_len(target: &[u8]) -> usize {
    if target.first().is_some_and(|byte| *byte == b'/') {
        return 0;
    }
    let Some(colon) = memchr::memmem::find(target, b"://") else {
        return 0;
    };
    let scheme = target.get(..colon).unwrap_or_default();
    if scheme.is_empty() || !scheme.iter().all(u8::is_ascii_alphanumeric) {
        return 0;
    }
    let host = colon + 3;
    let rest = target.get(host..).unwrap_or_default();
    host + rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len())
}

/// The path before `?`.
fn path_of(uri: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'?', uri).unwrap_or(uri.len());
    uri.get(..end).unwrap_or_default()
}

/// Appends a path with its escapes decoded. `+` is no blank in a path; bad escapes stay as they are.
fn decode_path(path: &[u8], out: &mut Vec<u8>) {
    let digit = |byte: Option<&u8>| {
        byte.and_then(|byte| char::from(*byte).to_digit(16))
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        match (byte, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}

/// Takes arguments into the values, up to a number.
pub(super) struct Arguments<'v> {
    values: &'v mut Values,
    variable: Variable,
    most: u32,
    pub(super) count: u32,
    /// There were more.
    pub(super) refused: bool,
    /// Bytes of names and values.
    pub(super) bytes: u64,
}

impl<'v> Arguments<'v> {
    pub(super) fn new(values: &'v mut Values, variable: Variable, most: u32) -> Self {
        values.begin(variable);
        Self {
            values,
            variable,
            most,
            count: 0,
            refused: false,
            bytes: 0,
        }
    }
}

impl Sink for Arguments<'_> {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        if self.count >= self.most {
            self.refused = true;
            return false;
        }
        self.count += 1;
        self.bytes += (name.len() + value.len()) as u64;
        let (name, value) = (self.values.keep(name), self.values.keep(value));
        self.values.push(self.variable, name, value);
        true
    }

    fn part_header(&mut self, _: &[u8], _: &[u8]) -> bool {
        true
    }

    fn file(&mut self, _: &File<'_>) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{authority_len, path_of};

    #[test]
    fn targets_fall_into_their_parts() {
        for (target, uri) in [
            ("/a?b=http://x/", "/a?b=http://x/"),
            ("http://h:8/a?b", "/a?b"),
            ("http://h", ""),
            ("https://h?x", "?x"),
            ("*", "*"),
            ("a b://c/d", "a b://c/d"),
        ] {
            assert_eq!(&target[authority_len(target.as_bytes())..], uri, "{target}");
        }
        assert_eq!(path_of(b"/a/b?c?d"), b"/a/b");
    }
}
