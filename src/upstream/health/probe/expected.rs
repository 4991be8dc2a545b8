//! What an HTTP answer must be.

use std::fmt::Write;
use std::ops::RangeInclusive;

use memchr::memmem;

use crate::upstream::health::failure::{FailureKind, ProbeError};

pub(super) struct Expected<'a> {
    pub(super) status: &'a [RangeInclusive<u16>],
    pub(super) body: Option<&'a [u8]>,
    /// The answer is one to `HEAD`: no body whatever its headers say.
    pub(super) is_head: bool,
}

impl Expected<'_> {
    pub(super) fn judge_status(&self, status: u16) -> Result<(), ProbeError> {
        if self.status.iter().any(|range| range.contains(&status)) {
            return Ok(());
        }
        let mut text = format!("status {status}, expected ");
        for (at, range) in self.status.iter().enumerate() {
            let between = if at == 0 { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = match (range.start(), range.end()) {
                (start, end) if start == end => write!(text, "{between}{start}"),
                (start, end) => write!(text, "{between}{start}-{end}"),
            };
        }
        Err(ProbeError::new(FailureKind::Status, text))
    }

    pub(super) fn judge_body(&self, body: &[u8]) -> Result<(), ProbeError> {
        match self.body {
            Some(wanted) if memmem::find(body, wanted).is_none() => Err(ProbeError::new(
                FailureKind::Body,
                format!(
                    "the first {} bytes of the body do not contain what is expected",
                    body.len()
                ),
            )),
            _ => Ok(()),
        }
    }
}
