//! Every case of `tests/data/http1`, in one piece, in two pieces and byte by byte.

use std::collections::HashSet;

use super::{BodyGuard, Framing, Head, HeadLimits, HeadStatus, Reject, parse_head};

#[path = "../../../tests/data/http1/cases.rs"]
mod cases;

use cases::{Outcome, cases};

const BODY_LIMIT: u64 = 1024 * 1024;

/// What a connection did with its bytes.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    reject: Option<Reject>,
    waits: bool,
    requests: usize,
}

/// A connection that serves pipelined requests.
struct Connection {
    buf: Vec<u8>,
    head: Head,
    body: Option<BodyGuard>,
    requests: usize,
    closed: bool,
}

impl Connection {
    fn new() -> Self {
        Self {
            buf: Vec::new(),
            head: Head::default(),
            body: None,
            requests: 0,
            closed: false,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Reject> {
        self.buf.extend_from_slice(bytes);
        while !self.closed {
            let consumed = match &mut self.body {
                None => match parse_head(&self.buf, &HeadLimits::default(), &mut self.head) {
                    HeadStatus::Partial => return Ok(()),
                    HeadStatus::Reject(reject) => return Err(reject),
                    HeadStatus::Complete { len } => {
                        self.body = Some(BodyGuard::new(self.head.framing, BODY_LIMIT));
                        len
                    }
                },
                Some(body) => {
                    let consumed = body.feed(&self.buf)?;
                    if body.is_done() {
                        self.requests += 1;
                        self.closed = !self.head.keep_alive;
                        self.head = Head::default();
                        self.body = None;
                    } else {
                        assert_eq!(
                            consumed,
                            self.buf.len(),
                            "a body left bytes that are its own"
                        );
                        self.buf.clear();
                        return Ok(());
                    }
                    consumed
                }
            };
            self.buf.drain(..consumed);
        }
        Ok(())
    }

    fn finish(self, result: Result<(), Reject>) -> Seen {
        Seen {
            waits: result.is_ok()
                && !self.closed
                && (self.body.is_some() || !self.buf.is_empty() || self.requests == 0),
            reject: result.err(),
            requests: self.requests,
        }
    }
}

fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut connection = Connection::new();
    for piece in pieces {
        if let Err(reject) = connection.feed(piece) {
            return connection.finish(Err(reject));
        }
    }
    connection.finish(Ok(()))
}

#[test]
fn the_files_have_their_cases() {
    let cases = cases();
    assert!(cases.len() >= 600, "{} cases", cases.len());
    let names: HashSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "names are unique");
    let bytes: HashSet<_> = cases.iter().map(|case| &case.bytes).collect();
    assert_eq!(bytes.len(), cases.len(), "bytes are unique");
}

#[test]
fn every_case_has_its_outcome_however_it_is_cut() {
    let mut wrong = Vec::new();
    for case in cases() {
        let whole = run(std::iter::once(case.bytes.as_slice()));
        let outcome = match (whole.reject, whole.waits) {
            (Some(reject), _) => Outcome::Status(reject.status),
            (None, true) => Outcome::Wait,
            (None, false) => Outcome::Ok,
        };
        if (outcome, whole.requests) != (case.outcome, case.requests) {
            wrong.push(format!("{}: {whole:?}", case.name));
        }
        // Megabytes gain nothing from single bytes.
        let step = if case.bytes.len() > 100_000 { 997 } else { 1 };
        let pieces = run(case.bytes.chunks(step));
        if pieces != whole {
            wrong.push(format!(
                "{}: {whole:?}, but in pieces {pieces:?}",
                case.name
            ));
        }
        let (front, back) = case.bytes.split_at(case.bytes.len() / 2);
        let halves = run([front, back].into_iter());
        if halves != whole {
            wrong.push(format!(
                "{}: {whole:?}, but in halves {halves:?}",
                case.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn httparse_understands_what_was_accepted() {
    for case in cases().iter().filter(|case| case.outcome == Outcome::Ok) {
        let mut head = Head::default();
        let HeadStatus::Complete { len } =
            parse_head(&case.bytes, &HeadLimits::default(), &mut head)
        else {
            panic!("{} is not complete", case.name);
        };
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut other = httparse::Request::new(&mut fields);
        let other_len = match other.parse(&case.bytes) {
            Ok(httparse::Status::Complete(len)) => len,
            // It wants targets in UTF-8 and without some characters that clients do send.
            Err(httparse::Error::Token) if case.name.starts_with("target_") => continue,
            otherwise => panic!("{}: {otherwise:?}", case.name),
        };
        assert_eq!(len, other_len, "{}", case.name);
        assert_eq!(head.headers as usize, other.headers.len(), "{}", case.name);
        let target = head.target.of(&case.bytes);
        assert_eq!(Some(target), other.path.map(str::as_bytes), "{}", case.name);
        let method = head.method.of(&case.bytes);
        assert_eq!(
            Some(method),
            other.method.map(str::as_bytes),
            "{}",
            case.name
        );
        let chunked = other
            .headers
            .iter()
            .any(|field| field.name.eq_ignore_ascii_case("transfer-encoding"));
        assert_eq!(chunked, head.framing == Framing::Chunked, "{}", case.name);
    }
}
