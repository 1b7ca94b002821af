//! What remembers a launch when its containers are gone: a volume, which is empty, and whose labels say what was made. It lets
//! a token that is sent again be answered as it was the first time, by whichever host, and without starting anything.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use longshore_plugin_api::{Error, ErrorKind, RunRequest};

use crate::{
    engine::Volume,
    fault::Fault,
    labels::{self, Place, Role},
    shared::Shared,
};

/// The longest reason that is kept, in bytes.
const WHY_LIMIT: usize = 1024;

/// What came of a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The containers that were made, in order.
    pub(crate) made: Vec<u32>,
    /// Why not all were, and whether asking again may help.
    pub(crate) shortfall: Option<(String, bool)>,
}

/// The size of a launch, as its label has it.
pub(crate) fn size(request: &RunRequest) -> String {
    format!("{}/{}", request.workers, request.container.max_workers())
}

/// Refuses a token that was used for a launch of another size.
pub(crate) fn same_size(request: &RunRequest, label: Option<&str>) -> Result<(), Error> {
    let asked = size(request);
    if label == Some(asked.as_str()) {
        return Ok(());
    }
    Err(Error::permanent(format_args!(
        "the token {} was used for a launch of {} (workers/most in a container), and cannot name one of {asked}",
        request.token,
        label.unwrap_or("an unknown size")
    )))
}

impl Receipt {
    /// The receipt of a launch, where it has one.
    pub(crate) async fn find(
        shared: &Shared,
        place: &Place,
        request: &RunRequest,
    ) -> Result<Option<Self>, Error> {
        let name = place.receipt(request.token.as_str());
        let what = || format!("look for the receipt of the launch {}", request.token);
        let Some(volume) = shared.engine.volume(&name).await.map_err(|fault| fault.during(what()))? else {
            return Ok(None);
        };
        let labels = volume.labels.unwrap_or_default();
        same_size(request, labels.get(labels::LAUNCH).map(String::as_str))?;
        Self::read(&labels, request.containers().count() as u32).map(Some).ok_or_else(|| {
            Error::unknown(format_args!("the labels of the volume {name} are not understood; remove it"))
        })
    }

    /// Leaves a receipt.
    pub(crate) async fn leave(
        &self,
        shared: &Shared,
        place: &Place,
        request: &RunRequest,
    ) -> Result<(), Fault> {
        let labels = self.labels(place, request);
        shared.engine.create_volume(&place.receipt(request.token.as_str()), labels).await
    }

    fn labels(&self, place: &Place, request: &RunRequest) -> HashMap<String, String> {
        let mut labels = place.labels(Role::Receipt);
        let mut add = |name: &str, value: String| labels.insert(name.to_owned(), value);
        add(labels::TOKEN, request.token.to_string());
        add(labels::LAUNCH, size(request));
        add(labels::MADE, labels::ranges(&self.made));
        add(labels::AT, now().as_secs().to_string());
        if let Some((why, retryable)) = &self.shortfall {
            add(labels::WHY, why[..why.floor_char_boundary(WHY_LIMIT)].to_owned());
            add(labels::RETRYABLE, retryable.to_string());
        }
        labels
    }

    fn read(labels: &HashMap<String, String>, containers: u32) -> Option<Self> {
        let made = labels::numbers(labels.get(labels::MADE)?, containers)?;
        let why = labels.get(labels::WHY).cloned();
        let retryable = labels.get(labels::RETRYABLE).is_some_and(|text| text == "true");
        let shortfall = (made.len() < containers as usize).then(|| (why.unwrap_or_default(), retryable));
        Some(Self { made, shortfall })
    }
}

/// How old a receipt is; nothing for what is none.
pub(crate) fn age(volume: &Volume) -> Option<Duration> {
    let at = volume.labels.as_ref()?.get(labels::AT)?.parse().ok()?;
    Some(now().saturating_sub(Duration::from_secs(at)))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whether asking again later may help.
pub(crate) fn is_retryable(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Permanent | ErrorKind::Config)
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::{Container, Hardware, LaunchToken};

    use super::*;

    fn request(workers: u32, max_workers: u32) -> RunRequest {
        let container = Container { max_workers: Some(max_workers), ..Container::default() };
        RunRequest { container, hardware: Hardware::default(), workers, token: LaunchToken::new("t") }
    }

    #[test]
    fn a_receipt_is_read_as_it_was_left() {
        let request = request(10, 2);
        for receipt in [
            Receipt { made: vec![0, 1, 2, 3, 4], shortfall: None },
            Receipt { made: vec![0, 2], shortfall: Some(("full".to_owned(), true)) },
        ] {
            let labels = receipt.labels(&Place::new("longshore", "c"), &request);
            assert_eq!(Receipt::read(&labels, 5), Some(receipt));
        }
        assert_eq!(Receipt::read(&HashMap::new(), 5), None);
    }

    #[test]
    fn a_token_names_one_launch_alone() {
        assert_eq!(same_size(&request(10, 2), Some("10/2")), Ok(()));
        for label in [Some("10/1"), Some("9/2"), None] {
            let error = same_size(&request(10, 2), label).expect_err("it is another one");
            assert_eq!(error.kind(), ErrorKind::Permanent);
        }
    }

    #[test]
    fn a_receipt_has_an_age() {
        let volume = |at: u64| Volume {
            name: "v".to_owned(),
            labels: Some(HashMap::from([(labels::AT.to_owned(), at.to_string())])),
        };
        assert!(age(&volume(0)).expect("it is old") > Duration::from_hours(24 * 365));
        // A clock that was put back makes none of them old.
        assert_eq!(age(&volume(u64::from(u32::MAX) * 2)), Some(Duration::ZERO));
        assert_eq!(age(&Volume::default()), None);
    }
}
