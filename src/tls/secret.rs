//! Keys and passwords: never shown, and zeroed when they are dropped.

use crate::error::Error;
use crate::ffi::wipe::wipe;
use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What is reserved for a file at first, whatever its length is said to be.
const MIN_READ: u64 = 4 << 10;
const MAX_READ: u64 = 1 << 20;

/// Bytes that are zeroed when they are dropped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(bytes)
    }

    /// What a file holds. A buffer that it outgrows, as what comes from a pipe may, is zeroed,
    /// too.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len().clamp(MIN_READ, MAX_READ);
        // With room to see that nothing follows.
        let mut secret = Secret(vec![0; len as usize + 1]);
        let mut read = 0;
        loop {
            match file.read(&mut secret.0[read..]) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            if read == secret.0.len() {
                let mut larger = Secret(vec![0; 2 * read]);
                larger.0[..read].copy_from_slice(&secret.0);
                secret = larger;
            }
        }
        secret.0.truncate(read);
        Ok(secret)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// The password of a key, as C takes it: with a NUL behind it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Password(Secret);

impl Password {
    pub fn new(text: String) -> Self {
        let given = Secret::new(text.into_bytes());
        // At its final size, so that no copy is left behind by growing.
        let mut bytes = Vec::with_capacity(given.as_bytes().len() + 1);
        bytes.extend_from_slice(given.as_bytes());
        bytes.push(0);
        Password(Secret::new(bytes))
    }

    /// The password, unless it holds a NUL itself.
    pub fn as_c_str(&self) -> Result<&CStr, Error> {
        CStr::from_bytes_with_nul(self.0.as_bytes())
            .map_err(|_| Error::tls("key's password", "it holds a NUL character; leave it out"))
    }
}

/// That there is one.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{ClientTls, Pem, ServerTls};
    use crate::{Client, Context, Handler, Vhost};

    const PASSWORD: &str = "correct horse";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----";

    struct Silent;

    impl Handler for Silent {}

    /// Lost: a password or a key in a log, by a `{:?}` of whatever holds it.
    #[test]
    fn debug_output_of_no_type_shows_a_password_or_a_key() {
        let (cert, key) = (Pem::file("cert.pem"), Pem::memory(KEY));
        let server = || ServerTls::new(cert.clone(), key.clone()).key_password(PASSWORD);
        let client = ClientTls::new()
            .identity(cert.clone(), key.clone())
            .key_password(PASSWORD);
        let vhost = || Vhost::listen(([127, 0, 0, 1], 0)).tls(server());
        let to = Client::new("wss://localhost/").unwrap().tls(client.clone());
        let context = Context::builder().vhost(vhost().accept(|_| Ok(Silent)));
        for shown in [
            format!("{:?} {:#?}", server(), server()),
            format!("{client:?} {client:#?}"),
            format!("{:?} {:#?}", vhost(), vhost()),
            format!("{to:?} {to:#?}"),
            format!("{context:?} {context:#?}"),
        ] {
            let packed = shown.replace([' ', '\n'], "");
            for secret in [PASSWORD, KEY] {
                // As text, and the beginning as numbers.
                assert!(!shown.contains(secret), "{shown}");
                let start = &secret.as_bytes()[..4];
                for format in [decimal, hex] {
                    assert!(!packed.contains(&format(start)), "{shown}");
                }
            }
        }
        assert!(format!("{client:?}").contains("Password(..)"));
    }

    fn decimal(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b},")).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn a_password_is_handed_to_c_whole_or_not_at_all() {
        let password = Password::new(PASSWORD.into());
        assert_eq!(password.as_c_str().unwrap().to_str(), Ok(PASSWORD));
        let cut = Password::new("correct\0horse".into());
        let error = cut.as_c_str().unwrap_err().to_string();
        assert!(error.contains("NUL"), "{error}");
        assert!(!error.contains("horse"), "{error}");
    }
}
