//! Takes what was observed to the cluster's loop, without the password of its server: a provider may repeat in an error what
//! it was given, and what is observed is told to operators, logged and kept.

use longshore_config::{ClusterConfig, Secret};
use longshore_scaling::{LaunchOutcome, Observation, ServerSeen, Side, Trouble};
use tokio::sync::mpsc;

use crate::message::Message;

/// The way to one cluster's loop.
#[derive(Clone)]
pub(super) struct Teller {
    inbox: mpsc::Sender<Message>,
    /// The side whose provider is observed.
    side: Side,
    password: Option<Secret>,
}

impl Teller {
    pub(super) fn new(inbox: mpsc::Sender<Message>, config: &ClusterConfig, side: Side) -> Self {
        Self { inbox, side, password: password(config) }
    }

    pub(super) async fn tell(&self, mut observation: Observation) {
        if let Some(password) = &self.password {
            for_each_trouble(&mut observation, |trouble| hide(password, trouble));
        }
        // Where the reconciler is gone, so is everybody who could want to know.
        let _ = self.inbox.send(Message::Seen(self.side, observation)).await;
    }

    /// The same trouble as it may be told.
    pub(super) fn fit_for_telling(&self, mut trouble: Trouble) -> Trouble {
        if let Some(password) = &self.password {
            hide(password, &mut trouble);
        }
        trouble
    }
}

/// The password that a cluster's containers may be told.
pub(super) fn password(config: &ClusterConfig) -> Option<Secret> {
    config.server.as_ref().and_then(|server| server.password.clone())
}

fn hide(password: &Secret, trouble: &mut Trouble) {
    trouble.text = password.hidden_in(&trouble.text).into_owned();
}

fn for_each_trouble(observation: &mut Observation, mut each: impl FnMut(&mut Trouble)) {
    match observation {
        Observation::Launch { outcome, .. } => match outcome {
            LaunchOutcome::Succeeded { shortfall, .. } => shortfall.iter_mut().for_each(each),
            LaunchOutcome::Failed { trouble, .. } | LaunchOutcome::Unknown { trouble, .. } => each(trouble),
        },
        Observation::Killed { answers } => {
            answers.iter_mut().filter_map(|(_, answer)| answer.as_mut().err()).for_each(each);
        }
        Observation::StatusEnded { trouble } | Observation::ServerRan { trouble, .. } => {
            trouble.iter_mut().for_each(each);
        }
        Observation::Listed(Err(trouble))
        | Observation::Initialized(Err(trouble))
        | Observation::ServerStopAnswered(Err(trouble))
        | Observation::ServerLooked(Err(trouble) | Ok(ServerSeen::Unreachable { trouble, .. })) => {
            each(trouble);
        }
        Observation::Statuses { .. }
        | Observation::Listed(Ok(_))
        | Observation::Initialized(Ok(()))
        | Observation::ServerStopAnswered(Ok(()))
        | Observation::ServerLooked(Ok(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use longshore_scaling::{Address, HandleId, LaunchId};

    use super::*;

    #[test]
    fn no_trouble_tells_the_password() {
        let trouble = || Trouble::new("PASSWORD=hunter2 is no number");
        let address = Address { host: "10.0.0.7".into(), port: None };
        let launch = |outcome| Observation::Launch { launch: LaunchId(1), outcome };
        let observations = [
            launch(LaunchOutcome::Succeeded {
                handles: Vec::new(),
                shortfall: Some(trouble()),
                retryable: true,
            }),
            launch(LaunchOutcome::Failed { trouble: trouble(), retryable: true }),
            launch(LaunchOutcome::Unknown { trouble: trouble(), claimed: Vec::new(), returned: true }),
            Observation::Killed { answers: vec![(HandleId(1), Ok(())), (HandleId(2), Err(trouble()))] },
            Observation::StatusEnded { trouble: Some(trouble()) },
            Observation::Listed(Err(trouble())),
            Observation::Initialized(Err(trouble())),
            Observation::ServerRan {
                trouble: Some(trouble()),
                retryable: true,
                returned: true,
                doubtful: false,
            },
            Observation::ServerStopAnswered(Err(trouble())),
            Observation::ServerLooked(Err(trouble())),
            Observation::ServerLooked(Ok(ServerSeen::Unreachable { address, trouble: trouble() })),
        ];
        for mut observation in observations {
            for_each_trouble(&mut observation, |trouble| hide(&Secret::new("hunter2"), trouble));
            let told = format!("{observation:?}");
            assert!(told.contains("PASSWORD=*** is no number") && !told.contains("hunter2"), "{told}");
        }
    }
}
