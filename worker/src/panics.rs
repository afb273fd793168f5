//! What a panicking function says is for its client alone.

use std::{any::Any, panic, sync::Once};

/// Replaces the process's panic message by one that says where, but not what: a panic's text may hold
/// parts of a payload.
pub(crate) fn hide_messages() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|info| match info.location() {
            Some(location) => tracing::error!("panicked at {location}"),
            None => tracing::error!("panicked"),
        }));
    });
}

/// The text of a panic, for the client.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    match text {
        Some(text) => format!("the worker's function panicked: {text}"),
        None => "the worker's function panicked".to_owned(),
    }
}
