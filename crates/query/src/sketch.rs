//! Numbers about very many values in little memory: how many different ones there are, and their percentiles.
//!
//! Owns: two sketches and their errors. Does not own: which values count.
//! Invariant: sketches of parts, merged, are the sketch of the whole, whatever the parts are.
//!
//! | sketch | answers | error | memory |
//! |---|---|---|---|
//! | [`Distinct`] | how many different values | 0.8 % (one standard deviation), next to none below 1,000 | 16 KiB |
//! | [`Quantiles`] | percentiles of numbers | 1 % of the value, at any percentile | 8 bytes for each 2 % between the least and the greatest |
//!
//! Sources: Flajolet and others, "HyperLogLog" (2007), with the estimator of Ertl, "New cardinality estimation
//! algorithms for HyperLogLog sketches" (2017); Masson and others, "DDSketch" (VLDB 2019).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use sawyer_model::ValueRef;

/// Bits of a hash that choose a register.
const REGISTER_BITS: u32 = 14;

/// Registers of [`Distinct`].
const REGISTERS: usize = 1 << REGISTER_BITS;

/// Greatest number in a register: the zeros of the other bits, and one.
const RANK_MAX: u32 = 64 - REGISTER_BITS + 1;

/// Largest part of a value by which a percentile of [`Quantiles`] may be wrong.
pub const QUANTILE_ERROR: f64 = 0.01;

/// Estimates how many different values there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct {
    registers: Vec<u8>,
}

impl Default for Distinct {
    fn default() -> Self {
        Self { registers: vec![0; REGISTERS] }
    }
}

impl Distinct {
    /// Counts a value. Values of different types are different, but zeros of both signs are one value.
    pub fn add(&mut self, value: ValueRef<'_>) {
        let mut hasher = DefaultHasher::new();
        hash_value(value, &mut hasher);
        let hash = hasher.finish();
        let register = (hash >> (64 - REGISTER_BITS)) as usize;
        let rank = ((hash << REGISTER_BITS).leading_zeros() + 1).min(RANK_MAX);
        self.registers[register] = self.registers[register].max(rank as u8);
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.registers.iter_mut().zip(&other.registers) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// About how many different values were counted.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        let mut counts = [0u32; RANK_MAX as usize + 1];
        for register in &self.registers {
            counts[usize::from(*register)] += 1;
        }
        let registers = REGISTERS as f64;
        let part = |rank: u32| f64::from(counts[rank as usize]) / registers;
        let mut sum = registers * tau(1.0 - part(RANK_MAX));
        for rank in (1..RANK_MAX).rev() {
            sum = 0.5 * (sum + f64::from(counts[rank as usize]));
        }
        sum += registers * sigma(part(0));
        (registers * registers / (2.0 * std::f64::consts::LN_2 * sum)).round() as u64
    }
}

fn hash_value(value: ValueRef<'_>, hasher: &mut DefaultHasher) {
    match value {
        ValueRef::Null => 0u8.hash(hasher),
        ValueRef::Bool(value) => (1u8, value).hash(hasher),
        ValueRef::Int(value) => (2u8, value).hash(hasher),
        ValueRef::Float(value) => {
            let value = if value == 0.0 { 0.0 } else { value };
            let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
            (3u8, bits).hash(hasher);
        }
        ValueRef::Str(text) => (4u8, text).hash(hasher),
        ValueRef::Timestamp(time) => (5u8, time.nanos()).hash(hasher),
        ValueRef::Json(text) => (6u8, text).hash(hasher),
        ValueRef::List(list) => list.iter().for_each(|element| hash_value(element, hasher)),
    }
}

/// What the empty registers add to the estimate.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum <= before {
            return sum;
        }
    }
}

/// What the full registers add to the estimate.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x).powi(2) * weight;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

/// Counts numbers in buckets that grow by two percent, and so knows their percentiles to one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// By the logarithm of the number.
    positive: BTreeMap<i32, u64>,
    /// By the logarithm of the number's opposite.
    negative: BTreeMap<i32, u64>,
    zeros: u64,
    count: u64,
    min: Option<f64>,
    max: Option<f64>,
}

/// The factor between neighbouring buckets.
const GAMMA: f64 = (1.0 + QUANTILE_ERROR) / (1.0 - QUANTILE_ERROR);

impl Quantiles {
    /// Counts a number so many times. What is not a number is left out.
    pub fn add(&mut self, number: f64, times: u64) {
        if number.is_nan() || times == 0 {
            return;
        }
        self.count += times;
        self.min = Some(self.min.map_or(number, |min| min.min(number)));
        self.max = Some(self.max.map_or(number, |max| max.max(number)));
        let bucket = |number: f64| (number.min(f64::MAX).ln() / GAMMA.ln()).ceil() as i32;
        if number > 0.0 {
            *self.positive.entry(bucket(number)).or_default() += times;
        } else if number < 0.0 {
            *self.negative.entry(bucket(-number)).or_default() += times;
        } else {
            self.zeros += times;
        }
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            for (bucket, count) in theirs {
                *mine.entry(*bucket).or_default() += count;
            }
        }
        self.zeros += other.zeros;
        self.count += other.count;
        self.min = [self.min, other.min].into_iter().flatten().reduce(f64::min);
        self.max = [self.max, other.max].into_iter().flatten().reduce(f64::max);
    }

    /// How many numbers were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least number.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        self.min
    }

    /// The greatest number.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.max
    }

    /// The number that so many percent of all are not greater than; none if there are no numbers.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let (min, max) = (self.min?, self.max?);
        if percent <= 0.0 {
            return Some(min);
        }
        if percent >= 100.0 {
            return Some(max);
        }
        let rank = (percent / 100.0 * self.count.saturating_sub(1) as f64).floor() as u64;
        let middle = |bucket: &i32| GAMMA.powi(*bucket - 1) * (2.0 * GAMMA / (GAMMA + 1.0));
        let negative = self.negative.iter().rev().map(|(bucket, count)| (-middle(bucket), *count));
        let positive = self.positive.iter().map(|(bucket, count)| (middle(bucket), *count));
        let mut seen = 0;
        let ascending = negative.chain([(0.0, self.zeros)]).chain(positive);
        let found = ascending.into_iter().find(|(_, count)| {
            seen += count;
            seen > rank
        });
        found.map(|(number, _)| number.clamp(min, max))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn different_values_are_counted_to_a_few_percent_and_few_exactly() {
        let (mut sketch, mut halves) = (Distinct::default(), [Distinct::default(), Distinct::default()]);
        let mut counted = 0u64;
        assert_eq!(sketch.estimate(), 0);
        for wanted in [1, 2, 10, 100, 1_000, 10_000, 50_000, 100_000, 400_000] {
            while counted < wanted {
                let text = format!("value {counted}");
                for _ in 0..2 {
                    sketch.add(ValueRef::Str(&text));
                    halves[counted as usize % 2].add(ValueRef::Str(&text));
                }
                counted += 1;
            }
            let error = (sketch.estimate() as f64 / wanted as f64 - 1.0).abs();
            // Four standard deviations; the values are always the same, so this says it once and for all.
            assert!(error < if wanted <= 100 { 0.001 } else { 0.033 }, "{wanted}: {}", sketch.estimate());
        }
        let [mut one, other] = halves;
        one.merge(&other);
        assert_eq!(one, sketch);
    }

    #[test]
    fn types_are_told_apart_and_zeros_are_not() {
        let mut sketch = Distinct::default();
        for value in [ValueRef::Int(1), ValueRef::Str("1"), ValueRef::Float(1.0), ValueRef::Bool(true)] {
            sketch.add(value);
        }
        sketch.add(ValueRef::Float(0.0));
        sketch.add(ValueRef::Float(-0.0));
        assert_eq!(sketch.estimate(), 5);
    }

    proptest! {
        #[test]
        fn percentiles_are_right_to_one_percent(
            mut numbers in prop::collection::vec(prop_oneof![
                any::<f64>().prop_filter("a number", |n| n.is_finite() && (*n == 0.0 || n.abs() > 1e-300)),
                (-1000i32..1000).prop_map(f64::from),
            ], 1..300),
            cut in 0usize..300,
        ) {
            let (mut left, mut right) = (Quantiles::default(), Quantiles::default());
            for (at, number) in numbers.iter().enumerate() {
                if at < cut { left.add(*number, 1) } else { right.add(*number, 1) }
            }
            left.merge(&right);
            numbers.sort_by(f64::total_cmp);
            for percent in [0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0] {
                let at = (percent / 100.0 * (numbers.len() - 1) as f64).floor() as usize;
                let (wanted, found) = (numbers[at], left.percentile(percent).expect("there are numbers"));
                let error = (found - wanted).abs();
                prop_assert!(error <= wanted.abs() * (QUANTILE_ERROR + 1e-9), "{percent}: {found} of {wanted}");
            }
        }
    }

    #[test]
    fn there_are_no_percentiles_of_nothing_and_infinities_do_no_harm() {
        let mut sketch = Quantiles::default();
        assert_eq!(sketch.percentile(50.0), None);
        sketch.add(f64::NAN, 3);
        assert_eq!((sketch.count(), sketch.percentile(50.0)), (0, None));
        sketch.add(f64::INFINITY, 1);
        sketch.add(f64::NEG_INFINITY, 1);
        sketch.add(5.0, 9);
        assert!((sketch.percentile(50.0).expect("there are some") - 5.0).abs() < 0.06);
        assert_eq!((sketch.min(), sketch.max()), (Some(f64::NEG_INFINITY), Some(f64::INFINITY)));
    }
}
