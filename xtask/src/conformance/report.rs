//! What a suite found: read from its report, and shown as a table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::cases::{Selection, SECTIONS};
use crate::error::{Error, IoContext, Result};

/// A suite's verdict on one case, as its `index.json` has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    /// On what was answered: OK, INFORMATIONAL, NON-STRICT, UNIMPLEMENTED, FAILED.
    behavior: String,
    /// On how the connection ended.
    behavior_close: String,
}

impl Verdict {
    /// What is wrong, if anything is.
    fn fault(&self) -> Option<String> {
        let fine = ["OK", "INFORMATIONAL"];
        if !fine.contains(&self.behavior.as_str()) {
            return Some(self.behavior.clone());
        }
        (!fine.contains(&self.behavior_close.as_str()))
            .then(|| format!("close {}", self.behavior_close))
    }
}

/// The outcome of a run: one role, with or without TLS.
pub struct Report {
    /// For the table.
    pub name: String,
    /// Where the details are.
    pub dir: PathBuf,
    cases: BTreeMap<Vec<u32>, Verdict>,
}

impl Report {
    /// Reads what a suite wrote.
    pub fn read(name: &str, dir: &Path) -> Result<Self> {
        let file = dir.join("index.json");
        let text = fs::read_to_string(&file).doing("read", &file)?;
        let cases = parse(&text)
            .map_err(|cause| Error::new(format!("cannot read {}: {cause}", file.display())))?;
        Ok(Report {
            name: name.to_owned(),
            dir: dir.to_owned(),
            cases,
        })
    }

    /// A section's cases, those without a fault first.
    fn section(&self, number: u32) -> (usize, usize) {
        let cases = self.cases.iter().filter(|(id, _)| id[0] == number);
        let (bad, good): (Vec<_>, Vec<_>) = cases.partition(|(_, v)| v.fault().is_some());
        (good.len(), bad.len())
    }

    /// What is wrong, a line for each fault.
    pub fn faults(&self, selection: &Selection) -> Vec<String> {
        let of_case = |(id, verdict): (&Vec<u32>, &Verdict)| {
            let fault = verdict.fault()?;
            Some(format!("{}: case {}: {fault}", self.name, dotted(id)))
        };
        let mut faults: Vec<String> = self.cases.iter().filter_map(of_case).collect();
        for section in SECTIONS {
            let (good, bad) = self.section(section.number);
            match selection.expected(section) {
                Some(expected) if expected != good + bad => faults.push(format!(
                    "{}: section {} has {} results instead of {expected}",
                    self.name,
                    section.number,
                    good + bad
                )),
                _ => {}
            }
        }
        let ids: Vec<String> = self.cases.keys().map(|id| dotted(id)).collect();
        for pattern in selection.unmatched(&ids) {
            faults.push(format!("{}: no case matches {pattern}", self.name));
        }
        if self.cases.is_empty() {
            faults.push(format!("{}: no case was run", self.name));
        }
        faults
    }
}

/// Reads a report on a single peer. Its cases are named by numbers with dots.
fn parse(text: &str) -> std::result::Result<BTreeMap<Vec<u32>, Verdict>, String> {
    let agents: BTreeMap<String, BTreeMap<String, Verdict>> =
        serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut cases = BTreeMap::new();
    for (id, verdict) in agents.into_values().flatten() {
        let numbers: std::result::Result<Vec<u32>, _> = id.split('.').map(str::parse).collect();
        let numbers = numbers.map_err(|e| format!("case {id}: {e}"))?;
        if cases.insert(numbers, verdict).is_some() {
            return Err(format!("case {id} is there twice"));
        }
    }
    Ok(cases)
}

/// The table: a line for each section, a column for each run; `good/all` cases.
pub fn table(reports: &[Report]) -> String {
    let mut text = format!("{:<10}", "section");
    for report in reports {
        text += &format!("{:>16}", report.name);
    }
    for section in SECTIONS {
        text += &format!("\n{:<10}", section.number);
        for report in reports {
            text += &format!("{:>16}", ratio(report.section(section.number)));
        }
    }
    text += &format!("\n{:<10}", "all");
    for report in reports {
        let sections = SECTIONS.iter().map(|s| report.section(s.number));
        let sum = sections.fold((0, 0), |sum, s| (sum.0 + s.0, sum.1 + s.1));
        text += &format!("{:>16}", ratio(sum));
    }
    text
}

fn ratio((good, bad): (usize, usize)) -> String {
    match good + bad {
        0 => "-".to_owned(),
        all => format!("{good}/{all}"),
    }
}

fn dotted(id: &[u32]) -> String {
    let numbers: Vec<String> = id.iter().map(u32::to_string).collect();
    numbers.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(json: &str) -> Report {
        Report {
            name: "server".into(),
            dir: PathBuf::new(),
            cases: parse(json).unwrap(),
        }
    }

    fn selection(only: &[&str]) -> Selection {
        Selection {
            quick: false,
            only: only.iter().map(|s| (*s).to_owned()).collect(),
        }
    }

    #[test]
    fn each_kind_of_fault_is_told() {
        let report = report(
            r#"{"agent": {
                "1.1.1": {"behavior": "OK", "behaviorClose": "OK", "duration": 3},
                "6.4.3": {"behavior": "NON-STRICT", "behaviorClose": "OK"},
                "7.1.6": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"},
                "7.3.1": {"behavior": "OK", "behaviorClose": "WRONG CODE"},
                "12.1.1": {"behavior": "UNIMPLEMENTED", "behaviorClose": "OK"}}}"#,
        );
        assert_eq!(
            report.faults(&selection(&["*"])),
            [
                "server: case 6.4.3: NON-STRICT",
                "server: case 7.3.1: close WRONG CODE",
                "server: case 12.1.1: UNIMPLEMENTED",
            ]
        );
        assert_eq!((report.section(7), report.section(2)), ((1, 1), (0, 0)));
        let table = table(&[report]);
        assert!(table.ends_with("2/5"), "{table}");
    }

    #[test]
    fn a_pattern_that_matched_nothing_is_a_fault() {
        let report = report(r#"{"agent": {"6.4.1": {"behavior": "OK", "behaviorClose": "OK"}}}"#);
        assert_eq!(
            report.faults(&selection(&["6.4.*", "6.99.*"])),
            ["server: no case matches 6.99.*"]
        );
    }

    #[test]
    fn a_case_that_was_not_run_is_a_fault() {
        let report = report(r#"{"agent": {"10.1.1": {"behavior": "OK", "behaviorClose": "OK"}}}"#);
        let faults = report.faults(&selection(&[]));
        assert!(
            faults.contains(&"server: section 1 has 0 results instead of 16".to_owned()),
            "{faults:?}"
        );
        assert!(!faults.iter().any(|fault| fault.contains("section 10")));
    }
}
