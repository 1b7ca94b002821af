//! What a cluster's history says that its hosts' deaths cut off: without it, a chaos that never hit anything would look like
//! a host that loses nothing.

use std::collections::BTreeSet;

use serde_json::Value;

/// What deaths cut off, of one cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct CutOff {
    /// The latest entry that was taken in.
    upto: u64,
    /// Every launch that was ever written down.
    started: BTreeSet<u64>,
    launching: BTreeSet<u64>,
    killing: BTreeSet<u64>,
    /// Launches whose outcome was not known when the host died.
    pub(crate) launches: usize,
    /// Containers of which it was not known whether they were killed.
    pub(crate) kills: usize,
    /// How often a host took the cluster up.
    pub(crate) recoveries: usize,
    /// Launches that were asked for again under their token.
    pub(crate) repeated: usize,
    /// Entries that were gone before they were looked at.
    pub(crate) missed: u64,
}

impl CutOff {
    /// Takes in the entries of a history, oldest first, as far as they are new.
    pub(crate) fn learn(&mut self, entries: &[Value]) {
        for entry in entries {
            let number = entry["number"].as_u64().unwrap_or_default();
            if number <= self.upto {
                continue;
            }
            self.missed += number - self.upto - 1;
            self.upto = number;
            let change = &entry["happened"]["change"];
            if let Value::Object(change) = change {
                for (kind, what) in change {
                    self.take_in(kind, what);
                }
            }
        }
    }

    /// Whether a token's launch was written down. A token ends with its launch's number, in hexadecimal.
    pub(crate) fn has(&self, token: &str) -> bool {
        let number = token.rsplit_once('-').and_then(|(_, number)| u64::from_str_radix(number, 16).ok());
        number.is_some_and(|number| self.started.contains(&number))
    }

    fn take_in(&mut self, kind: &str, what: &Value) {
        let launch = what["launch"].as_u64();
        let handles = |field: &str| {
            let handles = what[field].as_array().map(Vec::as_slice).unwrap_or_default();
            handles.iter().filter_map(Value::as_u64).collect::<Vec<_>>()
        };
        match kind {
            "recovered" => {
                self.recoveries += 1;
                self.launches += self.launching.len();
                self.kills += self.killing.len();
                self.launching.clear();
                self.killing.clear();
            }
            "launch_started" | "launch_repeated" => {
                self.repeated += usize::from(kind == "launch_repeated");
                self.started.extend(launch);
                self.launching.extend(launch);
            }
            "launch_settled" | "launch_unknown" => {
                self.launching.retain(|known| Some(*known) != launch);
            }
            "kill_started" => self.killing.extend(handles("handles")),
            "kill_answered" | "kill_failed" => {
                let answered = handles("handles");
                self.killing.retain(|known| !answered.contains(known));
            }
            "gone" => {
                let gone = [handles("killed"), handles("died")].concat();
                self.killing.retain(|known| !gone.contains(known));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(number: u64, change: &Value) -> Value {
        json!({"number": number, "text": "", "happened": {"at": 1, "change": change}})
    }

    #[test]
    fn what_was_open_at_a_death_is_counted_once() {
        let mut cut_off = CutOff::default();
        let entries = [
            entry(1, &json!({"launch_started": {"launch": 1, "workers": 3}})),
            entry(2, &json!({"launch_started": {"launch": 2, "workers": 3}})),
            entry(3, &json!({"launch_settled": {"launch": 1, "handles": []}})),
            entry(4, &json!({"kill_started": {"handles": [7, 8, 9]}})),
            entry(5, &json!({"kill_answered": {"handles": [7]}})),
            entry(6, &json!({"gone": {"killed": [8], "died": []}})),
            entry(7, &json!({"recovered": {"term": 2}})),
            entry(8, &json!("refreshed")),
            entry(9, &json!({"recovered": {"term": 3}})),
        ];
        cut_off.learn(&entries);
        cut_off.learn(&entries[4..]);
        let CutOff { launches, kills, recoveries, missed, .. } = cut_off.clone();
        assert_eq!((launches, kills, recoveries, missed), (1, 1, 2, 0));
        let known = ["uid-1", "uid-2", "uid-10", "uid", "uid-x"].map(|token| cut_off.has(token));
        assert_eq!(known, [true, true, false, false, false]);
    }

    #[test]
    fn what_it_never_saw_is_told() {
        let mut cut_off = CutOff::default();
        cut_off.learn(&[entry(4, &json!("stable"))]);
        assert_eq!(cut_off.missed, 3);
    }
}
