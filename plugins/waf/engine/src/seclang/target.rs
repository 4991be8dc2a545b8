//! What a rule looks at.

use super::variable::Variable;

/// One entry of a rule's list of variables. The order of the list matters: exclusions (`!`) hold
/// for the whole rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `&VAR`: the number of values instead of the values.
    pub count: bool,
    /// `!VAR`: these values are left out.
    pub excluded: bool,
    /// The collection or variable.
    pub variable: Variable,
    /// Which of its values.
    pub selector: Selector,
}

/// Which values of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All of them.
    All,
    /// Those of this name, whatever the letter case. Kept in lower case.
    Name(Box<[u8]>),
    /// `VAR:/regex/`: those whose name matches; a regex of [`crate::operators::regex`], letter case ignored.
    Pattern(Box<str>),
    /// `XML:/*`: the text of the document. Only with [`Variable::Xml`].
    XmlText,
    /// `XML://@*`: every attribute's value. Only with [`Variable::Xml`].
    XmlAttributes,
}
