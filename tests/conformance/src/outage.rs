//! Puts a provider's backend out of reach, or one handle out of the reach of `kill`, in the ways that the quirks file declares,
//! and back.

use std::process::{Command, Stdio};

use crate::{
    bench::Bench,
    ledger::Entry,
    subject::Subject,
    verdict::{OrFault as _, Stop, Verdict, fault, skip},
};

impl Bench {
    /// Looks at a provider while its backend is out of reach: the one that is there, where the quirks file has commands for
    /// that, and one that is made so, where it has a configuration. A reason to skip where it has neither.
    pub(crate) fn out_of_reach(
        &self,
        subject: &Subject<'_>,
        look: impl Fn(&Subject<'_>) -> Verdict,
    ) -> Verdict {
        let Some(outage) = &self.quirks().outage else {
            return skip("the quirks file has no `[outage]`: the backend cannot be put out of reach");
        };
        let by_commands = !outage.begin.is_empty();
        if by_commands {
            // Should the check not come to its end, the sweep puts it back: nothing can be killed before.
            self.ledger().note(&Entry::Outage { is_begun: true })?;
            command(&outage.begin, "outage.begin")?;
            let seen = look(subject);
            // It ends whatever was seen; what was seen goes first.
            let ended = command(&outage.end, "outage.end");
            if ended.is_ok() {
                self.ledger().note(&Entry::Outage { is_begun: false })?;
            }
            seen?;
            ended?;
        }
        if outage.config.is_empty() {
            return Ok(());
        }
        match self.create(&self.overlaid(&outage.config))? {
            Ok(cut_off) => look(&cut_off),
            // To fail at once is as good, but then there is nobody to ask.
            Err(_) if by_commands => Ok(()),
            Err(error) => skip(format_args!(
                "no provider can be made with the configuration of `[outage]`, which is as well: {error}"
            )),
        }
    }

    /// Looks while the kill of one handle fails. A reason to skip where the quirks file does not say how to bring that about.
    pub(crate) fn while_kill_fails<T>(&self, handle: &str, look: impl FnOnce() -> Verdict<T>) -> Verdict<T> {
        let Some(bad_kill) = &self.quirks().bad_kill else {
            return skip(
                "the quirks file has no `[bad_kill]`: the kill of one handle cannot be made to fail",
            );
        };
        let note = |is_begun| self.ledger().note(&Entry::BadKill { handle: handle.to_owned(), is_begun });
        // As with an outage.
        note(true)?;
        command(&about(handle, &bad_kill.begin), "bad_kill.begin")?;
        let seen = look();
        let ended = command(&about(handle, &bad_kill.end), "bad_kill.end");
        if ended.is_ok() {
            note(false)?;
        }
        let seen = seen?;
        ended?;
        Ok(seen)
    }

    /// Puts the backend back where a check was cut off before it did.
    pub(crate) fn mend(&self, entries: &[Entry]) {
        let last = entries.iter().rev().find_map(|entry| match entry {
            Entry::BadKill { handle, is_begun } => Some((handle, is_begun)),
            _ => None,
        });
        if let (Some((handle, true)), Some(bad_kill)) = (last, &self.quirks().bad_kill)
            && let Err(Stop::Fault(what)) = command(&about(handle, &bad_kill.end), "bad_kill.end")
        {
            // As below.
            self.note(what);
        }
        let last = entries.iter().rev().find_map(|entry| match entry {
            Entry::Outage { is_begun } => Some(*is_begun),
            _ => None,
        });
        if let (Some(true), Some(outage)) = (last, &self.quirks().outage)
            && let Err(Stop::Fault(what)) = command(&outage.end, "outage.end")
        {
            // It may fail since there is nothing to put back: what cannot be killed is told anyway.
            self.note(what);
        }
    }
}

/// The words of a command that is about a handle.
fn about(handle: &str, words: &[String]) -> Vec<String> {
    words.iter().map(|word| word.replace("${handle}", handle)).collect()
}

fn command(words: &[String], what: &str) -> Verdict {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let status = Command::new(program).args(arguments).stdin(Stdio::null()).status();
    let status =
        status.or_fault(format_args!("`{what}` of the quirks file: {program} could not be started"))?;
    if status.success() {
        Ok(())
    } else {
        fault(format_args!("`{what}` of the quirks file ended with {status}"))
    }
}
