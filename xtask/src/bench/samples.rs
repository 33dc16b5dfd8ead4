//! What servers did in the rounds of a benchmark, and what one did beside another.

/// What one server did in one round.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Messages, or connections, a second.
    pub rate: f64,
    /// The same by a second of the server's CPU time.
    pub per_cpu: f64,
    /// The part of the time in which the load generator was at work.
    pub load: f64,
}

impl Sample {
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().map(|n| n.parse::<f64>().ok());
        let (messages, time) = (numbers.next()??, numbers.next()??);
        let (cpu, own) = (numbers.next()??, numbers.next()??);
        Some(Sample {
            rate: messages / time * 1e9,
            per_cpu: messages / cpu * 1e9,
            load: own / time,
        })
    }
}

/// What each server did in each round; nothing for those that aren't there.
pub type Rounds = Vec<Vec<Option<Sample>>>;

/// Of one server, in each round.
pub fn of(rounds: &Rounds, which: usize, what: fn(&Sample) -> f64) -> Vec<f64> {
    let all = rounds.iter().filter_map(|samples| samples[which].as_ref());
    all.map(what).collect()
}

/// Ours as a multiple of another's; `None` if that one isn't there.
pub fn ratio(rounds: &Rounds, which: usize, what: fn(&Sample) -> f64) -> Option<f64> {
    let theirs = of(rounds, which, what);
    let there = !theirs.is_empty();
    let pairs = of(rounds, 0, what).into_iter().zip(theirs);
    there.then(|| median(pairs.map(|(ours, theirs)| ours / theirs).collect()))
}

/// The part of the time that the load generator was busy, with all servers.
pub fn busy(rounds: &Rounds) -> f64 {
    let all = rounds.iter().flatten().flatten().map(|s| s.load);
    median(all.collect())
}

/// The same with ours or with another, whichever kept it busier: that one may have been
/// held back.
pub fn busier(rounds: &Rounds, which: usize) -> f64 {
    let [ours, theirs] = [0, which].map(|which| median(of(rounds, which, |s| s.load)));
    ours.max(theirs)
}

pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => numbers[middle],
        _ => (numbers[middle - 1] + numbers[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn samples_are_rates() {
        let sample = Sample::parse("100 500000000 250000000 50000000\n").unwrap();
        assert_eq!((sample.rate, sample.per_cpu), (200.0, 400.0));
        assert!((sample.load - 0.1).abs() < 1e-9);
        assert!(Sample::parse("1 2 3").is_none());
    }
}
