//! Combinations of several parameters, so chosen that each two values of two parameters meet in one of them: a fault that
//! two values make together is found, and the list stays short.

use std::cmp::Reverse;

/// Rows of one choice for each parameter, which has so many values. The same for the same sizes.
pub(super) fn rows(sizes: &[usize]) -> Vec<Vec<usize>> {
    let pairs = |row: &[Option<usize>]| -> Vec<(usize, usize, usize, usize)> {
        let known: Vec<(usize, usize)> =
            row.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?))).collect();
        let later = |n: usize| known[n + 1..].iter();
        known.iter().enumerate().flat_map(|(n, a)| later(n).map(|b| (a.0, a.1, b.0, b.1))).collect()
    };
    let mut open: Vec<(usize, usize, usize, usize)> = Vec::new();
    for a in 0..sizes.len() {
        for b in a + 1..sizes.len() {
            open.extend((0..sizes[a]).flat_map(|x| (0..sizes[b]).map(move |y| (a, x, b, y))));
        }
    }
    let mut used: Vec<Vec<usize>> = sizes.iter().map(|size| vec![0; *size]).collect();
    let mut rows = Vec::new();
    while let Some((a, x, b, y)) = open.first().copied() {
        let mut row = vec![None; sizes.len()];
        (row[a], row[b]) = (Some(x), Some(y));
        for at in 0..sizes.len() {
            if row[at].is_none() {
                // The value that meets most of those that it did not meet so far; else the one that was used least.
                let met = |value: usize| {
                    let mut with = row.clone();
                    with[at] = Some(value);
                    pairs(&with).iter().filter(|pair| open.contains(pair)).count()
                };
                let seldom = |value: usize| Reverse((used[at][value], value));
                row[at] = (0..sizes[at]).max_by_key(|value| (met(*value), seldom(*value)));
            }
        }
        let met = pairs(&row);
        open.retain(|pair| !met.contains(pair));
        let row: Vec<usize> = row.into_iter().flatten().collect();
        row.iter().zip(&mut used).for_each(|(value, used)| used[*value] += 1);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_two_values_meet_in_few_rows() {
        let sizes = [4, 3, 5, 2];
        let rows = rows(&sizes);
        for a in 0..4 {
            for b in a + 1..4 {
                for (x, y) in (0..sizes[a]).flat_map(|x| (0..sizes[b]).map(move |y| (x, y))) {
                    assert!(rows.iter().any(|row| (row[a], row[b]) == (x, y)), "{a}={x} {b}={y}");
                }
            }
        }
        assert!((20..=26).contains(&rows.len()), "{}", rows.len());
        assert_eq!(super::rows(&[3]).len(), 0);
    }
}
