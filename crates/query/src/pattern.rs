//! Patterns of texts: what lines have in common that one statement of a program wrote.
//!
//! Owns: from a text to its pattern, and which patterns are one. Does not own: counting them (engines), or patterns
//! that an engine keeps already.
//! Invariant: the pattern of a text depends on the text alone, and what becomes of counted patterns depends on
//! their counts alone, so that every engine finds the same.
//!
//! First every word with a digit in it becomes [`VARIABLE`], wherever it stands; that finds most numbers, ids, times and
//! addresses. Then patterns of equally many words are put together where at most three of ten words differ, the rarer into
//! the more frequent, as the parser Drain does (He and others, ICWS 2017); that finds names and other words.

use std::collections::BTreeMap;

/// Stands for what differs.
pub const VARIABLE: &str = "<*>";

/// Bytes of a text that are looked at. A pattern of more is of no use to anybody.
const TEXT_BYTES_MAX: usize = 1024;

/// Patterns that are compared with each other; the rarest beyond it stay as they are.
const COMPARED_MAX: usize = 5_000;

/// Of so many words one may differ more or less: see [`is_alike`].
const DIFFERENT_TENTHS_MAX: usize = 3;

/// The pattern of a text: its first line, with a variable for each word that has a digit.
#[must_use]
pub fn pattern_of(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut end = line.len().min(TEXT_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let line = &line[..end];
    let mut pattern = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let in_word = is_of_word(first);
        let len = rest.find(|c| is_of_word(c) != in_word).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(len);
        if in_word && part.bytes().any(|byte| byte.is_ascii_digit()) {
            pattern.push_str(VARIABLE);
        } else {
            pattern.push_str(part);
        }
        rest = behind;
    }
    pattern
}

/// Whether a character is a part of a word. Points and dashes are, so that an address or a version is one word.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || "_-.:/@%+".contains(c)
}

/// Puts patterns together that differ in few words, and gives them with their counts, most frequent first.
#[must_use]
pub fn gather(counts: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut sorted: Vec<(String, u64)> = counts.into_iter().collect();
    sorted.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    let rare = sorted.split_off(sorted.len().min(COMPARED_MAX));
    // By the number of words and the first one: what differs in these is not compared.
    let mut groups: BTreeMap<(usize, String), Vec<usize>> = BTreeMap::new();
    let mut gathered: Vec<(Vec<String>, u64)> = Vec::new();
    for (pattern, count) in sorted {
        let words: Vec<String> = pattern.split(' ').map(str::to_owned).collect();
        let group = groups.entry((words.len(), words[0].clone())).or_default();
        match group.iter().find(|at| is_alike(&gathered[**at].0, &words)) {
            Some(at) => {
                let (known, sum) = &mut gathered[*at];
                *sum += count;
                for (known, word) in known.iter_mut().zip(words) {
                    if *known != word {
                        VARIABLE.clone_into(known);
                    }
                }
            }
            None => {
                group.push(gathered.len());
                gathered.push((words, count));
            }
        }
    }
    // Two that began differently may have become the same.
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for (pattern, count) in gathered.into_iter().map(|(words, count)| (words.join(" "), count)).chain(rare) {
        *all.entry(pattern).or_default() += count;
    }
    let mut all: Vec<(String, u64)> = all.into_iter().collect();
    all.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    all
}

fn is_alike(known: &[String], words: &[String]) -> bool {
    let different = known.iter().zip(words).filter(|(a, b)| a != b && *a != VARIABLE).count();
    // Of the words that say something enough must be the same.
    let fixed = known.iter().filter(|word| *word != VARIABLE).count();
    different * 10 <= fixed * DIFFERENT_TENTHS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_digits_are_variables() {
        for (text, wanted) in [
            ("request 17 took 3ms", "request <*> took <*>"),
            ("GET /api/v1/users/42?page=2 from 10.0.0.7:5432", "GET <*>?page=<*> from <*>"),
            ("user \"anna\" (id=9f3c2) logged in", "user \"anna\" (id=<*>) logged in"),
            ("결제 12건 실패", "결제 <*> 실패"),
            ("first line 1\nsecond line", "first line <*>"),
            ("", ""),
            ("plain", "plain"),
        ] {
            assert_eq!(pattern_of(text), wanted);
        }
        let long = "ä".repeat(2000);
        assert_eq!(pattern_of(&long).len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn patterns_that_differ_in_few_words_are_one() {
        let counts = [
            ("user anna has logged in from <*>", 5),
            ("user bert has logged in from <*>", 3),
            ("user carl has logged out from <*>", 4),
            ("payment of anna has failed for <*>", 2),
            ("user dora", 1),
            ("user emil", 1),
        ];
        let gathered = gather(counts.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect());
        let found: Vec<(&str, u64)> = gathered.iter().map(|(text, count)| (&**text, *count)).collect();
        assert_eq!(
            found,
            [
                ("user <*> has logged in from <*>", 8),
                ("user carl has logged out from <*>", 4),
                ("payment of anna has failed for <*>", 2),
                ("user dora", 1),
                ("user emil", 1),
            ]
        );
    }
}
