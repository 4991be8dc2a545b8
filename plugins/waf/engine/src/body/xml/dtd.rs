//! Document type declarations: allowed, read for the literal values that rules should see, never used.
//!
//! Content models and attribute types are not checked: what libxml2 rejects there passes here. It cannot
//! hide anything, because every quoted value of an entity or an attribute default is handed over.

use std::collections::HashSet;

use super::{Parser, Stop};

/// The entities that a document type names.
#[derive(Default)]
pub(super) struct Entities<'a> {
    declared: HashSet<&'a [u8], foldhash::fast::RandomState>,
    /// Declarations stand elsewhere (an external subset, a parameter entity): any name may be one.
    elsewhere: bool,
}

impl Entities<'_> {
    /// False when a reference to `name` is an error.
    pub(super) fn may_be_declared(&self, name: &[u8]) -> bool {
        self.elsewhere || self.declared.contains(name)
    }
}

impl Parser<'_, '_> {
    /// Behind `<!DOCTYPE`.
    pub(super) fn doctype(&mut self) -> Result<(), Stop> {
        self.space()?;
        self.scan.name()?;
        self.scan.skip_space();
        if self.external_id()? {
            self.entities.elsewhere = !self.scan.standalone;
        }
        self.scan.skip_space();
        if self.scan.take(b"[") {
            self.subset()?;
            self.scan.skip_space();
        }
        if self.scan.take(b">") {
            Ok(())
        } else {
            Err(self.scan.error("the document type ends badly"))
        }
    }

    fn space(&mut self) -> Result<(), Stop> {
        if self.scan.skip_space() {
            Ok(())
        } else {
            Err(self.scan.error("expected white space"))
        }
    }

    /// `SYSTEM "uri"` or `PUBLIC "id" "uri"`, if there is one. It is never fetched.
    fn external_id(&mut self) -> Result<bool, Stop> {
        if self.scan.take(b"SYSTEM") {
            self.space()?;
        } else if self.scan.take(b"PUBLIC") {
            self.space()?;
            self.scan.quoted()?;
            self.space()?;
        } else {
            return Ok(false);
        }
        self.literal()?;
        Ok(true)
    }

    /// A quoted value that rules shall see.
    fn literal(&mut self) -> Result<(), Stop> {
        let value = self.scan.quoted()?;
        if self.sink.text(value) {
            Ok(())
        } else {
            Err(Stop::Sink)
        }
    }

    /// Behind `[`.
    fn subset(&mut self) -> Result<(), Stop> {
        loop {
            self.scan.skip_space();
            if self.scan.take(b"]") {
                return Ok(());
            } else if self.scan.take(b"<!--") {
                self.scan.comment()?;
            } else if self.scan.take(b"<?") {
                self.scan.instruction()?;
            } else if self.scan.take(b"%") {
                self.scan.name()?;
                if !self.scan.take(b";") {
                    return Err(self.scan.error("a reference has no ;"));
                }
                self.entities.elsewhere = !self.scan.standalone;
            } else if self.scan.take(b"<!ENTITY") {
                self.entity()?;
            } else if self.scan.take(b"<!ATTLIST") {
                self.declaration_with_values(true)?;
            } else if self.scan.take(b"<!ELEMENT") || self.scan.take(b"<!NOTATION") {
                self.declaration_with_values(false)?;
            } else {
                return Err(self.scan.error("not a declaration"));
            }
        }
    }

    /// Behind `<!ENTITY`.
    fn entity(&mut self) -> Result<(), Stop> {
        self.space()?;
        let parameter = self.scan.take(b"%");
        if parameter {
            self.space()?;
        }
        let name = self.scan.name()?;
        self.space()?;
        if self.external_id()? {
            if self.scan.skip_space() && self.scan.take(b"NDATA") {
                self.space()?;
                self.scan.name()?;
            }
        } else {
            self.literal()?;
        }
        if !parameter {
            self.entities.declared.insert(name);
        }
        self.scan.skip_space();
        if self.scan.take(b">") {
            Ok(())
        } else {
            Err(self.scan.error("an entity's declaration ends badly"))
        }
    }

    /// Behind the keyword of a declaration: reads to its `>`; quoted values of attribute lists are shown.
    fn declaration_with_values(&mut self, shown: bool) -> Result<(), Stop> {
        self.space()?;
        self.scan.name()?;
        loop {
            let rest = self.scan.rest();
            let run = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\'' | b'>' | b'<'));
            let plain = rest.get(..run.unwrap_or(rest.len())).unwrap_or_default();
            self.scan.check_characters(plain)?;
            self.scan.advance(plain.len());
            match self.scan.peek() {
                Some(b'>') => {
                    self.scan.advance(1);
                    return Ok(());
                }
                Some(b'"' | b'\'') => {
                    let value = self.scan.quoted()?;
                    if shown && !self.sink.attribute(value) {
                        return Err(Stop::Sink);
                    }
                }
                Some(_) => return Err(self.scan.error("< in a declaration")),
                None => return Err(self.scan.error("a declaration has no end")),
            }
        }
    }
}
