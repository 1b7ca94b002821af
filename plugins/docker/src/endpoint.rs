//! Where the engine listens, and with what it is spoken to: from the configuration, or from Docker's own variables.

use std::{
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use longshore_plugin_api::Error;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use url::Url;

use crate::config::{Config, Tls};

/// Where an engine listens unless somebody says otherwise.
const USUAL: &str = "unix:///var/run/docker.sock";
/// The ports of engines that listen on TCP, without and with TLS.
const PORTS: (u16, u16) = (2375, 2376);
/// The largest file that is taken for a certificate or a key, in bytes.
const PEM_LIMIT: u64 = 1 << 20;

/// The value of a variable of the environment, where it is set.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Where the engine listens.
#[derive(Clone)]
pub(crate) enum Endpoint {
    /// On a socket.
    Unix(PathBuf),
    /// On TCP, in the clear.
    Tcp(Url),
    /// On TCP with TLS.
    Tls(Url, Arc<ClientConfig>),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(url) | Self::Tls(url, _) => f.write_str(url.as_str().trim_end_matches('/')),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Endpoint {
    /// The one of a configuration; what that leaves out, Docker's variables say.
    pub(crate) fn of(config: &Config, variables: Variables<'_>) -> Result<Self, Error> {
        let from_env = || set(variables, "DOCKER_HOST").and_then(|host| host.into_string().ok());
        let (host, source) = match &config.host {
            Some(host) => (host.clone(), "it"),
            None => {
                from_env().map_or_else(|| (USUAL.to_owned(), "it"), |host| (host, "the variable DOCKER_HOST"))
            }
        };
        let wrong = |why: &str| {
            let text = format!(
                "{source} says {host:?}, {why}; write unix:///path, tcp://host:port, http://host:port or https://host:port"
            );
            Error::config("host", text)
        };
        if let Some(path) = host.strip_prefix("unix://") {
            if config.tls.is_some() {
                return Err(Error::config("tls", "a unix socket has no TLS; leave one of the two out"));
            }
            let path = Path::new(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path.into()))
            } else {
                Err(wrong("which is no absolute path"))
            };
        }
        let Some((scheme @ ("tcp" | "http" | "https"), rest)) = host.split_once("://") else {
            let ssh = host.starts_with("ssh://");
            return Err(wrong(if ssh {
                "and an engine is not reached by ssh here: let `ssh -L` forward its socket"
            } else {
                "which is not understood"
            }));
        };
        let tls = match &config.tls {
            Some(_) if scheme == "http" => {
                return Err(Error::config(
                    "tls",
                    "http:// has no TLS; write https:// or tcp://, or leave it out",
                ));
            }
            Some(tls) => Some(tls.clone()),
            None if scheme == "http" => None,
            None => usual_tls(variables).or((scheme == "https").then(Tls::default)),
        };
        let (scheme, port) = if tls.is_some() { ("https", PORTS.1) } else { ("http", PORTS.0) };
        let mut url = Url::parse(&format!("{scheme}://{rest}"))
            .map_err(|error| wrong(&format!("and that is no address: {error}")))?;
        // What follows the port would be the beginning of every path, which engines do not have.
        if !matches!(url.path(), "" | "/") || url.query().is_some() || !url.username().is_empty() {
            return Err(wrong("which has more than a host and a port"));
        }
        if url.port().is_none()
            && !rest.trim_end_matches('/').ends_with(":80")
            && !rest.trim_end_matches('/').ends_with(":443")
        {
            url.set_port(Some(port)).map_err(|()| wrong("which has no host"))?;
        }
        match tls {
            None => Ok(Self::Tcp(url)),
            Some(tls) => Ok(Self::Tls(url, Arc::new(client(&tls)?))),
        }
    }
}

/// A variable; one that is empty is as good as none.
fn set(variables: Variables<'_>, name: &str) -> Option<OsString> {
    variables(name).filter(|value| !value.is_empty())
}

/// What Docker's variables say of TLS.
fn usual_tls(variables: Variables<'_>) -> Option<Tls> {
    set(variables, "DOCKER_TLS_VERIFY")?;
    let folder = set(variables, "DOCKER_CERT_PATH").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(set(variables, "HOME")?).join(".docker")))?;
    let there = |name: &str| Some(folder.join(name));
    Some(Tls { ca: there("ca.pem"), cert: there("cert.pem"), key: there("key.pem") })
}

fn client(tls: &Tls) -> Result<ClientConfig, Error> {
    let wrong = |error: rustls::Error| Error::config("tls", error);
    let mut roots = RootCertStore::empty();
    if let Some(path) = &tls.ca {
        for certificate in certificates("tls.ca", path)? {
            roots
                .add(certificate)
                .map_err(|error| Error::config("tls.ca", format_args!("{}: {error}", path.display())))?;
        }
    } else {
        // Those of the system's that cannot be read are missed when one is needed, and told of then.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(roots);
    match (&tls.cert, &tls.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), Some(key)) => {
            let pem = read("tls.key", key)?;
            let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
                Error::config("tls.key", format_args!("{} holds no private key: {error}", key.display()))
            })?;
            builder.with_client_auth_cert(certificates("tls.cert", cert)?, private).map_err(|error| {
                Error::config("tls.cert", format_args!("{} and its key: {error}", cert.display()))
            })
        }
        (Some(_), None) => Err(Error::config("tls.key", "it is missing, and tls.cert needs it")),
        (None, Some(_)) => Err(Error::config("tls.cert", "it is missing, and tls.key belongs to one")),
    }
}

fn certificates(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(field, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| Error::config(field, format_args!("{}: {error}", path.display())))?;
    if found.is_empty() {
        return Err(Error::config(field, format_args!("{} holds no certificate in PEM", path.display())));
    }
    Ok(found)
}

fn read(field: &str, path: &Path) -> Result<Vec<u8>, Error> {
    let wrong = |why: &dyn fmt::Display| {
        Error::config(field, format_args!("{} cannot be read: {why}", path.display()))
    };
    let size = fs::metadata(path).map_err(|error| wrong(&error))?.len();
    if size > PEM_LIMIT {
        return Err(wrong(&"it is too large for a certificate or a key"));
    }
    fs::read(path).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The endpoint of a configuration in such surroundings, as it is shown.
    fn of(config: &Config, surroundings: &[(&str, &str)]) -> Result<String, Error> {
        let surroundings: HashMap<&str, &str> = surroundings.iter().copied().collect();
        let found = Endpoint::of(config, &|name| surroundings.get(name).map(OsString::from))?;
        let is_tls = matches!(found, Endpoint::Tls(..));
        assert_eq!(is_tls, found.to_string().starts_with("https://"), "{found}");
        Ok(found.to_string())
    }

    fn at(host: &str) -> Config {
        Config { host: Some(host.to_owned()), ..Config::default() }
    }

    #[test]
    fn what_the_configuration_leaves_out_docker_s_variables_say() {
        let theirs = ("DOCKER_HOST", "unix:///run/theirs.sock");
        let found =
            |config: &Config, surroundings: &[(&str, &str)]| of(config, surroundings).expect("it is valid");
        assert_eq!(found(&Config::default(), &[]), USUAL);
        assert_eq!(found(&Config::default(), &[("DOCKER_HOST", "")]), USUAL);
        assert_eq!(found(&Config::default(), &[theirs]), "unix:///run/theirs.sock");
        assert_eq!(found(&at("unix:///run/ours.sock"), &[theirs]), "unix:///run/ours.sock");
        let error = of(&Config::default(), &[("DOCKER_HOST", "npipe://x")]).expect_err("it is Windows'");
        assert_eq!(error.field(), Some("host"));
        assert!(error.message().contains("the variable DOCKER_HOST says \"npipe://x\""), "{error}");
    }

    #[test]
    fn ports_are_the_usual_ones() {
        for (host, shown) in [
            ("tcp://node-1", "http://node-1:2375"),
            ("tcp://node-1:80/", "http://node-1"),
            ("http://[::1]:1", "http://[::1]:1"),
            ("https://node-1", "https://node-1:2376"),
        ] {
            assert_eq!(of(&at(host), &[]).expect(host), shown);
        }
        for host in ["tcp://node-1/v1.41", "tcp://me@node-1", "tcp://node-1?x=1", "tcp://node-1:x"] {
            assert_eq!(of(&at(host), &[]).expect_err(host).field(), Some("host"), "{host}");
        }
    }

    #[test]
    fn docker_s_variables_say_where_the_certificates_are() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join(".docker");
        fs::create_dir(&folder).expect("it is ours");
        for (ours, docker_s) in
            [("ca.pem", "ca.pem"), ("client.pem", "cert.pem"), ("client-key.pem", "key.pem")]
        {
            fs::copy(fixtures.join(ours), folder.join(docker_s)).expect("the fixture is there");
        }
        let (home, folder) = (home.path().display().to_string(), folder.display().to_string());
        let host = ("DOCKER_HOST", "tcp://node-1");
        let verify = ("DOCKER_TLS_VERIFY", "1");
        let path = ("DOCKER_CERT_PATH", folder.as_str());
        let secured = "https://node-1:2376";
        let found = |surroundings: &[(&str, &str)]| of(&Config::default(), surroundings);
        assert_eq!(found(&[host, verify, path]).expect("they are there"), secured);
        assert_eq!(found(&[host, verify, ("HOME", &home)]).expect("they are there"), secured);
        assert_eq!(found(&[host, path]).expect("nobody asks for TLS"), "http://node-1:2375");
        let error = found(&[host, verify, ("DOCKER_CERT_PATH", &home)]).expect_err("there are none");
        assert_eq!(error.field(), Some("tls.ca"), "{error}");
        // A socket needs none, and `http` is what it says.
        assert_eq!(of(&at("unix:///x"), &[verify, path]).expect("it is valid"), "unix:///x");
        assert_eq!(of(&at("http://node-1"), &[verify, path]).expect("it is valid"), "http://node-1:2375");
    }
}
