//! The name somebody probably meant.

/// Names longer than this are not compared: nobody mistypes them by one letter, and the cost grows with the square.
const COMPARED_CHARS_MAX: usize = 64;

/// Up to this many allowed names are listed in full when none is near.
const LISTED_MAX: usize = 12;

/// The candidate nearest to `name`, if one is near enough to be a slip of the fingers.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = simplify(name);
    if plain.len() > COMPARED_CHARS_MAX {
        return None;
    }
    let allowed = (plain.len() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = simplify(candidate);
            if other.len() > COMPARED_CHARS_MAX || other.len().abs_diff(plain.len()) > allowed {
                return None;
            }
            let distance = distance(&plain, &other);
            (distance <= allowed && distance < other.len()).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The end of a message about an unknown name: the nearest one, or the list of them, or nothing.
pub(crate) fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(near) = nearest(name, candidates.iter().copied()) {
        return format!("; did you mean `{near}`?");
    }
    if candidates.is_empty() || candidates.len() > LISTED_MAX {
        return String::new();
    }
    let quoted: Vec<String> = candidates.iter().map(|candidate| format!("`{candidate}`")).collect();
    format!("; known: {}", quoted.join(", "))
}

/// Lower case, with dashes as underscores: differences that do not count as letters.
fn simplify(name: &str) -> Vec<char> {
    name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Edits from `a` to `b`: insert, remove, replace, or swap two neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        let known = ["endpoint", "batch_max", "type", "tls"];
        assert_eq!(nearest("endpont", known), Some("endpoint"));
        assert_eq!(nearest("batch-max", known), Some("batch_max"));
        assert_eq!(nearest("tpye", known), Some("type"));
        assert_eq!(nearest("address", known), None);
        assert_eq!(nearest("", known), None);
    }
}
