//! Keys and passwords: never shown, and zeroed when they are dropped.

use crate::error::Error;
use crate::ffi::wipe::wipe;
use std::ffi::CStr;
use std::fmt;

/// Bytes that are zeroed when they are dropped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(bytes)
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
