//! What variables a cluster's containers may have; see [`crate::variables`].

use longshore_plugin_api::Container;

use super::Checker;
use crate::{
    config::ClusterConfig,
    error::FAULTS_LIMIT,
    notes::Entry,
    server::ServerSource,
    variables::{Owner, Place, Problem, Variable, first_in, judge},
};

pub(super) fn check(cluster: &ClusterConfig, checker: &mut Checker<'_>) {
    check_container("container", &cluster.container, Owner::Workers(cluster.server.as_ref()), checker);
    if let Some(server) = &cluster.server
        && let ServerSource::Managed { container, .. } = &server.source
    {
        check_container("server.container", container, Owner::Server(server), checker);
    }
}

fn check_container(
    section: &'static str,
    container: &Container,
    owner: Owner<'_>,
    checker: &mut Checker<'_>,
) {
    let at = Some(section);
    // The document's faults are bounded by its length only if one text has a few.
    let found = judge(container, owner).filter(|found| !follows(&found.problem, checker)).take(FAULTS_LIMIT);
    for found in found.collect::<Vec<_>>() {
        let spot = checker.spot(at, found.place.key());
        let entry = match found.place {
            Place::Command => None,
            Place::Arg(number) => Some(Entry::Number(number)),
            Place::Env(name) => Some(Entry::Name(name.to_owned())),
        };
        checker.notes.wrong_entry(checker.name, spot, entry, &found.problem.what(found.place));
    }
    for (key, text) in [("image", &container.image), ("working_dir", &container.working_dir)] {
        if let Some(variable) = text.as_deref().and_then(first_in) {
            let name = variable.name();
            let what = format!("has `${{{name}}}`, which is filled in in `command`, `args` and `env` alone");
            checker.wrong(at, key, &what);
        }
    }
}

/// Whether a fault only follows on one that is told already: of what could not be read, nobody knows what it would have been.
fn follows(problem: &Problem<'_>, checker: &Checker<'_>) -> bool {
    let Problem::NoValue(variable, _) = problem else { return false };
    let is_faulty = |key| checker.is_faulty(Some("server"), key);
    match variable {
        _ if variable.is_of_server() && checker.is_faulty(None, "server") => true,
        Variable::ServerPort => is_faulty("port"),
        Variable::ServerPassword => is_faulty("password") || is_faulty("external"),
        _ => false,
    }
}
