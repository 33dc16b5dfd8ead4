//! Goals of a benchmark, and whether they were met.

use crate::error::{Error, Result};

/// What was found, in its order.
#[derive(Default)]
pub struct Verdicts(Vec<(bool, String)>);

impl Verdicts {
    /// A ratio that may be larger than its goal.
    pub fn at_least(&mut self, what: &str, goal: f64, found: f64) {
        self.0
            .push((found >= goal, format!("{what}: {found:.4}, goal ≥ {goal}")));
    }

    /// A number that must be its goal, to two digits.
    pub fn exactly(&mut self, what: &str, goal: f64, found: f64) {
        let met = (found - goal).abs() < 0.005;
        self.0
            .push((met, format!("{what}: {found:.2}, goal {goal}")));
    }

    /// Prints them all; an error if a goal was missed, or if there was none to look at.
    pub fn print(&self) -> Result<()> {
        if self.0.is_empty() {
            return Err(Error::new(
                "no goal was looked at: none is about what was measured",
            ));
        }
        println!("\nGoals");
        for (met, text) in &self.0 {
            println!("  {} {text}", if *met { "PASS" } else { "FAIL" });
        }
        match self.0.iter().filter(|(met, _)| !met).count() {
            0 => Ok(()),
            missed => Err(Error::new(format!("{missed} goals were missed"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_an_error_and_so_is_no_number() {
        let mut verdicts = Verdicts::default();
        assert!(verdicts.print().is_err(), "none was looked at");
        verdicts.at_least("a", 0.98, 0.98);
        verdicts.exactly("b", 1.0, 1.004);
        assert!(verdicts.print().is_ok());
        verdicts.at_least("c", 0.98, f64::NAN);
        verdicts.exactly("d", 0.0, 0.01);
        let error = verdicts.print().unwrap_err().to_string();
        assert!(error.contains("2 goals"));
    }
}
