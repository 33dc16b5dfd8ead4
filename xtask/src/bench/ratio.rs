//! Two ways to do the same, measured in turn.

use crate::bench::programs::Cost;
use crate::error::Result;

/// What they cost, and one in proportion to the other.
#[derive(Default)]
pub struct Comparison {
    base: Vec<Cost>,
    other: Vec<Cost>,
}

impl Comparison {
    /// Measures both in each round. Who is first changes, so that what warms up or
    /// slows down on the way favours none.
    pub fn measure(rounds: u32, mut cost: impl FnMut(bool) -> Result<Cost>) -> Result<Self> {
        let mut done = Comparison::default();
        for round in 0..rounds {
            for other in [round % 2 == 1, round % 2 == 0] {
                let cost = cost(other)?;
                match other {
                    false => done.base.push(cost),
                    true => done.other.push(cost),
                }
            }
        }
        Ok(done)
    }

    /// The base's CPU time by the other's: below 1 if the other takes more. The lower
    /// quartile, the median and the upper quartile of the rounds.
    pub fn cpu(&self) -> [f64; 3] {
        let pairs = self.base.iter().zip(&self.other);
        quartiles(pairs.map(|(base, other)| base.cpu / other.cpu))
    }

    /// The other's handshakes per second by the base's, the same way.
    pub fn rate(&self) -> [f64; 3] {
        let pairs = self.base.iter().zip(&self.other);
        quartiles(pairs.map(|(base, other)| other.rate / base.rate))
    }

    /// The median of each one's CPU time.
    pub fn times(&self) -> [f64; 2] {
        [&self.base, &self.other].map(|costs| quartiles(costs.iter().map(|cost| cost.cpu))[1])
    }

    /// The median of each one's handshakes per second.
    pub fn rates(&self) -> [f64; 2] {
        [&self.base, &self.other].map(|costs| quartiles(costs.iter().map(|cost| cost.rate))[1])
    }
}

/// The lower quartile, the median, the upper quartile.
pub fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| {
        let between = (sorted.len().saturating_sub(1) * part) as f64 / 4.0;
        let value = |n: f64| sorted.get(n as usize).copied().unwrap_or(f64::NAN);
        (value(between.floor()) + value(between.ceil())) / 2.0
    };
    [at(1), at(2), at(3)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_values() {
        assert_eq!(quartiles([3.0, 1.0, 2.0].into_iter())[1], 2.0);
        let even = quartiles([4.0, 1.0, 2.0, 3.0].into_iter());
        assert_eq!(even[1], 2.5);
        assert!(quartiles(std::iter::empty())[1].is_nan());
    }

    #[test]
    fn what_costs_more_has_a_ratio_below_one_and_who_is_first_changes() {
        let mut order = String::new();
        let measured = Comparison::measure(2, |other| {
            order.push(if other { 'o' } else { 'b' });
            let (rate, cpu) = if other { (50.0, 4.0) } else { (100.0, 1.0) };
            Ok(Cost { rate, cpu })
        });
        let measured = measured.unwrap();
        assert_eq!(order, "boob");
        assert_eq!(measured.cpu()[1], 0.25);
        assert_eq!(measured.rate()[1], 0.5);
        assert_eq!(measured.times(), [1.0, 4.0]);
    }
}
