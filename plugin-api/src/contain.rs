//! Keeps a panic inside the plugin: it becomes an error that names the place, and nothing is printed.
//!
//! What cannot be kept in: a second panic while the first one unwinds (a destructor that panics), and a plugin that was
//! built with `panic = "abort"`. Both end the process; the first is then printed, so that there is a trace of it.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    sync::Once,
};

use crate::error::Error;

thread_local! {
    /// Where the latest panic of the call on this thread began. A hook is the only one to be told.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// How many `contain`s this thread is inside of, so that the hook leaves other panics to the hook before it.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Turns a panic of `work` into an error that names the place.
pub(crate) fn contain<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    install_hook();
    let outer = take_place();
    DEPTH.set(DEPTH.get() + 1);
    let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let place = take_place().unwrap_or_else(|| "an unknown place".to_owned());
        let error = Error::panic(format_args!("panicked at {place}: {}", text(&*payload)));
        // A payload is any value, so that even dropping it may panic; what that throws is let go.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            let _never_dropped = ManuallyDrop::new(again);
        }
        Err(error)
    });
    DEPTH.set(DEPTH.get() - 1);
    set_place(outer);
    outcome
}

/// Puts our hook before the one that is there. It belongs to the plugin's own copy of std: the host's is not touched.
fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| hook(info, &before)));
    });
}

fn hook(info: &PanicHookInfo<'_>, before: &dyn Fn(&PanicHookInfo<'_>)) {
    if DEPTH.get() == 0 {
        return before(info);
    }
    if let Some(earlier) = set_place(info.location().map(ToString::to_string)) {
        // The earlier panic was caught by the provider itself, or it still unwinds and the process is about to end.
        eprintln!("an earlier panic of this call was at {earlier}; now:");
        before(info);
    }
}

/// Sets the place and returns the one before. A thread that is ending has lost it already, which is no reason to panic.
fn set_place(place: Option<String>) -> Option<String> {
    PLACE.try_with(|cell| cell.replace(place)).ok().flatten()
}

fn take_place() -> Option<String> {
    set_place(None)
}

fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(not a text)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn panic_of(work: impl FnOnce() -> Result<(), Error>) -> String {
        let error = contain(work).expect_err("it panics");
        assert_eq!(error.kind(), ErrorKind::Panic);
        error.message().to_owned()
    }

    #[test]
    fn the_message_names_the_place_and_the_text() {
        let line = line!() + 1;
        let message = panic_of(|| panic!("no {}", 7));
        assert!(message.starts_with(&format!("panicked at {}:{line}:", file!())), "{message}");
        assert!(message.ends_with(": no 7"), "{message}");
    }

    #[test]
    fn a_payload_of_any_type_is_contained_even_one_that_panics_when_dropped() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::panic_any(7_u8);
            }
        }
        let message = panic_of(|| std::panic::panic_any(Bomb));
        assert!(message.ends_with(": (not a text)"), "{message}");
    }

    #[test]
    fn an_old_panic_does_not_lend_its_place_to_a_new_one() {
        let message = panic_of(|| {
            let caught = catch_unwind(|| panic!("first")).expect_err("it panics");
            std::panic::resume_unwind(caught);
        });
        assert!(message.ends_with(": first"), "{message}");
        let message = panic_of(|| std::panic::resume_unwind(Box::new("from another thread")));
        assert_eq!(message, "panicked at an unknown place: from another thread");
    }

    #[test]
    fn an_inner_call_leaves_the_outer_one_its_place() {
        let line = line!() + 5;
        let message = panic_of(|| {
            assert!(contain(|| Ok(())).is_ok());
            let inner = panic_of(|| panic!("inner"));
            assert!(inner.ends_with(": inner"), "{inner}");
            panic!("outer");
        });
        assert!(message.contains(&format!(":{line}:")), "{message}");
    }
}
