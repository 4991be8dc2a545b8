//! Path templates: `/orders/{id}/lines/{line}.json`. What is written out wins over a template, segment by
//! segment, as the specification wants it.

use std::collections::HashMap;

use farmgate_plugin_api::source::percent_decode;

/// Most segments of a template.
const MOST_SEGMENTS: usize = 64;
/// Nodes that one search looks at: templates that overlap badly cost no more than this.
const MOST_STEPS: usize = 4096;

/// Path items by their templates.
#[derive(Debug, Default)]
pub(in super::super) struct Paths {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literal: HashMap<Box<[u8]>, Node>,
    /// The longest prefix and suffix first.
    templates: Vec<(Segment, Node)>,
    /// The path item that ends here.
    item: Option<usize>,
}

/// A segment with one parameter: what stands before and after it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    before: Box<str>,
    after: Box<str>,
}

/// Texts of the parameters, in the order of the template, in escaped form.
pub(in super::super) type Captured<'p> = Vec<&'p str>;

impl Paths {
    /// Adds a template; returns the names of its parameters.
    ///
    /// # Errors
    /// It cannot be matched, or another one matches the same paths.
    pub(in super::super) fn add(
        &mut self,
        template: &str,
        item: usize,
    ) -> Result<Vec<Box<str>>, String> {
        let Some(rest) = template.strip_prefix('/') else {
            return Err("a path begins with /".to_owned());
        };
        let mut names: Vec<Box<str>> = Vec::new();
        let mut node = &mut self.root;
        for (at, text) in rest.split('/').enumerate() {
            if at >= MOST_SEGMENTS {
                return Err(format!("it has more than {MOST_SEGMENTS} segments"));
            }
            node = match Segment::parse(text)? {
                None => node.literal.entry(percent_decode(text).into()).or_default(),
                Some((segment, name)) => {
                    if names.contains(&name) {
                        return Err(format!("it has the parameter {name:?} twice"));
                    }
                    names.push(name);
                    let known = node.templates.iter().position(|(own, _)| *own == segment);
                    let at = known.unwrap_or_else(|| {
                        let longer = |own: &Segment| own.fixed() >= segment.fixed();
                        let at = node
                            .templates
                            .iter()
                            .take_while(|(own, _)| longer(own))
                            .count();
                        node.templates.insert(at, (segment, Node::default()));
                        at
                    });
                    match node.templates.get_mut(at) {
                        Some((_, below)) => below,
                        None => return Err("it cannot be matched".to_owned()),
                    }
                }
            };
        }
        if node.item.is_some() {
            return Err("another template matches the same paths".to_owned());
        }
        node.item = Some(item);
        Ok(names)
    }

    /// The path item of a path, and the texts of its parameters.
    pub(in super::super) fn find<'p>(&self, path: &'p str) -> Option<(usize, Captured<'p>)> {
        let rest = path.strip_prefix('/')?;
        let segments: Vec<&str> = rest.split('/').take(MOST_SEGMENTS + 1).collect();
        let mut captured = Vec::new();
        let mut steps = MOST_STEPS;
        let item = self.root.find(&segments, &mut captured, &mut steps)?;
        Some((item, captured))
    }
}

impl Node {
    fn find<'p>(
        &self,
        segments: &[&'p str],
        captured: &mut Captured<'p>,
        steps: &mut usize,
    ) -> Option<usize> {
        *steps = steps.checked_sub(1)?;
        let Some((first, rest)) = segments.split_first() else {
            return self.item;
        };
        if let Some(node) = self.literal.get(&*percent_decode(first))
            && let Some(item) = node.find(rest, captured, steps)
        {
            return Some(item);
        }
        for (segment, node) in &self.templates {
            let Some(text) = segment.capture(first) else {
                continue;
            };
            let before = captured.len();
            captured.push(text);
            if let Some(item) = node.find(rest, captured, steps) {
                return Some(item);
            }
            captured.truncate(before);
        }
        None
    }
}

impl Segment {
    /// A segment of a template and the name of its parameter; none if it has no parameter.
    fn parse(text: &str) -> Result<Option<(Self, Box<str>)>, String> {
        let Some((before, rest)) = text.split_once('{') else {
            return match text.contains('}') {
                true => Err(format!("{text:?} closes a brace that was not opened")),
                false => Ok(None),
            };
        };
        let Some((name, after)) = rest.split_once('}') else {
            return Err(format!("{text:?} does not close its brace"));
        };
        if name.is_empty() || name.contains('{') || after.contains(['{', '}']) {
            return Err(format!(
                "{text:?}: a segment has at most one parameter, with a name"
            ));
        }
        let segment = Self {
            before: before.into(),
            after: after.into(),
        };
        Ok(Some((segment, name.into())))
    }

    fn fixed(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// What stands for the parameter, which is never empty.
    fn capture<'p>(&self, text: &'p str) -> Option<&'p str> {
        let rest = text.strip_prefix(&*self.before)?;
        let value = rest.strip_suffix(&*self.after)?;
        (!value.is_empty()).then_some(value)
    }
}
