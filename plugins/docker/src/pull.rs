//! Sees to it that the engine has an image. A pull may take longer than the launch that wants it: it is a task of its own, one
//! for each image, which goes on for the launches to come.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use longshore_plugin_api::{Context, Error};
use serde::de::IgnoredAny;
use tokio::sync::watch;

use crate::{
    config::Pull,
    credentials,
    fault::{Fault, Kind},
    image::Image,
    shared::{Shared, over, unless_over},
};

/// The most images that are pulled at once.
const PULLS_LIMIT: usize = 8;

/// What became of a pull; nothing while it is under way.
type Outcome = Option<Result<(), Error>>;

/// The pulls that are under way.
#[derive(Debug, Default)]
pub(crate) struct Pulls(Mutex<HashMap<Image, watch::Receiver<Outcome>>>);

/// Returns once the engine has the image, by the policy of the configuration.
pub(crate) async fn ready(shared: &Arc<Shared>, ctx: &Context<'_>, image: &Image) -> Result<(), Error> {
    match shared.settings.pull() {
        Pull::Never => return Ok(()),
        Pull::Missing if unless_over(ctx, is_there(shared, image)).await? => return Ok(()),
        Pull::Missing | Pull::Always => {}
    }
    let mut pull = join(shared, image)?;
    tokio::select! {
        outcome = pull.wait_for(Option::is_some) => {
            let ended = || Error::other(format_args!("pulling the image {} was cut off", image.text()));
            outcome.ok().and_then(|outcome| outcome.clone()).unwrap_or_else(|| Err(ended()))
        }
        error = over(ctx) => Err(Error::cancelled(format_args!(
            "{}; the image {} is still being pulled, which goes on", error.message(), image.text()
        ))),
    }
}

async fn is_there(shared: &Shared, image: &Image) -> Result<bool, Error> {
    match shared.engine.get::<IgnoredAny>(&format!("/images/{}/json", image.text()), &[]).await {
        Ok(_) => Ok(true),
        Err(fault) if fault.is_missing() => Ok(false),
        Err(fault) => Err(fault.during(format_args!("look for the image {}", image.text()))),
    }
}

/// The pull of an image that is under way, or a new one.
fn join(shared: &Arc<Shared>, image: &Image) -> Result<watch::Receiver<Outcome>, Error> {
    let mut pulls = shared.pulls.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pull) = pulls.get(image) {
        return Ok(pull.clone());
    }
    if pulls.len() >= PULLS_LIMIT {
        let text = format!("{PULLS_LIMIT} images are being pulled, and {} has to wait", image.text());
        return Err(Error::retryable(text));
    }
    let (tell, pull) = watch::channel(None);
    pulls.insert(image.clone(), pull.clone());
    let (task, image) = (Arc::clone(shared), image.clone());
    shared.spawn(async move {
        let outcome = pulled(&task, &image).await;
        // Gone from the list before it is told, so that who asks afterwards begins anew.
        task.pulls.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&image);
        tell.send_replace(Some(outcome));
    });
    Ok(pull)
}

async fn pulled(shared: &Shared, image: &Image) -> Result<(), Error> {
    shared.say(|| tracing::info!("pulling the image {}", image.text()));
    let credentials =
        credentials::find(image.credentials_key(), shared.settings.plain.docker_config.as_deref()).await?;
    let answer = shared.engine.pull(image, credentials, shared.settings.pull_timeout).await;
    answer.map_err(|fault| of_pull(&fault, image))
}

/// An image that nobody has, or that is not for us, comes no better by trying again.
fn of_pull(fault: &Fault, image: &Image) -> Error {
    const LASTING: [&str; 7] = [
        "not found",
        "manifest unknown",
        "denied",
        "unauthorized",
        "does not exist",
        "no basic auth credentials",
        "authentication required",
    ];
    let what = format!("pull the image {}", image.text());
    match fault.kind {
        Kind::Refused(_) if fault.says(&LASTING) => Error::permanent(format_args!("cannot {what}: {fault}")),
        Kind::Refused(_) => Error::retryable(format_args!("cannot {what}: {fault}")),
        _ => fault.during(what),
    }
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::ErrorKind;

    use super::*;

    #[test]
    fn an_image_that_nobody_has_is_told_from_a_registry_that_is_away() {
        let image = Image::read("x.lan/y").expect("a name");
        for (text, kind) in [
            ("manifest unknown: manifest unknown", ErrorKind::Permanent),
            ("pull access denied for y, repository does not exist", ErrorKind::Permanent),
            ("Get https://x.lan/v2/: dial tcp: i/o timeout", ErrorKind::Retryable),
        ] {
            let error = of_pull(&Fault::new(Kind::Refused(500), text), &image);
            assert_eq!(error.kind(), kind, "{error}");
        }
        let lost = of_pull(&Fault::new(Kind::Lost, "reset"), &image);
        assert_eq!(lost.kind(), ErrorKind::Unreachable);
    }
}
