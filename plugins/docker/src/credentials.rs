//! Credentials for registries, from Docker's own configuration: as `docker login` left them there, or from the programs that it
//! names. A program may take its time and may hang; it is ended after a limit, and with the provider.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use longshore_plugin_api::Error;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver};

/// How long a program may take to tell a credential.
const HELPER_LIMIT: Duration = Duration::from_secs(30);
/// How often to look whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
/// The most that is read of what it says, in bytes.
const ANSWER_LIMIT: u64 = 1 << 20;
/// The user's name that stands for a token.
const TOKEN_USER: &str = "<token>";

/// What a credential program answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The credentials for a registry; nothing where there are none. `key` is what Docker keeps them under, and `folder` is that of
/// Docker's own configuration, where it is not the usual one.
pub(crate) async fn find(key: &str, folder: Option<&Path>) -> Result<Option<DockerCredentials>, Error> {
    let Some(path) = path(folder) else { return Ok(None) };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::other(format_args!("cannot read {}: {error}", path.display()))),
    };
    let config: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| {
        Error::permanent(format_args!("{} is not what Docker writes: {error}", path.display()))
    })?;
    if let Some(helper) = helper(&config, key) {
        return Ok(ask(&helper, key).await?.map(|answer| of_answer(answer, key)));
    }
    // The programs that it names are not for this registry, and the library would start them.
    match get_credential_from_reader(text.as_slice(), key) {
        Ok(credential) => Ok(Some(of_file(credential, key))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        Err(error) => Err(Error::permanent(format_args!(
            "{} has no usable credentials for {key}: {error}",
            path.display()
        ))),
    }
}

/// Docker's own configuration.
fn path(folder: Option<&Path>) -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let usual = || set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")));
    Some(folder.map(Path::to_owned).or_else(usual)?.join("config.json"))
}

/// The program that keeps the credentials for a registry: its own, or the one for all.
fn helper(config: &Map<String, Value>, key: &str) -> Option<String> {
    let own = config.get("credHelpers").and_then(|helpers| helpers.get(key));
    let name = own.or_else(|| config.get("credsStore"))?.as_str()?;
    (!name.is_empty()).then(|| format!("docker-credential-{name}"))
}

fn of_answer(Answer { username, secret }: Answer, key: &str) -> DockerCredentials {
    of_file(
        if username == TOKEN_USER {
            DockerCredential::IdentityToken(secret)
        } else {
            DockerCredential::UsernamePassword(username, secret)
        },
        key,
    )
}

fn of_file(credential: DockerCredential, key: &str) -> DockerCredentials {
    let empty = DockerCredentials { serveraddress: Some(key.to_owned()), ..DockerCredentials::default() };
    match credential {
        DockerCredential::IdentityToken(token) => DockerCredentials { identitytoken: Some(token), ..empty },
        DockerCredential::UsernamePassword(username, password) => {
            DockerCredentials { username: Some(username), password: Some(password), ..empty }
        }
    }
}

/// A program that is ended where nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended and been waited for already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Asks a credential program; it has none where it says so.
async fn ask(program: &str, key: &str) -> Result<Option<Answer>, Error> {
    let wrong =
        |why: String| Error::other(format_args!("the credentials for {key} are with {program}, which {why}"));
    let cannot = |error: io::Error| wrong(format!("cannot be asked: {error}"));
    let asked = async {
        let mut command = Command::new(program);
        command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = Running(command.spawn().map_err(cannot)?);
        let output = running.0.stdout.take().ok_or_else(|| wrong("says nothing".to_owned()))?;
        let output = Receiver::from_owned_fd(output.into()).map_err(cannot)?;
        // One line, far shorter than what a pipe holds; the end is told by dropping it. A program may answer without reading it.
        if let Some(mut input) = running.0.stdin.take()
            && let Err(error) = writeln!(input, "{key}")
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(cannot(error));
        }
        let mut text = Vec::new();
        output.take(ANSWER_LIMIT).read_to_end(&mut text).await.map_err(cannot)?;
        loop {
            match running.0.try_wait().map_err(cannot)? {
                Some(status) => return Ok((status.success(), text)),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    };
    let late = |_| Err(wrong(format!("did not answer within {HELPER_LIMIT:?}")));
    let (succeeded, text) = tokio::time::timeout(HELPER_LIMIT, asked).await.unwrap_or_else(late)?;
    if succeeded {
        // What it says is a secret, also where it is not understood.
        return serde_json::from_slice(&text)
            .map(Some)
            .map_err(|_| wrong("says what is not understood".to_owned()));
    }
    let text = String::from_utf8_lossy(&text);
    if text.contains("credentials not found") {
        return Ok(None);
    }
    Err(wrong(format!("failed: {}", text.trim())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use longshore_plugin_api::ErrorKind;
    use serde_json::json;

    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
    }

    /// Asks a program of these lines of the shell.
    fn asked(script: &str) -> Result<Option<Answer>, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("docker-credential-test");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("it is written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("it is ours");
        block_on(ask(program.to_str().expect("a path of text"), "registry.lan"))
    }

    #[test]
    fn a_registry_s_own_program_goes_before_the_one_for_all() {
        let config = json!({"credsStore": "all", "credHelpers": {"a.lan": "own", "b.lan": ""}});
        let config = config.as_object().expect("it is one");
        assert_eq!(helper(config, "a.lan").as_deref(), Some("docker-credential-own"));
        assert_eq!(helper(config, "b.lan"), None);
        assert_eq!(helper(config, "c.lan").as_deref(), Some("docker-credential-all"));
        assert_eq!(helper(&Map::new(), "c.lan"), None);
    }

    #[test]
    fn a_program_is_asked_and_understood() {
        let answer = asked(r#"read server; echo "{\"Username\":\"u\",\"Secret\":\"$server\"}""#);
        let answer = answer.expect("it answers").expect("it has one");
        let found = of_answer(answer, "registry.lan");
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("u"), Some("registry.lan")));
        assert_eq!(found.serveraddress.as_deref(), Some("registry.lan"));
        let answer =
            asked(r#"echo '{"Username":"<token>","Secret":"t"}'"#).expect("it answers").expect("one");
        assert_eq!(of_answer(answer, "x").identitytoken.as_deref(), Some("t"));
    }

    #[test]
    fn a_program_that_has_none_or_fails_is_told_apart() {
        let none =
            asked("echo credentials not found in native keychain; exit 1").expect("that is no failure");
        assert!(none.is_none());
        for (script, words) in [("echo locked; exit 1", "failed: locked"), ("echo hunter2", "not understood")]
        {
            let error = asked(script).err().expect("it fails");
            assert!(error.message().contains(words) && !error.message().contains("hunter2"), "{error}");
            assert_eq!(error.kind(), ErrorKind::Other);
        }
        assert!(block_on(ask("docker-credential-of-nobody", "x")).is_err());
    }
}
