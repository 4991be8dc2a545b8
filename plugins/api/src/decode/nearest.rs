//! The nearest valid word to a mistyped one.

/// Longest word that is compared, in characters; longer ones are no typos.
const MAX_WORD: usize = 64;

/// The word of `words` that was probably meant: within a third of its length in edits (insert,
/// delete, replace, swap of neighbours), case and `-`/`_` not counting. `None` if none is near.
pub fn nearest<'w, W: AsRef<str> + ?Sized + 'w>(
    typed: &str,
    words: impl IntoIterator<Item = &'w W>,
) -> Option<&'w str> {
    let typed = fold(typed);
    if typed.is_empty() || typed.len() > MAX_WORD {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for word in words {
        let word = word.as_ref();
        let folded = fold(word);
        let most = (typed.len().max(folded.len()) / 3).max(1);
        if folded.len() > MAX_WORD || folded.len().abs_diff(typed.len()) > most {
            continue;
        }
        let edits = distance(&typed, &folded);
        if edits <= most && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, word));
        }
    }
    best.map(|(_, word)| word)
}

/// A help line: the nearest word if there is one, and the words that are valid (at most 24 of them).
pub fn did_you_mean(typed: &str, words: &[impl AsRef<str>]) -> String {
    const MOST: usize = 24;
    let mut list: Vec<&str> = words.iter().map(AsRef::as_ref).take(MOST).collect();
    if words.len() > MOST {
        list.push("...");
    }
    let list = list.join(", ");
    match nearest(typed, words) {
        Some(word) => format!("did you mean \"{word}\"? Valid here: {list}"),
        None if words.is_empty() => String::new(),
        None => format!("valid here: {list}"),
    }
}

fn fold(word: &str) -> Vec<char> {
    let one = |c: char| if c == '-' { '_' } else { c };
    word.chars()
        .take(MAX_WORD + 1)
        .flat_map(char::to_lowercase)
        .map(one)
        .collect()
}

/// Optimal string alignment distance, with three rows.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, j) + usize::from(x != y);
            let mut least = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x) {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}
