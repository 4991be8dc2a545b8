//! The name as one of the sources that are followed.

use crate::upstream::discovery::ask::{Next, Source};

use super::{DnsAnswer, DnsSource, Nothing};

/// A name, and what its last answer lacked.
#[derive(Debug)]
pub struct DnsFollowed {
    source: DnsSource,
    lack: Option<String>,
}

impl From<DnsSource> for DnsFollowed {
    fn from(source: DnsSource) -> Self {
        Self { source, lack: None }
    }
}

impl Source for DnsFollowed {
    fn next(&mut self) -> Next<'_> {
        Box::pin(async move {
            self.lack = None;
            let answer = self.source.ask().await?;
            self.lack = lack(&answer);
            Ok((answer.discovered, answer.again))
        })
    }

    fn longest_pause(&self) -> std::time::Duration {
        self.source.options.negative_ttl
    }

    fn left_out(&self) -> Option<String> {
        self.lack.clone()
    }
}

fn lack(answer: &DnsAnswer) -> Option<String> {
    let nothing = answer.nothing.map(|why| match why {
        Nothing::NoSuchName => "the name does not exist",
        Nothing::NoRecords => "the name has no record of this kind",
        Nothing::NotOffered => "the records say that there is no such service",
        Nothing::NoAddress => "no target of the records has an address",
    });
    let partial = answer.partial.as_ref();
    partial
        .map(|fault| format!("a part failed, and what it said last is used: {fault}"))
        .or(nothing.map(str::to_string))
}
