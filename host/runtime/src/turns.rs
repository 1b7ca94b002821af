//! Who may change what: one change of a provider at a time, and one configuration. A provider that takes its time holds up nobody
//! else's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

type Place = Arc<AsyncMutex<()>>;

/// The places of those who change something.
#[derive(Default)]
pub(crate) struct Turns {
    configuring: Place,
    /// By the provider's name; those that somebody has or waits for.
    providers: Mutex<BTreeMap<String, Place>>,
}

/// The right to change what it was given for, until this is dropped.
pub(crate) struct HeldTurn {
    _held: Vec<OwnedMutexGuard<()>>,
}

impl Turns {
    /// The right to change a provider.
    pub(crate) async fn of(&self, provider: &str) -> HeldTurn {
        HeldTurn { _held: vec![self.place(provider).lock_owned().await] }
    }

    /// The right to bring about a configuration that concerns what `concerned` tells. Whoever waits for a provider holds up no
    /// configuration that does not concern that one.
    pub(crate) async fn configuring(&self, concerned: impl Fn() -> BTreeSet<String>) -> HeldTurn {
        loop {
            let names = concerned();
            let mut places: Vec<_> = names.iter().map(|provider| self.place(provider)).collect();
            places.push(Arc::clone(&self.configuring));
            let held = together(&places).await;
            // Another configuration may have changed it meanwhile; from here on none can.
            if concerned().is_subset(&names) {
                return HeldTurn { _held: held };
            }
        }
    }

    fn place(&self, provider: &str) -> Place {
        let mut places = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has a place or waits for it has another reference to it.
        places.retain(|_, place| Arc::strong_count(place) > 1);
        Arc::clone(places.entry(provider.to_owned()).or_default())
    }
}

/// Takes all places at once: whoever waits for one has none of the others meanwhile, so that nobody waits for whoever waits.
async fn together(places: &[Place]) -> Vec<OwnedMutexGuard<()>> {
    let mut busy = 0;
    loop {
        let Some(first) = places.get(busy) else { return Vec::new() };
        let mut held = vec![Arc::clone(first).lock_owned().await];
        let others = places.iter().enumerate().filter(|(number, _)| *number != busy);
        let taken = others.map(|(number, place)| Arc::clone(place).try_lock_owned().map_err(|_| number));
        match taken.collect::<Result<Vec<_>, _>>() {
            Ok(others) => {
                held.extend(others);
                return held;
            }
            Err(number) => busy = number,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    /// What a future has come to that is asked once.
    async fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            Poll::Ready(match future.as_mut().poll(context) {
                Poll::Ready(value) => Some(value),
                Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test]
    async fn one_provider_changes_at_a_time_and_another_one_beside_it() {
        let turns = Turns::default();
        let one = turns.of("a").await;
        assert!(now(turns.of("a")).await.is_none());
        let other = now(turns.of("b")).await.expect("nobody has it");
        drop(one);
        assert!(now(turns.of("a")).await.is_some());
        drop(other);
        assert!(now(turns.of("c")).await.is_some());
        assert_eq!(turns.providers.lock().expect("sound").len(), 1, "who is gone is forgotten");
    }

    #[tokio::test]
    async fn a_configuration_waits_for_what_it_concerns_and_holds_nothing_meanwhile() {
        let turns = Turns::default();
        let slow = turns.of("b").await;
        let elsewhere = now(turns.configuring(|| names(&["c"]))).await.expect("that is free");
        assert!(now(turns.configuring(|| names(&["d"]))).await.is_none(), "one at a time");
        drop(elsewhere);
        assert!(now(turns.configuring(|| names(&[]))).await.is_some());

        let mut waiting = pin!(turns.configuring(|| names(&["a", "b", "c"])));
        assert!(now(waiting.as_mut()).await.is_none());
        let beside: Vec<_> =
            [now(turns.of("a")).await, now(turns.of("c")).await].into_iter().flatten().collect();
        assert_eq!(beside.len(), 2, "it waits for the one alone");
        let elsewhere = now(turns.configuring(|| names(&["d"]))).await;
        assert!(elsewhere.is_some(), "one that does not concern it is not held up");
        drop(elsewhere);
        drop(slow);
        assert!(now(waiting.as_mut()).await.is_none(), "now it waits for the others");
        drop(beside);
        let turn = now(waiting).await.expect("all are free");
        for provider in ["a", "b", "c"] {
            assert!(now(turns.of(provider)).await.is_none());
        }
        drop(turn);
        assert!(now(turns.of("b")).await.is_some());
    }

    #[tokio::test]
    async fn what_a_configuration_concerns_is_asked_again_once_no_other_one_can_change_that() {
        let turns = Turns::default();
        let concerned = Mutex::new(names(&["a"]));
        let other = now(turns.configuring(|| names(&["b"]))).await.expect("that is free");
        let mut waiting = pin!(turns.configuring(|| concerned.lock().expect("sound").clone()));
        assert!(now(waiting.as_mut()).await.is_none(), "one at a time");
        *concerned.lock().expect("sound") = names(&["b"]);
        drop(other);
        let _turn = now(waiting).await.expect("all are free");
        assert!(now(turns.of("a")).await.is_some(), "it does not concern that one any more");
        assert!(now(turns.of("b")).await.is_none());
    }
}
