//! Where certificates, keys and trust come from, and what an error says of them.

#![cfg(feature = "_tls")]

mod common;

use common::certs::{self_signed, Ca, Identity};
use common::temp::TempDir;
use common::tls::{build_error, connects, echo, rustls_opens, setup_error, telling};
use common::{client_context, probe, Running, WAIT};
use libwebsockets::tls::{ClientCertificates, ClientTls, Pem, ServerTls};
use libwebsockets::{Client, ConnectError, Context, Error};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use std::process::{Command, Stdio};

fn pem(text: &str) -> Pem {
    Pem::memory(text.as_bytes())
}

#[test]
fn a_certificate_and_its_key_are_read_from_files() {
    let ca = Ca::new();
    let own = ca.sign(&["localhost"]);
    let dir = TempDir::new();
    let file = |name: &str, contents: &[u8]| {
        let path = dir.file(name);
        std::fs::write(&path, contents).unwrap();
        Pem::file(path)
    };
    let texts = (
        file("cert.pem", own.cert.as_bytes()),
        file("key.pem", own.key.as_bytes()),
    );
    let binary = (
        file("cert.der", &own.cert_der),
        file("key.der", &own.key_der),
    );
    for (cert, key) in [texts, binary] {
        let server = echo(ServerTls::new(cert, key));
        connects(&server, ca.trust()).unwrap();
    }
}

/// Lost: clients that run for longer than their certificates, or those of the CA, are valid.
#[test]
fn a_clients_files_are_read_anew_when_they_were_changed() {
    let (old, new) = (Ca::new(), Ca::new());
    let [before, after] = [&old, &new].map(|ca| echo(ca.sign(&["localhost"]).server()));
    let dir = TempDir::new();
    let roots = dir.file("roots.pem");
    let client = client_context();
    let tls = ClientTls::new().ca(Pem::file(&roots));
    let connects = |server: &Running| {
        let url = format!("wss://localhost:{}/", server.addr().port());
        let to = Client::new(&url).unwrap().tls(tls.clone());
        let (probe, _events) = probe();
        client.handle.connect(to, probe).unwrap().wait(WAIT)
    };
    let setup = |outcome| matches!(outcome, Err(ConnectError::Setup(_)));
    assert!(setup(connects(&before)), "there is no file");
    std::fs::write(&roots, &old.pem).unwrap();
    connects(&before).unwrap();
    connects(&after).unwrap_err();
    // Longer than before, so that it shows within the clock's tick, too.
    std::fs::write(&roots, format!("{}\n", new.pem)).unwrap();
    connects(&after).unwrap();
    connects(&before).unwrap_err();
    std::fs::remove_file(&roots).unwrap();
    assert!(setup(connects(&after)), "it is gone");
}

#[test]
fn a_certificate_and_its_key_may_be_der() {
    let ca = Ca::new();
    let own = ca.sign(&["localhost"]);
    let cert = Pem::memory(own.cert_der.to_vec());
    let server = echo(ServerTls::new(cert, Pem::memory(own.key_der)));
    connects(&server, ca.trust()).unwrap();
}

/// A leaf's certificate, and that of the intermediate CA which signed it.
fn chain(root: &Ca, names: &[&str]) -> (Identity, String) {
    let between = root.intermediate();
    let leaf = between.sign(names);
    let chain = format!("{}{}", leaf.cert, between.pem);
    (leaf, chain)
}

// Lost: every server whose certificate a public CA has signed.
#[test]
fn a_chain_is_served_from_one_pem() {
    let root = Ca::new();
    let (leaf, chain) = chain(&root, &["localhost"]);
    let server = echo(ServerTls::new(pem(&chain), pem(&leaf.key)));
    connects(&server, root.trust()).unwrap();
    assert!(rustls_opens(&server, root.rustls_client()));
    // It is the chain that does it.
    let server = echo(leaf.server());
    connects(&server, root.trust()).unwrap_err();
}

#[test]
fn a_client_shows_its_chain() {
    let (root, ca) = (Ca::new(), Ca::new());
    let (leaf, chain) = chain(&root, &["a client"]);
    let tls = ca
        .sign(&["localhost"])
        .server()
        .client_certificates(ClientCertificates::Required, pem(&root.pem));
    let (server, seen) = telling(tls);
    let client = common::client_context();
    for (cert, right) in [(&leaf.cert, false), (&chain, true)] {
        let (probe, events) = probe();
        let tls = ca.trust().identity(pem(cert), pem(&leaf.key));
        let to = Client::new(&server.url("wss", "/")).unwrap().tls(tls);
        drop(client.handle.connect(to, probe).unwrap());
        if right {
            events.open();
            let shown = seen.recv_timeout(WAIT).unwrap().peer_certificate;
            assert_eq!(shown, Some(leaf.cert_der.to_vec()));
        } else {
            events.connect_error();
        }
    }
}

/// A key of a test's, and the same under a password.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkok9BwK4oEkikYxP
dKyoEd3Th/8wakGR9DSAxrKHhO+hRANCAARGOuX/NKO75wqKM8tb6k5eav98OFF5
hTHFvmAJv5UhvlUB7GdtHR4YciaUhLTQjqkRXHTCAIRrxCbb8OskU/p+
-----END PRIVATE KEY-----
";
const ENCRYPTED_KEY: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjzbuFo5stYPgICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEGFLuuSvCCdEmN1Kfngh4NsEgZBe
yHDOZgZZBO5HqogpO0ThbhTwp0pv5goxZbcHsB29+7AEbVSjfNGVVnUXl/ysUO+i
3bUItSAKKI+GfSUHXHST0F7wIJmTVNBTTZqJ72kSoCmAFMCpYJhAYuDpJjaufvVo
4pfGPKAGgGCo7Zg76lyxAqCil5Ys7QU5iBGYA/DkKm7uh+VTnPiaKKe4i+7G8SI=
-----END ENCRYPTED PRIVATE KEY-----
";
const PASSWORD: &str = "correct horse";

/// The encrypted key as PEM and as DER.
fn encrypted_keys() -> [Pem; 2] {
    // The parser knows no encrypted keys; what is between the lines is the same.
    let text = ENCRYPTED_KEY.replace("ENCRYPTED PRIVATE KEY", "CERTIFICATE");
    let der = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
    [pem(ENCRYPTED_KEY), Pem::memory(der.to_vec())]
}

#[test]
fn a_server_opens_its_encrypted_key_with_the_password() {
    let ca = Ca::new();
    let own = ca.sign_key(&["localhost"], KEY);
    for key in encrypted_keys() {
        let tls = || ServerTls::new(pem(&own.cert), key.clone());
        let server = echo(tls().key_password(PASSWORD));
        connects(&server, ca.trust()).unwrap();
        for (tls, why) in [
            (tls().key_password("wrong"), "password"),
            (tls().key_password(""), "password"),
            (tls(), "key_password"),
            (tls().key_password("correct horse\0"), "NUL"),
        ] {
            let error = build_error(tls);
            let text = error.to_string();
            assert!(matches!(error, Error::Tls { .. }), "{text}");
            assert!(text.contains("key") && text.contains(why), "{text}");
            assert!(!text.contains("horse"), "{text}");
        }
    }
}

#[test]
fn a_client_opens_its_encrypted_key_with_the_password() {
    let ca = Ca::new();
    let own = ca.sign_key(&["a client"], KEY);
    let tls = ca
        .sign(&["localhost"])
        .server()
        .client_certificates(ClientCertificates::Required, pem(&ca.pem));
    let server = echo(tls);
    for key in encrypted_keys() {
        let tls = || ca.trust().identity(pem(&own.cert), key.clone());
        connects(&server, tls().key_password(PASSWORD)).unwrap();
        for (tls, why) in [
            (tls().key_password("wrong"), "password"),
            (tls(), "key_password"),
            (tls().key_password("correct horse\0"), "NUL"),
        ] {
            let text = setup_error(tls);
            assert!(text.contains("key") && text.contains(why), "{text}");
        }
    }
}

#[test]
fn a_password_is_not_needed_for_a_key_that_has_none() {
    let ca = Ca::new();
    let server = echo(ca.sign(&["localhost"]).server().key_password(PASSWORD));
    connects(&server, ca.trust()).unwrap();
}

/// Set for a child of this test program: where the system's CA certificates
/// are, for OpenSSL (SSL_CTX_set_default_verify_paths(3)).
const SYSTEM_ROOTS: &str = "SSL_CERT_FILE";
const IS_CHILD: &str = "LIBWEBSOCKETS_TEST_SYSTEM_ROOTS";

/// Not a test of its own: what the child of the next one does.
#[test]
fn child() {
    if std::env::var_os(IS_CHILD).is_none() {
        return;
    }
    let (system, other) = (Ca::new(), Ca::new());
    std::fs::write(std::env::var_os(SYSTEM_ROOTS).unwrap(), &system.pem).unwrap();
    let servers = [&system, &other, &Ca::new()].map(|ca| echo(ca.sign(&["localhost"]).server()));
    for (tls, trusted) in [
        (ClientTls::new(), [true, false, false]),
        (other.trust(), [false, true, false]),
        (other.trust().system_roots(true), [true, true, false]),
        (ClientTls::new().system_roots(false), [false; 3]),
    ] {
        let connected = servers
            .each_ref()
            .map(|server| connects(server, tls.clone()).is_ok());
        assert_eq!(connected, trusted, "{tls:?}");
    }
    println!("says: done");
}

// Lost: every public server, or the difference that `ca` makes.
#[test]
fn the_systems_roots_are_trusted_by_default_and_beside_others_if_asked() {
    let dir = TempDir::new();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(IS_CHILD, "1")
        .env(SYSTEM_ROOTS, dir.file("roots.pem"))
        .env("SSL_CERT_DIR", dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("says: done"), "{stdout}\n{stderr}");
}

#[test]
fn a_ca_is_read_from_a_file_and_from_a_bundle() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = echo(ca.sign(&["localhost"]).server());
    let dir = TempDir::new();
    let path = dir.file("ca.pem");
    std::fs::write(&path, format!("{}\n{}", other.pem, ca.pem)).unwrap();
    connects(&server, ClientTls::new().ca(Pem::file(&path))).unwrap();
    connects(&server, ClientTls::new().ca(Pem::memory(ca.der.to_vec()))).unwrap();
    let both = other.trust().ca(Pem::memory(ca.pem.as_bytes()));
    connects(&server, both).unwrap();
}

#[test]
fn a_server_that_cannot_use_its_files_says_which_and_why() {
    let ca = Ca::new();
    let good = ca.sign(&["localhost"]);
    let dir = TempDir::new();
    let (cert, key) = (dir.file("cert.pem"), dir.file("key.pem"));
    std::fs::write(&cert, &good.cert).unwrap();

    let error = build_error(ServerTls::new(Pem::file(&cert), Pem::file(&key)));
    let text = error.to_string();
    assert!(matches!(error, Error::File { .. }), "{text}");
    assert!(
        text.contains("private key") && text.contains("key.pem"),
        "{text}"
    );

    let missing = Pem::file(dir.file("nowhere.pem"));
    let text = build_error(ServerTls::new(missing.clone(), Pem::file(&cert))).to_string();
    assert!(
        text.contains("certificate") && text.contains("nowhere.pem"),
        "{text}"
    );

    let tls = good
        .server()
        .client_certificates(ClientCertificates::Required, missing);
    let text = build_error(tls).to_string();
    assert!(text.contains("client CA certificates"), "{text}");
}

#[test]
fn certificates_and_keys_that_are_none_are_told_apart() {
    let ca = Ca::new();
    let (good, other) = (ca.sign(&["localhost"]), ca.sign(&["localhost"]));

    let error = build_error(ServerTls::new(pem("nonsense"), pem(&good.key)));
    assert!(
        error.to_string().contains("server's certificate"),
        "{error}"
    );
    let error = build_error(ServerTls::new(pem(&good.cert), pem("nonsense")));
    assert!(
        error.to_string().contains("server's private key"),
        "{error}"
    );
    // A key that doesn't fit its certificate.
    let error = build_error(ServerTls::new(pem(&good.cert), pem(&other.key)));
    assert!(
        error.to_string().contains("server's private key"),
        "{error}"
    );
    let error = build_error(ServerTls::new(pem(""), pem("")));
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    let roots = pem("nonsense");
    let tls = good
        .server()
        .client_certificates(ClientCertificates::Optional, roots);
    let error = build_error(tls);
    assert!(error.to_string().contains("CA certificates"), "{error}");
}

#[test]
fn files_of_bad_contents_are_named() {
    let dir = TempDir::new();
    let path = dir.file("bad-certificate.pem");
    std::fs::write(&path, "nonsense").unwrap();
    let key = self_signed(&["localhost"]).key;
    let tls = ServerTls::new(Pem::file(&path), Pem::memory(key.as_bytes()));
    let text = build_error(tls).to_string();
    assert!(text.contains("bad-certificate.pem"), "{text}");
}

#[test]
fn a_client_that_cannot_use_its_files_says_which_and_why() {
    let dir = TempDir::new();
    let missing = || Pem::file(dir.file("nowhere.pem"));
    let good = self_signed(&["a client"]);
    let text = setup_error(ClientTls::new().ca(missing()));
    assert!(
        text.contains("CA certificates") && text.contains("nowhere.pem"),
        "{text}"
    );
    let cert = Pem::memory(good.cert.as_bytes());
    let text = setup_error(ClientTls::new().identity(cert.clone(), missing()));
    assert!(
        text.contains("private key") && text.contains("nowhere.pem"),
        "{text}"
    );
    let nonsense = Pem::memory("nonsense");
    let text = setup_error(ClientTls::new().identity(cert, nonsense.clone()));
    assert!(text.contains("client's private key"), "{text}");
    let text = setup_error(ClientTls::new().ca(nonsense));
    assert!(text.contains("CA certificates"), "{text}");
    let text = setup_error(ClientTls::new().ciphers("NO-SUCH-CIPHER"));
    assert!(text.contains("NO-SUCH-CIPHER"), "{text}");

    // Asked for on the context's own thread, it is an error at once.
    let (probe, events) = probe();
    let mut context = Context::builder().build().unwrap();
    let to = Client::new("wss://localhost:1/")
        .unwrap()
        .tls(ClientTls::new().ca(missing()));
    let error = context.connect(to, probe).unwrap_err();
    assert!(error.to_string().contains("nowhere.pem"), "{error}");
    events.end();
}
