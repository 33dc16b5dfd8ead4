//! What the compiler must refuse, and with which words.

use libwebsockets::{Connection, ConnectionId, Context, ContextHandle, Request};

/// Each file in `tests/compile_fail` misuses the API in one way.
///
/// The expected messages are those of the toolchain that is used for
/// development; after a change of it, `TRYBUILD=overwrite` writes them anew.
#[test]
fn misuse_does_not_compile() {
    if std::env::var_os("LWS_SANITIZE").is_some_and(|kind| !kind.is_empty()) {
        eprintln!("skipped: the compiler's refusals don't depend on a sanitizer");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

/// Compiles only if a type lacks a trait: else two implementations of
/// `Ambiguous` fit, and the compiler can't choose. The messages of a file in
/// `tests/compile_fail` would list the type's private fields.
macro_rules! lacks {
    ($type:ty: $trait:path) => {{
        trait Ambiguous<A> {
            fn choose() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct HasIt;
        impl<T: ?Sized + $trait> Ambiguous<HasIt> for T {}
        <$type as Ambiguous<_>>::choose();
    }};
}

#[test]
fn a_context_and_what_its_callbacks_borrow_stay_on_its_thread() {
    lacks!(Context: Send);
    lacks!(Context: Sync);
    lacks!(Connection<'_>: Send);
    lacks!(Connection<'_>: Sync);
    lacks!(Request<'_>: Send);
    lacks!(Request<'_>: Sync);
}

#[test]
fn a_handle_and_an_id_go_anywhere() {
    fn goes_anywhere<T: Send + Sync + Clone + 'static>() {}
    goes_anywhere::<ContextHandle>();
    goes_anywhere::<ConnectionId>();
}
