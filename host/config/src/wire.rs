//! Reads the JSON that crosses the host's socket: as strict with keys as the file is.

use crate::{
    check::{self, ORIGIN},
    config::Config,
    error::ConfigError,
    notes::Notes,
    spot::{clipped, short},
};

impl Config {
    /// Reads and checks the JSON form of a configuration, as serializing one makes it. A key that is not known is an error:
    /// a setting that a newer version sent must not be dropped without a word.
    ///
    /// # Errors
    ///
    /// It is not JSON, has not the form, or says something wrong.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let mut notes = Notes::default();
        let mut track = serde_path_to_error::Track::new();
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = serde_ignored::deserialize(
            serde_path_to_error::Deserializer::new(&mut reader, &mut track),
            |path| {
                // What may be left out is marked so, which says nothing to who wrote it.
                let path = path.to_string().replace(".?", "");
                notes.push(path.clone(), None, format!("unknown key `{}`", short(&path)));
            },
        );
        match read.and_then(|config| reader.end().map(|()| config)) {
            Ok(config) => {
                check::check(&config, &mut notes);
                notes.into_result(ORIGIN)?;
                Ok(config)
            }
            Err(error) => {
                let (path, error) = (track.path().to_string(), error.to_string());
                let place = if path == "." { String::new() } else { format!("`{}`: ", short(&path)) };
                notes.push(path, None, format!("{place}{}", clipped(&error, 300)));
                Err(notes.into_error(ORIGIN))
            }
        }
    }
}
