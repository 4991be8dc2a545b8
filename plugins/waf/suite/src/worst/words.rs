//! Words out of rules: what their regexes and phrases name. Strings of them meet the filters of all
//! rules at once.

use farmgate_waf::plan::RuleSet;
use farmgate_waf::seclang::OperatorName;

/// Most words that are taken.
const MOST: usize = 6000;

/// Runs of letters, digits and `_` of three bytes or more in the arguments of `rx`, `pm` and their like,
/// each once, in the order of the rules.
pub fn of(rules: &RuleSet) -> Vec<Vec<u8>> {
    let mut seen = std::collections::HashSet::new();
    let mut words = Vec::new();
    for pattern in patterns(rules) {
        for word in pattern.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_') {
            if word.len() >= 3 && words.len() < MOST && seen.insert(word.to_vec()) {
                words.push(word.to_vec());
            }
        }
    }
    words
}

/// The patterns of all `rx` of the rules, and the phrases of `pm`.
pub fn patterns(rules: &RuleSet) -> Vec<&[u8]> {
    rules
        .rules()
        .flat_map(|rule| &rule.conditions)
        .filter(|condition| {
            matches!(
                condition.operator.name,
                OperatorName::Rx | OperatorName::Pm | OperatorName::Contains
            )
        })
        .filter_map(|condition| condition.operator.argument.literal())
        .collect()
}

/// The ids and patterns of all `rx`.
pub fn regexes(rules: &RuleSet) -> Vec<(u64, &[u8])> {
    let mut seen = std::collections::HashSet::new();
    rules
        .rules()
        .flat_map(|rule| rule.conditions.iter().map(|condition| (rule.id, condition)))
        .filter(|(_, condition)| condition.operator.name == OperatorName::Rx)
        .filter_map(|(id, condition)| Some((id, condition.operator.argument.literal()?)))
        .filter(|(_, pattern)| seen.insert(*pattern))
        .collect()
}
