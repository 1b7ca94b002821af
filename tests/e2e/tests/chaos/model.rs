//! What each cluster was asked to be, as far as its user can know: a request that the host's end cut off was admitted or was
//! not, and the next host shows which.

use serde_json::Value;

/// What a cluster was asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) expected: u32,
    pub(crate) max: u32,
    pub(crate) stopped: bool,
}

impl Wanted {
    /// How many workers it shall have.
    pub(crate) fn target(self) -> u32 {
        if self.stopped { 0 } else { self.expected }
    }

    /// What a status says that it is.
    fn told(status: &Value) -> Option<Self> {
        let number = |field: &str| u32::try_from(status[field].as_u64()?).ok();
        let stopped = match status["desired"].as_str()? {
            "running" => false,
            "stopped" => true,
            _ => return None,
        };
        Some(Self { expected: number("expected")?, max: number("max")?, stopped })
    }
}

/// What a user asks of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Scale(u32),
    Start,
    Stop,
    Update,
    /// A configuration with another number of workers, maximum and size of a launch.
    Apply {
        workers: u32,
        max: u32,
        batch: u32,
    },
}

impl Request {
    /// What it makes of a cluster; nothing where it is to be denied.
    fn done_to(self, wanted: Wanted) -> Option<Wanted> {
        match self {
            Self::Scale(expected) => (expected <= wanted.max).then_some(Wanted { expected, ..wanted }),
            Self::Start => Some(Wanted { stopped: false, ..wanted }),
            Self::Stop => Some(Wanted { stopped: true, ..wanted }),
            Self::Update => Some(wanted),
            Self::Apply { workers, max, .. } => Some(Wanted { expected: workers, max, ..wanted }),
        }
    }
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Admitted,
    Denied,
    /// The host ended before.
    Lost,
}

/// Everything that a cluster may have been asked to be: never nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    possible: Vec<Wanted>,
    /// The latest generation that was told.
    generation: u64,
}

impl Model {
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self { possible: vec![wanted], generation: 0 }
    }

    /// What it is, after it was told.
    pub(crate) fn known(&self) -> Wanted {
        self.possible[0]
    }

    /// What a request may have made of it.
    pub(crate) fn answered(&mut self, request: Request, answer: Answer) -> Result<(), String> {
        let before = self.possible.clone();
        let changed = before.iter().filter_map(|wanted| request.done_to(*wanted)).collect::<Vec<_>>();
        self.possible = match answer {
            Answer::Admitted => changed,
            Answer::Denied => before.iter().filter(|it| request.done_to(**it).is_none()).copied().collect(),
            Answer::Lost => [before.clone(), changed].concat(),
        };
        self.possible.dedup();
        if self.possible.is_empty() {
            return Err(format!("{request:?} was {answer:?} of a cluster that is {before:?}"));
        }
        Ok(())
    }

    /// Holds what the host says against it. From then on that is known.
    pub(crate) fn told(&mut self, status: &Value) -> Result<Wanted, String> {
        let found = Wanted::told(status).filter(|found| self.possible.contains(found));
        let Some(found) = found else {
            return Err(format!("it was asked to be one of {:?}, and the host says {status}", self.possible));
        };
        self.possible = vec![found];
        let generation = status["generation"].as_u64().unwrap_or_default();
        if generation < self.generation {
            return Err(format!("its generation went from {} back to {generation}", self.generation));
        }
        self.generation = generation;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model() -> Model {
        Model::new(Wanted { expected: 3, max: 5, stopped: false })
    }

    fn status(expected: u32, desired: &str, generation: u64) -> Value {
        json!({"expected": expected, "max": 5, "desired": desired, "generation": generation})
    }

    #[test]
    fn what_was_admitted_must_be_there() {
        let mut model = model();
        model.answered(Request::Scale(4), Answer::Admitted).expect("it is within the limits");
        assert!(model.clone().told(&status(3, "running", 2)).is_err(), "the command was lost");
        assert_eq!(model.told(&status(4, "running", 2)).map(Wanted::target), Ok(4));
        assert!(model.told(&status(4, "running", 1)).is_err(), "generations only grow");
    }

    #[test]
    fn what_was_not_answered_is_either() {
        let mut model = model();
        model.answered(Request::Stop, Answer::Lost).expect("either");
        assert_eq!(model.clone().told(&status(3, "running", 1)).map(Wanted::target), Ok(3));
        assert_eq!(model.clone().told(&status(3, "stopped", 1)).map(Wanted::target), Ok(0));
        assert!(model.clone().told(&status(4, "running", 1)).is_err());
        // Once told, it is known.
        model.told(&status(3, "stopped", 1)).expect("one of both");
        assert!(model.told(&status(3, "running", 2)).is_err());
    }

    #[test]
    fn a_wrong_denial_and_a_wrong_admission_are_seen() {
        assert!(model().answered(Request::Scale(4), Answer::Denied).is_err());
        assert!(model().answered(Request::Scale(6), Answer::Admitted).is_err());
        assert_eq!(model().answered(Request::Scale(6), Answer::Denied), Ok(()));
    }
}
