//! Who is in a group, as the system's databases of users and groups have it: those whom the group's list names, and those whose
//! *primary* group it is, whom no list names. Where that cannot be told for certain, the group counts as one of others.
//!
//! All users are gone through for it, as OpenSSH does. A directory that does not list its users (SSSD and LDAP as a rule do not)
//! shows in that it does not list the host's own either; one that lists too many is not gone through to its end. What cannot be seen
//! is a user of a directory that lists nobody whose primary group is the private one of a user of the machine itself.
#![expect(unsafe_code, reason = "no library goes through the system's users in a safe way")]

use std::{
    collections::HashMap,
    iter,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    unistd::{Gid, Group, Uid, User},
};

/// The most users that are gone through.
const USERS_LIMIT: usize = 100_000;
/// How long they may take. A directory that answers late is waited for no longer than until its next user.
const USERS_TIME: Duration = Duration::from_secs(5);

/// A user: its number, and that of its primary group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// Where users and groups are looked up.
pub(super) trait Accounts {
    /// A group's name, and the names on its list.
    fn group(&self, group: u32) -> Result<Option<(String, Vec<String>)>, String>;
    /// A user's name.
    fn name(&self, user: u32) -> Result<Option<String>, String>;
    /// All users, one by one, or why they cannot be told.
    fn users(&self) -> impl Iterator<Item = Result<Account, String>>;
}

/// What was found out about groups while one file is looked at: a walk through all users may take long, and what is on the way to
/// the file is as a rule of the same few groups.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<u32, Option<String>>);

impl Known {
    /// As [`others_in`], asked once a group.
    pub(super) fn others_in(&mut self, accounts: &impl Accounts, group: u32, us: u32) -> Option<String> {
        self.0.entry(group).or_insert_with(|| others_in(accounts, group, us)).clone()
    }
}

/// Why others than root and a user are in a group, or may be, if so.
fn others_in(accounts: &impl Accounts, group: u32, us: u32) -> Option<String> {
    nobody_else_in(accounts, group, us).err()
}

fn nobody_else_in(accounts: &impl Accounts, group: u32, us: u32) -> Result<(), String> {
    let unknown = |why: String| format!("who is in group {group} cannot be told: {why}");
    let found = accounts.group(group).map_err(unknown)?;
    let (name, listed) = found.ok_or_else(|| unknown("the system does not know it".to_owned()))?;
    let our_name = accounts.name(us).map_err(unknown)?;
    let is_one = |name: &str| name == "root" || Some(name) == our_name.as_deref();
    if !is_one(&name) {
        return Err(format!("the group {name} is not that of root or of the host's user alone"));
    }
    if let Some(other) = listed.iter().find(|name| !is_one(name)) {
        return Err(format!("{other} is in the group {name}"));
    }
    let unknown = |why: String| format!("whose primary group {name} is cannot be told: {why}");
    let (begun, mut are_listed) = (Instant::now(), false);
    for (number, account) in accounts.users().enumerate() {
        let account = account.map_err(unknown)?;
        if number >= USERS_LIMIT || begun.elapsed() > USERS_TIME {
            return Err(unknown(format!(
                "the system has more users than can be gone through ({USERS_LIMIT}, or as many as it tells within {} s)",
                USERS_TIME.as_secs()
            )));
        }
        if account.group == group && account.user != 0 && account.user != us {
            return Err(format!("{name} is the primary group of user {} as well", account.user));
        }
        are_listed |= account.user == us;
    }
    if are_listed { Ok(()) } else { Err(unknown("the system does not list its users".to_owned())) }
}

/// The system's own databases.
pub(super) struct System;

impl Accounts for System {
    fn group(&self, group: u32) -> Result<Option<(String, Vec<String>)>, String> {
        let found = Group::from_gid(Gid::from_raw(group)).map_err(|error| error.desc().to_owned())?;
        Ok(found.map(|group| (group.name, group.mem)))
    }

    fn name(&self, user: u32) -> Result<Option<String>, String> {
        let found = User::from_uid(Uid::from_raw(user)).map_err(|error| error.desc().to_owned())?;
        Ok(found.map(|user| user.name))
    }

    fn users(&self) -> impl Iterator<Item = Result<Account, String>> {
        let walk = Users::begin();
        iter::from_fn(move || Users::next(&walk).transpose())
    }
}

/// A walk through the system's users. There is one place in them for the whole process.
struct Users {
    _turn: MutexGuard<'static, ()>,
}

static WALK: Mutex<()> = Mutex::new(());

impl Users {
    fn begin() -> Self {
        let turn = WALK.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: it sets the process's place in the users back, and nobody else's walk is under way.
        unsafe { libc::setpwent() };
        Self { _turn: turn }
    }

    /// The next one of a walk that is under way.
    fn next(_: &Self) -> Result<Option<Account>, String> {
        Errno::clear();
        // SAFETY: what it points to stays until its next call, which is not made while we have the turn. A plugin in this process that
        // walked on its own could change the two numbers as they are read, and no more: it could as well have changed all else.
        let found = unsafe { libc::getpwent().as_ref() }
            .map(|found| Account { user: found.pw_uid, group: found.pw_gid });
        match (found, Errno::last()) {
            (Some(account), _) => Ok(Some(account)),
            // What it fails with by the manual. Beside these, whoever was asked on the way leaves an error behind that is none.
            (
                None,
                error @ (Errno::EINTR
                | Errno::EIO
                | Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOMEM
                | Errno::ERANGE),
            ) => Err(error.desc().to_owned()),
            (None, _) => Ok(None),
        }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        // SAFETY: as at the beginning; the turn ends after this.
        unsafe { libc::endpwent() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: u32 = 1000;
    const BOB: u32 = 1001;

    /// Databases as they might be.
    #[derive(Default)]
    struct Fabricated {
        groups: Vec<(u32, &'static str, Vec<&'static str>)>,
        users: Vec<(&'static str, u32, u32)>,
        /// How many more there are, of whom nobody knows anything.
        crowd: usize,
        fails: bool,
        /// Who is known and not listed.
        hides: Option<u32>,
    }

    impl Accounts for Fabricated {
        fn group(&self, group: u32) -> Result<Option<(String, Vec<String>)>, String> {
            let found = self.groups.iter().find(|(number, ..)| *number == group);
            let owned = |(_, name, listed): &(u32, &str, Vec<&str>)| {
                ((*name).to_owned(), listed.iter().map(|name| (*name).to_owned()).collect())
            };
            Ok(found.map(owned))
        }

        fn name(&self, user: u32) -> Result<Option<String>, String> {
            let found = self.users.iter().find(|(_, number, _)| *number == user);
            Ok(found.map(|(name, ..)| (*name).to_owned()))
        }

        fn users(&self) -> impl Iterator<Item = Result<Account, String>> {
            let known = self.users.iter().filter(|(_, user, _)| Some(*user) != self.hides);
            let known = known.map(|(_, user, group)| Ok(Account { user: *user, group: *group }));
            let crowd = (0..self.crowd).map(|_| Ok(Account { user: 70_000, group: 70_000 }));
            let failure = self.fails.then(|| Err("the directory is away".to_owned()));
            crowd.chain(failure).chain(known)
        }
    }

    /// Root, Ann and Bob, each with a group of their own, and one that both of them are in.
    fn usual() -> Fabricated {
        Fabricated {
            groups: vec![
                (0, "root", vec![]),
                (ANN, "ann", vec![]),
                (BOB, "bob", vec![]),
                (50, "staff", vec!["ann", "bob"]),
            ],
            users: vec![("root", 0, 0), ("ann", ANN, ANN), ("bob", BOB, BOB)],
            ..Fabricated::default()
        }
    }

    #[track_caller]
    fn assert_others(accounts: &Fabricated, group: u32, us: u32, words: &str) {
        let why = others_in(accounts, group, us).expect("there are others, or may be");
        assert!(why.contains(words), "{why}");
    }

    #[test]
    fn a_group_is_private_where_nobody_else_is_in_it() {
        let mut accounts = usual();
        for (group, us) in [(ANN, ANN), (0, ANN), (0, 0), (BOB, BOB)] {
            assert_eq!(others_in(&accounts, group, us), None, "{group} for {us}");
        }
        accounts.groups[1].2 = vec!["ann", "root"];
        assert_eq!(others_in(&accounts, ANN, ANN), None, "they may be on its list");
        accounts.users.push(("toor", 0, ANN));
        assert_eq!(others_in(&accounts, ANN, ANN), None, "root is root by any name");
    }

    #[test]
    fn a_group_with_others_on_its_list_is_not() {
        let mut accounts = usual();
        assert_others(&accounts, 50, ANN, "the group staff is not that of root or of the host's user alone");
        assert_others(&accounts, BOB, ANN, "the group bob is not");
        assert_others(&accounts, ANN, 0, "the group ann is not");
        accounts.groups[1].2 = vec!["ann", "bob"];
        accounts.groups[0].2 = vec!["bob"];
        assert_others(&accounts, ANN, ANN, "bob is in the group ann");
        assert_others(&accounts, 0, ANN, "bob is in the group root");
    }

    #[test]
    fn a_group_that_is_the_primary_one_of_others_is_not() {
        let mut accounts = usual();
        accounts.users[2].2 = ANN;
        assert_others(&accounts, ANN, ANN, "ann is the primary group of user 1001 as well");
        accounts.users[2].2 = 0;
        assert_others(&accounts, 0, 0, "root is the primary group of user 1001 as well");
        assert_eq!(others_in(&accounts, ANN, ANN), None);
    }

    #[test]
    fn where_it_cannot_be_told_there_may_be_others() {
        assert_others(&usual(), 77, ANN, "who is in group 77 cannot be told: the system does not know it");
        assert_others(&usual(), ANN, 77, "the group ann is not");
        let failing = Fabricated { fails: true, ..usual() };
        assert_others(&failing, ANN, ANN, "whose primary group ann is cannot be told: the directory is away");
        // Where not even we are listed, Bob may be one of those who are not.
        let secretive = Fabricated { hides: Some(ANN), ..usual() };
        assert_others(&secretive, ANN, ANN, "the system does not list its users");
    }

    #[test]
    fn not_more_users_are_gone_through_than_can_be() {
        let many = Fabricated { crowd: USERS_LIMIT - 3, ..usual() };
        assert_eq!(others_in(&many, ANN, ANN), None);
        let too_many = Fabricated { crowd: USERS_LIMIT, ..usual() };
        assert_others(&too_many, ANN, ANN, "more users than can be gone through (100000");
        let no_end = Fabricated { crowd: usize::MAX, ..usual() };
        assert_others(&no_end, ANN, ANN, "more users than can be gone through");
    }

    #[test]
    fn a_group_is_asked_about_once() {
        let mut known = Known::default();
        let refused = known.others_in(&usual(), BOB, ANN);
        assert!(refused.is_some());
        assert_eq!(known.others_in(&usual(), ANN, ANN), None);
        // Nobody who could answer is there any more.
        assert_eq!(known.others_in(&Fabricated::default(), BOB, ANN), refused);
        assert_eq!(known.others_in(&Fabricated::default(), ANN, ANN), None);
        assert!(known.others_in(&Fabricated::default(), 50, ANN).is_some());
    }

    #[test]
    fn the_system_lists_its_users_again_and_again() {
        let all = || System.users().collect::<Result<Vec<_>, _>>().expect("it can tell");
        let users = all();
        assert!(users.iter().any(|account| account.user == 0), "{users:?}");
        drop(System.users().next());
        assert_eq!(all(), users, "each walk begins at the beginning");
        let us = Uid::effective().as_raw();
        let Some(own) = User::from_uid(Uid::effective()).expect("it can be looked up") else { return };
        let why = others_in(&System, own.gid.as_raw(), us).unwrap_or_default();
        if users.iter().any(|account| account.user == us) {
            assert!(users.contains(&Account { user: us, group: own.gid.as_raw() }), "{users:?}");
            assert!(!why.contains("does not list its users"), "{why}");
        } else {
            // A directory that knows the user and lists nobody, as is usual: their group then counts as one of others.
            assert_ne!(why, "", "{users:?}");
        }
    }
}
