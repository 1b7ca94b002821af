//! A plugin's instance together with the tables of its library: the one place that calls into a table. The two are paired
//! when the instance is made and never part, so that no instance reaches the functions of another library.
#![expect(unsafe_code, reason = "a table's functions may only be called with an instance of its own library")]

use longshore_plugin_abi::{
    CallContext, Failure, Instance, Logger,
    abi_stable::std_types::{RSlice, RStr},
};

use crate::{
    ask::{Ask, Raw, Texts},
    call::Answer,
    code::{Code, Tables},
    error::{CallError, Function, NotSent, failed},
};

/// An instance, and the tables of the library that made it. Dropping it destroys the instance.
pub(crate) struct Paired {
    instance: Instance,
    tables: &'static Tables,
}

/// Calls a function of one of the pair's own tables.
macro_rules! call {
    ($self:ident, $table:expr, $function:ident, $ctx:ident $(, $argument:expr)?) => {{
        let table = $table;
        // SAFETY: the table is one of `self.tables`, and `Paired::make` had the instance from the `create` of the same root
        // module as the tables. The context comes from `Control::inside`, which keeps it valid for longer than the call.
        let reply = unsafe { (table.$function)(&$self.instance, $ctx $(, $argument)?) };
        reply.into_result().map_err(|failure| CallError::Failed(failed(failure)))
    }};
}

impl Paired {
    /// Lets a plugin's code make an instance from a configuration, a JSON document.
    pub(crate) fn make(code: &Code, log: Logger, config: &str) -> Result<Self, Failure> {
        Ok(Self { instance: code.make(log, config)?, tables: code.tables() })
    }

    pub(crate) fn call(&self, ctx: &CallContext<'_>, ask: &Ask<Texts<'_>, &str>) -> Answer<Raw> {
        let Tables { workers, initialize, list, server, cleanup } = *self.tables;
        let server = || there(server, ask.function());
        match ask {
            Ask::Run(request) => call!(self, workers, run, ctx, RStr::from_str(request)).map(Raw::Run),
            Ask::Status(handles) => call!(self, workers, status, ctx, slice(handles)).map(Raw::Values),
            Ask::Kill(handles) => call!(self, workers, kill, ctx, slice(handles)).map(Raw::Kill),
            Ask::IsInitializing(handles) => {
                call!(self, workers, is_initializing, ctx, slice(handles)).map(Raw::Values)
            }
            Ask::IsRunning(handles) => call!(self, workers, is_running, ctx, slice(handles)).map(Raw::Values),
            Ask::IsStopped(handles) => call!(self, workers, is_stopped, ctx, slice(handles)).map(Raw::Values),
            Ask::Initialize => call!(self, there(initialize, ask.function())?, initialize, ctx).map(nothing),
            Ask::List => call!(self, there(list, ask.function())?, list, ctx).map(Raw::List),
            Ask::RunServer(request) => {
                call!(self, server()?, run_server, ctx, RStr::from_str(request)).map(nothing)
            }
            Ask::StopServer => call!(self, server()?, stop_server, ctx).map(nothing),
            Ask::ServerStatus => call!(self, server()?, server_status, ctx).map(Raw::Status),
            Ask::ServerAddress => call!(self, server()?, server_address, ctx).map(Raw::Document),
            Ask::Cleanup { deep } => {
                call!(self, there(cleanup, ask.function())?, cleanup, ctx, *deep).map(nothing)
            }
        }
    }
}

fn slice<'a>(texts: &'a Texts<'_>) -> RSlice<'a, RStr<'a>> {
    RSlice::from_slice(&texts.0)
}

fn nothing((): ()) -> Raw {
    Raw::Nothing
}

/// A table that a plugin need not have. `Provider` turns a call of a missing one down before it waits for a thread.
fn there<T>(table: Option<&'static T>, function: Function) -> Answer<&'static T> {
    table.ok_or(CallError::NotSent { reason: NotSent::Missing(function) })
}
