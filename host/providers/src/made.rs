//! An instance that somebody still needs: the provider, and every call that is inside the plugin. It is destroyed when the
//! last of them lets go, on a thread that may hang.
#![expect(unsafe_code, reason = "an instance is destroyed on a thread of our choice")]

use std::{
    mem::ManuallyDrop,
    thread,
    time::{Duration, Instant},
};

use longshore_plugin_abi::Logger;

use crate::{
    ask::{Ask, Raw, Texts},
    call::Answer,
    control::Control,
    instance::Paired,
    pool,
};

/// What is dropped once an instance is destroyed, and so tells of it.
pub(crate) type Gone = Box<dyn Send + Sync>;

/// What keeps a plugin's instance alive.
pub(crate) struct Made {
    instance: ManuallyDrop<Paired>,
    provider: String,
    gone: Option<Gone>,
}

impl Made {
    pub(crate) fn new(instance: Paired, provider: &str, gone: Gone) -> Self {
        Self { instance: ManuallyDrop::new(instance), provider: provider.to_owned(), gone: Some(gone) }
    }

    /// Makes a call, on a thread for which that may take long. Tells also how long it was inside the plugin: two readings of the
    /// clock, and no more.
    pub(crate) fn call(
        &self,
        control: &Control,
        cluster: &str,
        verbose: u8,
        log: Logger,
        ask: &Ask<Texts<'_>, &str>,
    ) -> (Answer<Raw>, Duration) {
        control.inside(cluster, verbose, log, |ctx| {
            let begun = Instant::now();
            let answer = self.instance.call(ctx, ask);
            (answer, begun.elapsed())
        })
    }
}

impl Drop for Made {
    /// Destroys the instance, which may take its time or hang, on one of our own threads: a call's, where the last one
    /// that was inside the plugin lets go, or a new one.
    fn drop(&mut self) {
        // SAFETY: it is taken here alone, and `self` is not used again.
        let instance = unsafe { ManuallyDrop::take(&mut self.instance) };
        let gone = self.gone.take();
        if pool::is_call_thread() {
            drop(instance);
            return drop(gone);
        }
        // Where no thread can be had, the closure comes back and is dropped here, which must not destroy it: then the
        // instance stays as it is until the process ends.
        let kept = ManuallyDrop::new((instance, gone));
        let destroy = move || {
            let (instance, gone) = ManuallyDrop::into_inner(kept);
            drop(instance);
            drop(gone);
        };
        if let Err(error) = thread::Builder::new().name("ls-close".to_owned()).spawn(destroy) {
            tracing::warn!(
                provider = self.provider,
                "the provider stays until the host ends, as no thread could be started to shut it down: {error}"
            );
        }
    }
}
