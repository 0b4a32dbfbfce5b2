//! Who may talk to the panel: whoever can read the file with this run's token.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why the access file could not be written.
#[derive(Debug, Error)]
#[error("cannot write {path}")]
pub struct AccessError {
    path: PathBuf,
    source: io::Error,
}

/// The address and the token of this run.
#[derive(Clone, Serialize, Deserialize)]
pub struct Access {
    pub address: SocketAddr,
    pub token: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Access {
    /// A token of 32 random bytes for `address`.
    #[must_use]
    pub fn new(address: SocketAddr, random: [u8; 32]) -> Self {
        let token = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { address, token }
    }

    /// Puts it where the screen looks, readable by the owner only; replaced as a whole.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), AccessError> {
        let failed = |source| AccessError { path: path.to_owned(), source };
        let temp = path.with_extension("tmp");
        let text = serde_json::to_string(self).map_err(|error| failed(error.into()))?;
        // A left-over would keep its mode.
        match std::fs::remove_file(&temp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
        std::fs::rename(&temp, path).map_err(failed)
    }

    /// Whether a request with these headers may pass.
    #[must_use]
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let port = self.address.port();
        let hosts = [self.address.to_string(), format!("localhost:{port}")];
        let host_ok = text(HOST).is_some_and(|host| hosts.iter().any(|known| known == host));
        // Browsers send it with every cross-site request; the screen's own page comes later.
        let origin_ok = !headers.contains_key(ORIGIN);
        let token = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let token_ok = token.is_some_and(|token| {
            verify_slices_are_equal(token.as_bytes(), self.token.as_bytes()).is_ok()
        });
        host_ok && origin_ok && token_ok
    }
}
