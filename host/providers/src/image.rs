//! Looks at the bytes of a library before any of them run: is it one, is it whole, is it for this machine, and does it
//! export what the host is going to ask for. The system's loader would crash on a file that was cut off.

use longshore_plugin_abi::abi_stable::library::ROOT_MODULE_LOADER_NAME;
use object::{
    Architecture, BinaryFormat, FileKind, NameOrOrdinal, Object as _, ObjectKind, ObjectSegment as _,
    ObjectSymbol as _,
};

use crate::error::LoadErrorKind;

type Fault = (LoadErrorKind, String);

/// Checks the content of a file that should be a plugin for this machine.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let not_a_library =
        || (LoadErrorKind::NotALibrary, format!("it is not a shared library: {}", looks_like(bytes)));
    let kind = FileKind::parse(bytes).map_err(|_| not_a_library())?;
    let known = matches!(
        kind,
        FileKind::Elf32
            | FileKind::Elf64
            | FileKind::MachO32
            | FileKind::MachO64
            | FileKind::MachOFat32
            | FileKind::MachOFat64
            | FileKind::Pe32
            | FileKind::Pe64
    );
    if !known {
        return Err(not_a_library());
    }
    if matches!(kind, FileKind::MachOFat32 | FileKind::MachOFat64) && cfg!(target_vendor = "apple") {
        // Libraries for several processors in one: the system's loader picks ours, or says that there is none.
        return Ok(());
    }
    let damaged = |error: &dyn std::fmt::Display| {
        (LoadErrorKind::Damaged, format!("it is a library that was cut off or damaged: {error}"))
    };
    let file = object::File::parse(bytes).map_err(|error| damaged(&error))?;
    check_platform(&file)?;
    let whole = |segment: &object::Segment<'_, '_>| {
        let (offset, size) = segment.file_range();
        offset.checked_add(size).is_some_and(|end| end <= bytes.len() as u64)
    };
    if !file.segments().all(|segment| whole(&segment)) {
        return Err(damaged(&"a part of it lies behind the end of the file"));
    }
    if !exports(&file, ROOT_MODULE_LOADER_NAME) {
        let message = format!("it is no Longshore plugin: it does not export `{ROOT_MODULE_LOADER_NAME}`");
        return Err((LoadErrorKind::NoSymbol, message));
    }
    Ok(())
}

fn check_platform(file: &object::File<'_>) -> Result<(), Fault> {
    let format = if cfg!(windows) {
        BinaryFormat::Pe
    } else if cfg!(target_vendor = "apple") {
        BinaryFormat::MachO
    } else {
        BinaryFormat::Elf
    };
    if file.format() != format {
        let message =
            format!("it is a {:?} library, where {} needs {format:?}", file.format(), std::env::consts::OS);
        return Err((LoadErrorKind::OtherPlatform, message));
    }
    if let Some(ours) = host_architecture()
        && file.architecture() != ours
    {
        let message =
            format!("it was built for {:?} processors, and this host for {ours:?}", file.architecture());
        return Err((LoadErrorKind::OtherPlatform, message));
    }
    if file.kind() != ObjectKind::Dynamic {
        let message = format!("it is an object file of the kind {:?}, not a shared library", file.kind());
        return Err((LoadErrorKind::NotALibrary, message));
    }
    Ok(())
}

/// What this host was built for, as far as the table goes; elsewhere the system's loader has the word alone.
fn host_architecture() -> Option<Architecture> {
    match std::env::consts::ARCH {
        "x86_64" if cfg!(target_pointer_width = "32") => Some(Architecture::X86_64_X32),
        "x86_64" => Some(Architecture::X86_64),
        "x86" => Some(Architecture::I386),
        "aarch64" => Some(Architecture::Aarch64),
        "arm" => Some(Architecture::Arm),
        "riscv64" => Some(Architecture::Riscv64),
        "s390x" => Some(Architecture::S390x),
        "powerpc64" => Some(Architecture::PowerPc64),
        "loongarch64" => Some(Architecture::LoongArch64),
        _ => None,
    }
}

fn exports(file: &object::File<'_>, name: &str) -> bool {
    let dynamic = file.dynamic_symbols().any(|symbol| symbol.is_definition() && symbol.name() == Ok(name));
    // Mach-O puts an underscore before every name, and keeps its exports, like PE, in a table of their own.
    let is_ours = |found: &[u8]| {
        found == name.as_bytes() || found.strip_prefix(b"_").is_some_and(|bare| bare == name.as_bytes())
    };
    let mut exports = file.exports().into_iter().flatten().flatten();
    dynamic || exports.any(|export| matches!(export.name(), NameOrOrdinal::Name(found) if is_ours(found)))
}

/// A guess at what was named instead of a library.
fn looks_like(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "the file is empty",
        [b'#', b'!', ..] => "it is a script",
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is a packed archive",
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => "it is a static library (an archive of objects)",
        [b'\0', b'a', b's', b'm', ..] => "it is a WebAssembly module",
        _ if std::str::from_utf8(&bytes[..bytes.len().min(512)]).is_ok() => "it is a text",
        _ => "its first bytes are those of no library",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> LoadErrorKind {
        check(bytes).expect_err("it is no plugin").0
    }

    #[test]
    fn what_is_no_library_is_named() {
        for (bytes, named) in [
            (&b""[..], "empty"),
            (b"#!/bin/sh\n", "script"),
            (b"hello, this is a text\n", "text"),
            (b"PK\x03\x04rest of the archive", "archive"),
            (b"!<arch>\nlibx.a and so on and on and on", "static library"),
            (b"\0asm\x01\0\0\0", "WebAssembly"),
            (&[0xff; 64], "no library"),
        ] {
            let (kind, message) = check(bytes).expect_err("it is no library");
            assert_eq!(kind, LoadErrorKind::NotALibrary, "{message}");
            assert!(message.contains(named), "{message}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_header_alone_is_damaged() {
        let own =
            std::fs::read(std::env::current_exe().expect("the test's own path")).expect("it can be read");
        assert_eq!(kind(&own[..64]), LoadErrorKind::Damaged);
        assert_eq!(kind(&own[..own.len() / 2]), LoadErrorKind::Damaged);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_processor_is_named() {
        let mut own =
            std::fs::read(std::env::current_exe().expect("the test's own path")).expect("it can be read");
        // e_machine: 40 is 32-bit Arm, which this 64-bit file is not for.
        own[18] = 40;
        own[19] = 0;
        let (kind, message) = check(&own).expect_err("it is for another processor");
        assert_eq!(kind, LoadErrorKind::OtherPlatform, "{message}");
        assert!(message.contains("Arm"), "{message}");
    }
}
