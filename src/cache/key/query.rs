//! What of a query counts in the key.

/// Parameters whose order is sorted; a query with more keeps its order.
const MOST_SORTED: usize = 256;

/// A policy's `key.query`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryRules {
    /// Names of parameters that do not count; `utm_*` stands for all that begin so.
    pub ignore: Vec<String>,
    /// Whether the order of the parameters does not count. Parameters of one name keep theirs.
    pub sort: bool,
}

impl QueryRules {
    /// True if every query counts as it stands.
    pub fn is_plain(&self) -> bool {
        self.ignore.is_empty() && !self.sort
    }

    /// True if a parameter, `name` or `name=value`, does not count.
    ///
    /// One that holds a `;` always counts: some origins part parameters there, and would see another parameter behind
    /// it that the key does not hold (parameter cloaking). A name with an escape is compared as it stands.
    fn ignores(&self, parameter: &str) -> bool {
        if parameter.contains(';') {
            return false;
        }
        let name = name_of(parameter);
        self.ignore
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == pattern,
            })
    }
}

/// Appends what counts of `query`. False when nothing of it does: then it is as if there were no query.
pub(in crate::cache) fn write(query: &str, rules: &QueryRules, out: &mut Vec<u8>) -> bool {
    if rules.is_plain() {
        out.extend_from_slice(query.as_bytes());
        return true;
    }
    let from = out.len();
    let counting = || query.split('&').filter(|one| !rules.ignores(one));
    let mut any = false;
    let mut put = |parameter: &str| {
        if std::mem::replace(&mut any, true) {
            out.push(b'&');
        }
        out.extend_from_slice(parameter.as_bytes());
    };
    // Already in order, as most are: nothing to collect.
    let is_sorted = || counting().map(name_of).is_sorted();
    if rules.sort && !is_sorted() {
        let mut parameters: Vec<&str> = counting().take(MOST_SORTED + 1).collect();
        if parameters.len() <= MOST_SORTED {
            parameters.sort_by_key(|parameter| name_of(parameter));
            parameters.iter().for_each(|parameter| put(parameter));
            return any && out.len() > from || query.is_empty();
        }
    }
    counting().for_each(&mut put);
    any && out.len() > from || query.is_empty()
}

fn name_of(parameter: &str) -> &str {
    parameter
        .split_once('=')
        .map_or(parameter, |(name, _)| name)
}
