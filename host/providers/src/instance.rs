//! A plugin's instance together with the tables of its library: the one place that calls into a table. The two are paired
//! when the instance is made and never part, so that no instance reaches the functions of another library.
#![expect(unsafe_code, reason = "a table's functions may only be called with an instance of its own library")]

use longshore_plugin_abi::{
    CallContext, Failure, Instance, KillReply, ListReply, Logger, RunReply,
    abi_stable::std_types::{ROption, RSlice, RStr, RString, RVec},
};

use crate::{
    call::Answer,
    code::{Code, Tables},
    error::{CallError, Function, NotSent},
};

/// The handles of one call, as they cross.
pub(crate) type Texts<'a> = RSlice<'a, RStr<'a>>;

/// An instance, and the tables of the library that made it. Dropping it destroys the instance.
pub(crate) struct Paired {
    instance: Instance,
    tables: &'static Tables,
}

/// Calls a function of one of the pair's own tables.
macro_rules! call {
    ($self:ident, $table:expr, $function:ident, $ctx:ident $(, $argument:ident)?) => {{
        let table = $table;
        // SAFETY: the table is one of `self.tables`, and `Paired::make` had the instance from the `create` of the same root
        // module as the tables. The context comes from `Control::inside`, which keeps it valid for longer than the call.
        let reply = unsafe { (table.$function)(&$self.instance, $ctx $(, $argument)?) };
        reply.into_result().map_err(|failure| CallError::Failed(failure.into()))
    }};
}

impl Paired {
    /// Lets a plugin's code make an instance from a configuration, a JSON document.
    pub(crate) fn make(code: &Code, log: Logger, config: &str) -> Result<Self, Failure> {
        Ok(Self { instance: code.make(log, config)?, tables: code.tables() })
    }

    pub(crate) fn run(&self, ctx: &CallContext<'_>, request: RStr<'_>) -> Answer<RunReply> {
        call!(self, self.tables.workers, run, ctx, request)
    }

    pub(crate) fn status(&self, ctx: &CallContext<'_>, handles: Texts<'_>) -> Answer<RVec<u8>> {
        call!(self, self.tables.workers, status, ctx, handles)
    }

    pub(crate) fn kill(&self, ctx: &CallContext<'_>, handles: Texts<'_>) -> Answer<KillReply> {
        call!(self, self.tables.workers, kill, ctx, handles)
    }

    pub(crate) fn is_initializing(&self, ctx: &CallContext<'_>, handles: Texts<'_>) -> Answer<RVec<u8>> {
        call!(self, self.tables.workers, is_initializing, ctx, handles)
    }

    pub(crate) fn is_running(&self, ctx: &CallContext<'_>, handles: Texts<'_>) -> Answer<RVec<u8>> {
        call!(self, self.tables.workers, is_running, ctx, handles)
    }

    pub(crate) fn is_stopped(&self, ctx: &CallContext<'_>, handles: Texts<'_>) -> Answer<RVec<u8>> {
        call!(self, self.tables.workers, is_stopped, ctx, handles)
    }

    pub(crate) fn initialize(&self, ctx: &CallContext<'_>) -> Answer<()> {
        call!(self, there(self.tables.initialize, Function::Initialize)?, initialize, ctx)
    }

    pub(crate) fn list(&self, ctx: &CallContext<'_>) -> Answer<ListReply> {
        call!(self, there(self.tables.list, Function::List)?, list, ctx)
    }

    pub(crate) fn run_server(&self, ctx: &CallContext<'_>, request: RStr<'_>) -> Answer<()> {
        call!(self, there(self.tables.server, Function::RunServer)?, run_server, ctx, request)
    }

    pub(crate) fn stop_server(&self, ctx: &CallContext<'_>) -> Answer<()> {
        call!(self, there(self.tables.server, Function::StopServer)?, stop_server, ctx)
    }

    pub(crate) fn server_status(&self, ctx: &CallContext<'_>) -> Answer<u8> {
        call!(self, there(self.tables.server, Function::ServerStatus)?, server_status, ctx)
    }

    pub(crate) fn server_address(&self, ctx: &CallContext<'_>) -> Answer<ROption<RString>> {
        call!(self, there(self.tables.server, Function::ServerAddress)?, server_address, ctx)
    }

    pub(crate) fn cleanup(&self, ctx: &CallContext<'_>, deep: bool) -> Answer<()> {
        call!(self, there(self.tables.cleanup, Function::Cleanup)?, cleanup, ctx, deep)
    }
}

/// A table that a plugin need not have. `Provider` turns a call of a missing one down before it waits for a thread.
fn there<T>(table: Option<&'static T>, function: Function) -> Answer<&'static T> {
    table.ok_or(CallError::NotSent { reason: NotSent::Missing(function) })
}
