//! An instance in this process, called on threads of its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde_json::Value;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    ask::Texts,
    error::{CallError, CreateError, NotSent, failed},
    instance::Paired,
    library::Library,
    log::Source,
    made::Made,
    pool::{self, CallLimits, Job, Pool, ProviderLoad},
    seat::Errand,
};

/// An instance, and the threads that call it.
pub(crate) struct InProcess {
    log: &'static Source,
    pool: Pool,
    made: Mutex<Option<Arc<Made>>>,
    /// Its sender never sends: its end is the news that the instance is destroyed.
    gone: watch::Receiver<()>,
}

impl InProcess {
    /// Lets the plugin make the instance, on a thread of its own and for at most [`CallLimits::create`]. What is held is
    /// dropped when that thread has left the plugin, however late.
    pub(crate) async fn create(
        library: &Arc<Library>,
        log: &'static Source,
        config: Value,
        limits: CallLimits,
        held: impl Send + 'static,
    ) -> Result<Self, CreateError> {
        let name = log.provider();
        let (sender, receiver) = oneshot::channel();
        let making = {
            let library = Arc::clone(library);
            // An instance that nobody waits for any more is dropped, and so destroyed, on this thread.
            move || {
                drop(sender.send(make(&library, log, &config)));
                drop(held);
            }
        };
        thread::Builder::new()
            .name(format!("{}-create", pool::thread_name(name)))
            .spawn(making)
            .map_err(|error| CreateError::Thread { reason: error.to_string() })?;
        let instance = timeout(limits.create, receiver)
            .await
            .map_err(|_| CreateError::Deadline { after: limits.create })?
            .map_err(|_| CreateError::Thread { reason: "the thread died".to_owned() })??;
        let (sender, gone) = watch::channel(());
        let made = Made::new(instance, name, Box::new(sender));
        Ok(Self { log, pool: Pool::new(name, limits), made: Mutex::new(Some(Arc::new(made))), gone })
    }

    /// Hands a call to the threads.
    pub(crate) fn submit(&self, errand: Errand) {
        let Errand { control, budget, cluster, verbose, span, ask, end } = errand;
        let Some(made) = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            return end(Err(CallError::NotSent { reason: NotSent::ShutDown }), None);
        };
        let (log, slow) = (self.log, ask.function().is_slow());
        let work = {
            let control = Arc::clone(&control);
            move |begin: Result<(), NotSent>| {
                let (outcome, inside) = match begin {
                    Err(reason) => (Err(CallError::NotSent { reason }), None),
                    Ok(()) => span.in_scope(|| {
                        let ask = ask.with(|handles| Texts::from(&**handles), String::as_str);
                        let (outcome, inside) = made.call(&control, &cluster, verbose, log.logger(), &ask);
                        (outcome, Some(inside))
                    }),
                };
                end(outcome, inside);
                // The last holder destroys the instance, which may hang: only now that the answer is out.
                drop(made);
            }
        };
        self.pool.submit(Job { control, slow, budget, work: Box::new(work) });
    }

    pub(crate) fn load(&self) -> ProviderLoad {
        self.pool.load()
    }

    /// Turns down what waits, and lets go of the instance. What is under way holds on to it, too.
    pub(crate) fn close(&self) {
        self.pool.close();
        drop(self.made.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(crate) fn shut(&self) -> Option<NotSent> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.is_none().then_some(NotSent::ShutDown)
    }

    /// Waits until the instance is destroyed.
    pub(crate) async fn gone(&self) {
        // The sender never sends: `changed` ends when it is dropped, after the instance.
        let _ = self.gone.clone().changed().await;
    }
}

/// Lets the plugin make an instance.
fn make(library: &Library, log: &'static Source, config: &Value) -> Result<Paired, CreateError> {
    let code = library.code().map_err(|why| CreateError::Load(Box::new(why)))?;
    let made = Paired::make(code, log.logger(), &config.to_string());
    made.map_err(|failure| failed(failure).into())
}
