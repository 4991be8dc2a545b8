//! The pace of every decoder: whole runs of ordinary bytes are copied at once.

/// Copies what stands before the first byte that `find` finds (all, if it finds none) and returns
/// the rest.
#[inline]
pub(super) fn copy_until<'a>(
    input: &'a [u8],
    out: &mut Vec<u8>,
    find: impl FnOnce(&[u8]) -> Option<usize>,
) -> &'a [u8] {
    let run = find(input).unwrap_or(input.len());
    match input.split_at_checked(run) {
        Some((run, rest)) => {
            out.extend_from_slice(run);
            rest
        }
        None => &[],
    }
}
